"""The same experiment in one process and on real processes: the same bit for bit, with as many bytes as are counted, and after a lost worker."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import forks
import pytest
from conftest import result_of
from ranks import ranks

METHODS = "ssvr_mv,dvr_q,ssdm"  # a radius that all agree on and ties; numbers beside signs and a server that remembers; means of signs
SMALL = ["dataset=digits", "dataset.train_size=200", "dataset.test_size=60", "scale=smoke", "verbose=false"]
SMALL += ["tracker=none", "hardware.threads=1"]
NETWORK = ["model=small_cnn", "model.width=4", "task.batch_size=8", "task.split=dirichlet", "task.alpha=1.0"]
ALONE = ["hardware=cpu"]
GROUP = ["hardware=ddp", "hardware.device=cpu", "hardware.channels_last=false"]
COUNTED = """
import sys
import bench.tasks.vote_images.loop as loop
run = loop.Training.run
def told(self, *arguments):
    run(self, *arguments)
    print("wire", self.wire.sent, self.wire.received, file=sys.__stderr__)
loop.Training.run = told
"""


def results(folder: Path) -> dict[str, tuple]:
    """By job the metrics and the curve."""
    found = sorted(folder.glob("runs/*/*/seed*"))
    return {one.parent.name: (result_of(one)["metrics"], (one / "metrics.jsonl").read_bytes()) for one in found}


def finished(folder: Path, size: int, *line: str, **more: str) -> list[str]:
    """Run to its end; what each process said on stderr."""
    where = GROUP if size > 1 else ALONE
    with ranks(size, [*SMALL, *line, *where, f"results_root={folder}"], **more) as processes:
        codes = [process.wait() for process in processes]
        said = [process.stderr for process in processes]
    assert codes == [0] * size, said
    return said


def test_a_run_is_the_same_bit_for_bit_in_one_process_two_and_four(tmp_path):
    """Workers with unequal images, BatchNorm's statistics, ties."""
    line = ["-m", f"method={METHODS}", *NETWORK]
    for size in (1, 2, 4):
        finished(tmp_path / str(size), size, *line)
    alone = results(tmp_path / "1")
    assert len(alone) == len(METHODS.split(","))
    assert len({str(metrics) for metrics, _ in alone.values()}) == len(alone), "methods differ"
    assert results(tmp_path / "2") == alone
    assert results(tmp_path / "4") == alone


def test_the_bytes_that_are_counted_are_those_that_go_over_the_wire(tmp_path):
    """Two workers in processes of their own: the second sends and gets what is counted for a worker; the server's own needs no wire."""
    said = finished(tmp_path, 2, "method=ssvr_mv", "task.workers=2", prelude=COUNTED)
    ((metrics, _),) = results(tmp_path).values()
    server, other = ([int(n) for n in text.split("wire ")[1].split()] for text in said)
    assert metrics["wire_megabytes"] == pytest.approx(2 * sum(other) / 1e6)
    assert server == other[::-1]


def test_workers_that_processes_cannot_share_out_are_a_line(tmp_path):
    line = ["method=ssvr_mv", *SMALL, *GROUP, "task.workers=3", f"results_root={tmp_path}"]
    with ranks(2, line) as (one, other):
        assert one.wait() == 2
        other.send_signal(signal.SIGTERM)  # as torchrun does when one has ended
        assert other.wait() == 2
        assert one.stderr == "error: task.workers = 3: 2 processes share them out evenly; choose a multiple of 2\n"
        assert other.stderr == ""


def checkpointed(folder: Path, process: forks.Process) -> bool:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if list(folder.rglob("checkpoint.pt")):
            return True
        time.sleep(0.005)
    return False


def test_a_lost_worker_ends_all_and_the_run_goes_on_as_if_nothing_had_been(tmp_path):
    """SIGKILL of one of two processes: the other ends with a line. The same command goes on from the checkpoint to the undisturbed numbers,
    and so does one process alone."""
    line, broken = ["method=dvr_q", *NETWORK, "task.epochs=4"], tmp_path / "broken"
    finished(tmp_path / "whole", 1, *line)
    for size in (2, 1):
        folder = broken / str(size)
        with ranks(2, [*line, *SMALL, *GROUP, f"results_root={folder}", "checkpoint_every=0.0"]) as processes:
            assert checkpointed(folder, processes[0])
            processes[1].send_signal(9)
            assert [process.wait() for process in processes] == [1, -9]
            (said,) = [row for row in processes[0].stderr.splitlines() if row.startswith("failed: ")]
            assert "another process is gone" in said
        assert not list(folder.rglob("result.json"))
        assert "resuming" in finished(folder, size, *line, "verbose=true")[0]
        assert results(folder) == results(tmp_path / "whole")
