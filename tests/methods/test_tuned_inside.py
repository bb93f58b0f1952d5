"""Baselines whose step size is tuned had room: in the committed results the best of each grid lies inside it. Where it does not is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from statistics import median

import pytest
from conftest import ROOT

from bench.judge.archive import Record, read_all

# Hyper-parameters of whose grid most seeds took an end where larger or smaller values were possible: the envelope may be too high there.
AT_AN_END = {
    ("ngvi/conjugate_sgd", "adam_vi", "linear_regression"): {"decay"},
    ("ngvi/logistic_rate", "adam_vi", "logistic_regression"): {"lr", "decay"},
    ("ngvi/logistic_rate", "proximal_sgd", "logistic_regression"): {"decay"},
    ("ngvi/poisson_rate", "proximal_sgd", "poisson_regression"): {"decay"},
    ("ngvi/uci", "proximal_sgd", "bike"): {"lr"},
    ("ngvi/uci", "proximal_sgd", "energy"): {"lr"},
    ("ngvi/uci", "proximal_sgd", "mushrooms"): {"decay"},
}
ENVELOPES = ("conjugate_sgd", "embedded", "logistic_rate", "poisson_rate", "uci")


@cache
def runs(experiment: str) -> list[Record]:
    """The committed ones, at mini scale."""
    records = read_all(ROOT / "results", lambda line: pytest.fail(line))
    found = [r for r in records if r.ended and f"{experiment}@mini" in r.experiments]
    assert found, experiment
    return found


def best(records: Iterable[Record], metric: str) -> float:
    """The step size with the lowest median of a metric over seeds; a run that has none is no candidate."""
    by_lr: dict[float, list[float]] = defaultdict(list)
    for record in records:
        if record.metrics.get(metric) is not None:
            by_lr[record.config["method"]["lr"]].append(record.metrics[metric])
    return min(by_lr, key=lambda lr: median(by_lr[lr]))


@pytest.mark.parametrize(
    ("experiment", "method"),
    [
        *(("tune", name) for name in ("signsgd", "signsgd_sim", "signsvrg", "ssvr", "ssvr_fs", "adamw")),
        *(("tune_baselines", name) for name in ("ef_signsgd", "sgd")),
    ],
)
def test_the_lowest_training_loss_lies_inside_the_grid(experiment, method):
    """That the CIFAR-10 figure takes that step size: tests/conf/test_configs.py."""
    own = [r for r in runs(f"ssvr/cifar10_{experiment}") if r.method == method]
    grid = {r.config["method"]["lr"] for r in own}
    assert len(grid) >= 5
    assert min(grid) < best(own, "train_loss") < max(grid)


@pytest.mark.parametrize("method", ["signsgd_sim", "signsvrg", "ssvr", "ssvr_fs", "ssvr_fs_spider"])
def test_methods_compared_at_equal_calls_are_at_the_best_of_their_grids(method):
    """signSGD's gradient norm still falls at the largest step, to ten times the others': no claim needs it."""
    own = [r for r in runs("ssvr/equal_calls") if r.method == method]
    grid = {r.config["method"]["lr"] for r in own}
    assert len(grid) == 6
    assert min(grid) < best(own, "mean_grad_l1") < max(grid)


def ends(record: Record) -> set[str]:
    """Hyper-parameters whose choice by the last row is an end of the grid; a decay of 0 is none."""
    found = set()
    for name, values in record.config["task"]["grid"].items():
        chosen = record.metrics[f"chosen_{name}"]
        if chosen == max(values) or (chosen == min(values) and chosen > 0):
            found.add(name)
    return found


def test_envelopes_of_black_box_inference_are_wide_enough_but_where_it_is_told():
    at_ends: dict[tuple[str, str, str], list[set[str]]] = defaultdict(list)
    for name in ENVELOPES:
        for record in runs(f"ngvi/{name}"):
            if record.config["task"]["grid"]:
                at_ends[f"ngvi/{name}", record.method, record.dataset].append(ends(record))
    assert len(at_ends) >= 10
    found = {
        case: {name for name in ("lr", "decay") if sum(name in own for own in each) > len(each) / 2}
        for case, each in at_ends.items()
    }
    assert {case: names for case, names in found.items() if names} == AT_AN_END
