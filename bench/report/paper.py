"""The report on one paper: verdicts, tables, figures and its page, as functions of its archive and its file. The same input, the same bytes."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bench.judge.archive import Record, by_experiment
from bench.judge.checks import VERDICTS
from bench.judge.claims import Judged, judge_all
from bench.judge.papers import HOW, Claim, Figure, Paper
from bench.judge.registration import withdrawn
from bench.judge.shown import TIERS
from bench.judge.statistics import fewest
from bench.report import coverage, drawing, tables
from bench.report.latex import latex
from bench.report.marks import html
from bench.report.pages import environment
from bench.report.places import page_path, verdict_path
from bench.run.notes import note
from bench.run.registry import Registration

ONCE = "once"  # the page's word, beside the scales, for each claim at the fullest protocol that has a verdict
FOLDED = 6  # parts of a claim beyond which the rest is folded away


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
    built.files[verdict_path(key)] = tables.csv(table)
    built.files |= _formats(
        f"tables/{key}/claims", tables.readable_verdicts(judged), f"Claims of {paper.title}", f"{key}:claims"
    )
    names = dict.fromkeys([c.experiment for _, c, _ in paper.judged()] + [f.experiment for f in paper.figures.values()])
    palette = drawing.palette(by_name)
    rows, experiments = table.astype(object).fillna("").to_dict("records"), []
    counted = [id(row) for row in coverage.once(rows)]
    found = [_claim(j, id(row) in counted, coverage.place(row), seen) for j, row in zip(judged, rows)]
    for name in names:
        shown = [_block(key, paper, name, block, palette, built, earlier) for block in blocks(name, by_name, scales)]
        claims = [c for c in found if c["claim"].experiment == name]
        full = _fullest(claims, shown, scales)
        for block in shown:
            block["scales"] += f" {ONCE}" if full in block["scales"].split() else ""
        experiments.append({"name": name, "full": full, "blocks": shown, "claims": claims})
    gone = withdrawn(key, paper, entries)
    built.files[page_path(key)] = _page(key, paper, experiments, coverage.counts(rows, key), scales, gone)
    return built


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
    found = drawing.parts(figure, runs)
    if not found:
        return 0
    shown = figure.model_dump(exclude={"experiment", "caption"})
    drawn = (shown, found, note(runs[0].task), list(palette))
    content = hashlib.sha256(pickle.dumps(drawn, protocol=4)).hexdigest()
    before = earlier.get(path)
    same = before is not None and before[0] == content
    built.files[path] = before[1] if same else drawing.draw(figure, found, runs[0].task, palette)
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


def _fullest(claims: Sequence[dict[str, Any]], blocks: Sequence[dict[str, Any]], scales: Sequence[str]) -> str:
    """The scale that the page shows of an experiment beside each claim once: of its first claim's runs, else the last that has any."""
    known = [scale for block in blocks for scale in block["scales"].split()] or list(scales)
    counted = [c["at"].split() for c in claims if ONCE in c["at"].split()]
    return next((scale for words in counted for scale in reversed(words) if scale in known), known[-1])


def _claim(judged: Judged, counted: bool, place: str, seen: tables.Seen) -> dict[str, Any]:
    """What the page shows of a claim at one protocol."""
    stands, claim = judged.standing, judged.claim
    standing = ("exploratory", f"exploratory: {stands.why}")
    if stands.registered:
        said = f"registered, attempt {stands.attempt}, {100 * (1 - 2 * stands.side):.4g} %"
        more = {"open": " open", "stale": " stale", "ours": ""}.get(place, " counted")
        standing = (f"registered{more}", said)
    return {
        "name": judged.name,
        "claim": claim,
        "audit": judged.audit,
        "at": f"{judged.scale} {ONCE}" if counted else judged.scale,
        "id": f"{judged.name}-{judged.scale.replace(' ', '-')}",
        "tier": claim.source.tier,
        "standing": standing,
        "protocol": judged.protocol,
        "verdict": judged.verdict,
        "refuters": _refuters(judged.name, claim, seen),
    }


def _refuters(name: str, claim: Claim, seen: tables.Seen) -> list[tuple[str, str, str]]:
    """(what refutes the claim, what the self-test saw of it, the class of that)"""
    names = list(map(tables.refuter_name, claim.refuted_by))
    names += [refuter for (of, refuter), verdict in seen.items() if of == name and refuter not in names]
    found = []
    for refuter in names:
        verdict = seen.get((name, refuter), "")
        look = {"": "none", "not reproduced": "reproduced"}.get(verdict, "not-reproduced")
        said = {"": "not self-tested", "not reproduced": "seen to refute it in the self-test"}.get(
            verdict, f"self-test: {verdict}"
        )
        found.append((refuter, said, look))
    return found


def _page(
    key: str,
    paper: Paper,
    experiments: Sequence[dict[str, Any]],
    counts: Mapping[str, Counter[str]],
    scales: Sequence[str],
    gone: Sequence[tuple[str, str]],
) -> str:
    words = {"how": HOW, "tiers": TIERS, "laws": tables.LAWS, "places": coverage.PLACES, "verdicts": VERDICTS}
    filters = {
        "interval": tables.interval_text,
        "accepts": tables.accepts_text,
        "strip": strip,
        "middle": middle,
        "table": html,
    }
    page = environment(**filters, total=coverage.total).get_template("paper.html.j2")
    return page.render(
        key=key,
        paper=paper,
        experiments=experiments,
        counts=counts,
        counted=coverage.COUNTED,
        scales=scales,
        once=ONCE,
        folded=FOLDED,
        fewest=fewest(),
        withdrawn=gone,
        **words,
    )


def middle(interval: Any) -> str:
    """A group's median, with its interval where there is one."""
    ends = interval.low, interval.high
    return tables.interval_text(interval) if any(map(math.isfinite, ends)) else tables.short(interval.estimate)


def strip(part: Any) -> dict[str, Any] | None:
    """Places (0 to 100) of a part's interval, estimate and accepted region on a small axis; None where there is none.

    An infinite end lies at the axis' end. open: whether that holds of the interval's low or high end. at: None where there is no estimate.
    """
    ends, estimate = (part.interval.low, part.interval.high), part.interval.estimate
    finite = [v for v in (*ends, *part.accept, estimate) if math.isfinite(v)]
    if any(map(math.isnan, ends)) or not finite:
        return None
    low, high = min(finite), max(finite)
    margin = 0.15 * (high - low or abs(high) or 1.0)
    low, high = low - margin, high + margin
    place = lambda v: round(100 * (min(max(v, low), high) - low) / (high - low), 2)  # noqa: E731
    return {
        "from": place(part.accept[0]),
        "to": place(part.accept[1]),
        "low": place(ends[0]),
        "high": place(ends[1]),
        "open": not all(map(math.isfinite, ends)),
        "at": None if math.isnan(estimate) else place(estimate),
    }
