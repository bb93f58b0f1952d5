"""The report on one paper: verdicts, tables, figures and its page, as functions of its archive and its file. The same input, the same bytes."""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.judge.archive import Record, by_experiment
from bench.judge.checks import VERDICTS
from bench.judge.claims import Judged, judge_all
from bench.judge.papers import HOW, Figure, Paper
from bench.judge.parts import p_text
from bench.report import figures, heatmaps, scatter, tables
from bench.report.pages import environment
from bench.report.places import page_path, verdict_path
from bench.run.notes import note


@dataclass
class Built:
    """The files of a paper's report by their path below results, and what each figure was drawn from (a digest)."""

    files: dict[str, str] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """The runs of an experiment at one scale, or at several that are served by the same runs."""

    scales: tuple[str, ...]
    runs: Sequence[Record]
    suffix: str  # of its files: -mini; nothing where one block serves every scale


def build(
    key: str, paper: Paper, records: Sequence[Record], scales: Sequence[str], earlier: Mapping[str, tuple[str, str]]
) -> Built:
    """Judge every claim of a paper and make every file of its report.

    Args:
        earlier: svg text by the path of a figure and the digest of what it was drawn from; such a figure is not drawn again.
    """
    judged = judge_all({key: paper}, records, scales)
    by_name, built = by_experiment(records), Built()
    built.files[verdict_path(key)] = tables.csv(tables.verdict_table(judged))
    built.files |= _formats(
        f"tables/{key}/claims", tables.readable_verdicts(judged), f"Claims of {paper.title}", f"{key}:claims"
    )
    names = dict.fromkeys([c.experiment for _, c, _ in paper.judged()] + [f.experiment for f in paper.figures.values()])
    palette = list(dict.fromkeys(r.method for name in sorted(by_name) for r in by_name[name]))
    experiments = []
    for name in names:
        shown = [_block(key, paper, name, block, palette, built, earlier) for block in _blocks(name, by_name, scales)]
        claims = [_claim(j, judged, scales) for j in judged if j.claim.experiment == name and j.scale == scales[0]]
        experiments.append({"name": name, "blocks": shown, "claims": claims})
    built.files[page_path(key)] = _page(key, paper, experiments, judged, scales)
    return built


def _blocks(name: str, by_name: Mapping[str, Sequence[Record]], scales: Sequence[str]) -> list[Block]:
    """The scales at which a run of the experiment ended, those of the same runs together."""
    found: dict[frozenset[tuple[str, int]], list[str]] = {}
    for scale in scales:
        runs = by_name.get(f"{name}@{scale}", [])
        if any(r.ended for r in runs):
            found.setdefault(frozenset((r.key, r.seed) for r in runs), []).append(scale)
    whole = len(found) == 1 and len(next(iter(found.values()))) == len(scales)
    return [
        Block(tuple(group), by_name[f"{name}@{group[0]}"], "" if whole else f"-{group[0]}") for group in found.values()
    ]


def _block(
    key: str,
    paper: Paper,
    name: str,
    block: Block,
    palette: Sequence[str],
    built: Built,
    earlier: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """What the page shows of an experiment at some scales; adds its tables and figures to the files."""
    runs, stem = block.runs, f"{name.replace('/', '-')}{block.suffix}"
    table = tables.readable(name, runs)
    caption = f"{name} at {' and '.join(block.scales)} scale: mean over seeds with 95 % interval"
    built.files |= _formats(f"tables/{key}/{stem}", table, caption, stem, tables.experiment_table(name, runs))
    drawn = []
    for figure_name, figure in paper.drawn():
        path = f"figures/{key}/{figure_name}{block.suffix}.svg"
        seeds = _draw(figure, path, runs, palette, built, earlier) if figure.experiment == name else 0
        if seeds:
            drawn.append(
                {
                    "path": f"../{path}",
                    "caption": figure.legend,
                    "seeds": seeds,
                    "map": bool(figure.value or figure.size),
                }
            )
    pivots = []
    for table_name, spec in paper.tables.items():
        wide = tables.pivot(spec, runs) if spec.experiment == name else None
        if wide is not None and len(wide):
            text, label = tables.as_text(wide), f"{key}-{table_name}{block.suffix}"
            built.files |= _formats(f"tables/{key}/{table_name}{block.suffix}", text, spec.caption, label, wide)
            pivots.append((spec.caption, text))
    return {
        "pivots": pivots,
        "scales": " ".join(block.scales),
        "table": table,
        "figures": drawn,
        "states": tables.states(runs),
        "machines": machines(runs),
    }


def _draw(
    figure: Figure,
    path: str,
    runs: Sequence[Record],
    palette: Sequence[str],
    built: Built,
    earlier: Mapping[str, tuple[str, str]],
) -> int:
    """Add the figure to the files; how many seeds it averages, 0 where no run has what it shows."""
    panels = scatter if figure.size else heatmaps if figure.value else None
    found = panels.panels(figure, runs) if panels else figures.lines(figure, runs)
    if not found:
        return 0
    shown = figure.model_dump(exclude={"experiment", "caption"})
    drawn = (shown, found, note(runs[0].task), list(palette))
    content = hashlib.sha256(pickle.dumps(drawn, protocol=4)).hexdigest()
    before = earlier.get(path)
    if before is not None and before[0] == content:
        svg = before[1]
    else:
        draw = panels.draw if panels else functools.partial(figures.draw, palette=palette)
        svg = draw(figure, found, runs[0].task)
    built.files[path], built.drawn[path] = svg, content
    return max(part.seeds for part in found)


def machines(runs: Iterable[Record]) -> list[str]:
    """What the runs were computed with, the most frequent first: "AMD EPYC 7B13, 2 threads, torch 2.13.0 (24 runs)"."""
    found: Counter[str] = Counter()
    for run in runs:
        e = run.environment
        if e:
            where = e.get("gpu") or f"{e.get('cpu')}, {e.get('threads')} thread{'s' * (e.get('threads') != 1)}"
            origin = ", imported" if e.get("imported") else ""
            found[f"{where}, torch {(e.get('versions') or {}).get('torch')}{origin}"] += 1
    return [f"{text} ({n} run{'s' * (n != 1)})" for text, n in found.most_common()]


def _formats(stem: str, table: Any, caption: str, label: str, data: Any = None) -> dict[str, str]:
    """One table as csv (of `data`, with every digit), markdown and LaTeX."""
    return {
        f"{stem}.csv": tables.csv(table if data is None else data),
        f"{stem}.md": tables.markdown(table),
        f"{stem}.tex": tables.latex(table, caption, label),
    }


def _claim(first: Judged, judged: Sequence[Judged], scales: Sequence[str]) -> dict[str, Any]:
    same = {j.scale: j.verdict for j in judged if j.name == first.name}
    return {"name": first.name, "claim": first.claim, "audit": first.audit, "verdicts": [(s, same[s]) for s in scales]}


def _page(
    key: str, paper: Paper, experiments: Sequence[dict[str, Any]], judged: Sequence[Judged], scales: Sequence[str]
) -> str:
    ran = Counter(j.scale for j in judged if j.verdict.verdict not in ("not run", "not comparable"))
    return (
        environment(interval=tables.interval_text, short=tables.short, pvalue=p_text, strip=strip)
        .get_template("paper.html.j2")
        .render(
            key=key,
            paper=paper,
            experiments=experiments,
            counts=Counter((j.scale, j.verdict.verdict) for j in judged),
            verdicts=VERDICTS,
            scales=scales,
            chosen=max(scales, key=lambda s: ran[s]),
            how=HOW,
        )
    )


def strip(part: Any) -> dict[str, float] | None:
    """Places (0 to 100) of a test's interval, estimate and accepted region on a small axis; None without a spread."""
    ends = [part.interval.low, part.interval.high]
    if any(v != v for v in ends):
        return None
    finite = [v for v in (*ends, *part.accept) if abs(v) != float("inf")]
    low, high = min(finite), max(finite)
    margin = 0.15 * (high - low or 1.0)
    low, high = low - margin, high + margin
    place = lambda v: round(100 * (min(max(v, low), high) - low) / (high - low), 2)  # noqa: E731
    return {
        "from": place(part.accept[0]),
        "to": place(part.accept[1]),
        "low": place(ends[0]),
        "high": place(ends[1]),
        "at": place(part.interval.estimate),
    }
