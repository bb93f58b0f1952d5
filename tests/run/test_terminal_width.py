"""What a run prints on a terminal of 80 columns: a first line before torch is loaded, a bar with its counts, tables that fit."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console

from bench.run.paths import ROOT
from bench.run.progress import Display, closing_table

WIDTH = 80


def test_the_first_line_comes_before_torch_and_none_is_wider_than_the_terminal(tmp_path):
    words = ["method=ucrp,eg", "dataset=djia", "scale=smoke", "tracker=none", f"results_root={tmp_path}", "seeds=[0,1]"]
    command = [sys.executable, "-X", "importtime", "run.py", "-m", *words]
    environment = {**os.environ, "COLUMNS": str(WIDTH), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:]
    lines = done.stdout.splitlines()
    first = next(k for k, line in enumerate(lines) if line == "2 jobs, 2 to compute")
    torch = next(k for k, line in enumerate(lines) if re.fullmatch(r"import time:.*\| +torch", line))
    assert first < torch, "said before torch is loaded"
    said = [line for line in lines if not line.startswith("import time:")]
    assert max(map(len, said)) <= WIDTH
    assert sum("medians over" in line for line in said) == 1, "one table of both jobs at the end"
    assert {"ucrp", "eg"} <= {word for line in said[-12:] for word in line.split()}


@pytest.mark.parametrize("title", ["ssvr on digits, seed 0", "a_method_of_a_long_name on private_digits, seeds 0-39"])
@pytest.mark.parametrize("total", [22, 1_000_000])
def test_bar_counts_and_time_left_fit(title, total):
    screen = Console(width=WIDTH, file=io.StringIO(), force_terminal=True, color_system=None)
    display = Display(screen, title)
    display.start(total)
    display.note(total // 2, epoch=1, loss=1.869, accuracy=0.8028, gradient_norm=1.2345, gradient_evaluations=10_000)
    with screen.capture() as captured:
        screen.print(display._bar.get_renderable())
    display.stop()
    shown = re.sub(r"\x1b\[\d*[A-Z]|\r", "", captured.get())
    line = next(line for line in shown.splitlines() if f"{total // 2}/" in line)
    assert len(line) <= WIDTH
    assert f"{total // 2}/{total}" in line
    assert re.search(r"\d:\d\d:\d\d|-:--:--", line), "the time left"
    assert title[:12] in line
    assert "epoch 1" in line or len(title) > 30


@pytest.mark.parametrize("seeds", [1, 2, 5, 6, 40])
def test_a_closing_table_fits(seeds):
    metrics = {"status": "finished", "gradient_variance_ratio": 1.2345e-5, "test_accuracy": 0.8028}
    screen = Console(width=WIDTH, file=io.StringIO(), color_system=None)
    screen.print(closing_table(dict.fromkeys(range(seeds), metrics), "ssvr on digits (smoke)", WIDTH))
    shown = screen.file.getvalue()
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "gradient_variance_ratio" in shown, "names are whole"
    assert "0.8028" in shown
    assert ("seed 0" in shown) is (seeds <= 3)


def test_make_help_does_not_wrap():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= WIDTH
