"""Extreme but legal numbers: a run ends as finished with numbers everywhere, as diverged, or in one line; never with a traceback."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pytest
import torch
from conftest import QUIET, result_of
from portfolio_market import STRATEGIES

from bench import numerics
from bench.errors import UserError
from bench.run.limits import in_words, refusal
from bench.run.runner import execute
from bench.run.session import Run
from bench.tasks.portfolio.books import evaluate
from bench.tasks.portfolio.metrics import Measure, metrics

LINEAR = "dataset=linear_regression dataset.n=100 dataset.dim=4"
LOGISTIC = "dataset=logistic_regression dataset.n=100 dataset.dim=4"
POISSON = "dataset=poisson_regression dataset.n=100 dataset.dim=4"
ONE = "dataset=repeated_datum"
WELLS = "dataset=cosine_interval"
GAMMA = "dataset=gamma_quadratics dataset.num_components=32 dataset.dim=5 task.steps=32 task.draws=64"
RANDOM = "dataset=random_quadratics dataset.num_components=32 dataset.dim=5 task.steps=32 task.draws=64"
GAUSSIAN = "dataset=gaussian_sum dataset.num_components=32 task.steps=32 task.draws=64"
CANCER = "dataset=logistic_breast_cancer task.steps=0 task.draws=0"
INDEX = "dataset=single_index dataset.d=6 model.width=4 task.ridge_samples=64 task.test_samples=64"
TEACHER = "dataset=teacher_student task.width=10"
WIDE = "dataset=teacher_student task.width=60"
MARKET = "dataset=prices dataset.path=PRICES"
HUGE = 10**12
FINISHED, DIVERGED = "finished", "diverged"
MEMORY = r"^out of memory: an array of this job would take .*{}.*; make one smaller$"
TOO_LARGE = "less than or equal to 9223372036854775807"

CASES = [  # (data, method and extremes, ending)
    (LINEAR, "adam_vi method.lr=1e30", DIVERGED),
    (LINEAR, "adam_vi method.lr=1e300", DIVERGED),
    (LINEAR, "adam_vi method.lr=1e-300", FINISHED),
    (LINEAR, "adam_vi method.decay=1e300", FINISHED),
    (LINEAR, "adam_vi method.eps=1e-300", FINISHED),
    (LINEAR, "adam_vi method.eps=1e300", FINISHED),
    (LINEAR, "adam_vi method.floor=1e300", DIVERGED),
    (LINEAR, "adam_vi method.beta1=1.0", "beta1 = 1.0: must be less than 1"),
    (LINEAR, "adam_vi method.beta2=0.5 task.grid={beta1:[0.9,1.0]}", "beta1 = 1.0: must be less than 1"),
    (LINEAR, "ngvi method.lr=1e300", FINISHED),  # cap
    (LINEAR, "ngvi method.lr=1e-300", FINISHED),
    (LINEAR, "ngvi method.lr=1e300 method.cap=1e300", DIVERGED),
    (LINEAR, "ngvi method.decay=1e300", FINISHED),
    (LINEAR, "ngvi_safe method.lr=1e300 method.cap=1e300", DIVERGED),
    (LINEAR, "ngvi_sqrt method.lr=1e30", DIVERGED),
    (LINEAR, "projected_sgd method.lr=1e300", DIVERGED),
    (LINEAR, "projected_sgd method.floor=1e-300", FINISHED),
    (LINEAR, "proximal_sgd method.lr=1e30", DIVERGED),
    (LINEAR, "ngvi dataset.prior_variance=1e-300", FINISHED),
    (
        LINEAR,
        "ngvi dataset.prior_variance=1e-310",
        "dataset.prior_variance = 1e-310: its inverse overflows; at least 1e-300",
    ),
    (LINEAR, "ngvi dataset.prior_variance=1e300", FINISHED),
    (LINEAR, "ngvi dataset.noise=1e-300", "posterior of the data set: too narrow or too wide"),
    (LINEAR, "ngvi dataset.noise=1e300", FINISHED),
    (LINEAR, "ngvi dataset.noise=1e-30", "posterior of the data set: too narrow or too wide"),
    (LINEAR, "ngvi dataset.condition=1e300", FINISHED),
    (LINEAR, "ngvi dataset.condition=0.5", "dataset.condition = 0.5: must be greater than or equal to 1"),
    (LINEAR, f"ngvi dataset.n={HUGE}", MEMORY.format(f"[TPE]B.*dataset.n={HUGE}")),
    (LINEAR, f"ngvi dataset.dim={10**18}", MEMORY.format(f"EB.*dataset.dim={10**18}")),
    (LINEAR, f"ngvi dataset.n={10**20}", TOO_LARGE),
    (LINEAR, f"ngvi task.batch_size={HUGE}", MEMORY.format(f"[TPE]B.*task.batch_size={HUGE}")),
    (LOGISTIC, "ngvi dataset.prior_variance=1e8", FINISHED),
    (LOGISTIC, "ngvi dataset.prior_variance=1e300", "best Gaussian of the data set not found"),
    (LOGISTIC, "ngvi dataset.weights=1e300", FINISHED),
    (LOGISTIC, "ngvi dataset.prior_variance=1e-300", FINISHED),
    (LOGISTIC, "proximal_sgd method.lr=1e300", DIVERGED),
    (POISSON, "ngvi dataset.prior_variance=1e8", "posterior of the data set: too narrow or too wide"),
    (POISSON, "ngvi dataset.weights=1e300", "weights = 1e\\+300: a Poisson rate of inf; choose smaller weights"),
    ("dataset=diabetes", "ngvi dataset.prior_variance=1e300", FINISHED),
    (ONE, "expectation dataset.prior_variance=1e-300", "1 / dataset.prior_variance = 1e\\+300, at most 1e\\+06"),
    (ONE, "expectation dataset.prior_variance=1e300", FINISHED),
    (ONE, "mean_scale dataset.likelihood=poisson dataset.y=1e300", "dataset.y = 1e\\+300, at most 1e\\+06"),
    (ONE, "mean_scale dataset.likelihood=poisson task.means=[0.0,1e300]", DIVERGED),
    (ONE, f"mean_scale dataset.copies={10**18}", FINISHED),
    (ONE, f"mean_scale task.counts=[{HUGE},{HUGE}]", MEMORY.format(f"task.counts={HUGE}")),
    (WELLS, "reflected_langevin method.temperatures=[1e300]", "rates beyond 1e\\+150"),
    (WELLS, "reflected_langevin method.temperatures=[1e-300]", "the potential rises by .* T over a cell, at most 4"),
    (WELLS, "reflected_langevin dataset.amplitude=0.0 method.temperatures=[1e-300]", FINISHED),
    (WELLS, "reflected_replica method.swap_intensity=1e300", "rates beyond 1e\\+150"),
    (WELLS, "reflected_replica method.swap_intensity=1e-300", FINISHED),
    (WELLS, "reflected_replica method.temperatures=[1.0,1e100]", "is rounding"),
    (WELLS, "reflected_replica dataset.amplitude=1e300", "the potential rises by .* T over a cell, at most 4"),
    (WELLS, "reflected_replica dataset.confinement=1e308", "the potential rises by .* T over a cell, at most 4"),
    (WELLS, f"reflected_replica task.cells_per_unit={HUGE}", "cells on a diameter of 1; from 2 to 32768"),
    (GAMMA, "doubly_sgd method.batch_size=4 method.lr=1e300", DIVERGED),
    (GAMMA, "doubly_sgd method.batch_size=4 method.lr=1e-300", FINISHED),
    (
        GAMMA,
        f"doubly_sgd method.batch_size=4 method.mc_samples={HUGE}",
        MEMORY.format(f"[TPE]B.*method.mc_samples={HUGE}"),
    ),
    (GAMMA, f"doubly_sgd method.batch_size=4 method.budget={4 * 10**17}", MEMORY.format("method.budget=4")),
    (GAMMA, "doubly_adam method.batch_size=4 method.lr=1e300", DIVERGED),
    (GAMMA, "doubly_adam method.batch_size=4 method.averaging=1e300", FINISHED),
    (
        GAMMA,
        "doubly_sgd method.batch_size=4 dataset.noise=1e300",
        "double precision ends here .*dataset.noise=1e\\+300",
    ),
    (GAMMA, "doubly_sgd method.batch_size=4 dataset.heterogeneity=1e308", DIVERGED),
    (GAMMA, "doubly_sgd method.batch_size=4 dataset.shape=1e-300", "double precision ends here .*dataset.shape=1e-300"),
    (GAMMA, "doubly_sgd method.batch_size=4 dataset.start_distance=1e300", FINISHED),
    (GAMMA, f"doubly_sgd method.batch_size=4 dataset.dim={HUGE}", MEMORY.format(f"[TPE]B.*dataset.dim={HUGE}")),
    (RANDOM, "doubly_sgd method.batch_size=4 dataset.ridge=1e300", DIVERGED),
    (
        RANDOM,
        "doubly_sgd method.batch_size=4 dataset.noise=1e300",
        "double precision ends here .*dataset.noise=1e\\+300",
    ),
    (RANDOM, f"doubly_sgd method.batch_size=4 dataset.rank={HUGE}", MEMORY.format(f"dataset.rank={HUGE}")),
    (GAUSSIAN, "doubly_sgd method.batch_size=4 method.lr=1e-9 dataset.smallest_scale=1e300", DIVERGED),
    (CANCER, "doubly_sgd dataset.l2=1e-300", "optimum of the data set not found|^finished$"),
    (CANCER, "doubly_sgd dataset.l2=1e300", "optimum of the data set not found"),
    (CANCER, "doubly_sgd dataset.noise=1e300", "double precision ends here .*dataset.noise=1e\\+300"),
    (INDEX, "online_sgd method.lr=1e300", DIVERGED),
    (INDEX, "online_sgd method.lr=1e-300", FINISHED),
    (INDEX, "online_sgd method.lr_power=1e300", FINISHED),  # steps of 0
    (INDEX, "egd method.lr=1e30", DIVERGED),
    (INDEX, "egd method.inner_lr=1e300", DIVERGED),
    (INDEX, "smoothed_sgd model.activation=link model.bias=none method.smoothing=1e300", DIVERGED),
    (INDEX, "multipass_gd method.lr=1e30", DIVERGED),
    (INDEX, "online_sgd dataset.noise=1e300", "double precision ends here .*dataset.noise=1e\\+300"),
    (INDEX, f"online_sgd dataset.d={HUGE}", MEMORY.format(f"[TPE]B.*dataset.d={HUGE}")),
    (INDEX, f"online_sgd model.width={HUGE}", MEMORY.format(f"[TPE]B.*model.width={HUGE}")),
    (
        INDEX,
        "online_sgd task.samples_power=1e30",
        "task.samples, task.samples_power: 10.* samples for d = 6; ask for fewer",
    ),
    (
        INDEX,
        "online_sgd task.samples=[1e300]",
        "task.samples, task.samples_power: 10.* samples for d = 6; ask for fewer",
    ),
    (INDEX, "reuse_sgd method.batch_size=null", "method.batch_size = null: must be an integer"),
    (TEACHER, "regularised_gd method.lr=1e300", DIVERGED),
    (TEACHER, "regularised_gd method.lam=1e300", DIVERGED),
    (TEACHER, "regularised_gd method.halvings=1e300", FINISHED),  # decay is its floor
    (TEACHER, "regularised_gd method.ridge=1e300", FINISHED),
    (TEACHER, "regularised_gd dataset.mixing=1e300", "max_cosine = 0.6: no 3 teachers"),
    (WIDE, "one_step_features method.ridge=1e-300", "method.ridge = 1e-300: lost to rounding beside the features"),
    (TEACHER, f"regularised_gd dataset.dim={HUGE}", MEMORY.format(f"[TPE]B.*dataset.dim={HUGE}")),
    (MARKET, "eg method.eta=1e300", FINISHED),
    (MARKET, "egab_u method.eta=1e300", "eta = 1e\\+300: at most 1e\\+12"),
    (MARKET, "egab_u method.eta=1e12 method.alpha=0.0 method.beta=1.0", DIVERGED),
    (MARKET, "egab_n method.alpha=1e30", r"\|1 - alpha - beta\| = 1e\+30"),
    (MARKET, "egab_n method.threshold=1e300", FINISHED),  # nothing is traded
    (MARKET, "cwmr_var method.phi=1e300", "phi = 1e\\+300: at most 1e\\+70"),
    (MARKET, "cwmr_stdev method.phi=1e70", FINISHED),
    (MARKET, "cwmr_var method.epsilon=1e300", FINISHED),
    (MARKET, "ons method.delta=1e300", "online Newton step: its projection does not settle|^diverged$"),
    (MARKET, "ons method.beta=1e-300", "online Newton step: its projection does not settle|^diverged$"),
    (MARKET, "olmar1 method.epsilon=1e300", FINISHED),
    (MARKET, f"olmar1 method.window={HUGE}", FINISHED),
    (MARKET, f"anticor method.max_window={HUGE}", MEMORY.format(f"[TPE]B.*method.max_window={HUGE}")),
    (MARKET, f"up method.samples={HUGE}", MEMORY.format(f"[TPE]B.*method.samples={HUGE}")),
    (MARKET, "tco1 method.eta=1e300", FINISHED),
    (MARKET, "pamr2 method.C=1e-300", FINISHED),  # steps of 0
]


@pytest.fixture(scope="module")
def prices(tmp_path_factory) -> Path:
    """Three assets over 30 days."""
    path = tmp_path_factory.mktemp("market") / "prices.csv"
    moves = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table = 100 * (0.01 * moves).cumsum(0).exp()
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "north", "south", "west"])
        writer.writerows(
            [f"2024-01-{day + 1:02d}", *(f"{p:.4f}" for p in row)] for day, row in enumerate(table.tolist())
        )
    return path


@pytest.mark.parametrize(
    ("data", "line", "ending"), CASES, ids=[f"{d.split()[0].split('=')[1]}-{m}" for d, m, _ in CASES]
)
def test_extremes_end_in_a_number_in_divergence_or_in_one_line(data, line, ending, job, tmp_path, prices):
    overrides = f"{data.replace('PRICES', str(prices))} method={line}".split()
    assert re.search(ending, _ending(job, overrides, tmp_path)), _ending(job, overrides, tmp_path / "again")


def _line(error: UserError) -> str:
    """What it says, in one line of readable length."""
    assert "\n" not in str(error)
    assert len(str(error)) < 300
    return str(error)


def _ending(job, overrides: list[str], root: Path) -> str:
    """finished or diverged, the same for both seeds, or the line of the error."""
    try:
        made = job("scale=smoke", "seeds=[0,1]", *overrides, *QUIET, "verbose=false", f"results_root={root}")
        outcome = execute(made)
    except UserError as error:
        return _line(error)
    assert outcome.failures == {}
    for seed in outcome.results:
        result = result_of(outcome.job.folder / f"seed{seed}")
        numbers = [v for v in result["metrics"].values() if v is None or isinstance(v, float)]
        assert result["status"] == DIVERGED or None not in numbers
    (status,) = {result["status"] for result in outcome.results.values()}
    return status


@pytest.mark.parametrize("value", [None, math.nan, math.inf, [1.0, math.nan], {"a": {"b": None}}])
def test_a_final_metric_that_is_no_number_means_diverged(value, tmp_path):
    run = Run(0, tmp_path)
    run.finish("finished", loss=1.0, other=value)
    assert run.status == "diverged"


@pytest.mark.parametrize(
    ("value", "status"), [(math.nan, "diverged"), (-math.inf, "diverged"), (None, "finished"), (1.0, "finished")]
)
def test_the_last_row_of_the_curve_counts(value, status, tmp_path):
    run = Run(0, tmp_path)
    run.open(0)
    run.log(1, loss=math.nan)
    run.log(2, loss=value)
    run.finish("finished", loss=1.0, name="text", many=[1, 2.0])
    assert run.status == status


def test_one_matrix_without_an_answer_leaves_the_others_bit_for_bit():
    drawn = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sound = drawn @ drawn.mT + torch.eye(4, dtype=torch.float64)
    right = drawn[..., :2]
    bad = torch.stack([sound[0], torch.zeros_like(sound[0]), sound[2]])
    broken = torch.stack([sound[0], torch.full_like(sound[0], torch.nan), sound[2]])
    for found, whole in (
        (numerics.cholesky(bad), torch.linalg.cholesky(sound)),
        (numerics.cholesky(broken), torch.linalg.cholesky(sound)),
        (numerics.solve(bad, right), torch.linalg.solve(sound, right)),
        (numerics.eigvalsh(broken), torch.linalg.eigvalsh(sound)),
    ):
        assert found[1].isnan().all()
        assert (found[[0, 2]] == whole[[0, 2]]).all()
    assert (numerics.cholesky(sound) == torch.linalg.cholesky(sound)).all()


@pytest.mark.parametrize("smallest", [1e-308, 1e-150, 1e-8])
@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_strategies_on_extreme_relatives(name, smallest):
    drawn = torch.rand(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    relatives = smallest ** (2 * drawn - 1)  # from `smallest` to its inverse
    try:
        paths, _ = evaluate(STRATEGIES[name](), relatives, torch.tensor([0.0, 0.01], dtype=torch.float64))
    except UserError as error:
        _line(error)
    else:
        assert paths.net.shape == (12, 2, 1)
        assert not (paths.net < 0).any(), "wealth, or NaN where there is no answer"


def test_ratios_without_a_divisor_are_left_out():
    """Relatives of 1: no deviation and no drawdown, so that neither Sharpe nor Calmar ratio exists; nor does Calmar's of a steady rise."""
    free = torch.zeros(1, dtype=torch.float64)
    for growth, missing in ((1.0, {"sharpe", "calmar"}), (1.01, {"sharpe", "calmar"})):
        relatives = torch.full((8, 3), growth, dtype=torch.float64)
        (row,) = metrics(evaluate(STRATEGIES["ucrp"](), relatives, free)[0], relatives, free, Measure())
        assert missing.isdisjoint(row)
        assert all(math.isfinite(value) for value in row.values())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 17279999999982720 bytes."),
            "17.3 PB",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has"), "20.00 GiB"),
        (MemoryError("Unable to allocate 7.28 TiB for an array with shape (1000000000000,)"), "7.28 TiB"),
    ],
)
def test_memory_that_is_not_there_is_named_with_the_largest_sizes(error, line):
    refused = refusal(
        error, {"dataset": {"n": 10**12, "dims": [3, 10**6], "instance": 10**15}, "method": {"k": 7, "lr": 1e30}}
    )
    assert str(refused).startswith(f"out of memory: an array of this job would take {line}; its largest sizes: ")
    assert "dataset.n=1000000000000, dataset.dims=1000000, method.k=7; make one smaller" in str(refused)


def test_other_errors_are_bugs():
    assert refusal(RuntimeError("shapes differ"), {"method": {"lr": 1e300}}) is None
    assert refusal(ZeroDivisionError("float division by zero"), {"method": {"lr": 0.1, "floor": 0.0}}) is None
    assert str(refusal(OverflowError(34, "Numerical result out of range"), {"method": {"lr": 1e300}})) == (
        "double precision ends here (Numerical result out of range): bring method.lr=1e+300 nearer to 1"
    )
    assert in_words(8 * 10**12) == "8 TB"
