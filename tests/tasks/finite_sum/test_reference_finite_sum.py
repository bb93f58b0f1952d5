"""Whole runs of the finite-sum task against a naive reference: each row, each number, each count."""

from __future__ import annotations

import math
import sys

import pytest
from conftest import final, result_of
from reference import finite_sum as naive
from reference.agree import all_compared, same_rows

from bench.run.curve import read_metrics
from bench.seeding import generator
from bench.tasks.finite_sum.note import NOTE

REL = 1e-9
SEEDS = (0, 3)
SINE = {"dim": 7, "noise": 2.0, "rare": 0.2}  # values 2 and -0.5
SQUARES = {"dim": 5, "num_components": 7, "penalty": 0.4, "scale": 3.0}


def compared(go, name: str, dataset: str, horizons: list[int], *more: str, **setting) -> set[str]:
    """Names that agree between a run of the program and the reference. setting: as the method's config; lr: and theory, or not."""
    keys = {"sine_quadratic": SINE, "least_squares": SQUARES}[dataset]
    lines = [f"dataset.{key}={value}" for key, value in keys.items()] + [f"seeds={list(SEEDS)}".replace(" ", "")]
    own = [f"method.{key}={value}" for key, value in setting.items() if key != "theory"]
    lines += [f"task.horizons={horizons}".replace(" ", ""), f"task.theory={str(setting['theory']).lower()}"]
    folders = go(f"method={name}", f"dataset={dataset}", *lines, *own, *more)
    names = set()
    for seed, folder, last in zip(SEEDS, folders, final(folders)):
        rows, sound = reference(name, dataset, seed, horizons, setting)
        names |= same_rows(read_metrics(folder), rows, REL)
        names |= same_rows([last], [{k: v for k, v in rows[-1].items() if k != "step"}], REL)
        assert result_of(folder)["status"] == ("finished" if sound else "diverged")
        measured = result_of(folder)["measured"]
        assert measured["seeds_in_batch"] == len(SEEDS)
        steps = measured["examples_per_second"] * measured["wall_seconds"]
        assert steps == pytest.approx(len(SEEDS) * sum(horizons)), "a sample a step of each horizon and seed"
    return names


def reference(name: str, dataset: str, seed: int, horizons: list[int], setting: dict) -> tuple[list[dict], bool]:
    problem = naive.Sine(seed, **SINE) if dataset == "sine_quadratic" else naive.LeastSquares(seed, *SQUARES.values())
    rows, all_sound = [], True
    for horizon in sorted(horizons):
        how = setting_of(name, problem, horizon, dict(setting))
        row, sound = naive.path(problem, name, horizon, how)
        rows, all_sound = [*rows, row], all_sound and sound
    return rows, all_sound


def setting_of(name: str, problem, horizon: int, keys: dict) -> naive.Setting:
    """The step size that a config means, and where the theory says nothing of beta the config's own."""
    if keys.pop("theory"):
        how = naive.theory(name, keys["lr"], horizon, problem.dim, problem.m)
    else:
        how = naive.Setting(keys["lr"], keys.get("beta", 1 / problem.m if problem.m else 1.0))
    how.weight_decay = keys.get("weight_decay", 0.0)
    how.momentum, how.nesterov = keys.get("momentum", 0.9), keys.get("nesterov", "false") == "true"
    how.betas = keys.get("beta1", 0.9), keys.get("beta2", 0.999)
    return how


@pytest.mark.parametrize(
    ("name", "lr"), [("signsgd", 3.0), ("signsgd_sim", 10.0), ("ssvr", 5.0), ("sgd", 0.3), ("adamw", 0.7)]
)
def test_of_an_expectation_with_the_theorys_steps_over_unequal_horizons(go, name, lr):
    """The longest goes beyond the 512 steps whose draws are made at once; that of 27 starts SSVR on 3 samples, that of 600 on 8."""
    names = compared(go, name, "sine_quadratic", [27, 1, 600, 5], lr=lr, theory=True)
    all_compared(names, NOTE)


@pytest.mark.parametrize(
    ("name", "lr"),
    [
        ("signsgd", 1.0),
        ("signsgd_sim", 1.0),
        ("ssvr", 2.0),
        ("signsvrg", 3.0),
        ("ssvr_fs", 1.0),
        ("ssvr_fs_spider", 1.0),
        ("sgd", 0.1),
        ("adamw", 0.3),
    ],
)
def test_of_a_finite_sum_with_the_theorys_steps_and_passes_that_no_horizon_divides(go, name, lr):
    names = compared(go, name, "least_squares", [3, 20, 53], lr=lr, theory=True)
    all_compared(names, NOTE)


@pytest.mark.parametrize(
    ("name", "dataset", "keys"),
    [
        ("signsgd", "sine_quadratic", {}),
        ("signsgd_sim", "sine_quadratic", {"beta": 0.3}),
        ("ssvr", "sine_quadratic", {"beta": 0.4}),
        ("ssvr", "sine_quadratic", {"beta": 1.0}),
        ("signsvrg", "least_squares", {}),
        ("ssvr", "least_squares", {"beta": 0.2}),
        ("ssvr_fs", "least_squares", {"beta": 0.25}),
        ("ssvr_fs", "least_squares", {}),
        ("ssvr_fs_spider", "least_squares", {}),
        ("sgd", "sine_quadratic", {"momentum": 0.5, "nesterov": "true"}),
        ("sgd", "least_squares", {"momentum": 0.0}),
        ("adamw", "least_squares", {"beta1": 0.7, "beta2": 0.9}),
    ],
)
def test_with_steps_of_ones_own_and_weight_decay(go, name, dataset, keys):
    """No larger first batch, lr and beta as they stand."""
    compared(go, name, dataset, [17, 4], lr=0.02, theory=False, weight_decay=1.5, **keys)


def test_paths_that_overflow_say_so_and_their_numbers_are_none(go):
    names = compared(go, "sgd", "sine_quadratic", [1, 2, 6], lr=1e170, theory=False)
    assert "mean_grad_l1" in names


def test_a_last_step_that_overflows_condemns_its_own_seed_alone(go):
    """All numbers are of points before it; they are finite."""
    first = []
    for seed in SEEDS:
        problem = naive.LeastSquares(seed, *SQUARES.values())
        first.append(abs(problem.gradient(problem.start, problem.next_sample(generator(seed, "noise", 1)))).max())
    lr = sys.float_info.max / math.sqrt(math.prod(first))
    compared(go, "sgd", "least_squares", [1], lr=lr, momentum=0.0, theory=False)
    statuses = {reference("sgd", "least_squares", seed, [1], {"lr": lr, "theory": False})[1] for seed in SEEDS}
    assert statuses == {True, False}
