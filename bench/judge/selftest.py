"""Do the claims notice a wrong implementation? Each paper's classic mistakes are planted one at a time and its claims judged again.

mistakes/<paper>.py holds a list MISTAKES. A mistake is a context that patches the code, or overrides of the config, or both.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from bench.errors import UserError
from bench.judge.archive import Record
from bench.judge.checks import Where, matches
from bench.judge.claims import judge_all
from bench.judge.gather import collect
from bench.judge.papers import Paper
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
    """What a mistake did to the claims that the right implementation reproduces: those that turned to "not reproduced"."""

    mistake: Mistake
    reproduced: list[str]
    noticed: list[str]


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
    """Plant every mistake of a paper; the runs go to folders of their own below `root`.

    Args:
        overrides: of every run. by_experiment: more of them, of one experiment's runs.
    """
    common = list(overrides)
    for mistake in mistakes(name):
        own = [*common, *(by_experiment or {}).get(mistake.experiment, ())]
        right = _runs(mistake.experiment, root / "right", own)
        _execute(right, "stale")
        before = _verdicts(name, paper, _records(right))
        folder = root / mistake.name
        shutil.rmtree(folder, ignore_errors=True)
        wrong = _runs(mistake.experiment, folder, [*own, *mistake.overrides])
        wrong = [run for run in wrong if matches(run.job, mistake.of)]
        if not wrong:
            raise UserError(f"mistakes/{name}.py: {mistake.name}: no run of {mistake.experiment} has {mistake.of}")
        with mistake.plant():
            _execute(wrong, False)
        others = [r for r in _records(right) if not matches(r, mistake.of)]
        after = _verdicts(name, paper, [*others, *_records(wrong)])
        reproduced = [claim for claim, verdict in before.items() if verdict == "reproduced"]
        yield Finding(mistake, reproduced, [claim for claim in reproduced if after[claim] == "not reproduced"])


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
    return {j.name: j.verdict.verdict for j in judge_all({name: paper}, records, [SCALE])}
