"""A seed computed alone is the same seed computed among others, within what its task states: so one seed checks a committed value."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import pytest
import torch
from conftest import QUIET, final, job_of

from bench.run.curve import read_metrics
from bench.run.notes import note
from bench.run.options import options
from bench.run.runner import execute
from datasets.bayes.drawn import logistic_regression, poisson_regression

SMALL = 1e-3  # a number below it is measured as if it were this: what cancels to nothing is left with rounding
INDEX = ("dataset=single_index", "dataset.d=[8,12]", "model.width=4", "task.ridge_samples=64", "task.test_samples=64")
STREAM = (*INDEX, "task.samples=[2,10]")
BAYES = ("task.reports=[10,60]", "dataset.n=200")
CASES = {
    "classification": [("method=ssvr", "dataset=digits"), ("method=sgd", "dataset=digits", "model=small_cnn")],
    "portfolio": [("method=up", "dataset=djia"), ("method=egab_n", "dataset=djia")],
    "finite_sum": [
        ("method=ssvr", "dataset=sine_quadratic"),
        ("method=signsgd_sim", "dataset=sine_quadratic"),
        ("method=ssvr_fs", "dataset=least_squares"),
        ("method=signsvrg", "dataset=least_squares"),
        ("method=sgd", "dataset=least_squares", "task.theory=false", "method.lr=0.01"),
        ("method=adamw", "dataset=least_squares", "task.theory=false"),
    ],
    "inference": [
        ("method=ngvi", "dataset=linear_regression", "task.estimator=exact", *BAYES),
        ("method=ngvi", "dataset=logistic_regression", *BAYES),
        ("method=ngvi_sqrt", "dataset=logistic_regression", "task.estimator=monte_carlo", *BAYES),
        ("method=ngvi_safe", "dataset=logistic_regression", "task.estimator=gradient", *BAYES),
        ("method=adam_vi", "dataset=poisson_regression", *BAYES),
        ("method=proximal_sgd", "dataset=logistic_regression", "task.grid={lr:[1e-3,3e-3]}", *BAYES),
        ("method=projected_sgd", "dataset=breast_cancer", "dataset.components=5", "task.reports=[10,60]"),
    ],
    "curvature": [(f"method={m}", "dataset=repeated_datum") for m in ("expectation", "mean_scale")],
    "sampling": [
        ("method=r2sgld", "dataset=multimodal", "task.replicates=2"),
        ("method=r_cycsgld", "dataset=multimodal", "dataset.domain=star"),
        ("method=resgld_lorenz", "dataset=lorenz"),
    ],
    "mixing": [("method=reflected_replica", "dataset=cosine_interval")],
    "mixed_images": [
        ("method=multimix_cutmix", "dataset=digits_pairs"),
        ("method=multimix_puzzle", "dataset=digits_pairs", "task.epochs=1"),
    ],
    "doubly_stochastic": [
        ("method=doubly_sgd", "dataset=gamma_quadratics", "task.splits=[1,2,4,8]"),
        ("method=doubly_sgd_rr", "dataset=random_quadratics", "method.rho=0.0", "task.lrs=[0.01,0.03]"),
        ("method=singly_sgd", "dataset=logistic_breast_cancer", "task.steps=142"),
        ("method=doubly_adam", "dataset=gaussian_sum", "task.steps=256"),
        ("method=gradient_descent", "dataset=random_quadratics", "task.steps=50"),
    ],
    "feature_learning": [
        ("method=online_sgd", *STREAM),
        ("method=reuse_sgd", *STREAM),
        ("method=reuse_map", *STREAM, "task.replicates=2", "task.grid={lr:[0.1,0.3]}"),
        ("method=smoothed_sgd", *STREAM, "model.activation=link", "model.bias=none"),
        ("method=same_batch_gd", *INDEX, "task.samples=[2,10]", "method.steps=5"),
    ],
    "valuation": [
        ("method=knn_shapley", "dataset=gaussian_noisy", "task.compare=random"),
        ("method=el2n", "dataset=gaussian_noisy"),
        ("method=prototypes", "dataset=gaussian_noisy", "method.clusters=20"),
        ("method=tracin", "dataset=gaussian_noisy"),
        ("method=nearest_cost", "dataset=gaussian_noisy"),
    ],
    "generation": [
        (
            f"method={m}",
            "dataset=private_digits",
            "task.pretraining_steps=4",
            "task.feature_steps=4",
            "task.sampling_steps=4",
        )
        for m in ("dplora", "public_only")
    ],
    "vote": [
        ("method=ssvr_mv_stochastic", "dataset=worker_quadratics"),
        ("method=dvr_q", "dataset=worker_quadratics"),
        ("method=ssdm", "dataset=worker_quadratics"),
        ("method=ssvr_mv", "dataset=log_cosh_workers"),
    ],
    "vote_images": [
        ("method=ssvr_mv", "dataset=digits", "dataset.train_size=200"),
        ("method=dvr_q", "dataset=digits", "dataset.train_size=200", "model=small_cnn", "model.width=4"),
    ],
    "teacher_recovery": [
        ("method=regularised_gd", "dataset=teacher_student", "task.width=8"),
        ("method=regularised_sgd", "dataset=teacher_student", "task.width=8"),
        ("method=unregularised_gd", "dataset=teacher_student", "task.width=8"),
        ("method=one_step_features", "dataset=teacher_student"),
    ],
    "private_budget": [("method=dplora", "dataset=shape_mnist", "method.accountant=rdp")],
    "private_step": [("method=dplora", "dataset=step_digits", "method.accountant=rdp")],
    "low_rank_shift": [
        ("method=dplora", "dataset=low_rank_shift", "method.targets=qkv", "method.accountant=rdp"),
        ("method=dp_full", "dataset=low_rank_shift", "method.accountant=rdp"),
    ],
    "epoch_choice": [("method=validated_epoch", "dataset=digits_in_four")],
}
EVERY = [
    pytest.param(task, case, id=f"{task}-{case[0][7:]}-{i}") for task, c in CASES.items() for i, case in enumerate(c)
]


def test_every_task_has_cases_and_says_why_it_allows_what():
    assert set(CASES) == set(options("task"))
    for task in CASES:
        said = note(task)
        assert said.batch_reason
        batches = job_of(*CASES[task][0], "scale=smoke", "data_root=nowhere").protocol().BATCHES_SEEDS
        assert batches or said.batch_tolerance == 0


def apart(one: dict, other: dict) -> float:
    """The largest difference of two rows' numbers, relative to the larger of the two (to SMALL); infinite where they have other keys."""
    if one.keys() != other.keys():
        return math.inf
    return max((_apart(one[name], other[name]) for name in one), default=0.0)


def _apart(a: float | str | None, b: float | str | None) -> float:
    if isinstance(a, str) or isinstance(b, str):
        return 0.0 if a == b else math.inf
    if a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b)):
        return 0.0
    return math.inf if a is None or b is None else abs(a - b) / max(abs(a), abs(b), SMALL)


@cache
def rows(case: tuple[str, ...], seeds: str, root: Path) -> dict[int, list[dict]]:
    """By seed the rows of its curve, and last its final metrics."""
    fixed = [*QUIET, "scale=smoke", "verbose=false", f"seeds={seeds}", f"results_root={root / str(len(seeds))}"]
    outcome = execute(job_of(*case, *fixed))
    assert outcome.failures == {}
    folders = {seed: outcome.job.folder / f"seed{seed}" for seed in outcome.results}
    return {seed: [*read_metrics(folder), *final([folder])] for seed, folder in folders.items()}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("alone")


def farthest(one: list[dict], other: list[dict]) -> float:
    assert len(one) == len(other) > 0
    return max(apart(a, b) for a, b in zip(one, other))


@pytest.mark.parametrize(("task", "case"), EVERY)
def test_a_seed_alone_is_the_same_seed_among_others(task, case, root):
    alone, among = rows(case, "[0]", root)[0], rows(case, "[0,1,2]", root)[0]
    assert farthest(alone, among) <= note(task).batch_tolerance


@pytest.mark.parametrize(("task", "case"), EVERY)
def test_ten_times_the_tolerance_is_noticed(task, case, root):
    """Of every metric; and where a seed says anything, another seed is farther than that."""
    within, last = note(task).batch_tolerance, rows(case, "[0]", root)[0][-1]
    moved = [name for name, value in last.items() if isinstance(value, float) and abs(value) >= SMALL]
    assert moved
    for name in moved:
        shifted = last[name] * (1 + 10 * within) if within else math.nextafter(last[name], math.inf)
        assert apart(last, last | {name: shifted}) > within, name
    assert apart(last, {name: value for name, value in last.items() if name != moved[0]}) == math.inf
    if any(
        word in " ".join(case) for word in ("curvature", "repeated_datum", "reflected", "egab_n", "gradient_descent")
    ):
        return  # nothing is drawn
    many = rows(case, "[0,1,2]", root)
    assert farthest(many[0], many[1]) > 1e3 * within


@pytest.mark.parametrize("kind", [logistic_regression, poisson_regression])
def test_the_best_gaussian_of_a_seed_does_not_wait_for_those_of_others(kind):
    """Seeds whose search takes other numbers of steps: each ends with its own."""
    more = {"n": 60, "dim": 4, "weights": 1.0}
    together = kind("", range(8), **more).optimum()
    for seed in range(8):
        alone = kind("", [seed], **more).optimum()
        torch.testing.assert_close(together.mean[seed], alone.mean[0], rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(together.covariance[seed], alone.covariance[0], rtol=1e-14, atol=1e-15)
