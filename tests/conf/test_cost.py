"""docs/cost.md is what scripts/cost.py gives, and its hours are those of the operations that a network's layers make."""

from __future__ import annotations

import re
import sys

import pytest

from bench.judge.plan import jobs
from bench.run.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import cost
import gpu_hours

PAGE = (ROOT / "docs/cost.md").read_text()


@pytest.mark.parametrize("name", ["ssvr/cifar10_beta", "dplora/mnist", "r2sgld/cifar100"])
def test_the_page_is_current(name):
    """Of some experiments; `python scripts/cost.py --check` looks at all."""
    made = cost.tables(cost.lines([name], gpu_hours.BF16)).splitlines()
    line = next(line for line in made if line.startswith(f"| `{name}`"))
    assert line in PAGE


def test_hours_are_operations_over_a_rate():
    (line,) = cost.lines(["ssvr/cifar10_beta"], 1e12)
    (other,) = cost.lines(["ssvr/cifar10_beta"], 2e12)
    assert line.gpu == pytest.approx([2 * hours for hours in other.gpu])
    job, seeds = next((job, len(job.settings.seeds)) for job in jobs("ssvr/cifar10_beta", "paper"))
    forward = 2 * 0.5555e9  # multiplications and additions of ResNet-18 at 32 pixels
    gradients = 3 * forward * 2 * 50_000 * job.parts["task"]["epochs"]  # SSVR's two of an image
    assert line.gpu[0] == pytest.approx(gradients * seeds / 1e12 / 3600, rel=0.1)


def test_longest_jobs_first():
    assert cost.makespan([3, 3, 2, 2, 2], 2) == 7
    assert cost.makespan([5, 1, 1], 8) == 5
    assert cost.makespan([1, 2, 3], 1) == 6


def test_every_paper_has_a_row_and_the_sums_agree():
    for paper in (path.stem for path in (ROOT / "conf/paper").glob("*.yaml")):
        assert re.search(rf"^\| {paper} \|", PAGE, re.M), paper
    told = float(re.search(r"All together ([\d.,]+) h", PAGE)[1].replace(",", ""))
    hours = [cells.split(" | ") for cells in re.findall(r"^\| `.*", PAGE, re.M)]
    number = lambda text: float(re.sub(r"[^\d.]", "", text) or 0) / (60 if "min" in text else 1)  # noqa: E731
    assert sum(number(row[2]) + number(row[4]) for row in hours) == pytest.approx(told, rel=0.1)


def test_a_rate_that_is_none_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cost.py", "--rate", "-1"])
    assert cost.main() == 2
    assert capsys.readouterr().err == "error: --rate -1.0: operations a second, above 0\n"
