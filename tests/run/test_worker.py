"""`parallel=2`: the jobs of a sweep in two processes of this machine; one is killed, the sweep is stopped, or its own process dies."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from conftest import QUIET, ROOT, clean_env, seed_folders
from sweeps import all_lasting, checkpoints, until

from bench.run import multirun
from bench.run.multirun import at_a_time, cores, cores_each, threads_each
from bench.run.worker import Kept

SWEEP = ["-m", "method=signsgd,sgd", "method.lr=1e-3,1e-2", "dataset=digits", "scale=smoke", "seeds=[0,1]"]
# Never ends by itself; its checkpoints are those of a stop.
LONG = [*SWEEP, "task.epochs=40000", "checkpoint_every=1000"]
POSIX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find the processes")

# A group of its own, and PYTHONPATH as an interpreter reads it.
OWN = """
import os, sys
os.setsid()
sys.path[1:1] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
"""

ENDS = '''import os, signal
from methods.sign.signsgd import SignSGD


class Ends(SignSGD):
    """Args:
        params: parameters to optimise.
        how: in which way the first step ends.
    """

    def __init__(self, params, *, how: str, **shared):
        super().__init__(params, **shared)
        self.how = how

    def _estimate(self, closure):
        if self.how == "raise":
            raise RuntimeError("planted")
        if self.how == "exit":
            os._exit(0)
        if self.how == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        return super()._estimate(closure)
'''


def line(root: Path, *arguments: str) -> list[str]:
    """`python run.py -m ... parallel=2`"""
    return [sys.executable, str(ROOT / "run.py"), *arguments, "parallel=2", f"results_root={root}", *QUIET]


def start(root: Path, *arguments: str, **env: str) -> forks.Process:
    """It leads a group of its own as a terminal's program does. The processes of its jobs are new interpreters."""
    own = [*arguments, "parallel=2", f"results_root={root}", *QUIET]
    return forks.Process(own, clean_env() | env, prelude=OWN)


def workers(parent: int) -> list[int]:
    """The processes that run jobs: children that lead a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and int(fields[3]) == int(stat.parent.name):
            found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and ") Z" not in stat.read_text()


@POSIX
def test_a_killed_job_takes_no_other_with_it_and_results_are_those_of_one_process(program, tmp_path):
    root = tmp_path / "two"
    with start(root, *SWEEP, "task.epochs=30") as child:
        until(lambda: len(workers(child.pid)) == 2)
        first, second = workers(child.pid)
        until(lambda: list(root.glob("runs/*/*/seed*")))
        os.kill(first, signal.SIGKILL)
        code, out, err = child.wait(), child.stdout, child.stderr
    assert code == 1, err
    assert err.count("failed: job ") == 1
    assert err.strip().endswith(": killed by signal 9")
    assert "2 at a time" in out
    assert not alive(second)
    killed = 8 - len(all_lasting(root))
    assert killed in (1, 2), "a job has two seeds"
    with start(root, *SWEEP, "task.epochs=30") as child:
        code, out, err = child.wait(), child.stdout, child.stderr
    assert code == 0, err
    assert "3 of 4 jobs are there already" in out
    assert program(*SWEEP, "task.epochs=30").returncode == 0
    assert all_lasting(root) == all_lasting(tmp_path / "results")
    assert len(seed_folders(tmp_path)) == 8


@POSIX
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.faults),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.faults),
    ],
)
def test_a_stopped_sweep_leaves_checkpoints_and_no_process(tmp_path, number, code):
    with start(tmp_path, *LONG) as child:
        until(lambda: sum(path.stat().st_size > 0 for path in tmp_path.glob("runs/*/*/seed*/metrics.jsonl")) >= 2)
        own = workers(child.pid)
        (os.kill if number == signal.SIGKILL else os.killpg)(child.pid, number)
        ended, err = child.wait(), child.stderr
    assert ended == code, err
    if number != signal.SIGKILL:
        assert "stopped; run the same command again to go on" in err
        assert "Traceback" not in err
    assert len(own) == 2
    until(lambda: not any(map(alive, own)))
    assert len(checkpoints(tmp_path)) >= 2
    assert not list(tmp_path.glob("runs/*/*/seed*/error.json"))


@POSIX
@pytest.mark.faults
def test_a_second_stop_ends_a_job_that_does_not_answer(tmp_path):
    with start(tmp_path, *LONG) as child:
        until(lambda: len(list(tmp_path.glob("runs/*/*/seed*/metrics.jsonl"))) >= 2)
        own = workers(child.pid)
        os.kill(own[0], signal.SIGSTOP)
        child.send_signal(signal.SIGTERM)
        until(lambda: not alive(own[1]))
        child.send_signal(signal.SIGTERM)
        assert child.wait() == 143
    assert not alive(own[0])


def test_each_way_in_which_a_job_ends_is_told_and_the_next_job_runs(tmp_path):
    own = tmp_path / "own"
    (own / "method").mkdir(parents=True)
    (own / "ends.py").write_text(ENDS)
    content = "_target_: ends.Ends\ntasks: [classification]\nlr: 1e-3\nweight_decay: 0.0\nhow: well\n"
    (own / "method/ends.yaml").write_text(content)
    sweep = ["-m", "--config-dir", str(own), "method=ends", "method.how=term,raise,exit,well", "extensions=[ends]"]
    with start(tmp_path / "results", *sweep, "dataset=digits", "scale=smoke", PYTHONPATH=str(own)) as child:
        code, out, err = child.wait(), child.stdout, child.stderr
    assert code == 1
    for number, told in enumerate(["term: exit code 143", "raise: seed 0: RuntimeError: planted", "exit: ended"]):
        assert f"job {number + 1} of 4: ends on digits, how {told}" in err
    assert "job 4 of 4" not in err
    assert len(all_lasting(tmp_path / "results")) == 1
    assert "Traceback" not in out, "nobody has set HYDRA_FULL_ERROR"


def test_streams_that_are_closed_take_no_pipe_of_a_worker(tmp_path):
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    sweep = line(tmp_path, "-m", "method=signsgd,sgd", "dataset=digits", "scale=smoke")
    assert subprocess.run([*closed, *sweep], env=clean_env(), timeout=200, check=False).returncode == 0
    assert len(all_lasting(tmp_path)) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no file that is always full")
def test_what_a_job_prints_ends_no_job_when_its_file_takes_no_more(tmp_path):
    with Path("/dev/full").open("wb") as full:
        kept = Kept(full.fileno())
        said = io.TextIOWrapper(io.BufferedWriter(kept), line_buffering=True)
        print("a line", "x" * 10000, file=said, flush=True)
        assert kept.lost == "No space left on device"
    with (tmp_path / "said").open("wb") as file:
        said = io.TextIOWrapper(io.BufferedWriter(Kept(file.fileno())), line_buffering=True)
        print("a line", file=said)
    assert (tmp_path / "said").read_text() == "a line\n"


def test_how_many_at_a_time(monkeypatch):
    monkeypatch.setattr(multirun, "cores", lambda: 8)
    assert [at_a_time(3, "auto"), at_a_time(None, "auto"), at_a_time(None, "cpu")] == [3, 8, 8]
    assert [cores_each(3), cores_each(8), cores_each(20)] == [2, 1, 1]
    for own, threads in {"": 2, "0": 2, "4,2": 2, "5": 5}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", own)
        assert threads_each(3) == threads
    monkeypatch.setattr(multirun, "cuda_devices", lambda: 1)
    assert [at_a_time(None, "auto"), at_a_time(None, "cpu"), at_a_time(2, "cuda")] == [1, 8, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is bound to no cores")
def test_cores_are_those_that_the_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*SWEEP, "parallel=0"], "0: "),
        ([*SWEEP[3:], "parallel=2"], "2: takes the jobs of a sweep, and this is a single run; add -m"),
    ],
)
def test_bad_input_is_one_line(program, arguments, told):
    done = program(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: parallel = {told}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("launcher", "instead"),
    [
        ("hydra/launcher=basic", "it runs one job after another"),
        ("hardware=slurm", "hydra.launcher.parallel says how many at a time there"),
        ("hydra/launcher=joblib", "hydra.launcher.n_jobs says how many at a time there"),
    ],
)
def test_another_launcher_does_not_pass_it_over(program, launcher, instead):
    if "joblib" in launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = program(*SWEEP, "parallel=2", launcher, quiet=False)
    assert (done.returncode, done.stdout) == (2, "")
    key, _, name = launcher.partition("=")
    assert done.stderr == f"error: parallel = 2: not of {key} = '{name}'; {instead}\n"
