"""The check of a device: on a CPU it finds itself right, and without a GPU it says so."""

from __future__ import annotations

import sys

import pytest
import torch

from bench.judge.device import Measured, representatives
from bench.judge.syncs import Watch
from bench.run.options import options
from bench.run.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import check_gpu


def checked(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["check_gpu.py", *arguments])
    return check_gpu.main()


def test_a_cpu_is_right(monkeypatch, capsys, tmp_path):
    variants = {name: keys for name, keys in check_gpu.VARIANTS.items() if name != "compile"}
    monkeypatch.setattr(check_gpu, "VARIANTS", variants)
    assert checked(monkeypatch, "--hardware", "cpu", "--tasks", "vote", "curvature", "--out", str(tmp_path)) == 0
    text = (tmp_path / "cpu.md").read_text()
    assert text in capsys.readouterr().out
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith(("| vote", "| curvature"))]
    assert [row[2] for row in rows] == list(variants) * 2
    assert all(float(row[4]) <= 1 for row in rows)


def test_what_is_not_here_is_one_line(monkeypatch, capsys):
    if not torch.cuda.is_available():
        assert checked(monkeypatch) == 2
        assert capsys.readouterr().err.startswith("error: hardware.device = 'cuda': no CUDA device is visible here")
    assert checked(monkeypatch, "--hardware", "cpu", "--tasks", "voting") == 2
    assert "--tasks voting: unknown" in capsys.readouterr().err


def test_a_metric_that_is_off_or_missing_is_found():
    def measured(**metrics: float) -> Measured:
        return Measured(metrics, 1.0, 1, 1, Watch())

    reference, allowed = measured(loss=1.0, accuracy=0.5), {"loss": 1e-3, "accuracy": 1e-3}
    assert check_gpu._worst(reference, measured(loss=1.002, accuracy=0.5), allowed) == ("loss", pytest.approx(2.0))
    assert check_gpu._worst(reference, measured(loss=1.0), allowed) == ("accuracy", float("inf"))


def test_every_task_has_a_job_to_compare():
    assert {task for task, jobs in representatives().items() if not jobs} == set()
    assert set(representatives()) == set(options("task"))
