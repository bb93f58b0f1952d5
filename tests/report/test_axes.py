"""Numbers with the digits that their interval tells apart, and claims of one quantity on one axis."""

from __future__ import annotations

import math

import pytest

from bench.judge.parts import Part
from bench.judge.statistics import Interval
from bench.report.axes import DOT, LINE, axis_of, drawing
from bench.report.digits import accepted_text, decimals, estimate_text, target_text

INF = math.inf


def part(estimate: float, low: float, high: float, accept: tuple[float, float], how: str = "median") -> Part:
    return Part("x", Interval(estimate, low, high, 8, how), accept, "median")


@pytest.mark.parametrize(
    ("numbers", "accept", "text"),
    [
        ((-0.32886, -0.33004, -0.32761), (-0.4, -0.29), "-0.329 [-0.330, -0.328]"),
        ((-0.2203, -0.8334, -0.0034), (0, INF), "-0.220 [-0.833, -0.003]"),
        ((692.56, 691.64, 693.61), (0, INF), "692.6 [691.6, 693.6]"),
        ((1.2e-7, 8.0e-8, 1.66e-7), (-INF, 1e-6), "1.2e-7 [8e-8, 1.7e-7]"),
        ((0.41, -INF, 0.5), (-INF, 1), "0.4100 [no end, 0.5000]"),
        ((16.0, 16.0, 16.0), (15, 17), "16 [16, 16]"),
    ],
)
def test_digits_follow_the_interval_and_no_end_is_written_as_a_border(numbers, accept, text):
    interval = Interval(*numbers, 8, "median")
    assert estimate_text(interval, decimals(interval, accept)) == text


def test_a_number_to_be_met_and_ours_have_equal_digits():
    found = part(0.0342, 0.03296, 0.03514, (0.0306, 0.0374))
    assert target_text(found, decimals(found.interval, found.accept)) == (
        "0.034 \u00b1 0.0034",
        "0.034 [0.033, 0.035]",
    )
    exact = part(479232.0, 479232.0, 479232.0, (479231.5, 479232.5), "exact")
    assert target_text(exact, decimals(exact.interval, exact.accept)) == ("479232 \u00b1 0.5", "479232")
    assert accepted_text(part(1, 1, 1, (479231.5, 479232.5))) == "[479231.5, 479232.5]"
    assert accepted_text(part(1, 1, 1, (-INF, 0.5))) == "at most 0.5"


def test_parts_of_one_quantity_share_an_axis():
    near, far = part(0.0, -1.0, 1.0, (0.5, INF)), part(-0.5, -0.6, -0.4, (-0.7, -0.3))
    axis = axis_of([near, far])
    assert not axis.log
    assert 0 < axis.place(-1.0) < axis.place(0.0) < axis.place(0.5) < axis.place(1.0) < 100
    assert axis.place(INF) == 100
    assert all(0 <= at <= 100 for at, _ in axis.ticks())
    drawn = drawing([near, far], axis, 5)
    assert drawn.height == 2 * LINE
    assert drawn.bands.count("M") == drawn.dots.count("M") == drawn.lines.count("M") == 2
    assert drawing([near] * 6, axis, 5).height == 6 * DOT


def test_positive_numbers_of_several_sizes_are_on_a_log_axis():
    axis = axis_of([part(v, 0.9 * v, 1.1 * v, (-INF, 2 * v)) for v in (1e-6, 1e-2, 1.0)])
    assert axis.log
    assert axis.place(0.0) == axis.place(-1.0) == 0
    assert axis.ticks()[0][1].startswith("1e-")


def test_ends_that_are_infinite_or_far_away_do_not_press_the_rest_together():
    open_, wide = part(0.4, -INF, INF, (0.5, INF)), part(0.45, -500.0, 900.0, (0.5, INF))
    axis = axis_of([open_, wide])
    assert axis.place(0.5) - axis.place(0.4) > 20
    assert drawing([open_], axis, 5).open
    assert not drawing([open_], axis, 5).lines
    assert axis_of([part(math.nan, -INF, INF, (-INF, INF))]) is None
    exact = drawing([part(1.0, 1.0, 1.0, (0.5, 1.5), "exact")], axis, 5)
    assert exact.dots
    assert not exact.lines
