"""Held-out data, and the optimum that errors are taken from, are changed: what is trained stays the same to the last bit, what is measured
does not. The same check finds planted leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from conftest import QUIET
from probe import trained
from torch import nn

from bench.run.options import options
from bench.tasks.classification.evaluation import Evaluation
from bench.tasks.doubly_stochastic import loop as doubly_stochastic
from bench.tasks.feature_learning.cells import RIDGE, TEST, Cell
from bench.tasks.feature_learning.index_models import IndexModel
from bench.tasks.finite_sum import loop as finite_sum
from bench.tasks.generation import loop as generation
from bench.tasks.generation.loop_setup import Ground
from bench.tasks.inference.bayes import BayesianModel
from bench.tasks.inference.gaussian import Gaussian
from bench.tasks.inference.loop import Inference
from bench.tasks.portfolio import loop as portfolio
from bench.tasks.valuation import loop as valuation
from bench.tasks.vote import loop as vote
from datasets.images import digits
from datasets.images.selection import _moments
from datasets.sums.noisy_logistic import AugmentedLogistic
from mistakes.egab import look_ahead

Context = Callable[[], AbstractContextManager[None]]
NOTHING_HELD_OUT = {
    "curvature": "nothing is trained",
    "mixing": "nothing is trained",
    "mixed_images": "no number is of other images than those that are mixed",
    "private_budget": "nothing is trained, and there is no data",
    "private_step": "single steps are looked at, of private images alone",
    "low_rank_shift": "the best denoiser is looked at by metrics alone, which tests/tasks/low_rank_shift compares step by step",
    "epoch_choice": "what each part touches is changed part by part in tests/tasks/epoch_choice",
    "sampling": "nothing is trained; the exact law is looked at by metrics alone, which tests/tasks/sampling compares path by path",
    "teacher_recovery": "the teacher is what is trained on, and all metrics are closed forms of it",
}
PERIODS, CHANGED = 60, 41  # of the market at smoke scale; the first period whose relatives are others


@dataclass(frozen=True)
class Held:
    """What a task trains without: a context that makes it another, the metrics that tell of it and those that cannot.

    states: so many digests of the training come before anything that may know of it; None: all do.
    """

    change: Context
    tells: tuple[str, ...]
    blind: tuple[str, ...]
    states: int | None = None


def complaints(held: Held, overrides: tuple[str, ...], plant: Context, job: Callable, folder: Any) -> set[str]:
    """What is wrong with a run's ignorance of its held-out part, by two runs of it."""
    made = job(*overrides, *QUIET, "scale=smoke", "seeds=[0]", "verbose=false")
    with plant():
        plain = trained(made, folder / "plain")
        with held.change():
            other = trained(made, folder / "other")
    found = set()
    if plain.states[: held.states] != other.states[: held.states]:
        found.add("training")
    for names, equal in ((held.blind, True), (held.tells, False)):
        for name in names:
            values, others = ([row[name] for row in one.rows if name in row] for one in (plain, other))
            assert values, f"{name} is no metric of this run"
            if (values == others) != equal:
                found.add(name)
    return found


# ---- what is held out


@contextmanager
def _images(val: bool) -> Iterator[None]:
    select = digits.select

    def changed(raw: Any, how: Any) -> Any:
        data = select(replace(raw, test_x=255 - raw.test_x, test_y=(raw.test_y + 1) % 10), how)
        return replace(data, val_x=255 - data.val_x, val_y=(data.val_y + 1) % 10) if val else data

    with patch.object(digits, "select", changed):
        yield


@contextmanager
def _built(loop: Any, change: Callable[[Any], Any]) -> Iterator[None]:
    """The loop's data set is change(data set)."""
    build = loop.build

    def changed(group: str, *arguments: Any, **more: Any) -> Any:
        made = build(group, *arguments, **more)
        return change(made) if group == "dataset" else made

    with patch.object(loop, "build", changed):
        yield


def _future(first: int) -> Context:
    """Other relatives from a period on."""

    def change(market: Any) -> Any:
        x = market.relatives.clone()
        x[first:] = x[first:].flip(0, 1).sqrt()
        return replace(market, relatives=x)

    return lambda: _built(portfolio, change)


@contextmanager
def _samples() -> Iterator[None]:
    """Other samples for the test and for the second phase."""
    labelled = IndexModel.labelled

    def changed(self: Any, seeds: Any, replicates: int, d: int, block: int, count: int, theta: Any) -> Any:
        x, y = labelled(self, seeds, replicates, d, block, count, theta)
        return (-x.flip(-1), y + 1) if block in (TEST, RIDGE) else (x, y)

    with patch.object(IndexModel, "labelled", changed):
        yield


@contextmanager
def _best_gaussian() -> Iterator[None]:
    optimum = BayesianModel.optimum

    def moved(self: Any) -> Gaussian:
        q = optimum(self)
        return replace(q, mean=q.mean + 0.1)

    with patch.object(BayesianModel, "optimum", moved):
        yield


def _optimum() -> AbstractContextManager[None]:
    def change(problem: Any) -> Any:
        problem.optimum = problem.optimum + 0.5
        return problem

    return _built(doubly_stochastic, change)


class _OtherGradient:
    """A problem whose exact gradient, for the metrics alone, is twice what it is."""

    def __init__(self, problem: Any) -> None:
        self._problem = problem

    def full_gradient(self, x: Any) -> Any:
        return 2 * self._problem.full_gradient(x)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)


def _flags_and_tests() -> AbstractContextManager[None]:
    """Other points are said to be corrupted, and the test points are others."""
    return _built(valuation, lambda points: replace(points, corrupted=points.corrupted.flip(0), test_x=-points.test_x))


def _other_people() -> AbstractContextManager[None]:
    """Other held-out images of other classes."""

    def change(pair: Any) -> Any:
        return replace(pair, held_x=255 - pair.held_x, held_y=(pair.held_y + 1) % pair.num_classes)

    return _built(generation, change)


TRAINING = ("train_loss", "grad_l1", "lr", "epoch")
IMAGES = Held(lambda: _images(val=True), ("test_accuracy", "test_nll", "val_accuracy"), TRAINING)
TEST_IMAGES = Held(lambda: _images(val=False), ("test_accuracy", "test_nll"), (*TRAINING, "val_accuracy"))
AVERAGED = replace(IMAGES, tells=(*IMAGES.tells, "bma_nll", "bma_val_brier"), blind=(*TRAINING, "swap_rate"))
MARKET = Held(_future(CHANGED), ("wealth", "sharpe"), ("periods",), CHANGED + 1)
THIRD = Held(_future(PERIODS // 3), ("wealth",), ("chosen_eta",), PERIODS // 3 + 1)
INDEX = Held(_samples, ("test_loss", "network_error", "test_error"), ("overlap_mean", "overlap_max", "norm_error"))
POSTERIOR = Held(_best_gaussian, ("kl", "kl_reverse"), ("lost_pd_steps", "gradient_evaluations"))
DISTANCE = Held(_optimum, ("error", "distance"), ("iterations",))
EXACT = Held(
    lambda: _built(finite_sum, _OtherGradient), ("mean_grad_l1", "tracking_mse"), ("gradient_evaluations", "iterations")
)
VOTED = Held(
    lambda: _built(vote, _OtherGradient),
    ("mean_grad_l2", "tail_grad_l1", "tail_grad_mean"),
    ("gradient_evaluations", "iterations", "bits_up"),
)
VALUES = Held(_flags_and_tests, ("auc", "detected", "pruned_accuracy"), ("value_sum", "lowest_value", "spearman"))
SAMPLES = Held(
    _other_people,
    ("accuracy_logreg", "accuracy_mlp", "membership_auc"),
    ("frechet", "precision", "coverage", "steps", "trainable_parameters", "samples"),
)
RELEASED = replace(SAMPLES, tells=("accuracy_logreg", "accuracy_mlp"))

DIGITS = ("dataset=digits", "model=small_cnn", "dataset.train_size=128", "dataset.val_size=64", "task.epochs=2")
DJIA = ("dataset=djia", "task.costs=[0.005]")
GRID = "task.grid={eta:[2.0,20.0,200.0]}"
FEATURES = (
    "dataset=single_index",
    "dataset.d=[8,12]",
    "model.width=4",
    "task.ridge_samples=64",
    "task.test_samples=64",
)
LOGISTIC = ("dataset=logistic_breast_cancer", "task.steps=71", "task.replicates=2", "task.draws=0")
NOISY = ("dataset=gaussian_noisy", "dataset.test_size=100", "task.compare=random")
PRUNED = ("task.network=mlp", "task.prune=[0.0,0.3]", "task.retrain_epochs=2")
DRAWN = ("dataset=private_digits", "task.pretraining_steps=4", "task.feature_steps=4", "task.sampling_steps=4")
BAYES = ("dataset=logistic_regression", "dataset.n=100", "task.reports=[5,20]")
CASES = {
    "classification": [
        *((IMAGES, (f"method={m}", *DIGITS)) for m in ("ssvr", "sgd", "adamw", "signsvrg", "signsgd_sim")),
        (AVERAGED, ("method=r2sghmc", "method.lr=1e-3", *DIGITS)),
        (TEST_IMAGES, ("method=sgd", *DIGITS, "task.selection=best_val")),
    ],
    "portfolio": [
        *((MARKET, (f"method={m}", *DJIA)) for m in ("ubah", "eg", "up", "ons", "anticor", "olmar2", "rmr", "tco1")),
        *((MARKET, (f"method={m}", *DJIA)) for m in ("pamr", "cwmr_var", "egab_n")),
        (MARKET, ("method=egab_n", *DJIA, GRID, "task.selection=online")),
        (THIRD, ("method=egab_n", *DJIA, GRID, "task.selection=first_third")),
        (THIRD, ("method=eg", *DJIA, GRID, "task.selection=first_third")),
    ],
    "feature_learning": [
        *((INDEX, (f"method={m}", *FEATURES, "task.samples=[4,16]")) for m in ("online_sgd", "reuse_sgd", "reuse_map")),
        (INDEX, ("method=same_batch_gd", *FEATURES, "task.samples=[4]", "method.steps=5")),
    ],
    "inference": [(POSTERIOR, (f"method={m}", *BAYES)) for m in ("ngvi", "adam_vi", "projected_sgd", "proximal_sgd")],
    "doubly_stochastic": [
        (DISTANCE, (f"method={m}", *LOGISTIC))
        for m in ("doubly_sgd", "doubly_sgd_rr", "doubly_adam", "singly_sgd", "full_batch_sgd")
    ],
    "valuation": [(VALUES, (f"method={m}", *NOISY, *PRUNED)) for m in ("knn_shapley", "el2n", "tracin", "influence")],
    "generation": [
        *((SAMPLES, (f"method={m}", *DRAWN)) for m in ("dplora", "dp_attention", "dp_scratch", "lora", "public_only")),
        (RELEASED, ("method=dp_mepf", *DRAWN)),
    ],
    "finite_sum": [
        (EXACT, (f"method={m}", "dataset=sine_quadratic", "task.horizons=[30,60]"))
        for m in ("ssvr", "signsgd", "signsgd_sim", "sgd")
    ],
    "vote_images": [
        (IMAGES, (f"method={m}", *DIGITS, "task.workers=2", "task.split=dirichlet", "task.alpha=1.0"))
        for m in ("ssvr_mv", "signum_mv")
    ],
    "vote": [
        (VOTED, (f"method={m}", "dataset=worker_quadratics", "task.horizons=[30,60]"))
        for m in ("ssvr_mv", "ssvr_mv_stochastic", "dvr_sign", "dvr_q", "signum_mv", "ssdm", "sto_signsgd")
    ],
}
EVERY = [
    pytest.param(held, overrides, id=f"{task}-{overrides[0][7:]}-{i}")
    for task, cases in CASES.items()
    for i, (held, overrides) in enumerate(cases)
]


def test_every_task_is_looked_at_or_holds_nothing_out():
    assert {*CASES, *NOTHING_HELD_OUT} == set(options("task"))
    assert not set(CASES) & set(NOTHING_HELD_OUT)


@pytest.mark.parametrize(("held", "overrides"), EVERY)
def test_what_is_held_out_does_not_touch_what_is_trained(held, overrides, job, tmp_path):
    assert complaints(held, overrides, nullcontext, job, tmp_path) == set()


# ---- planted leaks


@contextmanager
def _selected(change: Callable[[Any], Any]) -> Iterator[None]:
    select = digits.select
    with patch.object(digits, "select", lambda raw, how: change(select(raw, how))):
        yield


def _normalised_by_all() -> AbstractContextManager[None]:
    """Mean and deviation of the pixels are those of training and test images."""

    def change(data: Any) -> Any:
        mean, std = _moments(torch.cat([data.train_x, data.test_x]))
        return replace(data, mean=mean, std=std)

    return _selected(change)


def _trained_on_test() -> AbstractContextManager[None]:
    """Test images are among the training images."""

    def change(data: Any) -> Any:
        both = {f"train_{k}": torch.cat([getattr(data, f"{p}_{k}") for p in ("train", "test")]) for k in ("x", "y")}
        return replace(data, **both, train_y_clean=both["train_y"])

    return _selected(change)


@contextmanager
def _tested_on_training() -> Iterator[None]:
    """What is called the test accuracy is that of the training images."""
    held_out = Evaluation._held_out

    def wrong(self: Any, model: Any) -> Any:
        data, self._data = self._data, replace(self._data, test_x=self._data.train_x, test_y=self._data.train_y)
        try:
            return held_out(self, model)
        finally:
            self._data = data

    with patch.object(Evaluation, "_held_out", wrong):
        yield


@contextmanager
def _statistics_of_test() -> Iterator[None]:
    """The network stays in training mode while it is tested: BatchNorm's statistics take in the test images."""
    with patch.object(nn.Module, "eval", lambda self: self):
        yield


@contextmanager
def _chosen_on_test() -> Iterator[None]:
    """The best epoch is that of the best test accuracy."""
    call = Evaluation.__call__

    def wrong(self: Any, model: Any) -> Any:
        row = call(self, model)
        return row | {"val_accuracy": row["test_accuracy"]}

    with patch.object(Evaluation, "__call__", wrong):
        yield


@contextmanager
def _chosen_on_everything() -> Iterator[None]:
    """The setting is chosen by the wealth at the end of all periods."""
    evaluate = portfolio.Trial._evaluate

    def wrong(self: Any, x: Any, values: Any, mixture: bool = False) -> Any:
        first = self.session.examples == 0
        return evaluate(self, self.relatives if first else x, values, mixture)

    with patch.object(portfolio.Trial, "_evaluate", wrong):
        yield


@contextmanager
def _block(block: int, instead: int) -> Iterator[None]:
    """The samples of one block stand in for another's."""
    sample = Cell.sample
    with patch.object(Cell, "sample", lambda self, b, count: sample(self, instead if b == block else b, count)):
        yield


@contextmanager
def _started_at_the_best() -> Iterator[None]:
    """q_0 is drawn towards q*."""
    start = Inference._start

    def near(self: Any, kind: str) -> Any:
        q = start(self, kind)
        return Gaussian(q.mean + 0.5 * (self.best.mean - q.mean), q.scale, q.upper)

    with patch.object(Inference, "_start", near):
        yield


@contextmanager
def _started_at_the_optimum() -> Iterator[None]:
    with patch.object(AugmentedLogistic, "start", lambda self: self.optimum / 2):
        yield


@contextmanager
def _exact_gradient() -> Iterator[None]:
    """The method is handed the gradient that the metrics are computed with."""

    def exact(self: Any, active: int, sample: Any) -> Any:
        gradient = self.problem.full_gradient(self.x[:active])
        self._hand_over(gradient, 1)
        return gradient.new_zeros(())

    with patch.object(finite_sum.Descent, "_stochastic", exact):
        yield


@contextmanager
def _held_among_private() -> Iterator[None]:
    """The method's private images are the held-out ones."""
    problem = Ground.problem

    def wrong(self: Any, *arguments: Any) -> Any:
        self.planted = replace(self.pair, private_x=self.pair.held_x, private_y=self.pair.held_y)
        return problem(self, *arguments)

    with patch.object(Ground, "problem", wrong):
        yield


@contextmanager
def _exact_gradient_voted() -> Iterator[None]:
    """Workers are handed the gradient that the metrics are computed with."""
    advance = vote.Descent.advance

    def told(self: Any) -> None:
        exact = self.problem.full_gradient
        with patch.object(self.problem, "gradient", lambda x, sample: exact(x).expand(8, *x.shape), create=True):
            advance(self)

    with patch.object(vote.Descent, "advance", told):
        yield


OLMAR = ("method=olmar2", "method.epsilon=1.01", *DJIA)  # small steps, that end in no corner
LEAKS = {
    "normalised-by-all": (IMAGES, ("method=sgd", *DIGITS), _normalised_by_all, {"training"}),
    "trained-on-test": (IMAGES, ("method=sgd", *DIGITS), _trained_on_test, {"training", "train_loss"}),
    "tested-on-training": (IMAGES, ("method=sgd", *DIGITS), _tested_on_training, {"test_accuracy", "test_nll"}),
    "statistics-of-test": (IMAGES, ("method=sgd", *DIGITS), _statistics_of_test, {"training"}),
    "chosen-on-test": (
        TEST_IMAGES,
        ("method=sgd", *DIGITS, "task.selection=best_val"),
        _chosen_on_test,
        {"val_accuracy"},
    ),
    "look-ahead": (MARKET, OLMAR, look_ahead, {"training"}),
    "hindsight": (MARKET, ("method=bcrp", *DJIA), nullcontext, {"training"}),
    "chosen-on-everything": (
        THIRD,
        ("method=egab_n", *DJIA, GRID, "task.selection=first_third"),
        _chosen_on_everything,
        {"chosen_eta"},
    ),
    "test-samples-trained-on": (
        INDEX,
        ("method=online_sgd", *FEATURES, "task.samples=[4]"),
        lambda: _block(1, TEST),
        {"training", "overlap_mean"},
    ),
    "tested-on-trained": (
        INDEX,
        ("method=same_batch_gd", *FEATURES, "task.samples=[4]", "method.steps=5"),
        lambda: _block(TEST, 1),
        {"test_loss", "network_error"},
    ),
    "started-at-the-best": (POSTERIOR, ("method=adam_vi", *BAYES), _started_at_the_best, {"training"}),
    "started-at-the-optimum": (DISTANCE, ("method=doubly_sgd", *LOGISTIC), _started_at_the_optimum, {"training"}),
    "exact-gradient": (
        EXACT,
        ("method=signsgd_sim", "dataset=sine_quadratic", "task.horizons=[30]"),
        _exact_gradient,
        {"training"},
    ),
    "held-out-trained-on": (
        SAMPLES,
        ("method=dplora", *DRAWN),
        _held_among_private,
        {"training", "frechet"},
    ),
    "exact-gradient-voted": (
        VOTED,
        ("method=signum_mv", "dataset=worker_quadratics", "task.horizons=[30]"),
        _exact_gradient_voted,
        {"training"},
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_noticed(name, job, tmp_path):
    held, overrides, plant, expected = LEAKS[name]
    assert complaints(held, overrides, plant, job, tmp_path) >= expected
