"""scripts/figures.py: one figure of a paper, as svg and as pdf, the same as the report's; a wrong name is a line."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.run.paths import ROOT


def called(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "scripts/figures.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_one_figure_is_drawn_as_the_report_has_it(tmp_path):
    (tmp_path / "archive").mkdir()
    shutil.copy(ROOT / "results/archive/r2sgld.jsonl.xz", tmp_path / "archive")
    done = called("r2sgld/swaps", "--pdf", f"results_root={tmp_path}")
    assert done.returncode == 0, done.stderr
    svg, pdf = (Path(line) for line in done.stdout.split())
    assert svg == tmp_path / "figures/r2sgld/swaps.svg"
    assert svg.read_bytes() == (ROOT / "results/figures/r2sgld/swaps.svg").read_bytes()
    assert pdf.read_bytes().startswith(b"%PDF")
    ignored = subprocess.run(["git", "check-ignore", "results/figures/r2sgld/swaps.pdf"], cwd=ROOT, capture_output=True)
    assert ignored.returncode == 0, "git leaves it out"


@pytest.mark.parametrize(("name", "near"), [("ssvr/trackin", "'tracking'"), ("svr/tracking", "'ssvr'")])
def test_a_wrong_name_is_one_line_with_near_ones(name, near, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figures.py", name])
    assert runpy.run_path(str(ROOT / "scripts/figures.py"))["main"]() == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith(f"error: {name}: no ")
    assert near in line
