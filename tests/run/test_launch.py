"""Jobs of a sweep as command lines: each is the job that the sweep checked, in a process that is told its threads; what a dead one comes to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, clean_env
from hydra import compose as hydra_compose

from bench.errors import UserError
from bench.run import multirun
from bench.run.compose import compose
from bench.run.composition import hydra
from bench.run.launch import Ended, check_counts, environment, launch, stoppable
from bench.run.runner import RunsFailed
from bench.run.stopping import Stopped

LINES = [("method=signsgd", "method.lr=0.001"), ("method=signsgd", "method.lr=0.01"), ("method=sgd", "method.lr=0.01")]
SWEEP = ["dataset=digits", "seeds=[0,1]", "verbose=false"]
MARKED = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 here")


@pytest.fixture
def swept(tmp_path):
    """A sweep of three jobs that has begun in this process; the second one is over."""
    jobs = [compose(*line, *SWEEP, f"results_root={tmp_path}") for line in LINES]
    told = [dict(text.split("=") for text in line) for line in LINES]
    with multirun.under_way(), hydra():
        multirun.begin(jobs, told, [True, False, True], 1)
        config = hydra_compose("config", ["hydra/launcher=slurm"], return_hydra_config=True)
        yield jobs, config


def run(config, ends) -> list:
    """Launch the sweep with processes that end so; the commands."""
    started = []

    def start(commands):
        started.extend(commands)
        yield from (end for end in ends if end.number in [command.number for command in commands])

    lines = [(*line, *SWEEP) for line in LINES]
    returned = launch(config, lines, 0, 3, start)
    assert [one.return_value for one in returned] == [None] * 3
    return started


def test_the_same_job_again_comes_last(tmp_path):
    lines = [LINES[0], LINES[0], LINES[1]]
    jobs = [compose(*line, *SWEEP, f"results_root={tmp_path}") for line in lines]
    with multirun.under_way(), hydra():
        multirun.begin(jobs, [dict(text.split("=") for text in line) for line in lines], [True] * 3, 2)
        config = hydra_compose("config", return_hydra_config=True)
        started = []

        def start(commands):
            started.extend(command.number for command in commands)
            yield from (Ended(number, 0) for number in started)

        launch(config, [(*line, *SWEEP) for line in lines], 0, 1, start)
    assert started == [0, 2, 1], "it would hold a process that waits for the first one's lock"


def test_a_command_is_the_job_that_was_checked(swept, tmp_path):
    jobs, config = swept
    started = run(config, [Ended(0, 0), Ended(2, 0)])
    assert [command.number for command in started] == [0, 2], "what is over needs no process"
    for command in started:
        assert command.line[0] == str(ROOT / "run.py")
        words = [word for word in command.arguments if not word.startswith("hydra")]
        job = compose(*words, f"results_root={tmp_path}")
        assert (job.key, job.settings) == (jobs[command.number].key, jobs[command.number].settings)
    assert {"scale=mini", "hydra.mode=RUN", "hydra/launcher=basic"} <= set(started[0].arguments)


@pytest.mark.parametrize("line", [["experiment=ssvr/digits"], ["-m", "method=sgd,ssvr", "dataset=digits"]])
def test_a_job_s_command_line_is_one_that_runs(program, line, tmp_path):
    """An experiment's sweep is switched off; the place is that of the sweep."""
    sweep = tmp_path / "1.json"
    sweep.write_text(json.dumps({"swept": [{}, {"lr": 1.0}], "to_do": [True, True], "workers": 1}))
    own = ["hydra.mode=RUN", "hydra.sweeper.params=null", "hydra/launcher=basic"]
    words = ["hardware=slurm", "scale=smoke", "method=sgd", "seeds=[0]", *own, *line[:1] * (line[0] != "-m")]
    told = {multirun.VARIABLE: str(sweep), multirun.JOB: "1"}
    done = program(*words, *(["dataset=digits"] if line[0] == "-m" else []), env=told)
    assert done.returncode == 0, done.stderr
    assert "job 2 of 2: sgd on digits, lr 1" in done.stdout
    assert json.loads(sweep.with_suffix(".ended").read_text())["number"] == 1


def test_threads_are_told_before_the_process_starts(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert environment(7, 3)["OMP_NUM_THREADS"] == "3"
    told = environment(7, 1)
    assert (told["OMP_NUM_THREADS"], told["MKL_NUM_THREADS"], told["OPENBLAS_NUM_THREADS"]) == ("1", "1", "1")
    assert (told[multirun.JOB], told["WANDB_MODE"]) == ("7", "offline")
    assert told["HYDRA_FULL_ERROR"] == "0", "every process of ours sets it; nobody asked for tracebacks"
    code = "import torch; print(torch.get_num_threads())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_env() | told, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_what_failed_is_said_in_one_line_after_all_have_ended(swept):
    _, config = swept
    with pytest.raises(RunsFailed) as caught:
        run(config, [Ended(0, -9, "some output\n"), Ended(2, None)])
    assert str(caught.value) == (
        "job 1 of 3: signsgd on digits, lr 0.001: killed by signal 9; "
        "job 3 of 3: sgd on digits, lr 0.01: ended, and nobody knows how; was its machine lost?"
    )
    with pytest.raises(RunsFailed, match=r"lr 0.01: disk full$"):
        run(config, [Ended(0, 0), Ended(2, 1, "x\nfailed: disk full\n")])
    with pytest.raises(UserError, match=r"lr 0.01: no data$"):
        run(config, [Ended(0, 0), Ended(2, 2, "error: no data\n")])


def test_a_stop_reaches_the_processes(swept, capsys):
    _, config = swept
    stopped = []

    def start(commands):
        try:
            signal.raise_signal(signal.SIGTERM)
            yield Ended(0, 0)
        finally:
            stopped.extend(commands)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as caught:
        launch(config, LINES, 0, 1, start)
    assert caught.value.code == 143
    assert len(stopped) == 2
    assert "stopped; run the same command again to go on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(Stopped), stoppable():
        signal.raise_signal(signal.SIGTERM)


def test_counts_are_whole_numbers():
    check_counts(cpus=(1, 1), gpus=(0, 0))
    for value in (0, 1.5, True, "2", None):
        with pytest.raises(UserError, match=r"hydra.launcher.cpus = .*: a whole number, at least 1"):
            check_counts(cpus=(value, 1))


@pytest.mark.parametrize("launcher", ["ray", "slurm"])
def test_bad_input_is_one_line(program, launcher, tmp_path):
    for key in ("hardware", "hydra/launcher"):
        single = program(f"{key}={launcher}", "method=sgd", "dataset=digits", quiet=False)
        assert (single.returncode, single.stderr) == (
            2,
            f"error: {key} = '{launcher}': takes the jobs of a sweep, and this is a single run; add -m\n",
        )
    sweep = ["hydra.mode=MULTIRUN", "method=sgd,signsgd", "dataset=digits", "scale=smoke", f"hardware={launcher}"]
    counts = program(*sweep, "hydra.launcher.cpus=0", quiet=False)
    assert counts.stderr == "error: hydra.launcher.cpus = 0: a whole number, at least 1\n"
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('ray')")
    missing = program(*sweep, env={"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)}, quiet=False)
    assert missing.returncode == 2
    assert missing.stderr.splitlines()[-1].startswith(f"error: hardware = '{launcher}': ")
    assert len(missing.stderr.splitlines()) == 1


def task(folder: Path, code: str, restarts: int = 0) -> subprocess.Popen[str]:
    """scripts/slurm_job.py with a job that is this code."""
    told = {"command": [sys.executable, "-c", code], "environment": {"OWN": "1"}, "folder": str(folder)}
    (folder / "0.json").write_text(json.dumps(told | {"restarts": restarts}))
    env = clean_env() | {"SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "1", "PATH": str(folder)}
    command = [sys.executable, str(ROOT / "scripts/slurm_job.py"), str(folder)]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE)


def test_a_task_writes_how_its_job_ended(tmp_path):
    with task(tmp_path, "import os, sys; print(os.environ['OWN']); sys.exit(3)") as child:
        assert child.communicate() == ("1\n", None)
    assert child.returncode == 3
    assert (tmp_path / "0.code").read_text() == "3\n"
    with task(tmp_path, "import os; os.kill(os.getpid(), 9)") as child:
        child.wait()
    assert (tmp_path / "0.code").read_text() == "-9\n"


@MARKED
def test_near_the_limit_the_job_is_asked_and_the_task_queued_again(tmp_path):
    """The commands of SLURM are a shell's here: one says that the task runs, the other writes what it was asked."""
    for name, text in {"squeue": "echo RUNNING", "scontrol": f"echo $@ > {tmp_path}/asked"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print(flush=True); time.sleep(60)"
    for restarts, left in ((1, None), (0, "143\n")):
        with task(tmp_path, code, restarts) as child:
            child.stdout.readline()
            time.sleep(0.05)
            child.send_signal(signal.SIGTERM)  # SLURM sends it to the job as well
            child.send_signal(signal.SIGUSR1)
            assert child.wait() == 143
        assert (tmp_path / "asked").read_text() == "requeue 1\n"
        written = tmp_path / "0.code"
        assert (written.read_text() if written.exists() else None) == left
