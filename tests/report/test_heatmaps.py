"""Heat maps: their cells, scales and marks; figures written once for several options."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from made import run

from bench.judge.papers import Figure
from bench.report import drawing, heatmaps

TEXT = "{http://www.w3.org/2000/svg}text"


def figure(**more) -> Figure:
    return Figure(
        experiment="egab/hindsight",
        caption="",
        x="alpha",
        y="beta",
        value="best_log_wealth",
        by="cost",
        only={"method": "a"},
        **more,
    )


def runs(height):
    """Two seeds, 1 apart, with a row for each cost and pair; one pair is missing."""
    rows = [
        {"cost": c, "alpha": a, "beta": b, "best_log_wealth": height(a, b) - c}
        for c in (0.0, 0.5, 1.0)
        for a in (0.0, 0.25, 1.0)
        for b in (0.0, 1.0)
        if (a, b) != (1.0, 1.0)
    ]
    above = [row | {"best_log_wealth": row["best_log_wealth"] + 1} for row in rows]
    return [run("a", s, {}, curve=r) for s, r in enumerate((rows, above))] + [run("b", 0, {}, curve=rows)]


def words(svg: str) -> list[str]:
    return ["".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter(TEXT)]


def test_cells_are_medians_over_seeds_and_panels_are_values_of_by():
    panels = heatmaps.panels(figure(at={"cost": [0.0, 1.0]}), runs(lambda a, b: 10 * a + b))
    assert [(p.label, p.x, p.y, p.seeds) for p in panels] == [
        ("cost 0.0", [0.0, 0.25, 1.0], [0.0, 1.0], 2),
        ("cost 1.0", [0.0, 0.25, 1.0], [0.0, 1.0], 2),
    ]
    np.testing.assert_allclose(panels[0].values, [[0.5, 3.0, 10.5], [1.5, 4.0, np.nan]])
    np.testing.assert_allclose(panels[1].values, panels[0].values - 1)
    high = run("a", 2, {}, curve=[{"cost": 0.0, "alpha": 0.0, "beta": 0.0, "best_log_wealth": 99.0}])
    first, *_ = heatmaps.panels(figure(at={"cost": 0.0}), [*runs(lambda a, b: 10 * a + b), high])
    assert first.values[0, 0] == 1.0, "one outlier of three does not move it"


def test_a_small_map_shows_its_numbers_and_frames_the_best():
    found = heatmaps.panels(figure(), runs(lambda a, b: 10 * a + b))
    svg = drawing.draw(figure(), found, "portfolio")
    assert svg == drawing.draw(figure(), found, "portfolio")
    assert {"10.5", "alpha", "beta", "cost 0.5", "nan"} - set(words(svg)) == {"nan"}
    assert svg.count("#ee7733") == 3, "one frame a panel"


@pytest.mark.parametrize(("shift", "crosses"), [(0.0, True), (100.0, False)])
def test_a_large_map_is_contours_with_a_line_at_zero(shift, crosses):
    grid = np.linspace(-1, 1, 21)
    rows = [{"cost": 0.0, "alpha": a, "beta": b, "best_log_wealth": a + b + shift} for a in grid for b in grid]
    found = heatmaps.panels(figure(), [run("a", 0, {}, curve=rows)])
    svg = drawing.draw(figure(), found, "portfolio")
    ElementTree.fromstring(svg)
    assert len(svg) < 60_000
    assert ("QuadContourSet_2" in svg) is crosses


def test_panels_share_one_scale_and_a_bar_that_is_named():
    found = heatmaps.panels(figure(), runs(lambda a, b: 10 * a + b))
    colours, norm = heatmaps.scale(found)
    values = [v for p in found for v in p.values[np.isfinite(p.values)]]
    assert norm.vmax == max(map(abs, values)) == -norm.vmin, "both signs: white at 0, as long on either side"
    assert colours == "RdBu"
    above = heatmaps.panels(figure(), runs(lambda a, b: 10 * a + b + 5))
    assert heatmaps.scale(above)[0] == "viridis"
    assert (heatmaps.scale(above)[1].vmin, heatmaps.scale(above)[1].vmax) == (4.5, 15.5), "of all panels together"
    said = words(drawing.draw(figure(), found, "portfolio"))
    assert sum("log final wealth" in word for word in said) == 1, "one bar, labelled"


def test_nothing_to_show():
    assert heatmaps.panels(figure(), [run("b", 0, {}, curve=[{"cost": 0.0}])]) == []


def test_a_figure_for_each_option():
    each = {"dataset": ["djia", "msci"], "method": ["a"]}
    drawn = list(figure().model_copy(update={"each": each, "caption": "{dataset}, {method}"}).drawn("map"))
    assert [(name, f.caption, f.only) for name, f in drawn] == [
        ("map_djia_a", "djia, a", {"method": "a", "dataset": "djia"}),
        ("map_msci_a", "msci, a", {"method": "a", "dataset": "msci"}),
    ]
    with pytest.raises(ValueError, match="braces hold names of 'each' alone"):
        Figure(experiment="egab/hindsight", caption="on {market}", x="cost", y="log_wealth", each=each)
