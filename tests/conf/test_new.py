"""What scripts/new.py writes runs as it stands, and its tests are green; a name that cannot be is one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from conftest import QUIET, ROOT, clean_env, copy_project, result_of, seed_folders

MADE = {"method": "halved", "dataset": "bars", "task": "averaged", "paper": "mine"}
RUNS = (
    ("method=halved", "dataset=bars"),
    ("method=averaged_mean", "dataset=averaged_stream"),
    ("experiment=averaged/first", "seeds=[0]"),
    ("experiment=mine/digits", "seeds=[0]"),
)
THEIRS = (
    "tests/methods/test_halved.py",
    "tests/datasets/test_bars.py",
    "tests/tasks/test_averaged.py",
    "tests/methods/test_outside.py::test_every_method_is_a_paper_s_subject_or_a_baseline_with_a_reference",
    "tests/tasks/test_protocols.py::test_methods_have_what_the_protocols_of_their_tasks_name[averaged_mean-averaged]",
    "tests/conf/test_configs.py::test_yaml_has_exactly_the_constructors_arguments[dataset-bars]",
    "tests/run/test_ranges.py::test_what_a_constructor_refuses_of_one_key_its_type_refuses[halved]",
)
KNOWN = """
from bench.judge.papers import check_decidable, load_papers
from bench.judge.plan import jobs
from bench.judge.selftest import check_named
papers = load_papers("mine")
check_decidable(papers, jobs)
check_named("mine", papers["mine"])
"""


def new(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forks.python(["scripts/new.py", *words], clean_env(), cwd=folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the project and its tests with one of each kind."""
    folder = tmp_path_factory.mktemp("new")
    copy_project(folder)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "golden", "tables"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for kind, name in MADE.items():
        done = new(folder, kind, name)
        assert done.returncode == 0, done.stderr
    return folder


def test_it_runs(checkout):
    for line in RUNS:
        done = forks.python(["run.py", *line, "scale=smoke", *QUIET], clean_env(), cwd=checkout)
        assert done.returncode == 0, done.stderr
    found = seed_folders(checkout)
    assert {folder.parent.name.rsplit("-", 1)[0] for folder in found} == {
        "halved-bars",
        "averaged_mean-averaged_stream",
        "ssvr-digits",
        "signsgd-digits",
    }
    assert {result_of(folder)["status"] for folder in found} == {"finished"}
    done = forks.python(["-c", KNOWN], clean_env(), cwd=checkout)
    assert done.returncode == 0, done.stderr


def test_its_tests_are_green(checkout):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *THEIRS],
        cwd=checkout, env=clean_env(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "-q", "."], cwd=checkout, check=False)
    assert done.returncode == 0
    done = subprocess.run([sys.executable, "-m", "ruff", "format", "-q", "--check", "."], cwd=checkout, check=False)
    assert done.returncode == 0


def test_its_claim_holds_and_its_mistake_turns_it(checkout, tmp_path):
    line = ["scripts/selftest.py", "--paper", "mine", f"results_root={tmp_path}", *QUIET]
    done = forks.python(line, clean_env(), cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine: tiny-step: turned faster" in done.stderr + done.stdout


def test_what_is_to_be_filled_in_is_marked(checkout):
    for path in (ROOT / "scripts/skeletons").rglob("*.*"):
        if path.name not in ("__init__.py", "NAME.yaml"):
            assert "FILL IN" in path.read_text() or path.name.startswith("test_"), path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("method", "halved"), "there is one already"),
        (("paper", "ssvr"), "there is one already (conf/experiment/ssvr/digits.yaml)"),
        (("method", "sign"), "there is one already (methods/sign)"),
        (("dataset", "outside"), "there is one already (tests/methods/test_outside.py)"),
        (("method", "Lion"), "is no name of a Python module"),
        (("task", "class"), "is no name of a Python module"),
        (("metod", "lion"), "did you mean 'method'"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(checkout, words, said):
    before = sorted(p for p in checkout.rglob("*.yaml"))
    done = new(checkout, *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr
    assert sorted(p for p in checkout.rglob("*.yaml")) == before
