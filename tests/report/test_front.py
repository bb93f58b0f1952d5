"""README's sentence, table and picture say what the verdicts say, and nothing in them is written by hand."""

from __future__ import annotations

import math
import re
import tomllib
import xml.etree.ElementTree as ET

import pytest
from conftest import ROOT
from test_coverage import ROWS

from bench.judge.papers import load_papers
from bench.report import front
from bench.report.coverage import COUNTED, once, place
from bench.report.overview import ENDS, inside, overview
from bench.report.publish import verdicts

README = (ROOT / "README.md").read_text()
SSVR = {"ssvr": load_papers("ssvr")["ssvr"]}
COMMITTED = verdicts(ROOT / "results", load_papers())


def row(accept: tuple[float | str, float], estimate: float, low: float, high: float, **more: str) -> dict:
    numbers = {"estimate": estimate, "low": low, "high": high, "accept_low": accept[0], "accept_high": accept[1]}
    fixed = {"paper": "ssvr", "claim": "c", "tier": "paper", "shown": "1 <2>", "accepts": "<3", "verdict": "reproduced"}
    return {**{name: str(value) for name, value in numbers.items()}, **fixed, **more}


def test_the_sentence_counts_what_counts():
    said = front.headline(SSVR, ROWS)
    assert "**2 of 4 claims about 1 recent" in said
    assert "(1 not reproduced, 1 inconclusive)" in said
    assert "2 of 3 are claims of the papers themselves, 0 of 1 were published elsewhere" in said
    assert "0 more have not been run yet, and 1 claims of our own stand apart" in said


def test_a_paper_is_a_row_and_its_text_is_escaped():
    text = front.written("\n".join(sum(front.MARKERS.values(), ())), SSVR, ROWS, {"ssvr": 3})
    cells = next(re.findall(r"<td>(.*?)</td>", line) for line in text.splitlines() if "claims.md" in line)
    assert cells[2:] == [
        "<b>2 of 3</b> reproduced, 1 inconclusive",
        "<b>0 of 1</b> reproduced, 1 not reproduced",
        "1",
        "1 of 1",
    ]
    assert (
        "<sub>Apart: registered, but not seen to fail 1 (1 reproduced), exploratory 2 (1 reproduced), withdrawn checks 3</sub>"
        in text
    )
    odd = {"ssvr": SSVR["ssvr"].model_copy(update={"arxiv": None, "question": "<b>?"})}
    table = front.table(odd, ROWS, {})
    assert "arxiv.org" not in table
    assert "&lt;b&gt;?" in table
    assert "Apart" not in front.table(SSVR, [row for row in ROWS if row["claim"] == "a"], {})


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (row((0.5, 1), 0.8, 0.7, 0.9), 2.0),
        (row((0, math.inf), 3.0, 2.0, 5.0), 3.0),
        (row((0, math.inf), -1.0, -2.0, -0.5), -2.0),
        (row(("'-0.4", -0.2), -0.3, -0.35, -0.28), 2.0),
        (row((-math.inf, 3), 2.5, 2.0, 3.5), 0.5),
        (row((0.5, 1), 1.0, 0.75, 1.0), 2.0),
        (row((2.5, 3.5), 3.0, 3.0, 3.0), math.inf),
        (row((2.5, 3.5), 4.0, 4.0, 4.0), -math.inf),
        (row(("", 1), 1.0, 1.0, 1.0), None),
    ],
)
def test_a_place_is_a_distance_in_lengths_of_the_interval(given, place):
    assert inside(given) == pytest.approx(place) if place is not None else inside(given) is None


def test_the_zones_of_the_picture_are_the_verdicts():
    """In the committed results too, but for ends beside a border, which the table gives ten digits."""
    zones = {"not reproduced": (-math.inf, -1), "inconclusive": (-1, 1), "reproduced": (1, math.inf)}
    seen = [r for r in COMMITTED if r["verdict"] in zones]
    places = [(r, inside(r)) for r in seen]
    wrong = [r["claim"] for r, at in places if at is None or not zones[r["verdict"]][0] <= at <= zones[r["verdict"]][1]]
    assert len(wrong) <= len(seen) / 100, wrong


@pytest.mark.parametrize("dark", [False, True])
def test_every_counted_claim_is_a_dot_in_its_zone_and_none_covers_another(dark):
    papers = list(load_papers())
    rows = [r for r in once(COMMITTED) if place(r) in COUNTED]
    root = ET.fromstring(overview(papers, rows, dark))
    dots = [e for e in root if e.tag.endswith("circle") and len(e)]
    assert len(dots) == sum(r["verdict"] != "not run" for r in rows)
    at = [(float(d.get("cx")), float(d.get("cy"))) for d in dots]
    assert all(ENDS[0] < x < ENDS[-1] for x, _ in at)
    assert min(math.dist(a, b) for k, a in enumerate(at) for b in at[:k]) > 8
    width, height = float(root.get("width")), float(root.get("height"))
    assert all(0 <= float(e.get("x")) <= width and float(e.get("y")) <= height for e in root if e.tag.endswith("text"))


def test_hostile_text_stays_text():
    text = overview(["ssvr"], [row((0, math.inf), 3.0, 2.0, 5.0, claim="<script>")], False)
    assert "<script>" not in text
    ET.fromstring(text)


def test_what_the_readme_says_by_hand_is_true():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "python-3.11_to_3.13" in README
    assert (project["license"], "license-MIT" in README) == ("MIT", True)
    failed = next(r for r in COMMITTED if (r["paper"], r["claim"]) == ("ngvi", "better-constants"))
    assert failed["verdict"] == "not reproduced"
    for path in set(re.findall(r'(?:`|href="|src(?:set)?=")((?:docs|results|examples|methods)/[\w./-]+\.\w+)', README)):
        assert (ROOT / path).exists(), path
    assert len(README.splitlines()) < 200
