"""Claims about a table registered before its runs: seeds from the line, attempts counted, nothing chosen afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from bench.errors import UserError
from bench.judge.table import judge_files
from bench.judge.table_claims import load_sheet
from bench.judge.table_registry import register_table, registry_of
from bench.run.registry import line_of

CLAIMS = """metrics: {accuracy: higher}
seeds: 12
claims:
  adam-wins: {kind: better, metric: accuracy, of: {method: adam}, than: {method: sgd}}
"""


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS)
    return path


def register(claims: Path) -> list[int]:
    return register_table(load_sheet(claims), registry_of(claims))[1].judged


def judged(claims: Path, seeds: list[int], worse: tuple[int, ...] = ()):
    rows = [
        {"method": m, "seed": s, "accuracy": level + 0.001 * (k % 5) - 0.1 * (m == "adam" and s in worse)}
        for m, level in (("adam", 0.93), ("sgd", 0.91))
        for k, s in enumerate(seeds)
    ]
    table = claims.with_name("runs.csv")
    pd.DataFrame(rows).to_csv(table, index=False)
    return judge_files(table, claims)


def test_the_program_names_the_seeds_once_and_judges_on_them(claims):
    command = [sys.executable, str(ROOT / "scripts/judge.py"), "--register", str(claims)]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True, timeout=120) for _ in range(2))
    said, numbers = first.stdout.splitlines()
    assert said.startswith(f"registered in {claims.with_name('claims.registry.jsonl')}: 1 check, attempt 1")
    assert second.stdout.splitlines()[1] == numbers
    assert second.stdout.startswith("registered already")
    seeds = [int(s) for s in numbers.split()]
    assert len(set(seeds)) == 12
    assert len(registry_of(claims).read_text().splitlines()) == 1
    (found,) = judged(claims, seeds)
    assert (found.verdict, found.word) == ("reproduced", "registered, attempt 1")
    assert found.parts[0].interval.level == pytest.approx(0.95)


def test_added_seeds_are_left_out_and_dropped_ones_are_not_run(claims):
    assert judged(claims, list(range(12)))[0].word == "exploratory: not registered"
    seeds = register(claims)
    assert judged(claims, list(range(12)))[0].word == "exploratory: none of its seeds is a registered one"
    extra = [s for s in range(30) if s not in seeds]
    (found,) = judged(claims, [*seeds, *extra], worse=tuple(extra))
    assert (found.verdict, found.found.seeds) == ("reproduced", 12)
    (found,) = judged(claims, seeds[1:])
    assert (found.verdict, found.reason) == ("not run", "2 of 24 registered runs are not there")
    (found,) = judged(claims, [*seeds[1:], *extra])
    assert found.verdict == "not run", "another seed stands in for none"


def test_each_attempt_has_new_seeds_and_a_stricter_level(claims):
    first = register(claims)
    claims.write_text(CLAIMS.replace("than: {method: sgd}", "than: {method: sgd}, by: 0.005"))
    assert judged(claims, first)[0].word == "exploratory: its check is not the registered one"
    second = register(claims)
    assert not set(first) & set(second)
    verdicts = judged(claims, second)
    assert verdicts[0].word == "registered, attempt 2"
    assert verdicts[0].parts[0].interval.side == pytest.approx(0.05 / 6)
    assert len(verdicts.said) == 1
    assert verdicts.said[0].startswith('registered, and claimed no longer: {"budget":null,"kind":"better"')
    claims.write_text(CLAIMS.replace("accuracy: higher", "accuracy: lower"))
    assert register(claims) not in (first, second), "the direction is part of what is registered"


def test_another_name_or_sentence_is_no_other_check(claims):
    seeds = register(claims)
    check = "{says: So it is., check: {kind: better, metric: accuracy, of: {method: adam}, than: {method: sgd}}}"
    claims.write_text(CLAIMS.partition("  adam-wins")[0] + f"  better-known-as: {check}\n")
    assert judged(claims, seeds)[0].word == "registered, attempt 1"
    assert register(claims) == seeds


def test_a_line_that_was_changed_is_refused(claims):
    register(claims)
    claims.write_text(CLAIMS.replace("seeds: 12", "seeds: 14"))
    seeds = register(claims)
    path = registry_of(claims)
    lines = path.read_text().splitlines()
    first = json.loads(lines[0]) | {"seeds": 14}
    path.write_text("\n".join([line_of(first), lines[1]]) + "\n")
    with pytest.raises(UserError, match=r"claims\.registry\.jsonl, line 2: does not follow the line before it"):
        judged(claims, seeds)


def test_what_so_many_seeds_cannot_decide_is_not_registered(claims):
    claims.write_text(CLAIMS.replace("seeds: 12", "seeds: 5"))
    with pytest.raises(
        UserError, match=r"claims\.yaml:4: claims\.adam-wins: 5 seeds cannot decide .* at least 6; say so, as seeds: N"
    ):
        register(claims)
    assert not registry_of(claims).exists()


def test_seeds_cannot_be_known_before_the_line_is_written(claims, tmp_path):
    """Two registries that begin otherwise name other seeds for the same claims."""
    other = tmp_path / "other.yaml"
    other.write_text(CLAIMS)
    assert np.intersect1d(register(claims), register(other)).size == 0


def test_another_column_under_a_metric_s_name_is_another_check(claims):
    """Registered for accuracy; judged on what the table calls best, under that name."""
    seeds = register(claims)
    claims.write_text(CLAIMS + "columns: {accuracy: best}\n")
    rows = [(m, s, a) for m, a in (("adam", 0.9), ("sgd", 0.5)) for s in seeds]
    table = claims.with_name("runs.csv")
    pd.DataFrame(rows, columns=["method", "seed", "best"]).to_csv(table, index=False)
    (one,) = judge_files(table, claims)
    assert (one.standing.registered, one.standing.why) == (False, "its check is not the registered one")
    pd.DataFrame([(*r, 0.1) for r in rows], columns=["method", "seed", "best", "accuracy"]).to_csv(table, index=False)
    with pytest.raises(UserError, match="has a column 'accuracy' already"):
        judge_files(table, claims)


def test_what_a_table_calls_its_seeds_is_no_part_of_a_check(claims):
    seeds = register(claims)
    claims.write_text(CLAIMS + "columns: {seed: trial}\n")
    table = claims.with_name("runs.csv")
    rows = [(m, s, a + k / 100) for m, a in (("adam", 0.9), ("sgd", 0.5)) for k, s in enumerate(seeds)]
    pd.DataFrame(rows, columns=["method", "trial", "accuracy"]).to_csv(table, index=False)
    (one,) = judge_files(table, claims)
    assert (one.standing.registered, one.verdict) == (True, "reproduced")
