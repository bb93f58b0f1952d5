"""The committed self-test: every reproduced claim of the committed verdicts was turned to "not reproduced" with the check that it has today."""

from __future__ import annotations

import csv

import pytest
from conftest import ROOT

from bench.judge.archive import archive_path
from bench.judge.papers import load_papers
from bench.report.noticed import read
from bench.report.places import verdict_path

REPORTED = [name for name in load_papers() if archive_path(ROOT / "results", name).exists()]


@pytest.mark.parametrize("name", REPORTED)
def test_what_is_reproduced_was_seen_to_fail(name):
    paper = load_papers(name)[name]
    seen = read(ROOT / "results", name, paper)
    turned = {claim for (claim, _), verdict in seen.items() if verdict == "not reproduced"}
    rows = csv.DictReader((ROOT / "results" / verdict_path(name)).read_text(encoding="utf-8").splitlines())
    reproduced = {row["claim"] for row in rows if row["verdict"] == "reproduced"}
    assert reproduced
    assert reproduced - turned == set()


@pytest.mark.parametrize("name", REPORTED)
def test_each_thing_that_a_claim_names_turned_it(name):
    paper = load_papers(name)[name]
    unmoved = {
        pair: verdict for pair, verdict in read(ROOT / "results", name, paper).items() if verdict != "not reproduced"
    }
    assert unmoved == {}
