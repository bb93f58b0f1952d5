"""What is registered of an experiment before it is judged, and what that makes of a verdict.

Registered are the checks of all claims on the experiment, which way their metrics are better, the keys of its jobs and the number of seeds;
the seeds follow from the line (bench.run.registry). A check is confirmed on the runs of the last line that holds it and on no others. Each
line of an experiment is another attempt at it, whatever its claims are called, and all attempts together get one level: the k-th has
5 % / (k (k + 1)) at either end.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.judge.archive import Record, paper_of
from bench.judge.reach import too_few
from bench.judge.words import metrics_of
from bench.run import registry
from bench.run.job import Job
from bench.run.registry import Registration, digest_of_line, in_force, line_of

if TYPE_CHECKING:
    from bench.judge.papers import Claim, Paper

LEVEL = 0.05  # of all attempts at an experiment together, at either end
SCALES = ("mini", "paper")
BETTER = "better"  # of a registered check; the oldest lines lack it
Jobs = Callable[[str, str], Sequence[Job]]


def side_of(attempt: int) -> float:
    """What may fall outside of an interval at either end at the k-th attempt; over all attempts it adds up to 5 %."""
    return LEVEL / (attempt * (attempt + 1))


def check_of(claim: Claim) -> dict[str, Any]:
    """What of a claim is registered: how it is decided, and no word of how it is called."""
    content: dict[str, Any] = {"check": claim.check.model_dump(mode="json", exclude_defaults=True)}
    if claim.each:
        content["each"] = claim.each
    if claim.deterministic:
        content["deterministic"] = True
    return json.loads(line_of(content))


def better_of(claim: Claim) -> str | None:
    """Which way the metric of a claim is better."""
    return metrics_of(claim.experiment)[claim.check.metric].better


def digest_of(claim: Claim) -> str:
    """The name of a claim's check in the registry."""
    return name_of(check_of(claim))


def name_of(check: Mapping[str, Any]) -> str:
    """What a check is called in the registry: by how it is decided."""
    return digest_of_line(line_of(dict(check)))[:16]


def _without(check: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in check.items() if key != BETTER}


# ---- the lines


def registrations(path: Path | None = None) -> tuple[Registration, ...]:
    """Every registration, oldest first, each as `register` writes it: nobody chose its spelling, its attempt or what its checks are called.

    Raises:
        UserError: a line is not, or does not follow the one before.
    """
    entries, path = registry.registrations(path), path or registry.REGISTRY
    if entries and entries[-1].digest not in _WELL:
        for k, entry in enumerate(entries):
            if problem := _unlike(entry, entries[:k]):
                raise UserError(f"{path.name}, line {k + 1}: {problem}; restore the file from git")
        _WELL.add(entries[-1].digest)
    return entries


_WELL: set[str] = set()  # last lines of registries that were found well; each stands for all before it


def _unlike(entry: Registration, before: Sequence[Registration]) -> str | None:
    """In what a line is none that `register` writes."""
    content = {name: getattr(entry, name) for name in registry.KEYS}
    if not (type(entry.attempt) is int and type(entry.seeds) is int and isinstance(entry.checks, dict)):
        return "is no registration"
    if digest_of_line(line_of(content)) != entry.digest:
        return "is not written as registrations are"
    for name, check in entry.checks.items():
        if name not in (name_of(check), name_of(_without(check))):
            return f"check {name} is not what stands under it"
    least = attempt_of(content, before)
    return f"says attempt {entry.attempt}, and it is attempt {least}" if entry.attempt < least else None


def attempt_of(content: Mapping[str, Any], before: Iterable[Registration]) -> int:
    """Which attempt a registration is: one more than the lines before it of the same experiment. That is one of this name at one of these
    scales or, by whatever name, one whose jobs are contained in these or contain them, have half of the larger number in common, or one of
    them together with a check.
    """
    scales, jobs, checks = (set(content[key]) for key in ("scales", "jobs", "checks"))
    return 1 + sum(
        (e.experiment == content["experiment"] and not scales.isdisjoint(e.scales))
        or jobs <= (theirs := set(e.jobs))
        or jobs >= theirs
        or 2 * len(jobs & theirs) >= max(len(jobs), len(theirs))
        or not (jobs.isdisjoint(theirs) or checks.isdisjoint(e.checks))
        for e in before
    )


# ---- what a verdict stands on


@dataclass(frozen=True)
class Standing:
    """registered: the gate stood before the runs, at this attempt; else exploratory. `runs` are those that count."""

    registered: bool
    why: str
    runs: Sequence[Record]
    attempt: int = 1
    lacking: str = ""  # which registered runs there are not

    @property
    def word(self) -> str:
        return "registered" if self.registered else "exploratory"

    @property
    def side(self) -> float:
        return side_of(self.attempt)

    @property
    def next_side(self) -> float | None:
        """That of another attempt, the only way in which a registered claim gets more runs; None where nothing is registered."""
        return side_of(self.attempt + 1) if self.registered else None


def standing(claim: Claim, scale: str, runs: Sequence[Record], entries: Sequence[Registration]) -> Standing:
    """Of a claim on the runs of its experiment at a scale."""
    entry = in_force(claim.experiment, scale, entries)
    if entry is None:
        return Standing(False, "not registered", runs)
    if digest_of(claim) not in entry.checks:
        return Standing(False, "its check is not the registered one", runs)
    better = better_of(claim)
    if entry.checks[digest_of(claim)].get(BETTER, better) != better:
        return Standing(False, f"{claim.check.metric} is not better in the registered direction", runs)
    keys = {r.key for r in runs}
    if keys != set(entry.jobs):
        return Standing(False, "the experiment is not the registered one", runs)
    seeds = entry.judged
    counted = [r for r in runs if r.seed in set(seeds)]
    lacking = len(seeds) * len(keys) - len({(r.key, r.seed) for r in counted})
    why = f"attempt {entry.attempt}" if entry.attempt > 1 else "before its runs"
    left = f"{lacking} of {len(seeds) * len(keys)} registered runs are not there" if lacking else ""
    return Standing(True, why, counted, entry.attempt, left)


def withdrawn(paper: str, content: Paper, entries: Sequence[Registration]) -> list[tuple[str, str]]:
    """(experiment, check) of what was registered for a paper and no claim says any more: a claim that failed cannot just go away.

    A check that is still said at one scale and no longer at another is withdrawn there, and says so: `ssvr/cifar10 at paper scale`.
    """
    now = {(claim.experiment, scale, digest_of(claim)) for _, claim, _ in content.judged() for scale in claim.scales}
    said = {(experiment, digest) for experiment, _, digest in now}
    found = {}
    for e in entries:
        for scale, (digest, check) in itertools.product(e.scales, e.checks.items()):
            if paper_of(e.experiment) == paper and (e.experiment, scale, digest) not in now:
                at = f" at {scale} scale" if (e.experiment, digest) in said else ""
                found[e.experiment + at, digest] = line_of(check["check"])
    return [(where, text) for (where, _), text in found.items()]


def check_whole(heads: Mapping[str, str], entries: Sequence[Registration]) -> None:
    """Does the registry still end in, or after, what verdicts were made with?

    Args:
        heads: the digest of the registry's last line then, by the file that says so.

    Raises:
        UserError: a line that was there is not.
    """
    known = {registry.START, *(e.digest for e in entries)}
    for file, head in heads.items():
        if head not in known:
            raise UserError(
                f"{registry.REGISTRY.name}: lacks line {head[:12]}, with which {file} was judged; restore the file from git"
            )


def head(entries: Sequence[Registration]) -> str:
    """The digest of the last line."""
    return entries[-1].digest if entries else registry.START


# ---- registering


def register(
    papers: Mapping[str, Paper], jobs: Jobs, names: Iterable[str], path: Path | None = None, write: bool = True
) -> list[str]:
    """Append a line for each of the experiments whose checks, jobs or number of seeds are not the registered ones.

    Returns:
        A sentence for each line.

    Raises:
        UserError: an experiment has no claim, or so few seeds that they decide nothing; no line is appended.
    """
    path, names, said = path or registry.REGISTRY, list(names), []
    if write:
        register(papers, jobs, names, path, write=False)  # a line that is there counts as an attempt for ever
    for name in names:
        claims = [claim for paper in papers.values() for _, claim, _ in paper.judged() if claim.experiment == name]
        if not claims:
            raise UserError(f"{name}: no claim speaks of it; nothing to register")
        for content in _contents(name, claims, jobs):
            entries = registrations(path)
            before = in_force(name, content["scales"][0], entries)
            if before is not None and _same(before, content):
                continue
            attempt = attempt_of(content, entries)
            for claim in claims:
                if problem := _undecided(claim, content, attempt):
                    raise UserError(f"{name} at attempt {attempt}: {problem}")
            text = line_of(content | {"attempt": attempt, "previous": head(entries)})
            if write:
                append(path, text)
            scales = " and ".join(content["scales"])
            said.append(
                f"{name} at {scales} scale: {len(content['checks'])} check{'s' * (len(content['checks']) > 1)}, {content['seeds']} seeds, attempt {attempt}"
            )
    return said


def _contents(name: str, claims: Sequence[Claim], jobs: Jobs) -> Iterator[dict[str, Any]]:
    """What there is to register, scales with the same jobs and seeds together."""
    found: dict[tuple[tuple[str, ...], int], list[str]] = {}
    for scale in SCALES:
        planned = jobs(name, scale)
        seeds = {len(job.settings.seeds) for job in planned}
        if len(seeds) != 1:
            raise UserError(f"{name}: its jobs have {sorted(seeds)} seeds; one number is registered")
        (count,) = seeds
        found.setdefault((tuple(sorted(job.key for job in planned)), count), []).append(scale)
    for (keys, count), scales in found.items():
        checks = {digest_of(c): check_of(c) | {BETTER: better_of(c)} for c in claims if set(scales) & set(c.scales)}
        if checks:
            yield {"experiment": name, "scales": scales, "seeds": count, "jobs": list(keys), "checks": checks}


def _undecided(claim: Claim, content: Mapping[str, Any], attempt: int) -> str | None:
    """Why so many seeds can never decide a claim at the level of its attempt."""
    return too_few(claim, content["seeds"], side_of(attempt)) if digest_of(claim) in content["checks"] else None


def _same(entry: Registration, content: Mapping[str, Any]) -> bool:
    return (
        entry.scales == tuple(content["scales"])
        and entry.seeds == content["seeds"]
        and entry.jobs == tuple(content["jobs"])
        and entry.checks.keys() == content["checks"].keys()
        and all(entry.checks[name] in (check, _without(check)) for name, check in content["checks"].items())
    )


def append(path: Path, text: str) -> None:
    """One line more, on disk before any run can start on it."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
