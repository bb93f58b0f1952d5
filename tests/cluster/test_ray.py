"""`hardware=ray` on a Ray of this machine: twelve jobs, one killed; what is missing runs at the second invocation."""

from __future__ import annotations

import os
import signal

import pytest
from sweeps import all_lasting, checkpoints, until
from traced import LONG, SWEEP, at_a_time, forget, in_order, kill, lines, ran, sequential, start, traced

pytestmark = pytest.mark.cluster
RAY = ["hardware=ray", "hydra.launcher.parallel=2"]


@pytest.fixture(autouse=True)
def _ray() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")


def test_a_killed_job_is_one_line_and_the_only_one_to_run_again(tmp_path):
    env, root = traced(tmp_path), tmp_path / "results"
    with start(root, env, *SWEEP, *RAY) as child:
        kill(tmp_path, 4, child)
        out, err = child.communicate(timeout=280)
    assert child.returncode == 1, err
    assert err.strip() == "failed: job 5 of 12: signsgd on digits, lr 0.01: killed by signal 9"
    seen = lines(tmp_path)
    assert sorted(line["job"] for line in seen if line["what"] == "start") == list(range(12))
    assert len({line["pid"] for line in seen}) == 12, "a process of its own for each job"
    assert {tuple(line["threads"]) for line in seen} == {("1", "1", "1")}, "before Python started"
    assert at_a_time(seen) <= 2
    assert len(all_lasting(root)) == 22
    forget(tmp_path)
    with start(root, env, *SWEEP, *RAY) as child:
        out, err = child.communicate(timeout=280)
    assert child.returncode == 0, err
    assert "11 of 12 jobs are there already" in out
    assert {line["job"] for line in lines(tmp_path)} == {4}
    assert all_lasting(root) == sequential()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_sweep_leaves_checkpoints_and_no_process(tmp_path, number, code):
    env, root = traced(tmp_path), tmp_path / "results"
    with start(root, env, *LONG, *RAY) as child:
        until(lambda: len(checkpoints(root)) >= 2, child)
        os.killpg(child.pid, number)
        _, err = child.communicate(timeout=120)
    assert child.returncode == code, err
    assert "stopped; run the same command again to go on" in err
    seen = lines(tmp_path)
    assert 1 <= len({line["job"] for line in seen}) <= 4
    assert not [job for job in range(12) if ran(tmp_path, job)], "each has ended by itself"
    assert checkpoints(root)
    assert in_order(seen)


def test_jobs_end_at_a_checkpoint_when_the_sweep_s_own_process_dies(tmp_path):
    env, root = traced(tmp_path), tmp_path / "results"
    with start(root, env, *LONG, *RAY) as child:
        until(lambda: len(checkpoints(root)) >= 2, child)
        child.kill()
    until(lambda: not [job for job in range(12) if ran(tmp_path, job)])
    assert len(checkpoints(root)) >= 2


def test_what_no_machine_can_hold_is_refused(tmp_path):
    with start(tmp_path / "results", traced(tmp_path), *SWEEP, "hardware=ray", "hydra.launcher.gpus=99") as child:
        _, err = child.communicate(timeout=120)
    assert child.returncode == 2
    assert err.strip().endswith("a job asks for 1 CPU and 99 GPU, and no machine of this Ray has that many")


def test_a_cluster_that_is_not_there(tmp_path):
    line = [*SWEEP, "hardware=ray", "hydra.launcher.address=auto"]
    with start(tmp_path / "results", traced(tmp_path), *line) as child:
        _, err = child.communicate(timeout=120)
    assert child.returncode == 2, err
    assert err.startswith("error: hydra.launcher.address = 'auto': "), err
    assert len(err.splitlines()) == 1
