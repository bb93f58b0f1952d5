"""Whole small runs of the doubly stochastic task against a plain re-implementation: every row, every final metric, every switch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import final, result_of
from reference import noisy_networks, noisy_problems
from reference.agree import same_rows
from reference.noisy_descent import run
from reference.noisy_draws import Method

from bench.run.curve import read_metrics
from bench.tasks.doubly_stochastic.note import NOTE

ROUNDING = 1e-12  # whatever the size of a number
METHODS = {  # as their configs say
    "doubly_sgd": Method(8),
    "doubly_sgd_rr": Method(8, sampling="reshuffling"),
    "singly_sgd": Method(8, exact=True),
    "full_batch_sgd": Method(0),
    "gradient_descent": Method(0, exact=True),
    "doubly_adam": Method(8, adam={"betas": (0.9, 0.999), "eps": 1e-8}, averaging=8.0),
}
SHARED = {"lr", "mc_samples", "batch_size", "budget", "rho", "sampling", "schedule", "exact"}
TASK = {
    "steps",
    "replicates",
    "lrs",
    "evaluate_every",
    "epsilons",
    "path_points",
    "variance_at",
    "splits",
    "draws",
    "pilot",
}
GAMMA = {"num_components": 11, "dim": 3}
RANDOM = {"num_components": 9, "dim": 3, "rank": 2, "ridge": 0.2}
VI = {"num_components": 10, "latent_dim": 2, "smallest_scale": 0.7}
PROBLEMS = {
    "gamma_quadratics": noisy_problems.gamma_quadratics,
    "random_quadratics": noisy_problems.random_quadratics,
    "gaussian_sum": noisy_problems.GaussianSum,
    "logistic_breast_cancer": cache(noisy_problems.AugmentedLogistic),
    "digits_vae": noisy_networks.Vae,
    "digits_mixup": noisy_networks.Mixup,
}


def written(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def method_of(name: str, n: int, **more: Any) -> Method:
    """The reference's, from the keys of the program's config."""
    method, b = METHODS[name], more.pop("batch_size", METHODS[name].b)
    b = n if b in (0, None) else b
    m = more.pop("mc_samples", None) or more.get("budget", b) // b
    adam = None if method.adam is None else dict(method.adam)
    if adam is not None:
        adam["betas"] = (more.pop("beta1", 0.9), more.pop("beta2", 0.999))
        adam["eps"] = more.pop("eps", 1e-8)
    more.pop("budget", None)
    return replace(method, b=b, m=m, adam=adam, **more)


def compare(
    go,
    dataset: str,
    method: str,
    seeds: list[int],
    rel: float = 1e-9,
    problem: dict[str, Any] | None = None,
    made: noisy_problems.Sum | None = None,
    data: Sequence[str] = (),
    **more: Any,
) -> list:
    """Run both and compare everything; `more` are keys of the task and of the method.

    Args:
        problem: keys of the data set.
        made, data: a problem of a person's files, and more words of the command line.
    """
    problem = problem or {}
    task = {name: value for name, value in more.items() if name in TASK}
    own = {name: value for name, value in more.items() if name not in TASK}
    line = [f"method={method}", f"dataset={dataset}", f"seeds={seeds}", *data]
    for part, values in (("dataset", problem), ("task", task), ("method", own)):
        line += [f"{part}.{name}={written(value)}" for name, value in values.items()]
    folders, lr = go(*line), own.pop("lr", 0.01 if method == "doubly_adam" else None)
    made = made or PROBLEMS[dataset](**problem)
    the_method = method_of(method, made.n, **own)
    found = [run(made, the_method, seed, lr=lr, **task) for seed in sorted(seeds)]
    examples = (found[0][2] if task.get("pilot") else sum(took for *_, took in found)) + sum(
        task.get("replicates", 8) * last["gradient_evaluations"] for _, last, _ in found
    )
    for folder, ended, (rows, last, _) in zip(folders, final(folders), found, strict=True):
        same_rows(read_metrics(folder), rows, rel, floor=ROUNDING)
        best = ended.pop("optimal_batch_size")
        assert best == pytest.approx(last["optimal_batch_size"], rel=1e-6)
        same_rows(
            [ended],
            [{name: value for name, value in last.items() if name != "optimal_batch_size"}],
            rel,
            floor=ROUNDING,
        )
        result = result_of(folder)
        gone = any("error" in row and row["error"] is None for row in read_metrics(folder)[-1:])
        assert result["status"] == ("diverged" if gone else "finished")
        took = result["measured"]["examples_per_second"] * result["measured"]["wall_seconds"]
        assert round(took) == examples
    return found


DESCENTS = [
    ("gamma_quadratics", "doubly_sgd", {"batch_size": 4, "mc_samples": 2}),
    (
        "gamma_quadratics",
        "doubly_sgd",
        {"batch_size": 3, "rho": 0.0, "mc_samples": 2, "schedule": "two_stage", "lr": 0.3},
    ),
    ("gamma_quadratics", "doubly_sgd", {"batch_size": 6, "rho": 0.4, "sampling": "with_replacement"}),
    ("gamma_quadratics", "doubly_sgd", {"batch_size": 1, "rho": -0.5, "budget": 3}),
    ("gamma_quadratics", "doubly_sgd_rr", {"batch_size": 4, "rho": -0.2, "budget": 8}),
    ("gamma_quadratics", "doubly_sgd_rr", {"batch_size": 2, "rho": 1.0}),
    ("gamma_quadratics", "singly_sgd", {"batch_size": 3, "mc_samples": 5}),
    ("gamma_quadratics", "full_batch_sgd", {"rho": 0.0, "mc_samples": 2}),
    ("gamma_quadratics", "gradient_descent", {}),
    ("gamma_quadratics", "doubly_adam", {"batch_size": 4, "lr": 0.1, "beta1": 0.7, "averaging": 2.5}),
    ("random_quadratics", "doubly_sgd", {"batch_size": 2, "rho": 1.0, "mc_samples": 3}),
    ("random_quadratics", "doubly_sgd", {"batch_size": 9, "rho": 0.3, "sampling": "with_replacement"}),
    ("random_quadratics", "doubly_sgd_rr", {"batch_size": 4, "rho": 0.0, "lr": 0.05}),
    ("random_quadratics", "singly_sgd", {"batch_size": 2, "sampling": "with_replacement"}),
    ("gaussian_sum", "doubly_adam", {"batch_size": 4, "rho": 1.0, "mc_samples": 2}),
    (
        "gaussian_sum",
        "doubly_adam",
        {"batch_size": 3, "rho": 0.0, "sampling": "reshuffling", "averaging": None, "lr": 0.2},
    ),
    ("gaussian_sum", "doubly_sgd", {"batch_size": 5, "rho": 0.6, "lr": 0.02, "sampling": "with_replacement"}),
    ("gaussian_sum", "gradient_descent", {"lr": 0.02}),
]
SIZES = {"gamma_quadratics": GAMMA, "random_quadratics": RANDOM, "gaussian_sum": VI}


@pytest.mark.parametrize(("dataset", "method", "more"), DESCENTS, ids=lambda v: v if isinstance(v, str) else None)
def test_descents(go, dataset, method, more):
    """Steps that are no multiple of an epoch, several replicates and seeds, estimates of V beside."""
    compare(
        go, dataset, method, [0, 2], problem=SIZES[dataset], steps=41, replicates=3, draws=150, path_points=5, **more
    )


@pytest.mark.parametrize("sampling", ["without_replacement", "reshuffling"])
def test_step_sizes_and_epsilons(go, sampling):
    """The first step size is the path's; one of them diverges; an epsilon is reached at once, later, by another step size, never."""
    found = compare(
        go,
        "gamma_quadratics",
        "doubly_sgd",
        [0, 1],
        problem=GAMMA | {"heterogeneity": 0.3, "noise": 0.2, "instance": 3},
        steps=60,
        replicates=4,
        draws=0,
        batch_size=3,
        lrs=[0.02, 0.2, 0.005, 1e30],
        evaluate_every=2,
        epsilons=[9.0, 4.0, 0.5, 0.05, 1e-9],
        path_points=7,
        sampling=sampling,
    )
    reached = [row["tuned_lr"] for row in found[0][0] if "epsilon" in row]
    assert len(set(reached)) > 2


def test_divergence(go):
    found = compare(
        go, "gamma_quadratics", "doubly_sgd", [0, 1], problem=GAMMA, steps=80, draws=0, lr=1e30, replicates=2
    )
    assert not math.isfinite(found[0][1]["error"])


SPLITS = [
    ("gamma_quadratics", {"rho": 1.0}),
    ("gamma_quadratics", {"rho": 0.0, "sampling": "with_replacement"}),
    ("gamma_quadratics", {"rho": 0.5, "sampling": "reshuffling"}),
    ("random_quadratics", {"rho": 1.0, "sampling": "with_replacement"}),
    ("gaussian_sum", {"rho": 0.3}),
]


@pytest.mark.parametrize(("dataset", "more"), SPLITS)
@pytest.mark.parametrize("variance_at", ["optimum", "start"])
def test_splits_of_a_budget(go, dataset, more, variance_at):
    """Splits in any order, repeated, that divide the budget or not, larger than n; the method's own is among them or is not."""
    splits = [16, 4, 3, 1, 8, 2, 4] if variance_at == "optimum" else [1, 8]
    more = {"batch_size": 4, "budget": 16, "splits": splits, "draws": 300, "variance_at": variance_at} | more
    found = compare(go, dataset, "doubly_sgd", [0, 3], problem=SIZES[dataset], steps=0, **more)
    assert ("variance_mc" in found[0][1]) == (variance_at == "optimum")


@pytest.mark.parametrize("curvature", ["constant", "inverse_gamma", "gamma"])
def test_the_problem_s_switches(go, curvature):
    problem = GAMMA | {"curvature": curvature, "shape": 0.8, "heterogeneity": 2.5, "noise": 0.4, "start_distance": 3.0}
    compare(go, "gamma_quadratics", "doubly_sgd", [1], problem=problem | {"instance": 1}, steps=12, draws=80)
    problem = RANDOM | {"heterogeneity": 0.3, "noise": 0.4, "start_distance": 3.0, "instance": 1}
    compare(go, "random_quadratics", "doubly_sgd", [1], problem=problem, steps=12, draws=80)


def test_moments_to_be_met(go):
    problem = {"num_components": 40, "dim": 3, "moments": [1.8, 0.6, 1.4], "noise": 0.7}
    found = compare(go, "gamma_quadratics", "doubly_sgd", [0], problem=problem, steps=20, draws=0, splits=[1, 2, 4, 8])
    assert found[0][1]["tau2"] == pytest.approx(1.8, rel=1e-9)
    assert found[0][1]["var_s"] == pytest.approx(1.4, rel=1e-9)


def test_draws_of_many_steps(go):
    """Steps whose draws do not all come at once, with minibatches that are drawn again until nothing is repeated."""
    problem = {"num_components": 40, "dim": 220}
    compare(go, "gamma_quadratics", "doubly_sgd", [0, 1], problem=problem, steps=28, replicates=2, draws=90, budget=24)
    compare(go, "gamma_quadratics", "doubly_sgd_rr", [0], problem=problem, steps=28, replicates=2, draws=0, budget=24)


LOGISTIC = [
    ("doubly_sgd", {"rho": 1.0, "budget": 16, "splits": [2, 8]}),
    ("doubly_sgd_rr", {"rho": 0.5, "batch_size": 80, "evaluate_every": 2}),
    ("doubly_sgd", {"rho": 1.0, "sampling": "with_replacement", "batch_size": 100, "variance_at": "start"}),
    ("singly_sgd", {"batch_size": 60, "sampling": "reshuffling"}),
]


@pytest.mark.parametrize(("method", "more"), LOGISTIC)
def test_logistic_regression(go, method, more):
    """Its optimum is found to about 1e-9 of itself, and moments are quadratures: the tolerance."""
    steps = 71 if more.get("batch_size", 8) == 8 else 15
    more = {"lr": 0.02, "replicates": 1, "steps": steps, "draws": 64, **more}
    compare(go, "logistic_breast_cancer", method, [0, 1], 1e-7, {"noise": 0.8, "l2": 0.15}, **more)


@pytest.mark.parametrize("name", ["mushrooms", "a9a"])
def test_files_of_a_person(go, tmp_path, name):
    """A small file in LIBSVM's layout: columns that do not vary are left out, the larger label is 1."""
    rng = np.random.default_rng(5)
    features = np.zeros((40, 100))
    features[:, 3:7], features[:, 9] = rng.integers(0, 2, (40, 4)), 1
    labels = (features[:, 4] + rng.random(40) > 0.8).astype(int)
    lines = (f"{2 * y - 1} " + " ".join(f"{j + 1}:1" for j in np.flatnonzero(x)) for x, y in zip(features, labels))
    (tmp_path / "data/libsvm").mkdir(parents=True)
    (tmp_path / "data/libsvm" / name).write_text("\n".join(lines) + "\n")
    problem = {"noise": 1.0, "l2": 0.1}
    made = noisy_problems.AugmentedLogistic(**problem, table=(features, labels))
    data = [f"data_root={tmp_path / 'data'}", "dataset.verify=false"]
    more = {"batch_size": 6, "steps": 20, "replicates": 2, "draws": 80}
    compare(go, f"logistic_{name}", "doubly_sgd", [0, 1], 1e-7, problem, made, data, **more)


@pytest.mark.parametrize(
    ("dataset", "problem", "more"),
    [
        ("gamma_quadratics", GAMMA, {"rho": 1.0, "splits": [1, 4, 8]}),
        ("random_quadratics", RANDOM, {"rho": 0.0, "splits": [1, 2, 8], "sampling": "with_replacement"}),
        ("digits_vae", {"hidden": 3, "latent": 2, "warm_up": 2}, {"rho": 1.0, "splits": [1, 2, 4]}),
        ("digits_mixup", {"hidden": 3, "alpha": 0.6, "warm_up": 2}, {"rho": 0.0, "splits": [1, 4, 8]}),
    ],
)
def test_moments_of_a_pilot_sample(go, dataset, problem, more):
    """Each seed's own, held against one estimate for all of them."""
    more = {"batch_size": 4, "budget": 8, "pilot": [5, 4], "draws": 70, "steps": 0} | more
    compare(go, dataset, "doubly_sgd", [0, 1], problem=problem, **more)


def test_every_metric_of_the_note_is_compared(go):
    more = {"batch_size": 4, "budget": 8, "splits": [1, 4], "draws": 70, "steps": 4, "epsilons": [1e3]}
    ((rows, last, _),) = compare(go, "gamma_quadratics", "doubly_sgd", [0], problem=GAMMA, **more)
    names = {name for row in [*rows, last] for name in row}
    assert set(NOTE.metrics) | {"step"} == names
