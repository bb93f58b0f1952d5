"""Claims against runs: one verdict each, on the runs that were registered and at the level of that attempt. Functions of records alone;
imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.judge.archive import Record, by_experiment
from bench.judge.deciding import Verdict, decide
from bench.judge.groups import differences
from bench.judge.papers import Claim, Paper
from bench.judge.registration import Standing, standing
from bench.run.notes import note
from bench.run.registry import Registration, registrations

FULL = "paper"  # the scale that is nobody's reduction
REDUCED = 4  # keys that are named in which runs fall short of it


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
    def protocol(self) -> str:
        """Whose protocol the runs follow, or in what they fall short of it."""
        if self.reduced:
            return f"reduced: {self.reduced}"
        return "own protocol" if self.claim.source.tier == "ours" else "paper protocol"

    @property
    def counts(self) -> bool:
        """Is it one of the claims that headlines count: of a source other than us, registered, and with something that refutes it?"""
        return self.standing.registered and self.claim.source.tier != "ours" and bool(self.claim.refuted_by)


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
    """What the runs have less of than those at paper scale: `epochs 4 instead of 200, 5 instead of 10 seeds`."""
    full = runs.get(f"{claim.experiment}@{FULL}", [])
    if FULL in together or not found or not full:
        return ""
    a = found[0]
    b = min(full, key=lambda r: ((r.method, r.dataset) != (a.method, a.dataset), len(differences(a, r))))
    keys = [key for key in differences(a, b) if a.get(key) is not None and b.get(key) is not None]
    said = [f"{key.rpartition('.')[2]} {a.get(key)} instead of {b.get(key)}" for key in keys[:REDUCED]]
    if len(keys) > REDUCED:
        said.append(f"{len(keys) - REDUCED} other key{'s' * (len(keys) > REDUCED + 1)}")
    seeds = [len({r.seed for r in of}) for of in (found, full)]
    return (
        ", ".join([*said, *([f"{seeds[0]} instead of {seeds[1]} seeds"] if seeds[0] != seeds[1] else [])])
        or "other runs"
    )


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
    found = decide(claim.checks(), runs, better, stands.side, claim.deterministic)
    return replace(found, stale=sum(r.state == "stale" for r in runs))
