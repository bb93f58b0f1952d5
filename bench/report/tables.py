"""Tables of experiments and of verdicts, as data frames, and as csv and markdown; bench.report.latex and marks set them otherwise."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.judge import statistics as stats
from bench.judge.archive import Record
from bench.judge.claims import Judged
from bench.judge.papers import Pivot, Swap
from bench.judge.shown import TIERS
from bench.judge.statistics import Interval
from bench.report.digits import accepted_text
from bench.report.marks import CELL, Marks, marks_of, said_with, shared_out, with_marks
from bench.report.medians import RANGE, median_interval
from bench.report.naming import headings
from bench.report.told import best, keys_of
from bench.report.why import numbers
from bench.report.wording import protocol_in_words, spoken
from bench.run.notes import note
from bench.run.options import swept

Seen = Mapping[tuple[str, str], str]  # the verdict of a claim with a mistake or a baseline planted
FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")  # what a spreadsheet takes for the start of one
VERDICT_COLUMNS = ["paper", "claim", "audit", "tier", "standing", "attempt", "protocol", "scale", "verdict", "reason"]
VERDICT_COLUMNS += [
    "measured",
    "shown",
    "estimate",
    "low",
    "high",
    "level",
    "accepts",
    "accept_low",
    "accept_high",
    "estimand",
    "seeds",
    "stale_runs",
]
VERDICT_COLUMNS += ["refuted_by", "turned_by", "power"]
LAWS = {  # estimands, by the law of a part
    "median": "median",
    "mean": "mean",
    "log_mean": "geometric mean",
    "share": "share of runs",
    "every": "share of runs, every one of which has to hold",
}
COST = "gradient_evaluations"
MAIN = 5  # metrics beside the cost in the tables that people read; the csv has all of them


def short(value: float) -> str:
    """Four significant digits; no exponent where a person would write none."""
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def interval_text(interval: Interval) -> str:
    """0.4120 [0.3900, 0.4340]; of a range 0.4120 (0.3900..0.4340); the estimate alone where nothing tells of the spread, or nothing is random."""
    if math.isnan(interval.low) or interval.how == "exact":
        return short(interval.estimate)
    low, high = short(interval.low), short(interval.high)
    ends = f"({low}..{high})" if interval.how == RANGE else f"[{low}, {high}]"
    return f"{short(interval.estimate)} {ends}"


def turned_by(seen: Seen) -> dict[str, list[str]]:
    """Claim by claim, what turned it to "not reproduced"."""
    found: dict[str, list[str]] = {}
    for (claim, refuter), verdict in seen.items():
        if verdict == "not reproduced":
            found.setdefault(claim, []).append(refuter)
    return found


def refuter_name(refuter: str | Swap) -> str:
    """A mistake's name, or that of runs in the place of others."""
    return refuter if isinstance(refuter, str) else refuter.name


def by_job(experiment: str, runs: Iterable[Record]) -> list[list[Record]]:
    """The runs of each job (seeds of one key), in the order in which the experiment sweeps."""
    jobs: dict[str, list[Record]] = {}
    for run in runs:
        jobs.setdefault(run.key, []).append(run)
    order = {key: [_parsed(v) for v in str(spec).split(",")] for key, spec in swept(experiment).items()}

    def place(job: list[Record]) -> list[int]:
        values = [(known, job[0].get(key)) for key, known in order.items()]
        return [known.index(value) if value in known else len(known) for known, value in values]

    return sorted(jobs.values(), key=place)


def _parsed(text: str) -> object:
    """A value of a sweep; unlike YAML, Hydra takes 1e-3 for a number."""
    try:
        return float(text)
    except ValueError:
        return yaml.safe_load(text)


def finals(runs: Sequence[Record], metric: str) -> list[float]:
    """The final values of the runs that ended without divergence."""
    values = [r.metrics.get(metric) for r in runs if r.ended and not r.diverged]
    return [float(v) for v in values if isinstance(v, int | float)]


def metrics_of(runs: Sequence[Record]) -> list[str]:
    """The metrics among the runs' final numbers that a reader compares: those with a better direction, cost last."""
    known = note(runs[0].task).metrics
    return [name for name, metric in known.items() if metric.better and any(finals([r], name) for r in runs)]


def experiment_table(experiment: str, runs: Sequence[Record]) -> pd.DataFrame:
    """A row a job: what was swept, then of each metric the median, its 95 % interval (below 6 seeds the range) and the interquartile mean;
    seeds, states and seconds a seed."""
    jobs, rows = by_job(experiment, runs), []
    keys = keys_of(experiment, jobs)
    for job in jobs:
        row: dict[str, object] = {key: job[0].get(key) for key in keys}
        for metric in metrics_of(runs):
            values = finals(job, metric)
            if values:
                found = median_interval(values)
                row |= {metric: found.estimate, f"{metric}_low": found.low, f"{metric}_high": found.high}
                row |= {f"{metric}_iqm": stats.iqm(values)}
        seconds = [r.seconds for r in job if r.seconds is not None]
        row |= {"seeds": len(finals(job, metrics_of(runs)[0])) if metrics_of(runs) else 0, "states": states(job)}
        row["seconds"] = sum(seconds) / len(seconds) if seconds else None
        rows.append(row)
    return pd.DataFrame(rows)


def states(runs: Iterable[Record]) -> str:
    """8 done, 2 missing"""
    found = [r.state for r in runs]
    return ", ".join(f"{found.count(s)} {s}" for s in dict.fromkeys(found))


def readable(experiment: str, runs: Sequence[Record]) -> pd.DataFrame:
    """The experiment's table as people read it: a cell a metric, the median and its 95 % interval, or the range; what all jobs share is said once."""
    labels, jobs, known = note(runs[0].task).metrics, by_job(experiment, runs), metrics_of(runs)
    chosen = [*known[:MAIN], *[m for m in known[MAIN:] if m == COST]]
    keys, rows = keys_of(experiment, jobs), []
    for job in jobs:
        row = dict(zip(headings(keys), (_plain(job[0].get(key)) for key in keys)))
        for metric in chosen:
            values = finals(job, metric)
            constant = len(set(values)) == 1
            text = f"{values[0]:,.0f}" if constant and values[0] == int(values[0]) else ""
            row[labels[metric].label] = text or (interval_text(median_interval(values)) if values else "")
        row["seeds"] = str(len(finals(job, chosen[0])) if chosen else 0)
        if any(r.state != "done" for r in job):
            row["state"] = states(job)
        rows.append(row)
    bold = {
        (row, len(keys) + k)
        for k, metric in enumerate(chosen)
        if metric != COST
        for row, is_best in enumerate(best(experiment, jobs, metric, labels[metric].better))
        if is_best
    }
    shared = [labels[COST].label] if COST in chosen else []
    return shared_out(pd.DataFrame(rows).fillna(""), [*shared, "seeds", "state"], Marks(len(keys), frozenset(bold)))


def pivot(spec: Pivot, runs: Iterable[Record]) -> pd.DataFrame:
    """The table of `spec`: medians over seeds, in the order of the sweep."""
    cells: dict[tuple[float, str], dict[str, list[float]]] = {}
    for run in itertools.chain.from_iterable(by_job(spec.experiment, runs)):
        for row in run.curve:
            if spec.value in row and spec.split in row and row[spec.value] is not None and not run.diverged:
                cell = cells.setdefault((row[spec.split], str(run.get(spec.rows))), {})
                cell.setdefault(str(run.get(spec.columns)), []).append(row[spec.value])
    order = sorted(cells, key=lambda place: place[0])  # stable: the sweep's order within
    found = pd.DataFrame(
        [
            {spec.split: split, spec.rows: name} | {k: float(np.median(v)) for k, v in cells[split, name].items()}
            for split, name in order
        ]
    )
    return with_marks(found, Marks(2))


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """A numeric table for people."""
    text = table.map(lambda v: "" if v != v else short(v) if isinstance(v, float) else str(v))
    for name in table.columns[: marks_of(table).keys]:
        text[name] = [_plain(value) for value in table[name]]
    return with_marks(text, marks_of(table))


def _plain(value: object) -> str:
    """A value of a key; a dash where a method has none."""
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def verdict_table(judged: Iterable[Judged], seen: Seen = MappingProxyType({})) -> pd.DataFrame:
    """A row a claim and protocol, with the numbers of the part that decides; every digit.

    Args:
        seen: what the self-test saw, for the column of what turned a claim to "not reproduced".
    """
    rows, turned = [], turned_by(seen)
    for j in judged:
        v, part = j.verdict, j.verdict.parts[0] if j.verdict.parts else None
        row = {
            "paper": j.paper,
            "claim": j.name,
            "audit": j.audit,
            "tier": j.claim.source.tier,
            "standing": j.standing.word,
            "attempt": j.standing.attempt if j.standing.registered else None,
            "protocol": protocol_in_words(j.protocol, j.task),
            "scale": j.scale,
            "verdict": v.verdict,
            "reason": v.reason,
            "refuted_by": "; ".join(map(refuter_name, j.claim.refuted_by)),
            "turned_by": "; ".join(turned.get(j.name, [])),
        }
        if part:
            i = part.interval
            row |= {"measured": f"{j.claim.measured}: {part.label}", "shown": numbers(j, part)[1]}
            row |= {"estimate": i.estimate, "low": i.low, "high": i.high, "level": i.level}
            row |= {"accepts": accepted_text(part), "accept_low": part.accept[0], "accept_high": part.accept[1]}
            row |= {"estimand": LAWS[part.law]}
        if v.planner:
            row["power"] = " ".join(f"{p:.0%}" for p in v.planner.power.values())
        rows.append(row | {"seeds": v.seeds, "stale_runs": v.stale})
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS).astype({"seeds": "Int64", "attempt": "Int64"})


def readable_verdicts(judged: Sequence[Judged]) -> pd.DataFrame:
    """The verdicts as people read them."""
    rows = []
    for j in judged:
        part = j.verdict.parts[0] if j.verdict.parts else None
        more = f" (and {len(j.verdict.parts) - 1} more)" if len(j.verdict.parts) > 1 else ""
        rows.append(
            {
                "claim": j.name,
                "whose": TIERS[j.claim.source.tier],
                "standing": j.standing.word,
                "protocol": j.protocol.partition(":")[0],
                "published": j.claim.stated,
                "ours": f"{j.claim.measured}: {spoken(part.label, j.task)} {numbers(j, part)[1]}{more}" if part else "",
                "accepted": accepted_text(part) if part else "",
                "seeds": "" if j.verdict.seeds is None else str(j.verdict.seeds),
                "verdict": j.verdict.verdict,
            }
        )
    return shared_out(pd.DataFrame(rows), ["whose", "standing", "protocol", "seeds"], Marks())


def csv(table: pd.DataFrame) -> str:
    """Ten significant digits: the last ones of a sum depend on the processor. Text that a spreadsheet would compute gets an apostrophe."""
    table = table.rename(columns=_inert).map(_inert)
    return table.to_csv(index=False, lineterminator="\n", float_format="%.10g")


def _inert(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    formula = cell.startswith(FORMULA) and not CELL.fullmatch(cell)
    return ("'" if formula else "") + cell.replace("\r", " ")  # which ends a row for some readers


def markdown(table: pd.DataFrame) -> str:
    """GitHub's; bars inside of cells are escaped, as in KL(q || q*), and so are tags and links. Below it what all rows share."""
    marks, text = marks_of(table), table.rename(columns=_escaped).map(_escaped)
    for row, column in marks.bold:
        cell: Any = text.iat[row, column]
        text.iat[row, column] = f"**{cell}**"
    below = f"\n{said_with(table, '').removeprefix('. ')}\n" if marks.shared or marks.bold else ""
    return text.to_markdown(index=False, disable_numparse=True) + f"\n{below}"


def _escaped(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    untagged = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(cell.split()))
    return untagged.replace("](", "]\\(").replace("|", "\\|")
