"""Whole small runs of inference against a plain re-implementation: every row, every final metric, of every method and estimator."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import final, result_of
from reference import bayes_models
from reference.gaussian_vi import run
from reference.same_numbers import same
from sklearn.datasets import load_breast_cancer, load_diabetes

from bench.run.curve import read_metrics
from bench.tasks.inference.note import NOTE

KINDS = {"linear_regression": "normal", "logistic_regression": "bernoulli", "poisson_regression": "poisson"}
SHAPE: dict[str, dict[str, Any]] = {
    "linear_regression": {"n": 23, "dim": 3, "condition": 9.0, "noise": 0.5, "prior_variance": 2.0},
    "logistic_regression": {"n": 23, "dim": 3, "condition": 4.0, "weights": 1.5, "prior_variance": 2.0},
    "poisson_regression": {"n": 23, "dim": 3, "condition": 4.0, "weights": 0.8, "prior_variance": 0.5},
}


def model_of(dataset: str, seed: int) -> bayes_models.Model:
    if dataset == "diabetes":
        return bayes_models.linear(*load_diabetes(return_X_y=True))
    if dataset == "breast_cancer":
        return bayes_models.logistic(*load_breast_cancer(return_X_y=True), 2)
    return bayes_models.drawn(KINDS[dataset], seed, **SHAPE[dataset])


def compare(
    go,
    dataset: str,
    method: str,
    seeds: list[int],
    reports: list[int],
    rel: float = 1e-9,
    rounding: float = 1e-11,
    model: bayes_models.Model | None = None,
    data: Sequence[str] = (),
    **more: Any,
) -> list:
    """Run both and compare everything; `more` are keys of the task, of the method where the task has none of that name.

    Args:
        model: of a data set that is not known here, whose keys are `data`.
    """
    task = {name: more.pop(name) for name in ("batch", "estimator", "samples", "start", "grid") if name in more}
    line = [f"method={method}", f"dataset={dataset}", f"seeds={seeds}", f"task.reports={reports}", *data]
    line += [f"dataset.{name}={value}" for name, value in SHAPE.get(dataset, {}).items()]
    line += ["dataset.components=2"] * (dataset == "breast_cancer")
    for name, value in task.items():
        text = json.dumps(value).replace('"', "")
        line.append(f"task.{'batch_size' if name == 'batch' else name}={text}")
    folders = go(*line, *(f"method.{name}={value}" for name, value in more.items()))
    wanted = [run(model or model_of(dataset, seed), seed, method, reports, **task, **more) for seed in sorted(seeds)]
    settings = math.prod(len(values) for values in task.get("grid", {}).values())
    for folder, found, (rows, last) in zip(folders, final(folders), wanted, strict=True):
        same(read_metrics(folder), rows, rel, rounding)
        same([found], [last], rel, rounding)
        result = result_of(folder)
        assert result["status"] == ("finished" if last["kl"] < 1e15 else "diverged")
        examples = result["measured"]["examples_per_second"] * result["measured"]["wall_seconds"]
        assert round(examples) == last["gradient_evaluations"] * settings * len(seeds)
        for row in [*read_metrics(folder), found]:
            if row.get("gap_error") is not None:
                assert row["gap_error"] == abs(row["elbo_gap"] - row["kl"])
    return wanted


CONJUGATE = [
    ("ngvi", {"batch": 7, "estimator": "exact"}),
    ("ngvi_average", {"batch": 7}),
    ("ngvi_constant", {"batch": None, "cap": 0.05}),
    ("ngvi_safe", {"batch": 7, "start": "random"}),
    ("ngvi_sqrt", {"batch": 7}),
    ("proximal_sgd", {"batch": 7, "start": "random"}),
    ("projected_sgd", {"batch": 7, "floor": 1.2, "lr": 0.003}),
    ("adam_vi", {"batch": 7, "beta1": 0.8, "floor": 1.3, "lr": 0.03}),
    ("ngvi", {"batch": 7, "estimator": "monte_carlo", "samples": 3}),
    ("proximal_sgd", {"batch": 7, "estimator": "gradient", "samples": 3}),
]


@pytest.mark.parametrize(("method", "more"), CONJUGATE, ids=lambda v: v if isinstance(v, str) else None)
def test_conjugate(go, method, more):
    """Reports out of order, and past the steps whose draws are made at once."""
    compare(go, "linear_regression", method, [0, 3], [140, 2, 19], **more)


LOGISTIC = [
    ("ngvi", {"batch": 5}),
    ("ngvi", {"batch": None, "start": "random", "lr": 0.2}),
    ("ngvi_average", {"batch": 5, "estimator": "monte_carlo", "samples": 4, "cap": 0.5}),
    ("ngvi_safe", {"batch": 5, "estimator": "gradient", "samples": 2, "cap": 0.5}),
    ("ngvi_sqrt", {"batch": 5, "estimator": "monte_carlo", "samples": 1}),
    ("proximal_sgd", {"batch": 5, "estimator": "gradient", "samples": 4, "lr": 0.02}),
    ("projected_sgd", {"batch": None, "lr": 0.02, "start": "random"}),
    ("adam_vi", {"batch": 5, "estimator": "monte_carlo", "samples": 2, "lr": 0.05}),
]


@pytest.mark.parametrize(("method", "more"), LOGISTIC, ids=lambda v: v if isinstance(v, str) else None)
def test_logistic(go, method, more):
    compare(go, "logistic_regression", method, [1, 2], [3, 31], **more)


POISSON = [
    ("ngvi", {"batch": 5, "estimator": "exact", "cap": 0.3}),
    ("ngvi_safe", {"batch": None, "decay": 0.1, "lr": 0.5}),
    ("projected_sgd", {"batch": 5, "estimator": "monte_carlo", "samples": 3, "lr": 0.01}),
    ("ngvi_constant", {"batch": 5, "estimator": "gradient", "samples": 3, "lr": 0.05}),
]


@pytest.mark.parametrize(("method", "more"), POISSON, ids=lambda v: v if isinstance(v, str) else None)
def test_poisson(go, method, more):
    compare(go, "poisson_regression", method, [0, 5], [4, 40], **more)


def test_steps_that_would_lose_positive_definiteness_are_counted_and_not_taken(go):
    more = {"batch": 5, "estimator": "gradient", "samples": 2, "decay": 0.0, "lr": 0.3}
    wanted = compare(go, "logistic_regression", "ngvi", [0, 1], [2, 10, 20], **more)
    assert all(0 < last["lost_pd_steps"] < 20 for _, last in wanted)
    grid = {"lr": [0.3, 0.02, 0.1], "cap": [1.0, 0.2]}  # those of the chosen setting
    compare(go, "logistic_regression", "ngvi", [0, 1], [2, 10, 20], grid=grid, **{**more, "decay": 0.1})


GRIDS = [
    ("linear_regression", "proximal_sgd", {"lr": [0.05, 0.0005, 0.004], "decay": [0.3, 0.0]}, {"batch": 7}),
    ("linear_regression", "adam_vi", {"lr": [0.05, 0.3], "decay": [0.2, 0.01]}, {"batch": 7, "beta2": 0.9}),
    ("logistic_regression", "projected_sgd", {"decay": [0.0, 0.5], "lr": [0.1, 0.01, 0.3]}, {"batch": 5}),
    ("poisson_regression", "proximal_sgd", {"lr": [0.003, 0.03, 30.0]}, {"batch": 5, "estimator": "monte_carlo"}),
]


@pytest.mark.parametrize(("dataset", "method", "grid", "more"), GRIDS, ids=lambda v: v if isinstance(v, str) else None)
def test_the_best_of_a_grid(go, dataset, method, grid, more):
    """At each report and for each seed; not one setting is the best throughout."""
    wanted = compare(go, dataset, method, [0, 1, 4], [2, 9, 33], grid=grid, **more)
    chosen = {tuple(row[f"chosen_{name}"] for name in grid) for rows, _ in wanted for row in rows}
    assert len(chosen) > 1


@pytest.mark.parametrize(
    ("dataset", "method", "more"),
    [
        ("diabetes", "ngvi", {}),
        ("diabetes", "proximal_sgd", {"grid": {"lr": [2e-5, 3e-4], "decay": [0.0, 0.03]}}),
        ("breast_cancer", "ngvi_average", {}),
        ("breast_cancer", "proximal_sgd", {"grid": {"lr": [3e-4, 2e-2], "decay": [0.0, 0.03]}}),
    ],
)
def test_tables(go, dataset, method, more):
    """With the batch size of the task's own config. All seeds have the same data, and draws of their own."""
    wanted = compare(go, dataset, method, [0, 1], [5, 30], **more)
    assert wanted[0][1]["kl"] != wanted[1][1]["kl"]


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def test_files_of_a_person(go, tmp_path):
    """Small files in the layouts of energy, bike and mushrooms: which columns are features, which the target, which are left out."""
    rng, root = np.random.default_rng(3), tmp_path / "data"
    energy, bike = rng.standard_normal((60, 9)), rng.standard_normal((70, 18))
    energy[:, 4], bike[:, -1] = 1.5, bike[:, 15] + bike[:, 16] + bike[:, 2]
    put(
        root / "uci/UCI_Datasets/energy/data/data.txt",
        "\n".join(" ".join(map(repr, r)) for r in energy.tolist()).encode(),
    )
    rows = "\n".join(",".join(map(repr, r)) for r in bike.tolist())
    put(root / "uci/treforevans/bike/data.csv.gz", gzip.compress(rows.encode()))
    features = np.zeros((80, 112))
    features[:, 3:8] = rng.integers(0, 2, (80, 5))
    edible = (features[:, 3] + features[:, 5] + rng.random(80) > 1.4).astype(int)
    lines = (f"{y + 1} " + " ".join(f"{j + 1}:1" for j in np.flatnonzero(x)) for x, y in zip(features, edible))
    put(root / "libsvm/mushrooms", "\n".join(lines).encode() + b"\n")
    models = {
        "energy": bayes_models.linear(energy[:, :8], energy[:, 8], 0.5),
        "bike": bayes_models.linear(bike[:, :15], bike[:, 17], 0.5),
        "mushrooms": bayes_models.logistic(features, edible, None, 0.5),
    }
    for name, model in models.items():
        data = [f"data_root={root}", "dataset.verify=false", "dataset.prior_variance=0.5"]
        data += ["dataset.components=null"] * (name == "mushrooms")
        compare(go, name, "ngvi", [0, 2], [3, 20], model=model, data=data, batch=9)


def test_a_wide_posterior(go, monkeypatch):
    """Predictors whose deviation is 20 and more: beyond the quadrature's narrow rules."""
    monkeypatch.setitem(SHAPE, "logistic_regression", SHAPE["logistic_regression"] | {"n": 6, "prior_variance": 300.0})
    compare(go, "logistic_regression", "ngvi", [0, 1], [3, 12], rel=1e-8, batch=4, lr=0.5)
    compare(go, "logistic_regression", "proximal_sgd", [0, 1], [3, 12], rel=1e-8, batch=4, lr=0.5, start="random")


def test_divergence(go):
    """A row whose numbers are none says None; the run is diverged, and so it is beyond 1e15 nats, where a nat is rounding."""
    more = {"batch": None, "decay": 0.0}
    wanted = compare(go, "linear_regression", "proximal_sgd", [0, 1], [5, 400], lr=10.0, **more)
    assert not any(math.isfinite(last["kl"]) for _, last in wanted)
    wanted = compare(go, "linear_regression", "projected_sgd", [0, 1], [2, 5], rounding=1e3, lr=0.6, **more)
    assert all(1e15 < last["kl"] < math.inf for _, last in wanted)


@pytest.mark.parametrize("start", ["prior", "random"])
def test_one_step_on_all_data_is_exact(go, start):
    """One report: no slope; a divergence of rounding alone."""
    wanted = compare(
        go, "linear_regression", "ngvi", [0, 1], [1], batch=None, estimator="exact", start=start, decay=0.0
    )
    assert "slope" not in wanted[0][1]


def test_every_metric_of_the_note_is_compared(go):
    grid = {"lr": [0.01], "decay": [0.0]}
    ((rows, last),) = compare(go, "linear_regression", "proximal_sgd", [0], [1, 2], batch=7, grid=grid)
    assert set(NOTE.metrics) | {"step"} == set(rows[0]) | set(last)
