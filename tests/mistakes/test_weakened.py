"""Weaker baselines, forgotten resets and data used twice, planted one at a time: a test notices each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib import import_module
from typing import Any
from unittest.mock import patch

import pytest
import torch
from conftest import QUIET, job_of
from outside import REFERENCES
from outside_made import of_test

from bench.judge.checks import matches
from bench.judge.papers import load_papers
from bench.judge.plan import Planned, plan
from bench.judge.selftest import Mistake
from bench.run.curve import read_metrics
from bench.run.runner import execute
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.batches import Batches
from bench.tasks.inference.estimators import CHUNK, EnergyGradients
from datasets.bayes.drawn import linear_regression
from datasets.sums.finite_sums import SineQuadratic


def registered(of: str) -> list[Mistake]:
    return [mistake for paper in load_papers() for mistake in getattr(import_module(f"mistakes.weakened.{paper}"), of)]


# ---- checks that belong to no baseline


def orders() -> None:
    """Each epoch is a permutation of the images, and another one."""
    labels = torch.arange(40)
    images = Augmenter(torch.zeros(40, 1, 4, 4, dtype=torch.uint8), [0.0], [1.0])
    batches = Batches(images, labels, 0, 8)
    epochs = [torch.cat([batches.get(epoch, k)[1] for k in range(5)]) for epoch in range(3)]
    assert all(torch.equal(epoch.sort().values, labels) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])


def losses(folder: Any) -> None:
    """An epoch's row has the mean of the losses that its own steps returned."""
    from methods.sign.signsgd import SignSGD

    seen, step = [], SignSGD.step

    def watched(self: Any, closure: Any) -> Any:
        seen.append(step(self, closure))
        return seen[-1]

    line = ["method=signsgd", "dataset=digits", "scale=smoke", "task.epochs=3", *QUIET, "verbose=false", "seeds=[0]"]
    with patch.object(SignSGD, "step", watched):
        outcome = execute(job_of(*line, f"results_root={folder}"))
    rows = read_metrics(outcome.job.folder / "seed0")
    means = torch.stack(seen).double().unflatten(0, (3, -1)).mean(1).tolist()
    assert [row["train_loss"] for row in rows] == pytest.approx(means, rel=1e-6)


def noise_of_chunks() -> None:
    """Two chunks of steps share no noise."""
    first, second = (SineQuadratic([0], dim=50).draw(chunk, 30) for chunk in (1, 2))
    assert (first == second).double().mean() < 0.9


def minibatches_of_chunks() -> None:
    """Two chunks of steps share no minibatches."""
    gradients = EnergyGradients(linear_regression("", [0], n=500, dim=3), [0], "exact", 5, 1)
    gradients._draw(0)
    before = gradients._indices.clone()
    gradients._draw(1)
    assert len(before) == CHUNK
    assert (before == gradients._indices).double().mean() < 0.05


CHECKS: dict[str, Callable[..., None]] = {
    "one-snapshot-fs": of_test(
        "methods/sign/test_sign_recursions.py", "test_the_estimates_are_the_papers_too", "ssvr_fs"
    ),
    "estimate-kept": of_test(
        "methods/sign/test_sign_recursions.py", "test_the_estimates_are_the_papers_too", "ssvr_fs_spider"
    ),
    "noise-again": noise_of_chunks,
    "one-order": orders,
    "losses-kept": losses,
    "late-votes": of_test("methods/vote/test_vote_halves.py", "votes_apart", "ssvr_mv"),
    "unsent-answer": of_test("methods/vote/test_vote_halves.py", "fits_the_wire", "ssvr_mv_stochastic"),
    "one-permutation": of_test(
        "methods/noisy/test_doubly_sgd.py", "test_reshuffling_sees_every_component_once_an_epoch_in_new_blocks"
    ),
    "holdings-kept": of_test("tasks/portfolio/test_books.py", "test_books_by_hand", False),
    "minibatches-again": minibatches_of_chunks,
    "earlier-normal": of_test(
        "tasks/sampling/test_domains.py", "test_the_boundary_point_lies_on_the_segment_and_on_the_boundary", "flower"
    ),
    "unreflected-energies": of_test("methods/sampling/test_langevin.py", "test_energies_are_of_reflected_positions"),
    "one-minibatch-of-three": of_test(
        "methods/two_layer/test_regularised_gd.py",
        "test_sampled_gradients_have_the_population_s_mean_even_if_alpha_and_beta_are_wrong",
        0.0,
    ),
    "swapped": of_test(
        "tasks/feature_learning/test_one_pass.py",
        "test_one_map_is_the_two_steps_with_the_projection_frozen",
        *(1.0, 0.9, "relu"),
    ),
    "no-normalisation": of_test(
        "tasks/feature_learning/test_one_pass.py",
        "test_batch_reuse_is_two_explicit_steps",
        *("sphere", 0.9, "frozen", 1, "normal"),
    ),
}


def check_of(name: str, folder: Any) -> None:
    CHECKS[name](folder) if CHECKS[name] is losses else CHECKS[name]()


def test_every_baseline_is_weakened():
    weakened = {mistake.of["method"] for mistake in registered("WEAKENED")} | set(INDEX)
    assert weakened == set(REFERENCES)
    assert {mistake.name for mistake in registered("FORGOTTEN")} == set(CHECKS)


@cache
def runs(experiment: str) -> list[Planned]:
    return plan([experiment], "smoke", ["tracker=none"])


@pytest.mark.parametrize("of", ["WEAKENED", "FORGOTTEN"])
def test_the_runs_that_a_mistake_touches_are_runs_of_its_experiment(of):
    """So that `selftest` can ask the claims too."""
    for mistake in registered(of):
        assert any(matches(run.job, mistake.of) for run in runs(mistake.experiment)), mistake.name


@pytest.mark.parametrize("mistake", registered("WEAKENED"), ids=lambda mistake: mistake.name)
def test_a_weaker_baseline_is_noticed(mistake):
    with mistake.plant(), pytest.raises(AssertionError):
        REFERENCES[mistake.of["method"]]()


@pytest.mark.parametrize("mistake", registered("FORGOTTEN"), ids=lambda mistake: mistake.name)
def test_what_is_forgotten_is_noticed(mistake, tmp_path):
    check_of(mistake.name, tmp_path / "right")
    with mistake.plant(), pytest.raises(AssertionError):
        check_of(mistake.name, tmp_path / "wrong")


# ---- baselines of the index models


@contextmanager
def _small(module: str, kind: str) -> Iterator[None]:
    """A tenth of the step."""
    owner = getattr(import_module(f"methods.two_layer.{module}"), kind)
    move = owner.move

    def small(self: Any, batch: Any) -> Any:
        alpha, beta = move(self, batch)
        return (None if alpha is None else 1 + (alpha - 1) / 10), beta / 10

    with patch.object(owner, "move", small):
        yield


INDEX: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "online_sgd": lambda: _small("feature_sgd", "FeatureSGD"),
    "same_batch_gd": lambda: _small("feature_sgd", "FeatureSGD"),
    "multipass_gd": lambda: _small("feature_sgd", "FeatureSGD"),
    "smoothed_sgd": lambda: _small("feature_sgd", "SmoothedSGD"),
    "repeated_sgd": lambda: _small("reuse_sgd", "ReuseSGD"),
    "egd": lambda: _small("reuse_sgd", "LookaheadSGD"),
    "sam": lambda: _small("reuse_sgd", "LookaheadSGD"),
}


@pytest.mark.parametrize("name", INDEX)
def test_a_weaker_baseline_without_an_experiment_of_its_own_is_noticed(name):
    with INDEX[name](), pytest.raises(AssertionError):
        REFERENCES[name]()
