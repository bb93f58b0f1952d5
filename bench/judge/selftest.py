"""Do the claims notice a wrong implementation? Each paper's classic mistakes are planted one at a time and its claims judged again.

mistakes/<paper>.py holds a list MISTAKES. A mistake is a context that patches the code, or overrides of the config, or both. A claim names in
`refuted_by` what turns it: mistakes, or a baseline or ablation put in the place of the method.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from bench.errors import UserError, allowed_list, nearest
from bench.judge.archive import Record
from bench.judge.checks import Where, matches
from bench.judge.claims import judge_all
from bench.judge.gather import collect
from bench.judge.groups import differences, lengths
from bench.judge.papers import Claim, Paper, Swap
from bench.judge.plan import Planned, plan
from bench.run.paths import ROOT
from bench.run.result import load_result

SCALE = "mini"  # at which claims are decided


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation. It touches the runs of `experiment` that `of` selects; the others come from the right one.

    plant: a context inside which the mistake is made. overrides: config overrides that make it.
    """

    name: str
    says: str
    experiment: str
    of: Where
    plant: Callable[[], AbstractContextManager[None]] = nullcontext
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a mistake, or runs put in the place of others, did to the claims that the right implementation reproduces.

    noticed: those that turned to "not reproduced". verdicts: before and after, of every claim that has runs there.
    """

    name: str
    says: str
    reproduced: list[str]
    noticed: list[str]
    verdicts: dict[str, tuple[str, str]]


def mistakes(paper: str) -> list[Mistake]:
    """The registry of one paper; empty where there is none yet."""
    if not (ROOT / "mistakes" / f"{paper}.py").exists():
        return []
    return import_module(f"mistakes.{paper}").MISTAKES


def selftest(
    name: str,
    paper: Paper,
    root: Path,
    overrides: Iterable[str] = (),
    by_experiment: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Finding]:
    """Plant every mistake of a paper, then put every baseline that a claim names in its place; runs go to folders of their own below `root`.

    Args:
        root: as results_root/selftest/<paper>; the right runs are those of results_root where they are done.
        overrides: of every run. by_experiment: more of them, of one experiment's runs.
    """
    own = lambda experiment: [*overrides, *(by_experiment or {}).get(experiment, ())]  # noqa: E731
    right: dict[str, list[Record]] = {}

    def rightly(experiment: str) -> list[Record]:
        if experiment not in right:
            runs = _runs(experiment, root.parent.parent, own(experiment))
            if not all(run.state == "done" for run in runs):
                runs = _runs(experiment, root / "right", own(experiment))
                _execute(runs, "stale")
            right[experiment] = _records(runs)
        return right[experiment]

    for mistake in mistakes(name):
        runs = rightly(mistake.experiment)
        folder = root / mistake.name
        shutil.rmtree(folder, ignore_errors=True)
        wrong = _runs(mistake.experiment, folder, [*own(mistake.experiment), *mistake.overrides])
        wrong = [run for run in wrong if matches(run.job, mistake.of)]
        if not wrong:
            raise UserError(f"mistakes/{name}.py: {mistake.name}: no run of {mistake.experiment} has {mistake.of}")
        with mistake.plant():
            _execute(wrong, False)
        others = [r for r in runs if not matches(r, mistake.of)]
        yield _finding(name, paper, mistake.name, mistake.says, runs, [*others, *_records(wrong)])
    for claim in (claim for _, claim, _ in paper.judged() if SCALE in claim.scales):
        for swap in (swap for swap in claim.refuted_by if isinstance(swap, Swap)):
            runs = rightly(claim.experiment)
            yield _finding(name, paper, swap.name, swap.name, runs, swapped(swap, runs), only=claim)


def check_named(name: str, paper: Paper) -> None:
    """UserError where a claim names a mistake that mistakes/<paper>.py has not."""
    known = [mistake.name for mistake in mistakes(name)]
    for key, claim, _ in paper.judged():
        for refuter in claim.refuted_by:
            if isinstance(refuter, str) and refuter not in known:
                said = (
                    f"allowed: {allowed_list(known, refuter, f'mistakes/{name}.py')}{nearest(refuter, known)}"
                    if known
                    else "it has none yet"
                )
                raise UserError(
                    f"conf/paper/{name}.yaml: claims.{key}: refuted_by: no mistake {refuter} in mistakes/{name}.py; {said}"
                )


def _finding(
    name: str,
    paper: Paper,
    what: str,
    says: str,
    right: Sequence[Record],
    wrong: Sequence[Record],
    only: Claim | None = None,
) -> Finding:
    before, after = (_verdicts(name, paper, records) for records in (right, wrong))
    chosen = [key for key, claim, _ in paper.judged() if only is None or claim is only]
    reproduced = [key for key in chosen if before.get(key) == "reproduced"]
    ran = {key: (before[key], after[key]) for key in chosen if before.get(key, "not run") != "not run"}
    return Finding(what, says, reproduced, [key for key in reproduced if after[key] == "not reproduced"], ran)


def swapped(swap: Swap, records: Sequence[Record]) -> list[Record]:
    """The records, those of `in_place_of` with the numbers of their counterparts of `put`: the run of the same seed, data and protocol that
    is nearest in the method's other keys; how long it is may differ, as in a comparison.

    Raises:
        UserError: a run has no counterpart, or several.
    """
    named = {*swap.put, *swap.in_place_of}
    sources = [r for r in records if matches(r, swap.put)]
    found = []
    for record in records:
        if not matches(record, swap.in_place_of):
            found.append(record)
            continue
        apart: dict[int, list[Record]] = {}
        for r in sources:
            keys = set(differences(r, record)) - named - lengths(record)
            own = {key for key in keys if key.startswith("method.")} if r.method != record.method else set()
            if r.seed == record.seed and keys == own:
                apart.setdefault(len(own), []).append(r)
        nearest = apart[min(apart)] if apart else []
        if len(nearest) != 1:
            raise UserError(
                f"{swap.name}: {len(nearest)} runs can stand for seed {record.seed} of {record.method} on {record.dataset}; name more keys"
            )
        found.append(replace(record, metrics=nearest[0].metrics, curve=nearest[0].curve, status=nearest[0].status))
    return found


def _runs(experiment: str, folder: Path, overrides: Iterable[str]) -> list[Planned]:
    fixed = [f"results_root={folder}", "tracker=none", "verbose=false"]
    return plan([experiment], SCALE, [*fixed, *overrides])


def _execute(runs: Iterable[Planned], force: bool | str) -> None:
    from bench.run.runner import RunsFailed, execute

    jobs = {run.job.key: run.job for run in runs if run.to_do}
    for job in jobs.values():
        outcome = execute(replace(job, settings=job.settings.model_copy(update={"force": force})))
        if outcome.failures:
            raise RunsFailed(f"{job.folder}: {next(iter(outcome.failures.values()))}")


def _records(runs: Iterable[Planned]) -> list[Record]:
    read = [replace(run, result=load_result(run.folder, run.job.key), state="done") for run in runs]
    return collect(read)


def _verdicts(name: str, paper: Paper, records: Iterable[Record]) -> dict[str, str]:
    return {j.name: j.verdict.verdict for j in judge_all({name: paper}, records, [SCALE], ())}
