"""Config keys in the words of reports."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from conftest import ROOT

from bench.report.wording import protocol_in_words

BARE = re.compile(r"\b[a-z]+_[a-z_]+\b (?=\S+ instead of)")


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (
            "reduced: classes [0, 1, 2] instead of all, train_size 2000 instead of all, milestones [] instead of [0.3, 0.4]",
            "reduced: classes 3 instead of all, training examples 2,000 instead of all, steps down of the step size at none instead of [0.3, 0.4]",
        ),
        (
            "reduced: pretraining_steps 1500 instead of 200000, inception False instead of True, 5 instead of 10 seeds",
            "reduced: steps of pre-training 1,500 instead of 200,000, Inception features no instead of yes, 5 instead of 10 seeds",
        ),
        ("reduced: no_word_for_this 1e-05 instead of 1e-06", "reduced: no word for this 1e-05 instead of 1e-06"),
        ("reduced: other runs", "reduced: other runs"),
        ("", ""),
    ],
)
def test_what_a_protocol_is_reduced_in(said, read):
    assert protocol_in_words(said, "generation") == read


def test_a_key_with_words_of_its_task_keeps_them():
    said = protocol_in_words("reduced: noise_multiplicity 2 instead of 4", "generation")
    assert said == "reduced: 2 draws of noise an image instead of 4"


def test_no_committed_verdict_shows_a_bare_key():
    for path in sorted(Path(ROOT, "results/verdicts").glob("*.csv")):
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            assert not BARE.search(row["protocol"]), (path.stem, row["claim"], row["protocol"])
