"""Shared helpers: the real program in real processes, and configs composed as Hydra composes them."""

from __future__ import annotations

import atexit
import compileall
import gc
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import forks
import pytest
import slow as slow_tests
from laws import keep_laws

if TYPE_CHECKING:
    from bench.run.job import Job

ROOT = Path(__file__).resolve().parent.parent
# Idle threads of linear algebra spin, and the other worker has the other core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.dont_write_bytecode = False  # else each of many interpreters compiles the project again, and each worker the tests
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
DATA = Path(os.environ.get("CLAIMBENCH_DATA", ROOT / "data"))  # a user's data sets, where they are
QUIET = ["tracker=none", "hardware=cpu", "hardware.threads=1"]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Programs that tests start can be stopped by Ctrl-C although a shell started the tests in the background, which has them ignore it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _laws_once() -> None:
    keep_laws()


@pytest.fixture(autouse=True, scope="session")
def _unsynced() -> Iterator[None]:
    """Files are not synced to the disk: a machine that loses power is the one thing that this would matter to."""
    with patch.object(os, "fsync", lambda file: None):
        yield


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python run.py ...` with results under tmp_path; `quiet` adds no tracker and one CPU thread.

    The process is forked from one that has imported torch; with `fresh`, or further arguments of subprocess.run, a new interpreter starts.
    """

    def run(
        *arguments: str, quiet: bool = True, env: dict[str, str] | None = None, fresh: bool = False, **more
    ) -> subprocess.CompletedProcess[str]:
        line = [f"results_root={tmp_path / 'results'}", *(QUIET if quiet else []), *arguments]
        env = clean_env() | (env or {})
        if not fresh and not more:
            return forks.run(line, env)
        command, options = [sys.executable, str(ROOT / "run.py"), *line], {"capture_output": True, "text": True} | more
        return subprocess.run(command, timeout=300, env=env, check=False, **options)

    return run


def clean_env() -> dict[str, str]:
    """The environment without another process's wandb run, and without colours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    return kept | {"NO_COLOR": "1", "COLUMNS": "200"}


def copy_project(target: Path) -> None:
    """The project's code and configs, without results and data; compiled, as each of its processes would else do again."""
    shutil.copytree(_compiled(), target, dirs_exist_ok=True)


@cache
def _compiled() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="claimbench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("bench", "conf", "datasets", "hydra_plugins", "methods", "mistakes", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("run.py", "README.md", "Makefile", "CITATION.cff"):
        shutil.copy2(ROOT / name, folder / name)
    compileall.compile_dir(folder, quiet=2)
    return folder


CRASH = """
import methods.sign.signsgd as m
step, calls = m.SignSGD.step, []
def crash(self, closure):
    calls.append(1)
    if len(calls) == 3: raise RuntimeError('planted')
    return step(self, closure)
m.SignSGD.step = crash
"""


def crashing_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """run.py with a signSGD whose third step raises RuntimeError("planted")."""
    return forks.run(list(arguments), clean_env(), prelude=CRASH)


def seed_folders(tmp_path: Path) -> list[Path]:
    """The seed folders below tmp_path/results, sorted."""
    return sorted((tmp_path / "results" / "runs").glob("*/*/seed*"))


def result_of(folder: Path) -> dict:
    """result.json of a seed folder."""
    return json.loads((folder / "result.json").read_text())


def edit_result(folder: Path, **changes: Any) -> None:
    """Write result.json of a seed folder as if it had been computed so, with its checksum."""
    from bench.run.result import text_of

    (folder / "result.json").write_bytes(text_of(result_of(folder) | changes))


@pytest.fixture(scope="session")
def swept(tmp_path_factory) -> Path:
    """The results of a sweep of a person's own, to be read and not changed."""
    from own_sweep import make

    return make(tmp_path_factory.mktemp("own") / "results")


@pytest.fixture
def copied(swept, tmp_path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(swept, tmp_path / "results")


def job_of(*overrides: str) -> Job:
    """As bench.run.compose.compose, with one composition for all jobs that choose the same options: tests/conf/test_configs.py finds the
    jobs of every method equal. What is wrong is said by `compose`."""
    from bench.run.compose import compose
    from bench.run.composition import hydra
    from bench.run.sweep import _job

    try:
        with hydra():
            return _job(overrides)
    except Exception:
        return compose(*overrides)


@pytest.fixture
def job() -> Callable[..., Job]:
    """job("method=ssvr", ...) composes, validates and returns the Job, as run.py does."""
    return job_of


@pytest.fixture
def go(job, tmp_path) -> Callable[..., list[Path]]:
    """go("method=ngvi", ...) runs a job in this process; its seed folders."""
    from bench.run.runner import execute

    def run(*overrides: str, root: str = "results") -> list[Path]:
        outcome = execute(job(*overrides, *QUIET, "verbose=false", f"results_root={tmp_path / root}"))
        assert outcome.failures == {}
        return [outcome.job.folder / f"seed{seed}" for seed in sorted(outcome.results)]

    return run


def final(folders: list[Path]) -> list[dict]:
    """The final metrics of seed folders."""
    return [result_of(folder)["metrics"] for folder in folders]


class Halted(Exception):
    """Stands for a kill right after a checkpoint."""


def whole_and_resumed(made, folder: Path, stop_at: int) -> tuple[tuple, tuple]:
    """What a job comes to (final metrics, curves, gradient evaluations) uninterrupted, and when it is killed as it asks for the
    `stop_at`-th time whether a checkpoint is due, and goes on from that."""
    whole = _advance(made, folder / "whole", None)
    with pytest.raises(Halted):
        _advance(made, folder / "cut", stop_at)
    return whole, _advance(made, folder / "cut", None)


def _advance(made, folder: Path, stop_at: int | None) -> tuple:
    from bench.run.curve import read_metrics
    from bench.run.hardware import open_device
    from bench.run.progress import Display
    from bench.run.session import Run, Session
    from bench.run.stopping import StopSignal

    runs = [Run(seed, folder / f"seed{seed}") for seed in made.settings.seeds]
    for run in runs:
        run.folder.mkdir(parents=True, exist_ok=True)
    device = open_device(made.settings.hardware)
    session = Session(made, runs, device, StopSignal(), Display(None, ""), print)
    _halting_at(session, stop_at)
    session.advance(session.start())
    return [run.final for run in runs], [read_metrics(run.folder) for run in runs], session.gradient_evaluations


def _halting_at(session, stop_at: int | None) -> None:
    asked, save, answers = itertools.count(1), session.save, [False]

    def due() -> bool:
        answers.append(next(asked) == stop_at)
        return answers[-1]

    def save_and_halt(state) -> None:
        save(state)
        if answers[-1]:
            raise Halted

    session.due, session.save = due, save_and_halt


LONG = ("judge/test_selftest.py", "judge/test_reproduce.py", "report/test_report.py")  # minutes each, all together


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out what tests/slow.txt lists")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of collected tests and the libraries stay: cyclic garbage is looked for among what comes later, and less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left alone with one of them at the end; with --fast without what is slow."""
    if config.getoption("--fast"):
        slow = slow_tests.listed()
        left = [item for item in items if f"tests/{item.nodeid.removeprefix('tests/').partition('[')[0]}" in slow]
        config.hook.pytest_deselected(items=left)
        gone = set(left)
        items[:] = [item for item in items if item not in gone]
    items.sort(key=lambda item: not any(f"{name}::" in item.nodeid for name in LONG))
