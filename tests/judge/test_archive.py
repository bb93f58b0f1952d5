"""runs.csv: what is written is read back, the same rows give the same bytes, old rows stand in for folders that are not there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench.report.build import refresh
from made import run, runs

from bench.errors import UserError
from bench.judge.archive import read_records, write_records
from bench.judge.plan import plan

OVERRIDES = ["tracker=none", "seeds=[0,1]"]


def test_round_trip_and_the_same_bytes(tmp_path):
    path = tmp_path / "runs.csv"
    made = [
        *runs("a", [1.0, 0.1 + 0.2]),
        run("b", 0, None),
        run("c", 0, {"x": None}, status="diverged", state="diverged"),
    ]
    made[0] = replace(made[0], curve=[{"step": 1, "text": 'quotes " and, commas'}])
    write_records(path, made)
    first = path.read_bytes()
    assert read_records(path) == made
    write_records(path, read_records(path))
    assert path.read_bytes() == first
    assert read_records(tmp_path / "nothing.csv") == []


@pytest.mark.parametrize(
    "damage", [lambda t: t[: len(t) - 20], lambda t: t.replace("state", "stat"), lambda t: "x\n" + t]
)
def test_a_damaged_file_is_one_line(tmp_path, damage):
    path = tmp_path / "runs.csv"
    write_records(path, runs("a", [1.0, 2.0]))
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=r"runs\.csv"):
        read_records(path)


def test_rows_follow_the_folders_and_outlive_them(program, tmp_path):
    """Done on disk; still there when the folder is gone; stale when the code has changed; other scales are left alone."""
    root = tmp_path / "results"
    overrides = [*OVERRIDES, f"results_root={root}"]

    def rows(scale="smoke"):
        return refresh(root, plan(["ssvr/identity_signsgd"], scale, overrides))

    root.mkdir()
    assert {r.state for r in rows()} == {"missing"}
    program("experiment=ssvr/identity_signsgd", "scale=smoke", "verbose=false", "seeds=[0,1]")
    done = rows()
    assert [(r.method, r.seed, r.state) for r in done] == [(m, s, "done") for m in ("signsgd", "ssvr") for s in (0, 1)]
    assert all(r.metrics["iterations"] == 1000 and r.curve for r in done)
    (root / "runs").rename(tmp_path / "elsewhere")
    assert rows() == done
    old = [replace(r, code="0" * 12) for r in done]
    write_records(root / "runs.csv", old)
    assert {r.state for r in rows()} == {"stale"}
    mini = rows("mini")
    assert {name for r in mini for name in r.experiments} == {
        "ssvr/identity_signsgd@smoke",
        "ssvr/identity_signsgd@mini",
    }
    assert len(mini) == 4, "the same runs serve both scales"
