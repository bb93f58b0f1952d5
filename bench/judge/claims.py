"""Claims against runs: one verdict each, on the runs that were registered and at the level of that attempt. Functions of records alone;
imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.judge.archive import Record, by_experiment
from bench.judge.deciding import Verdict, decide
from bench.judge.groups import differences
from bench.judge.papers import Claim, Paper
from bench.judge.registration import Standing, registrations, standing
from bench.judge.statistics import OutOfRange
from bench.run.notes import note
from bench.run.options import task_of_experiment
from bench.run.registry import Registration

FULL = "paper"  # the scale that is nobody's reduction
PARTS = ("dataset", "model", "method", "task", "schedule")  # of a config, in the order in which reductions are named


@dataclass(frozen=True)
class Judged:
    """A claim of a paper with its verdict on the runs of one scale, or of several that the same runs serve.

    reduced: what the runs have less of than the full protocol; empty where they are the full protocol.
    """

    paper: str
    name: str
    claim: Claim
    audit: bool
    scale: str
    verdict: Verdict
    standing: Standing
    reduced: str = ""

    @property
    def task(self) -> str:
        """That of the claim's experiment."""
        return task_of_experiment(self.claim.experiment)

    @property
    def protocol(self) -> str:
        """Are these the experiment's runs at paper scale, or in what do they fall short? Whose protocol that is the paper's file says."""
        return f"reduced: {self.reduced}" if self.reduced else "full protocol"


def judge_all(
    papers: Mapping[str, Paper],
    records: Iterable[Record],
    scales: Sequence[str],
    entries: Sequence[Registration] | None = None,
) -> list[Judged]:
    """Every claim and audit of every paper, once for each set of runs that its scales have.

    Args:
        entries: the registry; None: the project's.
    """
    runs = by_experiment(records)
    entries = registrations() if entries is None else entries
    return [
        Judged(
            paper,
            name,
            claim,
            audit,
            " ".join(together),
            judge(claim, found, together[0], stands),
            stands,
            _reduced(claim, found, runs, together),
        )
        for paper, content in papers.items()
        for name, claim, audit in content.judged()
        for together, found in _protocols(claim, runs, scales)
        for stands in [standing(claim, together[0], found, entries)]
    ]


def _protocols(
    claim: Claim, runs: Mapping[str, Sequence[Record]], scales: Sequence[str]
) -> list[tuple[list[str], Sequence[Record]]]:
    """The claim's scales among `scales`, those of the same runs together."""
    found: dict[frozenset[tuple[str, int]], list[str]] = {}
    for scale in scales:
        if scale in claim.scales:
            of = runs.get(f"{claim.experiment}@{scale}", [])
            found.setdefault(frozenset((r.key, r.seed) for r in of), []).append(scale)
    return [(together, runs.get(f"{claim.experiment}@{together[0]}", [])) for together in found.values()]


def _reduced(
    claim: Claim, found: Sequence[Record], runs: Mapping[str, Sequence[Record]], together: Sequence[str]
) -> str:
    """All that the runs have less of than those at paper scale, data first: `epochs 4 instead of 200, 5 instead of 10 seeds`."""
    full = runs.get(f"{claim.experiment}@{FULL}", [])
    if FULL in together or not found or not full:
        return ""
    a = found[0]
    b = min(full, key=lambda r: ((r.method, r.dataset) != (a.method, a.dataset), len(differences(a, r))))
    said = [_of(key.rpartition(".")[2], a.get(key), b.get(key)) for key in differences(a, b, PARTS)]
    seeds = [len({r.seed for r in of}) for of in (found, full)]
    return (
        ", ".join([*said, *([f"{seeds[0]} instead of {seeds[1]} seeds"] if seeds[0] < seeds[1] else [])])
        or "other runs"
    )


def _of(key: str, some: Any, full: Any) -> str:
    """`epochs 4 instead of 200`; a limit that the full protocol does not set leaves all."""
    return f"{key} {'none' if some is None else some} instead of {'all' if full is None else full}"


def judge(claim: Claim, runs: Sequence[Record], scale: str, stands: Standing | None = None) -> Verdict:
    """The verdict on one claim from its experiment's runs at `scale`.

    Args:
        stands: which of the runs count, and at which level; None: all of them, at 95 %.
    """
    if scale not in claim.scales:
        return Verdict("not comparable", f"decided at {' and '.join(claim.scales)} scale only")
    stands = stands or Standing(False, "", runs)
    runs = stands.runs
    if stands.lacking:
        return Verdict("not run", stands.lacking)
    if not any(r.ended for r in runs):
        crashed = sum(r.state == "failed" for r in runs)
        return Verdict("not run", f"no run has ended{f', {crashed} crashed' if crashed else ''}")
    better = note(runs[0].task).metrics[claim.check.metric].better
    try:
        found = decide(claim.checks(), runs, better, stands.side, claim.deterministic, stands.next_side)
    except OutOfRange as error:
        return Verdict("not comparable", f"{error}, which the claim says the metric cannot leave")
    return replace(found, stale=sum(r.state == "stale" for r in runs))
