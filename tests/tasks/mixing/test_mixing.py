"""The mixing task through the real program: rows by diameter, slopes, closed forms, one-line errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import final

from bench.errors import UserError
from bench.run.curve import read_metrics

WELLS = ("dataset=cosine_interval", "scale=mini")


def test_a_row_for_each_diameter(go):
    folders = go("method=reflected_langevin", *WELLS, "seeds=[0,1]")
    rows, (found, other) = read_metrics(folders[0]), final(folders)
    assert found == other, "nothing is drawn"
    assert rows == read_metrics(folders[1])
    assert [row["diameter"] for row in rows] == [3, 4, 5, 6]
    assert [row["gap"] for row in rows] == pytest.approx(
        [0.19814, 0.11548, 0.07512, 0.05262], abs=1e-5
    )  # made elsewhere
    assert [row["mixing_time"] * row["gap"] for row in rows] == pytest.approx([1] * 4)
    assert [row["gap_product"] for row in rows] == pytest.approx([row["gap"] * row["diameter"] ** 2 for row in rows])
    assert "flat_gap_error" not in rows[0]
    assert {name: found[name] for name in ("gap", "diameter", "states")} == {
        "gap": rows[-1]["gap"],
        "diameter": 6,
        "states": 120,
    }
    x, y = (np.log([row[name] for row in rows]) for name in ("diameter", "gap"))
    assert found["slope"] == pytest.approx(np.cov(x, y)[0, 1] / np.var(x, ddof=1), rel=1e-12)


@pytest.mark.parametrize(
    ("method", "gap"),
    [("reflected_langevin", 1.0), ("reflected_langevin_hot", 10.0), ("reflected_replica", 5.5)],
)
def test_without_a_potential(method, gap, go):
    """pi^2 T / D^2 up to (pi / n)^2 / 12; a pair that swaps at once diffuses at the mean of its temperatures, less their variance over the rate."""
    (found,) = final(go(f"method={method}", "dataset=flat_interval", "scale=mini", "seeds=[0]"))
    assert found["gap"] == pytest.approx(gap * (math.pi / 6) ** 2, rel=1e-3)
    assert 1e-4 < found["flat_gap_error"] < 2.4e-4, "the coarsest grid's, not the last"
    assert found["slope"] == pytest.approx(-2, abs=3e-3)
    assert found["detailed_balance_error"] < 1e-14


def test_one_diameter_has_no_slope(go):
    (found,) = final(go("method=reflected_replica", *WELLS, "task.diameters=[2.5]", "seeds=[0]"))
    assert "slope" not in found
    assert found["states"] == 50**2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["task.diameters=[]"], "task.diameters = []"),
        (["task.diameters=[2.0,2.0]"], "task.diameters = [2.0, 2.0]: increasing"),
        (["task.diameters=[-1.0]"], "task.diameters"),
        (["task.diameters=[30.0]"], "600^2 states"),
        (["method.temperatures=[]"], "method: temperatures = []"),
        (["method.temperatures=[10.0,1.0]"], "method: temperatures = [10.0, 1.0]: increasing"),
        (["method.swap_intensity=-1.0"], "method.swap_intensity = -1.0"),
        (["dataset.amplitude=1e308", "dataset.confinement=1e308"], "the potential rises by"),
        (["dataset.frequency=1e308"], "the potential rises by"),
        (["dataset=digits"], "is a diffusion"),
    ],
)
def test_wrong_input_is_one_line(arguments, line, go):
    with pytest.raises(UserError) as error:
        go("method=reflected_replica", *WELLS, *arguments)
    assert line in str(error.value)
    assert "\n" not in str(error.value)
