"""`hardware=slurm` on a SLURM of this machine with two nodes of one core: jobs that are killed, requeued and near their limit, a drained node."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, copy_project
from slurm_here import Slurm, slurm, why_not
from sweeps import all_lasting, checkpoints, until
from traced import LONG, SWEEP, at_a_time, forget, in_order, kill, lines, ran, sequential, start, traced

pytestmark = pytest.mark.cluster
ONE = [word for word in SWEEP if not word.startswith(("method", "task.epochs"))] + [
    "method=sgd",
    "task.epochs=150",
    "checkpoint_every=0.1",
]
ON = ["hardware=slurm"]
CLAIM = {
    "says": "With beta = 1 SSVR is signSGD.",
    "source": {"tier": "ours", "where": "Algorithm 1", "how": "derived", "reference": "arXiv 2406.00489"},
    "scales": ["smoke"],
    "experiment": "ssvr/identity_signsgd",
    "check": {
        "kind": "identity",
        "metric": "last_grad_l1",
        "of": {"method": "ssvr"},
        "equals": {"method": "signsgd"},
        "tolerance": 1e-9,
        "budget": "iterations",
        "share": 0.02,
    },
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Slurm]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # munge asks for folders that everybody may enter
    try:
        with slurm(folder) as up:
            yield up
    except RuntimeError as error:
        pytest.skip(str(error))


def array_of(cluster: Slurm) -> list[str]:
    """Tasks that SLURM has in its queue, as `12_3`."""
    return cluster("squeue", "-h", "-r", "-o", "%i").split()


def job_id(cluster: Slurm) -> str:
    """The id of the one task that runs."""
    (own,) = cluster("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%A").split()
    return own


def at_once(cluster: Slurm, child: subprocess.Popen[str]) -> None:
    """SLURM lets a task that was queued again wait for two minutes; this one is not to."""
    until(lambda: cluster("squeue", "-h", "-r", "-t", "PENDING", "-o", "%r").strip() == "BeginTime", child)
    own = cluster("squeue", "-h", "-r", "-t", "PENDING", "-o", "%i").strip()
    cluster("scontrol", "update", f"JobId={own}", "StartTime=now")


def test_one_job_killed_and_one_node_drained(cluster, tmp_path):
    env, root = traced(tmp_path, cluster.env), tmp_path / "results"
    with start(root, env, *SWEEP, *ON) as child:
        kill(tmp_path, 1, child)
        until(lambda: len({line["job"] for line in lines(tmp_path)}) >= 4, child)
        cluster("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
        drained = len(lines(tmp_path))
        out, err = child.communicate(timeout=500)
    assert child.returncode == 1, err
    assert err.strip() == "failed: job 2 of 12: signsgd on digits, lr 0.0003: killed by signal 9"
    seen = lines(tmp_path)
    assert sorted(line["job"] for line in seen if line["what"] == "start") == list(range(12))
    assert {line["node"] for line in seen if line["what"] == "start"} == {"n1", "n2"}
    after = [line for line in seen[drained + 1 :] if line["what"] == "start"]
    assert {line["node"] for line in after} == {"n1"}, "a drained node takes no further job"
    assert {tuple(line["threads"]) for line in seen} == {("1", "1", "1")}, "before Python started"
    assert len({line["pid"] for line in seen}) == 12
    assert at_a_time(seen) <= 2
    assert len(all_lasting(root)) == 22
    forget(tmp_path)
    cluster("scontrol", "update", "NodeName=n2", "State=RESUME")
    with start(root, env, *SWEEP, *ON) as child:
        out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    assert "11 of 12 jobs are there already" in out
    assert {line["job"] for line in lines(tmp_path)} == {1}
    assert all_lasting(root) == sequential()
    assert array_of(cluster) == []


def test_requeued_and_near_its_limit_a_job_goes_on_from_its_checkpoint(cluster, tmp_path):
    """SLURM preempts by SIGTERM and queues the task again; near the limit, told by SIGUSR1, the task queues itself again."""
    env, root = traced(tmp_path, cluster.env), tmp_path / "results"
    with start(root, env, *ONE, *ON) as child:
        until(lambda: checkpoints(root), child)
        cluster("scontrol", "requeue", job_id(cluster))
        at_once(cluster, child)
        until(lambda: len(lines(tmp_path)) == 3 and ran(tmp_path, 0), child)
        steps = checkpoints(root)[0].stat().st_mtime_ns
        until(lambda: checkpoints(root) and checkpoints(root)[0].stat().st_mtime_ns > steps, child)
        cluster("scancel", "--batch", "--signal=USR1", job_id(cluster))
        at_once(cluster, child)
        out, err = child.communicate(timeout=400)
    assert child.returncode == 0, err
    seen = lines(tmp_path)
    assert [line["what"] for line in seen] == ["start", "end"] * 3
    assert in_order(seen)
    assert out.count("resuming") == 2
    whole = tmp_path / "whole"
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *ONE, f"results_root={whole}"],
        env=env | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all_lasting(root) == all_lasting(whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_sweep_takes_its_jobs_out_of_the_queue(cluster, tmp_path, number):
    env, root = traced(tmp_path, cluster.env), tmp_path / "results"
    with start(root, env, *LONG, *ON) as child:
        until(lambda: len(checkpoints(root)) >= 2, child)
        os.killpg(child.pid, number)
        _, err = child.communicate(timeout=120)
    assert child.returncode == 128 + number, err
    assert "stopped; run the same command again to go on" in err
    assert array_of(cluster) == []
    seen = lines(tmp_path)
    assert len({line["job"] for line in seen}) == 2
    assert not [job for job in range(12) if ran(tmp_path, job)], "each wrote its checkpoint and ended by itself"


def test_a_sweep_whose_parent_dies_goes_on_and_is_not_computed_twice(cluster, tmp_path):
    env, root = traced(tmp_path, cluster.env), tmp_path / "results"
    few = [word.replace("method=signsgd,sgd", "method=signsgd") for word in SWEEP]
    with start(root, env, *few, *ON) as child:
        until(lambda: lines(tmp_path), child)
        child.kill()
    until(lambda: len(all_lasting(root)) == 12)
    until(lambda: array_of(cluster) == [])
    found = all_lasting(root)
    forget(tmp_path)
    with start(root, env, *few, *ON) as child:
        _, err = child.communicate(timeout=200)
    assert (child.returncode, lines(tmp_path)) == (0, []), err
    assert all_lasting(root) == found == {k: v for k, v in sequential().items() if "/signsgd-" in k}


def test_what_sbatch_refuses_is_one_line(cluster, tmp_path):
    line = [*SWEEP, *ON, "hydra.launcher.partition=nowhere"]
    with start(tmp_path / "results", traced(tmp_path, cluster.env), *line) as child:
        _, err = child.communicate(timeout=120)
    assert child.returncode == 2
    assert err.startswith("error: hardware = 'slurm': sbatch refused: ")
    assert "reached" not in err
    assert len(err.splitlines()) == 1
    assert "partition" in err


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the project with one experiment and the claim on it."""
    folder = tmp_path / "project"
    copy_project(folder)
    for path in [*(folder / "conf/paper").glob("*.yaml"), *(folder / "conf/experiment").glob("*/*.yaml")]:
        if (path.parent.name, path.stem) not in (("paper", "ssvr"), ("ssvr", "identity_signsgd")):
            path.unlink()
    path = folder / "conf/paper/ssvr.yaml"
    paper = yaml.safe_load(path.read_text())
    paper["claims"] = {"beta-one": CLAIM}
    paper["figures"] = {}
    path.write_text(yaml.safe_dump(paper))
    (folder / "conf/registry.jsonl").unlink()
    return folder


def test_everything_is_reproduced_and_travels_home(cluster, tmp_path, project):
    """docs/clusters.md from end to end, at smoke scale: limits that follow from the plan, the array, an archive that is imported elsewhere."""
    env = traced(tmp_path, cluster.env)

    def script(name: str, *words: str) -> str:
        command = [sys.executable, str(project / "scripts" / f"{name}.py"), *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    scale = ["--scale", "smoke", "hardware.device=cpu", "tracker=none", "seeds=[0,1]"]
    script("reproduce_all", "--dry-run", "--time", *scale)
    limit = []
    command = [sys.executable, str(project / "scripts/reproduce_all.py"), "--launcher", "slurm", *scale]
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        until(lambda: limit.extend(cluster("squeue", "-h", "-r", "-o", "%l").split()) or limit, child)
        _, err = child.communicate(timeout=400)
    assert child.returncode == 0, err
    assert set(limit) == {"11:00"}, "ten minutes, and three times the seconds that a few steps tell"
    assert {line["job"] for line in lines(tmp_path)} == {0, 1}
    file, home = tmp_path / "runs.xz", f"results_root={tmp_path / 'home'}"
    assert script("archive", "export", str(file), "--paper", "ssvr").endswith(": 4 runs\n")
    assert script("archive", "import", str(file), home).startswith("4 runs imported")
    plan = script("reproduce_all", "--dry-run", *scale, home)
    assert re.search(r"ssvr/identity_signsgd +│? *4 +│? *4 ", plan.replace("┃", "│")), plan
