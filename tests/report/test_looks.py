"""How the lines of a figure are told apart: colours, dashes and markers of their own, names that do not overlap."""

from __future__ import annotations

import re
from itertools import pairwise

from made import runs

from bench.judge.papers import Figure
from bench.report import drawing, figures, looks


def test_lines_of_a_figure_have_colours_of_their_own():
    methods = [f"m{k}" for k in range(20)]
    assert looks._places(["m0", "m8", "m3"], methods) == [0, 1, 3]
    assert sorted(looks._places(methods[:8], methods)) == list(range(8))
    assert looks._places(["m0", "m8", "m16"], methods) == [0, 1, 2]
    assert looks._places([*methods[:8], "m12", "m4", "m0"], methods)[8:] == [4, 5, 0], "a second time, not a third"


def test_lines_past_the_last_colour_differ_in_dashes_and_markers():
    found = looks.told_apart([f"m{k}" for k in range(24)], [f"m{k}" for k in range(12)])
    assert len({(look.colour, look.dashes) for look in found}) == 24 == looks.MOST
    assert len({(look.colour, look.marker, look.face) for look in found}) == 24
    assert [look.dashes for look in found[:8]] == ["-"] * 8
    assert not looks.repeated(found[:8])
    assert looks.repeated(found[:9])
    figure = Figure(experiment="ssvr/rate_finite_sum", caption="", x="dataset.num_components", y="mean_grad_l1")
    crowd = [
        r for k in range(9) for m in (64, 256) for r in runs(f"m{k}", [m + k], config={"dataset.num_components": m})
    ]
    drawn = [drawing.draw(figure, figures.lines(figure, crowd[:n]), "finite_sum") for n in (16, 18)]
    dashed = [len(re.findall(r"stroke-dasharray: [^\"]*stroke: #0077bb", svg)) for svg in drawn]
    assert dashed == [0, 2], "the ninth line and the piece before its name"


def test_names_stay_within_the_axes_where_there_is_room():
    gap = 0.1
    for ends in ([0.97, 0.98, 0.99, 1.0], [0.0, 0.01, 0.5, 1.0], [-0.2, 1.3], [0.4]):
        found = looks._inside(looks._apart(list(ends), gap), gap)
        assert min(found) >= 0
        assert max(found) <= 1 + 1e-9
        assert all(b - a >= gap - 1e-5 for a, b in pairwise(found))
