"""What a multirun says: each job's place, what differs between jobs, about how long the rest takes; one table at the end."""

from __future__ import annotations

import re

import pytest
from conftest import QUIET, crashing_program, seed_folders

from bench.run.compose import compose
from bench.run.multirun import Place, in_words, swept

SWEEP = ["hydra.mode=MULTIRUN", "method=signsgd,sgd", "dataset=digits", "scale=smoke"]
JOB = re.compile(r"job (\d+) of (\d+): (.*?)(?: \(about (.*) left\))?$", re.MULTILINE)


def lines(stdout: str) -> list[tuple[int, int, str, str]]:
    """(number, total, what, time left) of each job's line."""
    return [(int(number), int(total), what, left) for number, total, what, left in JOB.findall(stdout)]


def tables(stdout: str) -> int:
    """How many tables were printed, of single jobs or of several, by their titles."""
    return len(re.findall(r"^\w+ on digits(?:: | \()", stdout, re.MULTILINE))


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]])
def test_each_job_is_announced_and_runs(launcher, program, tmp_path):
    if launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = program(*SWEEP, "method.lr=1e-3,1e-2", *launcher, fresh=bool(launcher))
    assert done.returncode == 0, done.stderr
    found = sorted(lines(done.stdout))
    assert [(number, total) for number, total, *_ in found] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [what for *_, what, _ in found] == [
        "signsgd on digits, lr 0.001",
        "signsgd on digits, lr 0.01",
        "sgd on digits, lr 0.001",
        "sgd on digits, lr 0.01",
    ]
    assert tables(done.stdout) == 1
    assert found[0][-1] == "", "nothing has been computed that could tell"
    assert re.fullmatch(r"\d+ s", found[3][-1])
    assert len(seed_folders(tmp_path)) == 4
    assert not [path.name for path in (tmp_path / "results/sweeps").iterdir() if path.suffix != ".yaml"]


def test_jobs_that_were_taken_tell_nothing_of_the_time_left(program):
    assert program(*SWEEP, "method.lr=1e-3,1e-2").returncode == 0
    found = lines(program(*SWEEP, "method.lr=1e-3,1e-2,1e-1").stdout)
    assert [number for number, *_ in found] == [1, 2, 3, 4, 5, 6]
    assert [bool(left) for *_, left in found] == [False, False, False, True, True, True]
    everything = lines(program(*SWEEP, "method.lr=1e-3,1e-2").stdout)
    assert not any(left for *_, left in everything)


def test_a_single_run_has_no_place(program):
    assert lines(program("method=signsgd", "dataset=digits", "scale=smoke").stdout) == []


def test_a_silent_sweep_prints_nothing(program):
    done = program(*SWEEP, "verbose=false")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_table_compares_the_jobs_even_after_a_crash(tmp_path):
    done = crashing_program(*SWEEP, f"results_root={tmp_path / 'results'}", *QUIET)
    assert done.returncode == 1
    assert tables(done.stdout) == 1
    assert "1 failed" in done.stdout
    assert [what for *_, what, _ in lines(done.stdout)] == ["signsgd on digits", "sgd on digits"]


def test_what_differs_is_named_shortly_but_not_ambiguously():
    texts = [{"method.lr": 0.1, "dataset.val_size": k, "task.epochs": 2, "scale": "smoke"} for k in (1, 2)]
    jobs = [compose("method=sgd", *(f"{key}={value}" for key, value in line.items())) for line in texts]
    assert swept(jobs, texts) == [{"val_size": 1}, {"val_size": 2}]
    both = [{"method.lr": 0.1, "task.lr": 1, "seeds": [0]}, {"method.lr": 0.2, "task.lr": 2, "seeds": [1]}]
    jobs = [compose("method=sgd", f"method.lr={line['method.lr']}") for line in both]
    assert swept(jobs, both)[1] == {"method.lr": 0.2, "task.lr": 2, "seeds": [1]}


def test_the_line_of_a_place():
    job = compose("method=ssvr", "dataset=digits")
    line = Place(2, 12, {"lr": 0.001, "model": "mlp"}, 250.0).line(job)
    assert line == "job 3 of 12: ssvr on digits, lr 0.001, model mlp (about 4 min left)"
    assert [in_words(s) for s in (0.4, 89, 90, 5399, 5400)] == ["0 s", "89 s", "2 min", "90 min", "1.5 h"]
