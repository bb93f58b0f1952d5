"""Every method of classification on several processes comes to what it comes to in one, within the rounding of double precision."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from classifiers import lines
from conftest import final, job_of
from ranks import ranks

from bench.run.job import Job
from bench.run.runner import execute

ROUNDING = 1e-12  # relative; of some hundred operations in a row, whose own is 1e-16
SIZES = ["dataset.train_size=93", "task.batch_size=31", "task.gradient_subset=31"]  # three steps of 10, 10 and 11 rows
FEW = ("ssvr_fs", "multimix_manifold", "clean", "r2sghmc")
SCRIPT = """
import pickle, sys
sys.path.insert(0, "tests")
from bench.run.runner import execute
for job in pickle.load(open({path!r}, "rb")):
    failures = execute(job).failures
    if failures:
        print(failures, file=sys.stderr)
        raise SystemExit(1)
raise SystemExit(0)
"""


def wide(job: Job, root: Path, several: bool) -> Job:
    """The job on a network in double precision with dropout and both kinds of batch normalisation; results below root."""
    processes = "torchrun" if several else "one"
    hardware = job.settings.hardware.model_copy(update={"processes": processes})
    settings = job.settings.model_copy(update={"hardware": hardware, "results_root": str(root)})
    return replace(job, parts=job.parts | {"model": {"_target_": "wide_networks.wide_cnn"}}, settings=settings)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, tuple[Job, dict]]:
    """By name the job, and what it comes to in one process."""
    root, found = tmp_path_factory.mktemp("alone"), {}
    for name, line in lines().items():
        job = job_of(*line, *SIZES)
        outcome = execute(wide(job, root / name, several=False))
        assert outcome.failures == {}
        found[name] = job, outcome.results[0]["metrics"]
    return found


@pytest.mark.parametrize(("size", "names"), [(3, tuple(lines())), (2, FEW)])
def test_as_in_one_process(alone, size, names, tmp_path):
    jobs = [wide(alone[name][0], tmp_path / name, several=True) for name in names]
    path = tmp_path / "jobs"
    path.write_bytes(pickle.dumps(jobs))
    with ranks(size, [], prelude=SCRIPT.format(path=str(path))) as processes:
        assert [process.wait() for process in processes] == [0] * size, [process.stderr for process in processes]
    for name in names:
        (folder,) = (tmp_path / name).glob("runs/*/*/seed0")
        (found,) = final([folder])
        expected = alone[name][1]
        assert found.keys() == expected.keys()
        assert found == pytest.approx(expected, rel=ROUNDING, abs=ROUNDING), name
        assert not list((tmp_path / name).glob("runs/*/*/seed0/checkpoint.pt"))
