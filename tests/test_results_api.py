"""bench.results: data frames of runs on disk and of the archive."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT, clean_env, edit_result, result_of
from made import run

from bench import results
from bench.errors import UserError
from bench.judge.archive import archive_path, text_of, write_archive


@pytest.fixture
def root(swept):
    return swept


def by_hand(root) -> pd.DataFrame:
    """The same numbers read with json alone."""
    return pd.DataFrame(
        [
            {"method": r["method"], "seed": r["seed"], "key": r["key"], **r["metrics"]}
            for r in (json.loads(path.read_text()) for path in sorted(root.glob("runs/*/*/seed*/result.json")))
        ]
    )


def test_the_frame_holds_every_run_with_its_numbers(root):
    frame, expected = results.load(root), by_hand(root)
    assert len(frame) == len(expected) == 12
    merged = frame.merge(expected, on=["key", "seed"], suffixes=("", "_by_hand"))
    for metric in ("test_accuracy", "train_loss", "gradient_evaluations"):
        assert (merged[metric] == merged[f"{metric}_by_hand"]).all()
    pd.testing.assert_series_equal(
        frame.groupby("method")["test_accuracy"].median(), expected.groupby("method")["test_accuracy"].median()
    )
    assert set(frame["source"]) == {"runs"}
    assert set(frame["scale"]) == {"smoke"}
    assert set(frame["method.lr"]) == {1e-3, 1e-4}
    assert frame["method.lr"].dtype == frame["seconds"].dtype == float
    assert frame["finished"].dt.tz is not None
    assert set(frame["model.hidden"]) == {(128, 128)}, "lists can be grouped by"
    assert frame.loc[frame["method"] == "signsgd", "method.beta"].isna().all()


def test_values_that_are_the_same_everywhere_can_be_left_out(root):
    narrow = results.load(root, method="ssvr", differing=True)
    assert [name for name in narrow.columns if "." in name] == ["method.lr"]


def test_filters(root):
    assert set(results.load(root, method="ssvr", seed=[0, 2])["seed"]) == {0, 2}
    assert len(results.load(root, {"method.lr": 1e-4}, method=["ssvr", "signsgd"])) == 6
    with pytest.raises(UserError, match=r"no run has method = 'svr'; there are: signsgd, ssvr; did you mean 'ssvr'"):
        results.load(root, method="svr")
    with pytest.raises(UserError, match=r"no run has method.lr = 0.5; there are: 0.0001, 0.001"):
        results.load(root, {"method.lr": 0.5})
    with pytest.raises(UserError, match=r"metod: runs are selected by task, .* method.lr; did you mean 'method'"):
        results.load(root, metod="ssvr")


def test_an_archived_run_that_serves_two_scales_is_of_each(tmp_path):
    shutil.copytree(ROOT / "results/archive", tmp_path / "archive")
    frame = results.load(tmp_path, method="ssvr", dataset="sine_quadratic")
    both = frame["scale"] == "mini, paper"
    assert both.any()
    for scale in ("mini", "paper"):
        assert len(results.load(tmp_path, method="ssvr", dataset="sine_quadratic", scale=scale)) >= both.sum()


def test_curves_in_long_form(root):
    curves = results.curves(root, method="ssvr")
    lines = [
        json.loads(line)
        for path in sorted(root.glob("runs/*/ssvr-*/seed*/metrics.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert len(curves) == len(lines) == 6
    assert sorted(curves["train_loss"]) == sorted(line["train_loss"] for line in lines)
    assert list(curves.columns[:8]) == list(results.FRONT)
    assert set(curves["method.lr"]) == {1e-3, 1e-4}, "what tells the jobs apart stands beside the rows"


def test_what_is_on_disk_comes_before_the_archive_and_nothing_comes_twice(copied):
    frame = results.load(copied)
    key = frame["key"].iloc[0]
    old = run("signsgd", 0, {"mean_grad_l1": 2.0}, key=key, curve=[{"step": 1, "mean_grad_l1": 3.0}])
    new = run("signsgd", 7, {"mean_grad_l1": 4.0}, key=key)
    never = run("signsgd", 8, None, key=key)
    write_archive(archive_path(copied, "mine"), text_of([old, new, never]))
    both = results.load(copied)
    assert len(both) == len(frame) + 1
    assert both.groupby("source").size().to_dict() == {"archive": 1, "runs": 12}
    assert both.loc[both["source"] == "archive", ["seed", "scale", "mean_grad_l1"]].values.tolist() == [
        [7, "mini", 4.0]
    ]
    shutil.rmtree(copied / "runs")
    assert set(results.load(copied)["seed"]) == {0, 7}
    assert results.curves(copied)["mean_grad_l1"].tolist() == [3.0]


def test_a_fresh_clone_has_the_papers_runs():
    frame = results.load(ROOT / "results", method="ssvr", dataset="digits")
    assert set(frame["source"]) <= {"archive", "runs"}
    assert frame["test_accuracy"].between(0.5, 1).all()


def test_diverged_runs_are_kept_with_their_status(copied):
    folder = sorted(copied.glob("runs/*/ssvr-*/seed0"))[0]
    edit_result(folder, status="diverged", metrics=dict.fromkeys(result_of(folder)["metrics"]))
    frame = results.load(copied)
    assert frame["status"].value_counts().to_dict() == {"finished": 11, "diverged": 1}
    assert frame.loc[frame["status"] == "diverged", "test_accuracy"].isna().all()
    assert frame["test_accuracy"].dtype == float


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("seed0/result.json", b'{"status": "finis'),
        ("seed0/result.json", b"[1]"),
        ("config.yaml", b"key: ["),
        ("config.yaml", b"a: 1"),
        ("config.yaml", b"\xff\xfe"),
        ("config.yaml", None),
    ],
)
def test_a_damaged_folder_is_named_and_left_as_it_is(copied, name, content):
    folder = sorted(copied.glob("runs/*/ssvr-*"))[0]
    path = folder / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.warns(UserWarning, match="left out") as said:
        frame = results.load(copied)
    assert [str(folder) in str(line.message) for line in said] == [True]
    assert len(frame) == (11 if "seed0" in name else 9)
    assert content is None or path.read_bytes() == content


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: b"{]\n", r"left out, .*metrics\.jsonl is damaged: 3 bytes instead of"),
        (lambda content: b"{]" + content[2:], "its curve cannot be read"),
    ],
)
def test_a_damaged_curve_is_named(copied, damage, said):
    path = sorted(copied.glob("runs/*/ssvr-*/seed0/metrics.jsonl"))[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=said):
        assert len(results.curves(copied)) == 11


def test_nothing_to_load_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        results.load(tmp_path / "none")
    with pytest.raises(UserError, match="no run that ended"):
        results.curves(tmp_path)


def test_loading_needs_no_torch(root):
    code = (
        "import sys; from bench import results; results.load(sys.argv[1]); results.curves(sys.argv[1]);"
        "print({'torch', 'hydra', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=clean_env())
    assert done.stdout.strip() == "set()"
