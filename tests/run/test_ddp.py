"""Several processes of one job: who speaks and writes, what is refused, and what happens when one of them is killed, stopped or fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import forks
import pytest
import torch
from conftest import CRASH, ROOT, clean_env, job_of, result_of
from ranks import environments, ranks
from sweeps import lasting
from torch import nn

from bench.errors import UserError
from bench.run.slice_layers import converted

RUN = [
    "method=ssvr",
    "dataset=digits",
    "model=small_cnn",
    "dataset.train_size=320",
    "task.epochs=3",
    "task.batch_size=32",
]
RUN += ["hardware=ddp", "hardware.device=cpu", "hardware.threads=1", "tracker=none"]


def folder_of(results: Path) -> Path:
    (folder,) = (results / "runs").glob("*/*/seed0")
    return folder


def ended(processes: list[forks.Process]) -> list[int]:
    return [process.wait() for process in processes]


def until_a_checkpoint(results: Path, processes: list[forks.Process]) -> None:
    """Wait for a new one."""
    begun, deadline = time.time(), time.monotonic() + 120
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        if any(p.stat().st_mtime > begun for p in results.glob("runs/*/*/seed0/checkpoint.pt")):
            return
        time.sleep(0.01)
    raise AssertionError([process.stderr for process in processes])


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Results of a run that nothing disturbed."""
    results = tmp_path_factory.mktemp("whole")
    with ranks(3, [*RUN, f"results_root={results}"]) as processes:
        assert ended(processes) == [0, 0, 0], [process.stderr for process in processes]
        assert "ssvr on digits" in processes[0].stdout
        assert [p.stdout + p.stderr for p in processes[1:]] == ["", ""], "the first process alone speaks"
    return results


def test_the_first_process_s_folder_is_the_result(whole, tmp_path):
    folder = folder_of(whole)
    environment = json.loads((folder / "env.json").read_text())
    assert environment["processes"] == 3
    assert result_of(folder)["key"] == job_of(*RUN[:6]).key, "the result is known by what was computed, not by how"
    stamp = (folder / "result.json").stat().st_mtime_ns
    with ranks(2, [*RUN, f"results_root={whole}"]) as processes:
        assert ended(processes) == [0, 0]
        assert "taken from" in processes[0].stdout
    assert (folder / "result.json").stat().st_mtime_ns == stamp


def test_a_lost_process_ends_all_and_a_stopped_one_too_and_the_run_goes_on_from_its_checkpoint(whole, tmp_path):
    line = [*RUN, f"results_root={tmp_path}", "checkpoint_every=0"]
    with ranks(3, line) as processes:
        until_a_checkpoint(tmp_path, processes)
        processes[1].send_signal(signal.SIGKILL)
        assert ended(processes) == [1, -signal.SIGKILL, 1]
        for rank in (0, 2):
            (said,) = processes[rank].stderr.splitlines()
            assert said.startswith(f"failed: process {rank} of 3 stops: another process is gone")
            assert said.endswith("run the same command again to go on from the checkpoint")
    with ranks(3, line) as processes:
        until_a_checkpoint(tmp_path, processes)
        processes[2].send_signal(signal.SIGTERM)
        assert ended(processes) == [128 + signal.SIGTERM] * 3
        assert "resuming" in processes[0].stderr
        assert "stopped; checkpoint in" in processes[0].stderr
        assert processes[1].stderr + processes[2].stderr == ""
    with ranks(3, [*line, "checkpoint_every=1000"]) as processes:
        assert ended(processes) == [0, 0, 0], [process.stderr for process in processes]
    assert lasting(folder_of(tmp_path)) == lasting(folder_of(whole))
    assert result_of(folder_of(tmp_path))["measured"]["attempt"] == 3


def test_what_fails_in_one_process_alone_ends_all_with_its_reason(tmp_path):
    line = [*RUN, "method=signsgd", f"results_root={tmp_path}"]
    with (
        environments(2) as (first, second),
        forks.Process(line, first) as one,
        forks.Process(line, second, prelude=CRASH) as other,
    ):
        assert ended([one, other]) == [1, 1]
        assert "process 1 failed: RuntimeError: planted" in one.stderr
        assert "process 1 of 2 stops: RuntimeError: planted" in other.stderr
    assert not list(tmp_path.glob("runs/*/*/seed0/result.json"))


def test_what_fails_in_all_processes_is_one_failure(tmp_path):
    line = [*RUN, "method=signsgd", f"results_root={tmp_path}", "seeds=[0,1]"]
    with ranks(2, line, prelude=CRASH) as (one, other):
        assert one.wait() == 1
        other.send_signal(signal.SIGTERM)  # as torchrun does when one has ended
        assert other.wait() == 1
        assert one.stderr.count("\nfailed: seed 0: RuntimeError: planted") == 1
        assert other.stderr == ""
    assert [p.parent.name for p in tmp_path.glob("runs/*/*/seed*/error.json")] == ["seed0"]
    assert [p.parent.name for p in tmp_path.glob("runs/*/*/seed*/result.json")] == ["seed1"], "the next seed was run"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["method.lr=0.1"], "method.lr = 0.1, and the first one 0.001"),
        (["seeds=[5]"], "seeds = [5], and the first one [0]"),
        (["method=signsgd"], 'method = "signsgd", and the first one "ssvr"'),
    ],
)
def test_another_job_in_one_of_them_is_refused_before_anything_is_computed(more, told, tmp_path):
    line = [*RUN, f"results_root={tmp_path}"]
    with (
        environments(2) as (first, second),
        forks.Process([*line, "method.lr=0.001"], first) as one,
        forks.Process([*line, "method.lr=0.001", *more], second) as other,
    ):
        assert one.wait() == 2
        other.send_signal(signal.SIGTERM)  # as torchrun does when one has ended
        assert other.wait() == 2
        assert one.stderr.startswith("error: process 1 of 2 was given ")
        assert told in one.stderr
        assert one.stderr.endswith("; all processes of a job need the same command and code\n")
        assert other.stderr == ""
    assert not list(tmp_path.glob("runs/*/*/seed*/result.json"))


def test_too_small_a_minibatch_is_refused_in_one_line(tmp_path):
    with ranks(2, [*RUN, "task.batch_size=1", f"results_root={tmp_path}"]) as (one, other):
        assert one.wait() == 2
        other.send_signal(signal.SIGTERM)
        assert other.wait() == 2
        assert one.stderr == "error: a minibatch of 1 for 2 processes; task.batch_size of at least as many\n"
        assert other.stderr == ""


def test_torchrun_itself_and_a_value_that_does_not_fit():
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", str(ROOT / "run.py")]
    done = subprocess.run(
        [*command, *RUN, "method.lr=-1"], capture_output=True, text=True, timeout=300, env=clean_env(), check=False
    )
    assert done.returncode == 1  # torchrun's own
    assert done.stderr.count("error: method.lr = -1: must be greater than 0") == 1
    assert "exitcode  : 2" in done.stderr


def refused(*line: str) -> str:
    with pytest.raises(UserError) as error:
        job_of(*line)
    return str(error.value)


def test_how_it_must_be_started(monkeypatch):
    assert refused("hardware=ddp").startswith("hardware = 'ddp': its processes are started by torchrun; write torchrun")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (
        refused("hardware=cpu") == "torchrun has started 4 processes, and each would compute the same; add hardware=ddp"
    )
    assert "task 'sampling' runs in one process; tasks that run in several: classification" in refused(
        "hardware=ddp", "method=r2sgld", "dataset=multimodal"
    )
    assert job_of("hardware=ddp").key == job_of("hardware=ddp", "hardware.timeout=5").key


def test_random_layers_that_cannot_be_sliced_are_refused():
    with pytest.raises(UserError, match="AlphaDropout cannot be sliced"):
        converted(nn.Sequential(nn.Linear(2, 2), nn.AlphaDropout()), None, cuda=False)


def test_a_converted_network_is_the_same_outside_of_slices():
    class Whole:
        total = None

    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=None), nn.Dropout2d(0.5), nn.Dropout(0.1))
    made = converted(nn.Sequential(*plain), Whole(), cuda=False)
    assert made[1].weight is plain[1].weight
    assert list(made.state_dict()) == list(plain.state_dict())
    x = torch.randn(5, 1, 6, 6)
    torch.manual_seed(0)
    expected = plain(x)
    torch.manual_seed(0)
    assert torch.equal(made(x), expected)
