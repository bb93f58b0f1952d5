"""Scatters of directions: points, marks, panels; wrong combinations of what makes a figure."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from made import run

from bench.judge.papers import Figure
from bench.report import drawing, scatter

PLAIN = {"experiment": "featlearn/recovery", "caption": "", "x": "x", "y": "y", "by": "stage"}


def figure(**more) -> Figure:
    return Figure(**PLAIN, size="signed_mass", marks="teacher_weight", **more)


def runs():
    rows = [
        {"stage": stage, "x": 0.1 * k, "y": -0.2, "signed_mass": (-1.0) ** k * (k + stage)}
        for stage in (0, 3)
        for k in range(4)
    ]
    rows += [{"stage": stage, "x": 0.6, "y": 0.8, "teacher_weight": -1.0} for stage in (0, 3)]
    return [run("a", 0, {}, curve=[*rows, {"iterations": 5, "loss": 0.1}]), run("a", 1, {}, curve=[])]


def test_a_panel_holds_the_points_of_one_stage_and_its_marks():
    first, last = scatter.panels(figure(), runs())
    assert (first.label, last.label) == ("stage 0", "stage 3")
    assert first.x == pytest.approx([0, 0.1, 0.2, 0.3])
    assert last.sizes == [3, -4, 5, -6]
    assert first.marks == [(0.6, 0.8, -1.0)]
    assert first.seeds == 1
    assert scatter.panels(figure(), runs()[1:]) == []


def test_the_drawing_is_the_same_every_time_and_shows_the_sign_by_colour():
    panels = scatter.panels(figure(), runs())
    svg = drawing.draw(figure(), panels, "teacher_recovery")
    assert svg == drawing.draw(figure(), panels, "teacher_recovery")
    ElementTree.fromstring(svg)
    assert svg.count("fill: #0077bb") == 4, "two positive points a panel"
    assert {"stage 0", "stage 3", "along teacher 1"} <= {
        "".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    }


@pytest.mark.parametrize("more", [{"size": "signed_mass", "value": "loss"}, {"marks": "teacher_weight"}])
def test_a_figure_is_of_one_kind(more):
    with pytest.raises(ValueError, match="one of them"):
        Figure(**PLAIN, **more)
