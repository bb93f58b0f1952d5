"""The same experiment in one process and on real processes of one gloo group: the same bit for bit, with as many bytes as are counted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import result_of
from gloo_group import Ranks

METHODS = "ssvr_mv,dvr_q,ssdm"  # a radius that all agree on and ties; numbers beside signs and a server that remembers; means of signs
SMALL = ["dataset=digits", "dataset.train_size=200", "dataset.test_size=60", "scale=smoke", "verbose=false"]
NETWORK = ["model=small_cnn", "model.width=4", "task.batch_size=8", "task.split=dirichlet", "task.alpha=1.0"]
COUNTED = """
import bench.tasks.vote_images.loop as loop
run = loop.Training.run
def told(self, *arguments):
    run(self, *arguments)
    print("wire", self.at.step, self.wire.sent, self.wire.received)
loop.Training.run = told
"""


def results(folder: Path) -> dict[str, tuple]:
    """By job the metrics and the curve of what a process wrote."""
    found = sorted(folder.glob("runs/*/*/seed*"))
    return {one.parent.name: (result_of(one)["metrics"], (one / "metrics.jsonl").read_bytes()) for one in found}


def finished(folder: Path, size: int, *line: str, more: dict[int, str] | None = None) -> tuple[list, Ranks]:
    with Ranks(folder, size, *line, more=more) as ranks:
        assert ranks.wait() == [0] * size, [process.stderr for process in ranks.processes]
        said = [process.stdout for process in ranks.processes]
    return [results(folder / str(rank)) for rank in range(size)], said


def test_a_run_is_the_same_bit_for_bit_in_one_process_two_and_four(tmp_path):
    """On workers with unequal images, BatchNorm's statistics and ties; every process comes to the same numbers."""
    line = ["-m", f"method={METHODS}", *SMALL, *NETWORK]
    (alone,), _ = finished(tmp_path / "1", 1, *line)
    assert len(alone) == len(METHODS.split(","))
    assert len({str(metrics) for metrics, _ in alone.values()}) == len(alone), "methods differ"
    for size in (2, 4):
        found, _ = finished(tmp_path / str(size), size, *line)
        assert all(one == alone for one in found)


def test_the_bytes_that_are_counted_are_those_that_go_over_the_wire(tmp_path):
    """Two workers in processes of their own: the second sends what one worker sends; the server's own worker needs no wire."""
    line = ["method=ssvr_mv", *SMALL, "task.workers=2"]
    found, said = finished(tmp_path, 2, *line, more=dict.fromkeys(range(2), COUNTED))
    ((metrics, _),) = found[0].values()
    _, *first = map(int, said[0].split("wire ")[1].split())
    _, sent, received = map(int, said[1].split("wire ")[1].split())
    assert metrics["wire_megabytes"] == pytest.approx(2 * (sent + received) / 1e6)
    assert first == [received, sent], "the radii, told by either, among them"


def test_workers_that_processes_cannot_share_out_are_one_line(tmp_path):
    with Ranks(tmp_path, 2, "method=ssvr_mv", *SMALL, "task.workers=3") as ranks:
        assert ranks.wait() == [2, 2]
        for process in ranks.processes:
            assert process.stderr.splitlines() == [
                "error: task.workers = 3: 2 processes share them out evenly; choose a multiple of 2"
            ]


def test_a_lost_worker_ends_all_and_the_run_goes_on_as_if_nothing_had_been(tmp_path):
    """SIGKILL of one process: the other ends with a line; from the checkpoint two processes, and one alone, come to the undisturbed numbers."""
    line = ["method=dvr_q", *SMALL, *NETWORK, "task.epochs=4"]
    (alone,), _ = finished(tmp_path / "whole", 1, *line)
    broken = tmp_path / "broken"
    with Ranks(broken, 2, *line, "checkpoint_every=0.0") as ranks:
        ranks.until_checkpoint()
        ranks.kill(1)
        assert ranks.wait() == [1, -9]
        assert len([row for row in ranks.processes[0].stderr.splitlines() if row.startswith("failed: ")]) == 1
    assert list(broken.rglob("0/**/checkpoint.pt"))
    assert not list(broken.rglob("0/**/result.json"))
    for size in (2, 1):
        folder = tmp_path / f"resumed{size}"
        folder.mkdir()
        shutil.copytree(broken / "0", folder / "0")
        found, _ = finished(folder, size, *line)
        assert all(one == alone for one in found)
