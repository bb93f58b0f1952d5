"""The report on one paper: verdicts, tables, figures and its page, as functions of its archive and its file. The same input, the same bytes."""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from bench.judge.archive import Record, by_experiment
from bench.judge.checks import VERDICTS
from bench.judge.claims import judge_all
from bench.judge.papers import HOW, Figure, Paper
from bench.judge.registration import withdrawn
from bench.judge.shown import TIERS
from bench.judge.statistics import fewest
from bench.report import citing, coverage, drawing, tables
from bench.report.glossary import Glossary, glossary
from bench.report.latex import latex
from bench.report.marks import html
from bench.report.pages import environment
from bench.report.places import page_path, verdict_path
from bench.report.rows import LISTED, ONCE, grouped, row
from bench.report.why import why
from bench.run.notes import note
from bench.run.options import options
from bench.run.registry import Registration


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
    key: str,
    paper: Paper,
    records: Sequence[Record],
    scales: Sequence[str],
    earlier: Mapping[str, tuple[str, str]],
    entries: Sequence[Registration] = (),
    seen: tables.Seen = MappingProxyType({}),
) -> Built:
    """Judge every claim of a paper and make every file of its report.

    Args:
        earlier: svg text by the path of a figure and the digest of what it was drawn from; such a figure is not drawn again.
        entries: the registry. seen: what the self-test saw.
    """
    judged = judge_all({key: paper}, records, scales, entries)
    by_name, built, table = by_experiment(records), Built(), tables.verdict_table(judged, seen)
    built.files[verdict_path(key)] = tables.csv(table.assign(why=list(map(why, judged))))
    built.files |= _formats(
        f"tables/{key}/claims", tables.readable_verdicts(judged), f"Claims of {paper.title}", f"{key}:claims"
    )
    names = dict.fromkeys([c.experiment for _, c, _ in paper.judged()] + [f.experiment for f in paper.figures.values()])
    palette = drawing.palette(by_name)
    rows = cast(list[dict[str, Any]], table.astype(object).fillna("").to_dict("records"))
    words = glossary(palette)
    counted = [id(r) for r in coverage.once(rows)]
    found = [row(j, id(r) in counted, coverage.place(r), seen, words) for j, r in zip(judged, rows)]
    experiments = []
    for name in names:
        shown = [_block(key, paper, name, block, palette, built, earlier) for block in blocks(name, by_name, scales)]
        experiments.append(_experiment(name, shown, [c for c in found if c["claim"].experiment == name], scales))
    gone = withdrawn(key, paper, entries)
    built.files[page_path(key)] = _page(key, paper, experiments, coverage.counts(rows, key), scales, gone, words)
    return built


def _experiment(
    name: str, blocks: Sequence[dict[str, Any]], claims: Sequence[dict[str, Any]], scales: Sequence[str]
) -> dict[str, Any]:
    """What the page shows of an experiment."""
    full = _fullest(claims, blocks, scales)
    for block in blocks:
        block["scales"] += f" {ONCE}" if full in block["scales"].split() else ""
    sentence = options("experiment").get(name, "").rstrip(".")
    short = name.partition("/")[2].replace("_", " ")
    anchor = f"experiment.{name.partition('/')[2].replace('/', '-')}"
    return {
        "name": name,
        "anchor": anchor,
        "short": short[:1].upper() + short[1:],
        "title": sentence or name,
        "blocks": blocks,
        "groups": grouped(claims),
    }


def _fullest(claims: Sequence[dict[str, Any]], blocks: Sequence[dict[str, Any]], scales: Sequence[str]) -> str:
    """The scale that the page shows of an experiment beside each claim once: of its first claim's runs, else the last that has any."""
    known = [scale for block in blocks for scale in block["scales"].split()] or list(scales)
    counted = [c["at"].split() for c in claims if ONCE in c["at"].split()]
    return next((scale for words in counted for scale in reversed(words) if scale in known), known[-1])


def blocks(name: str, by_name: Mapping[str, Sequence[Record]], scales: Sequence[str]) -> list[Block]:
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
    caption = f"{name} at {' and '.join(block.scales)} scale: median over seeds with its 95 % interval, below {fewest()} seeds the range"
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
                    "kind": figure.kind,
                }
            )
    files = [(f"Table ({tables.states(runs)})", table, f"tables/{key}/{stem}")]
    for table_name, spec in paper.tables.items():
        wide = tables.pivot(spec, runs) if spec.experiment == name else None
        if wide is not None and len(wide):
            text, label = tables.as_text(wide), f"{key}-{table_name}{block.suffix}"
            path = f"tables/{key}/{table_name}{block.suffix}"
            built.files |= _formats(path, text, spec.caption, label, wide)
            files.append((spec.caption, text, path))
    return {
        "tables": files,
        "scales": " ".join(block.scales),
        "figures": drawn,
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
    found = drawing.parts(figure, runs)
    if not found:
        return 0
    shown = figure.model_dump(exclude={"experiment", "caption"})
    drawn = (shown, found, dict(note(runs[0].task).metrics), list(palette))
    content = hashlib.sha256(pickle.dumps(drawn, protocol=4)).hexdigest()
    digest, text = earlier.get(path, ("", ""))
    built.files[path] = text if digest == content else drawing.draw(figure, found, runs[0].task, palette)
    built.drawn[path] = content
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
        f"{stem}.tex": latex(table, caption, label),
    }


def _page(
    key: str,
    paper: Paper,
    experiments: Sequence[dict[str, Any]],
    counts: Mapping[str, Counter[str]],
    scales: Sequence[str],
    gone: Sequence[tuple[str, str]],
    words: Glossary,
) -> str:
    said = {"how": HOW, "tiers": TIERS, "places": coverage.PLACES, "verdicts": VERDICTS}
    page = environment(total=coverage.total, table=html).get_template("paper.html.j2")
    shown = [row for e in experiments for group in e["groups"] for row in group["rows"]]
    return page.render(
        key=key,
        paper=paper,
        question=paper.question or paper.summary,
        experiments=experiments,
        failed=[row for row in shown if row["verdict"].verdict == "not reproduced" and ONCE in row["at"].split()],
        counts=counts,
        counted=coverage.COUNTED,
        scales=scales,
        once=ONCE,
        listed=LISTED,
        fewest=fewest(),
        withdrawn=gone,
        glossary=words.entries(),
        bibtex=[citing.of_paper(key, paper), citing.of_suite()],
        **said,
    )
