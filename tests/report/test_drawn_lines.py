"""Line figures as a reader sees them: nothing clipped or struck, ticks that can be read, lines told apart where they lie on each other."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from made import runs
from matplotlib import pyplot as plt

from bench.judge.papers import Figure
from bench.report import drawing, figure_axes, figures, looks
from bench.report.plotting import formula, name_of

AGAINST = {"experiment": "ssvr/rate_finite_sum", "caption": "", "x": "dataset.num_components", "y": "mean_grad_l1"}
LONG = "a_method_of_a_long_name"


def records(curves: dict[str, list[float]], seeds: float = 0.1) -> list:
    """Three seeds of each method at 64, 256 and so on, spread by a share of the values."""
    return [
        r
        for name, values in curves.items()
        for k, value in enumerate(values)
        for r in runs(name, [value * (1 + seeds * s) for s in (-1, 0, 1)], config={"dataset.num_components": 64 * 4**k})
    ]


@pytest.fixture
def drawn():
    """Draws a figure and gives its axes, laid out."""
    open_ = []

    def draw(curves, **more):
        figure = Figure(**AGAINST | more)
        canvas = figures.canvas_of(figure, figures.lines(figure, records(curves)), "finite_sum")
        open_.append(canvas)
        canvas.draw_without_rendering()
        return canvas.axes[0]

    yield draw
    for canvas in open_:
        plt.close(canvas)


def boxes(axis) -> list:
    frame = axis.get_window_extent().padded(2)
    ticks = [t for t in axis.get_xticklabels() if frame.x0 < t.get_window_extent().get_points()[:, 0].mean() < frame.x1]
    ticks += [
        t for t in axis.get_yticklabels() if frame.y0 < t.get_window_extent().get_points()[:, 1].mean() < frame.y1
    ]
    shown = [t for t in [*axis.texts, *ticks] if t.get_text()]
    return [t.get_window_extent() for t in [*shown, axis.xaxis.label, axis.yaxis.label]]


@pytest.mark.parametrize("log", ["", "xy"])
def test_no_text_is_clipped_or_runs_into_another(drawn, log):
    crowd = {f"{LONG}_{k}": [1.0 + k / 50, 2.0, 4.0] for k in range(6)}
    axis = drawn(crowd, log=log)
    frame = axis.figure.bbox
    found = boxes(axis)
    for box in found:
        assert box.x0 >= frame.x0 - 1
        assert box.y0 >= frame.y0 - 1
        assert box.x1 <= frame.x1 + 1
        assert box.y1 <= frame.y1 + 1
    assert not any(a.shrunk(0.9, 0.7).overlaps(b.shrunk(0.9, 0.7)) for a, b in itertools.combinations(found, 2))
    assert axis.get_window_extent().width > 0.4 * frame.width, "names leave room for the lines"


@pytest.mark.parametrize("bound", [False, True])
def test_a_guide_lies_on_one_side_of_its_line_and_its_name_is_not_struck(drawn, bound):
    theory = {"m^1/2": {"slope": 0.5, "of": "ssvr_fs", "bound": bound}}
    axis = drawn({"ssvr_fs": [1.0, 1.3, 1.8], "ssvr": [3.0, 4.0, 5.0]}, log="xy", theory=theory)
    guide = next(line for line in axis.lines if line.get_alpha() == 0.75)
    x, y = guide.get_data()
    line = np.interp(np.log(x), np.log([64, 256, 1024]), np.log([1.0, 1.3, 1.8]))
    apart = np.log(y) - line
    assert (apart > 0).all() if bound else (apart < 0).all()
    assert np.diff(np.log(y)) / np.diff(np.log(x)) == pytest.approx(0.5)
    (name,) = (t for t in axis.texts if "m" in t.get_text() and "^" in t.get_text())
    assert ("bound" in name.get_text()) is bound
    box = name.get_window_extent()
    for one in axis.lines:
        at = one.get_transform().transform(one.get_xydata())
        dense = np.column_stack(
            [np.interp(np.linspace(0, 1, 500), np.linspace(0, 1, len(at)), at[:, k]) for k in (0, 1)]
        )
        assert not any(box.contains(*point) for point in dense), "no line goes through it"
    low, high = axis.get_ylim()
    assert low < min(y) < max(y) < high


def test_a_guide_is_drawn_over_the_values_that_it_is_said_for(drawn):
    theory = {"m": {"slope": 1.0, "of": "a", "over": [200, 2000]}}
    axis = drawn({"a": [1.0, 3.0, 9.0]}, log="xy", theory=theory)
    guide = next(line for line in axis.lines if line.get_alpha() == 0.75)
    assert guide.get_xdata().tolist() == pytest.approx([256, 1024])
    none = drawn({"a": [1.0, 3.0]}, log="xy", theory={"m": {"slope": 1.0, "of": "a", "over": [200, 2000]}})
    assert not [line for line in none.lines if line.get_alpha() == 0.75], "one point has no slope"


def test_a_band_never_sets_the_floor_of_a_logarithmic_axis():
    made = [*runs("a", [1e-9, 1.0, 2.0], config={"dataset.num_components": 64})]
    made += runs("a", [1e-12, 1.0, 2.0], config={"dataset.num_components": 256})
    figure = Figure(**AGAINST, log="xy")
    canvas = figures.canvas_of(figure, figures.lines(figure, made), "finite_sum")
    low, _ = canvas.axes[0].get_ylim()
    ticks = canvas.axes[0].get_yticks()
    plt.close(canvas)
    assert low > 0.05, "a tenth of the lowest median"
    assert min(ticks) >= low


def test_lines_on_each_other_are_both_seen():
    def line(name, median):
        return looks.Line(name, [1.0, 2.0, 3.0], median, [math.nan] * 3, [math.nan] * 3, 1)

    found = [line("eg", [1.0, 2.0, 3.0]), line("ucrp", [1.001, 2.0, 3.001]), line("other", [9.0, 5.0, 1.0])]
    given = looks.told_apart([one.label for one in found], [])
    shown = looks.over_each_other(found, given, log=False)
    assert [look.dashes for look in shown] == ["-", looks.BROKEN, "-"]
    assert shown[1].face == "none"
    assert not looks.repeated(shown), "their colours differ"


def test_a_method_without_iterations_is_a_level_and_lone_points_are_no_figure(drawn):
    made = runs("steps", [3.0, 4.0], config={"dataset.num_components": 64})
    figure = Figure(**AGAINST, log="xy")
    assert drawing.parts(figure, made) == []
    at_zero = runs("one_shot", [5.0], config={"dataset.num_components": 0})
    found = figures.lines(figure, [*records({"steps": [3.0, 4.0]}), *at_zero])
    canvas = figures.canvas_of(figure, found, "finite_sum")
    levels = [line for line in canvas.axes[0].lines if list(line.get_ydata()) == [5.0, 5.0]]
    plt.close(canvas)
    assert len(levels) == 1
    assert [t.get_text() for t in canvas.axes[0].texts] == ["steps", "one_shot"]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0.06, 2.3), ["0.1", "0.3", "1"]),
        ((0.4, 3.0), ["0.5", "1", "2"]),
        ((900, 12000), ["1,000", "2,000", "5,000", "10,000"]),
        ((1e-9, 0.1), ["$10^{-8}$", "$10^{-6}$", "$10^{-4}$", "$10^{-2}$"]),
        ((3e-6, 5e-4), [r"$3 \cdot 10^{-6}$", "$10^{-5}$", r"$3 \cdot 10^{-5}$", "$10^{-4}$", r"$3 \cdot 10^{-4}$"]),
        ((0.9, 1.1), ["0.9", "0.95", "1", "1.05", "1.1"]),
    ],
)
def test_ticks_of_logarithmic_axes_are_round_and_few(ends, expected):
    assert figure_axes.texts(figure_axes.log_ticks(*ends)) == expected


def test_zero_has_a_place_on_a_logarithmic_axis(drawn):
    figure = Figure(**AGAINST, log="x")
    made = [r for m in (0, 1, 100) for r in runs("a", [m + 1.0], config={"dataset.num_components": m})]
    canvas = figures.canvas_of(figure, figures.lines(figure, made), "finite_sum")
    said = [t.get_text() for t in canvas.axes[0].get_xticklabels()]
    plt.close(canvas)
    assert said == ["0", "1", "100"]


def test_names_and_formulas():
    assert name_of("sampling reshuffling") == "reshuffling"
    assert name_of("rho 1.0") == "rho 1"
    assert name_of("fresh True") == "fresh True"
    assert name_of("ssvr, lr 0.001") == "ssvr, lr 0.001"
    assert name_of("ssvr") == "ssvr"
    assert formula("T^-1/3") == "$T^{-1/3}$"
    assert formula("loss / lam^2") == r"loss / $\lambda^{2}$"
    assert formula("epsilon^-1") == r"$\varepsilon^{-1}$"
    assert formula("lr^2") == r"$\mathrm{lr}^{2}$"
    assert formula("samples T_2 of the run") == "samples $T_2$ of the run"
    assert formula("train_size") == "train_size"
