"""Headlines count each claim once: registered, of the paper or published elsewhere, seen to fail."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

from bench.judge.papers import load_papers
from bench.report.coverage import PLACES, counts, once, place, total
from bench.report.index import index_page

PLAIN = {
    "paper": "ssvr",
    "tier": "paper",
    "standing": "registered",
    "refuted_by": "wrong-sign",
    "turned_by": "wrong-sign",
    "protocol": "full protocol",
    "scale": "mini paper",
    "verdict": "reproduced",
    "stale_runs": "0",
    "why": "the median lies outside",
}


def row(claim: str, **more: str) -> dict[str, str]:
    return PLAIN | {"claim": claim} | more


ROWS = [
    row("a"),
    row("b", tier="published", verdict="not reproduced"),
    row("c", scale="mini", protocol="reduced: epochs 4 of 200"),
    row("c", scale="paper", verdict="not run"),
    row("d", scale="mini", protocol="reduced: epochs 4 of 200"),
    row("d", scale="paper", verdict="inconclusive"),
    row("e", tier="ours"),
    row("f", turned_by=""),
    row("g", standing="exploratory"),
    row("h", standing="exploratory", tier="ours", verdict="inconclusive"),
    row("a", paper="egab"),
]


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({}, "paper"),
        ({"tier": "published"}, "published"),
        ({"tier": "ours"}, "ours"),
        ({"tier": "ours", "refuted_by": ""}, "ours"),
        ({"turned_by": ""}, "open"),
        ({"stale_runs": "3"}, "stale"),
        ({"stale_runs": "3", "standing": "exploratory"}, "exploratory"),
        ({"turned_by": "", "verdict": "inconclusive"}, "paper"),
        ({"refuted_by": "", "verdict": "inconclusive"}, "open"),
        ({"standing": "exploratory"}, "exploratory"),
        ({"standing": "exploratory", "tier": "ours"}, "exploratory"),
    ],
)
def test_a_claim_has_one_place(more, where):
    assert place(row("a", **more)) == where


def test_a_claim_is_counted_once_at_the_fullest_protocol_that_has_a_verdict():
    chosen = {(r["paper"], r["claim"]): r["scale"] for r in once(ROWS)}
    assert (chosen["ssvr", "c"], chosen["ssvr", "d"]) == ("mini", "paper")
    assert len(chosen) == len(once(ROWS)) == 9
    found = counts(ROWS, "ssvr")
    assert set(found) == set(PLACES)
    assert dict(found["paper"]) == {"reproduced": 2, "reduced": 1, "inconclusive": 1}
    assert found["published"]["not reproduced"] == total(found["published"]) == 1
    assert [total(found[where]) for where in ("ours", "open", "exploratory")] == [1, 1, 2]
    assert sum(map(total, found.values())) == 8


def test_the_index_has_the_counts_and_what_stands_apart():
    page = index_page({"ssvr": load_papers("ssvr")["ssvr"]}, ROWS, {"ssvr": 3})
    assert (
        "Apart from these: ours 1 (1 reproduced), registered, but not seen to fail 1 (1 reproduced), "
        "exploratory 2 (1 reproduced); withdrawn checks 3."
    ) in page
    assert '<span class="not-reproduced">1 not reproduced</span>' in page


def test_no_page_and_no_readme_speaks_of_tests_that_are_gone():
    gone = re.compile(r"\bt tests?\b|Student|BCa|Holm|p = 0|fixed before the runs|fixed in `conf/paper`", re.IGNORECASE)
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "bench/report").rglob("*.*")]
    for file in (f for f in files if f.suffix in (".md", ".py", ".j2", ".js")):
        assert not gone.search(file.read_text(encoding="utf-8")), file
