"""Whole runs of the valuation task on points made here: what is measured, resumed, written and refused."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
import valuation_points
from conftest import whole_and_resumed
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score
from valuation_points import advanced, gaussian, images, problem, valuation_job

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.run.hardware import open_device
from bench.run.progress import Display
from bench.run.session import Run, Session
from bench.run.stopping import StopSignal
from bench.tasks.valuation import loop, loop_prune
from bench.tasks.valuation.embedding import embed
from bench.tasks.valuation.loop_options import need_embedder
from bench.tasks.valuation.protocol import Problem
from methods.valuation.knn_shapley import KNNShapley

PRUNE = {"prune": [0.0, 0.25, 0.5], "network": "mlp", "retrain_epochs": 2, "retrain_batch_size": 16}


def ran(folder, method, **keys):
    """(final metrics, rows, lines reported, the run) of a job."""
    made = valuation_job(folder, method, **keys)
    run = Run(made.settings.seeds[0], folder / f"{method}-seed")
    run.folder.mkdir(parents=True, exist_ok=True)
    said: list[str] = []
    session = Session(made, [run], open_device(made.settings.hardware), StopSignal(), Display(None, ""), said.append)
    session.advance(session.start())
    return run.final, read_metrics(run.folder), said, run


def table(run) -> list[dict]:
    with open(run.folder / "values.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_measured_is_of_the_method_s_values(tmp_path):
    final, rows, said, run = ran(tmp_path, "knn_shapley", curve=20, sheet=3, compare="random", method_k=5)
    points = gaussian("", 0)
    values = advanced(KNNShapley(k=5), problem(points)).numpy()
    bad = points.corrupted.numpy()
    assert final["auc"] == pytest.approx(roc_auc_score(bad, -values), abs=1e-12)
    assert final["auc"] > 0.9
    assert final["average_precision"] == pytest.approx(average_precision_score(bad, -values), abs=1e-12)
    assert (final["points"], final["reference_points"]) == (300, 60)
    assert final["value_sum"] == pytest.approx(values.sum())
    assert final["distinct_values"] == len(set(values)) / 300
    other = [row["value"] for row in table(ran(tmp_path, "random", curve=0, sheet=0)[3])]
    assert final["spearman"] == pytest.approx(spearmanr(values, np.array(other, dtype=float)).statistic, abs=1e-12)
    curve = [(row["inspected"], row["detected"]) for row in rows if "inspected" in row]
    assert curve[-1] == (1.0, 1.0)
    assert curve == sorted(curve)
    assert said == [f"values of 300 points: {run.folder / 'values.csv'}"]
    ends = [row for row in rows if "lowest_point" in row]
    assert [row["lowest_value"] for row in ends] == sorted(values)[:3]
    assert [row["highest_value"] for row in ends] == sorted(values)[:-4:-1]
    assert [values[row["highest_point"]] for row in ends] == [row["highest_value"] for row in ends]


def test_the_table_has_a_line_a_point(tmp_path):
    final, _, _, run = ran(tmp_path, "knn_shapley")
    lines, points = table(run), gaussian("", 0)
    assert [int(line["id"]) for line in lines] == list(range(300))
    assert [int(line["label"]) for line in lines] == points.train_y.tolist()
    assert [line["corrupted"] == "1" for line in lines] == points.corrupted.tolist()
    by_rank = sorted(lines, key=lambda line: int(line["rank"]))
    assert [int(line["rank"]) for line in by_rank] == list(range(1, 301))
    values = [float(line["value"]) for line in by_rank]
    assert values == sorted(values)
    found = sum(line["corrupted"] == "1" for line in by_rank[:90])
    assert final["detection_rate"] == found / 90


def test_names_of_classes_and_points_stand_in_the_table(tmp_path, monkeypatch):
    plain = gaussian("", 0)
    named = replace(plain, class_names=("ant", "bee", "cow"), ids=tuple(f"p,{i}" for i in range(300)), about="found")
    monkeypatch.setattr(valuation_points, "gaussian", lambda root, seed: named)
    _, _, said, run = ran(tmp_path, "random")
    lines = table(run)
    assert [line["id"] for line in lines] == list(named.ids)
    assert [line["label"] for line in lines] == [named.class_names[label] for label in plain.train_y]
    assert said[0] == "found"


def test_where_nobody_knows_what_is_corrupted(tmp_path):
    final, rows, _, run = ran(tmp_path, "random", dataset_flags=False)
    assert set(final) == {"points", "reference_points", "distinct_values", "value_sum"}
    assert not any("inspected" in row for row in rows)
    assert list(table(run)[0]) == ["id", "label", "value", "rank"]
    assert "auc" not in ran(tmp_path / "clean", "random", dataset_rate=0.0)[0]


def test_equal_values_tell_nothing(tmp_path):
    final, _, said, _ = ran(tmp_path, "Constant", compare="random")
    assert final["auc"] == 0.5
    assert final["average_precision"] == pytest.approx(0.3)
    assert final["detection_rate"] == pytest.approx(0.3, abs=0.12)
    assert "spearman" not in final
    assert [line for line in said if "alike" in line] == ["Constant on gaussian: all points are alike"]
    late = ran(tmp_path / "late", "Late")[2]
    assert late[:2] == ["Late on gaussian: all points are alike", "Late on gaussian: all points were alike"]


def test_what_the_method_of_a_comparison_says_names_the_comparison(tmp_path):
    with pytest.raises(
        UserError, match=r"^task\.compare = prototypes: clusters = [0-9]+: at most one for each of the 4 points"
    ):
        ran(tmp_path, "random", compare="prototypes", dataset_n=4, sheet=0)


def test_a_classifier_is_no_embedder():
    with pytest.raises(
        UserError, match=r"^model = resnet8: a classifier, .*features_as_they_are, pixels, published_resnet20"
    ):
        need_embedder({"_target_": "bench.models.resnet8"})
    need_embedder({"_target_": "bench.tasks.valuation.embedders.Pixels"})


def test_a_value_that_is_no_number_is_a_diverged_run(tmp_path):
    _, _, said, run = ran(tmp_path, "Broken")
    assert run.status == "diverged"
    assert said[-1] == "Broken on gaussian: 1 values are NaN or infinite"
    assert not (run.folder / "values.csv").exists()


def test_cost_is_measured_where_it_is_asked_for(tmp_path):
    final, _, _, _ = ran(tmp_path, "knn_shapley", cost=True, dataset_n=3000, dataset_m=700)
    assert final["seconds"] > 0
    assert 8 * 3000 * 500 < final["peak_bytes"] < 1.5e9  # a block of distances at least
    assert not {"seconds", "peak_bytes"} & set(ran(tmp_path / "b", "random")[0])


@pytest.mark.parametrize("stop_at", [1, 3])
@pytest.mark.parametrize("method", ["el2n", "tracin", "influence", "knn_shapley"])
def test_a_killed_run_goes_on_to_equal_values(method, stop_at, tmp_path, monkeypatch):
    monkeypatch.setattr("methods.valuation.knn_shapley.ELEMENTS", 4000)
    made = valuation_job(tmp_path, method, sheet=2)
    whole, resumed = whole_and_resumed(made, tmp_path, stop_at)
    assert whole == resumed
    tables = [(tmp_path / part / "seed0/values.csv").read_bytes() for part in ("whole", "cut")]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("stop_at", [2, 8, 14, 18])
def test_a_run_killed_while_it_retrains_goes_on(stop_at, tmp_path):
    """Once a unit, then once a step of training and once a network; the rows of the curve are not logged twice."""
    made = valuation_job(tmp_path, "knn_shapley", points="images", sheet=2, **PRUNE)
    whole, resumed = whole_and_resumed(made, tmp_path, stop_at)
    assert whole == resumed


@pytest.mark.parametrize("points", ["images", "gaussian"])
def test_networks_are_trained_on_what_is_left(points, tmp_path):
    final, rows, _, _ = ran(tmp_path, "knn_shapley", points=points, **PRUNE)
    pruned = [(row["pruned"], row["pruned_accuracy"]) for row in rows if "pruned" in row]
    assert [fraction for fraction, _ in pruned] == [0.0, 0.25, 0.5]
    assert (final["pruned"], final["pruned_accuracy"]) == pruned[-1]
    assert max(accuracy for _, accuracy in pruned) > 0.7


def test_float_images_train_as_bytes_do(tmp_path, monkeypatch):
    """In pixel units; and measuring does not normalise them in place."""
    whole = images("", 0)
    floats = {name: getattr(whole, name).float() for name in ("train_x", "reference_x", "test_x")}
    before = floats["test_x"].clone()
    first = ran(tmp_path / "a", "random", points="images", **PRUNE)[1]
    for i, parts in enumerate((floats, {"train_x": floats["train_x"]})):  # noise leaves test images as they were
        monkeypatch.setattr(valuation_points, "images", lambda root, seed, parts=parts: replace(whole, **parts))
        assert ran(tmp_path / f"b{i}", "random", points="images", **PRUNE)[1] == first
    assert torch.equal(floats["test_x"], before)


def test_what_goes_is_the_lowest(tmp_path, monkeypatch):
    """Of N points floor(fraction N), and the start is the same for every share."""
    seen, starts = [], []
    batches = loop_prune.Batches
    monkeypatch.setattr(loop_prune, "Batches", lambda i, y, *rest: seen.append((i.images, y)) or batches(i, y, *rest))
    make = loop_prune.Pruning._model
    monkeypatch.setattr(
        loop_prune.Pruning,
        "_model",
        lambda self: starts.append((m := make(self)).state_dict()["1.weight"].clone()) or m,
    )
    _, _, _, run = ran(tmp_path, "knn_shapley", points="images", **PRUNE)
    rank = {int(line["id"]): int(line["rank"]) for line in table(run)}
    points = images("", 0)
    for (x, y), gone in zip(seen, (0, 24, 48)):
        kept = [i for i in range(96) if rank[i] > gone]
        assert torch.equal(x, points.train_x[kept])
        assert torch.equal(y, points.train_y[kept])
    assert torch.equal(starts[0], starts[1])
    assert torch.equal(starts[0], starts[2])


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"compare": "lvaa"}, "task.compare = 'lvaa': allowed: "),
        ({"compare": "sgd"}, "task.compare = 'sgd': allowed: "),
        ({**PRUNE, "points": "images", "dataset_tests": False}, "the data set has no test points"),
        ({**PRUNE, "prune": [0.97], "points": "images"}, "leaves 3 points, less than task.retrain_batch_size = 16"),
        ({**PRUNE, "network": "two_layer"}, "task.network = 'two_layer': allowed: "),
        ({**PRUNE, "retrain_method": "random"}, "task.retrain_method = 'random': allowed: "),
        ({**PRUNE, "crop_padding": 9, "points": "images"}, "task.crop_padding = 9: more than the images' 8 pixels"),
    ],
)
def test_what_does_not_fit_is_one_line(keys, line, tmp_path):
    with pytest.raises(UserError) as told:
        ran(tmp_path, "knn_shapley", **keys)
    assert line in str(told.value)
    assert "\n" not in str(told.value)


def test_a_method_s_own_refusals_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^method\.clusters = 500: at most one for each of the 300 points$"):
        ran(tmp_path, "prototypes", method_clusters=500)
    with pytest.raises(UserError, match=r"values\(\) gives \[299\], not one value for each of 300 points"):
        ran(tmp_path, "Short")
    with pytest.raises(UserError, match=r"^method\.outer = released: .* these points are features; use ot or uniform$"):
        ran(tmp_path, "sava", method_outer="released")


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_a_method_sees_the_pixels_of_images_and_no_copy_of_them(pixels, tmp_path, monkeypatch):
    made, seen = [], []
    monkeypatch.setattr(loop, "embed", lambda points, *rest: (made.append(points), embed(points, *rest))[1])
    monkeypatch.setattr(loop, "Problem", lambda *fields: (seen.append(Problem(*fields)), seen[-1])[1])
    ran(tmp_path, "sava", points="images", dataset_pixels=pixels, method_outer="released", method_batch_size=40)
    (points,), (given,) = made, seen
    assert given.raw_x.shape == (96, 64)
    assert given.reference_raw_x.shape == (32, 64)
    assert (given.raw_x.dtype, float(given.raw_x.max()) > 100) == (points.train_x.dtype, True)
    assert given.raw_x.data_ptr() == points.train_x.data_ptr()
    assert given.reference_raw_x.data_ptr() == points.reference_x.data_ptr()
