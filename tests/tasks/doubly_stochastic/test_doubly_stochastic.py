"""The doubly_stochastic task: closed forms of descents, what its rows say, common random numbers, bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import result_of

from bench.run.curve import read_metrics
from bench.run.runner import execute
from datasets.sums.noisy_quadratics import GammaQuadratics

SMALL = [
    "method=doubly_sgd",
    "dataset=gamma_quadratics",
    "dataset.num_components=16",
    "dataset.dim=3",
    "method.batch_size=4",
    "task.draws=0",
]


@pytest.fixture
def ran(job, tmp_path):
    """ran("method=...", ...) runs a job in this process; returns the folders of its seeds."""

    def run(*arguments, root="results"):
        quiet = ["tracker=none", "hardware=cpu", "hardware.threads=1", "verbose=false"]
        made = job(*quiet, f"results_root={tmp_path / root}", *arguments)
        assert not execute(made).failures
        return [made.folder / f"seed{seed}" for seed in made.settings.seeds]

    return run


def rows(folder, column):
    return [row for row in read_metrics(folder) if column in row]


def test_the_stationary_error_of_one_curvature_is_known(ran):
    """x_{t+1} - x* = (1 - gamma) (x_t - x*) - gamma e_t with Cov e = V: E||x - x*||^2 = gamma V / (2 - gamma)."""
    more = ["dataset.curvature=constant", "method.lr=0.2", "task.steps=4000", "task.replicates=64", "method.rho=0.5"]
    (folder,) = ran(*SMALL, *more, "method.mc_samples=2")
    found = result_of(folder)["metrics"]
    assert found["stationary_error"] == pytest.approx(0.2 * found["variance"] / 1.8, rel=0.03)
    assert found["variance"] == pytest.approx(found["subsampling_variance"] + found["monte_carlo_variance"])
    assert found["gradient_evaluations"] == 4000 * 4 * 2
    assert found["noise_correlation"] == pytest.approx(0.5)


def test_gradient_descent_contracts_by_one_minus_gamma_mu(ran):
    (folder,) = ran("method=gradient_descent", *SMALL[1:4], "task.draws=0", "method.lr=0.1", "task.steps=50")
    path = {row["iterations"]: row["error"] for row in rows(folder, "iterations") if "lr" not in row}
    mu = GammaQuadratics(num_components=16, dim=3).strong_convexity
    factor = (1 - 0.1 * mu) ** 2
    for t, error in path.items():
        assert error == pytest.approx(10.0 * factor**t, rel=1e-9)
    assert result_of(folder)["metrics"]["variance"] == 0.0


def test_a_grid_is_its_single_runs_and_epsilon_takes_the_best(ran):
    """Every step size of a grid runs as if alone; iterations to epsilon are the fewest of them."""
    lrs = [0.02, 0.05, 1000.0]  # the last one diverges
    common = [*SMALL, "seeds=[0,1]", "task.steps=200", "task.path_points=200"]
    grid = ran(*common, f"task.lrs={lrs}".replace(" ", ""), "task.epsilons=[2.0,1e-9]")[1]
    errors = {row["lr"]: row["error"] for row in rows(grid, "lr")}
    assert errors[1000.0] is None
    paths = {}
    for lr in lrs[:2]:
        alone = ran(*common, f"method.lr={lr}")[1]
        paths[lr] = {r["iterations"]: r["error"] for r in rows(alone, "iterations") if "lr" not in r}
        assert paths[lr][200] == pytest.approx(errors[lr], rel=1e-9)
    found = {row["epsilon"]: row for row in rows(grid, "epsilon")}
    first = {lr: min(t for t, e in path.items() if e <= 2.0) for lr, path in paths.items()}
    assert found[2.0]["iterations_to_epsilon"] == min(first.values())
    assert found[2.0]["tuned_lr"] == min(first, key=first.get)
    assert found[1e-9]["iterations_to_epsilon"] is None


def test_a_seed_is_the_same_alone_and_among_others(ran):
    common = ["method=doubly_sgd_rr", *SMALL[1:-1], "task.draws=300", "task.steps=100", "method.rho=0.0"]
    among = ran(*common, "seeds=[0,1]", root="both")[1]
    (alone,) = ran(*common, "seeds=[1]")
    one, other = result_of(alone)["metrics"], result_of(among)["metrics"]
    assert one == pytest.approx(other, rel=1e-9)


def test_divergence_is_said(ran):
    (folder,) = ran(*SMALL, "method.lr=100.0", "task.steps=2000")
    assert result_of(folder)["status"] == "diverged"


def test_splits_of_a_budget(ran):
    """Rows for every split that divides the budget; the best, and what the ends lose, are read off them."""
    more = ["dataset.num_components=64", "method.budget=16", "task.splits=[1,2,4,5,8,16,64]", "task.steps=0"]
    (folder,) = ran(*SMALL, *more, "task.draws=2000")
    found = rows(folder, "batch_size")
    assert [(r["batch_size"], r["mc_samples"]) for r in found] == [(1, 16), (2, 8), (4, 4), (8, 2), (16, 1)]
    assert all(0.8 < r["variance_ratio"] < 1.25 for r in found)
    v, final = [r["variance"] for r in found], result_of(folder)["metrics"]
    assert final["best_batch_size"] == found[int(np.argmin(v))]["batch_size"]
    assert final["smallest_over_best"] == pytest.approx(v[0] / min(v))
    assert final["largest_over_best"] == pytest.approx(v[-1] / min(v))
    assert final["largest_increase"] == pytest.approx(max(b / a for a, b in itertools.pairwise(v)))
    assert final["excess_variance"] >= 1


def test_variance_away_from_the_optimum(ran):
    """At x_0 curvatures add to the heterogeneity: tau^2 grows by Var L ||x_0 - x*||^2."""
    common = [*SMALL, "task.steps=0", "dataset.heterogeneity=0.0"]
    found = [result_of(ran(*common, f"task.variance_at={at}")[0])["metrics"]["tau2"] for at in ("optimum", "start")]
    assert found[0] == pytest.approx(0.0, abs=1e-12)
    assert found[1] > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dataset=digits_vae", "task.steps=0"], "task.pilot=[components, draws]"),
        (["dataset=digits_mixup", "task.pilot=[4,4]"], "it needs task.steps=0"),
        (["dataset=gaussian_sum"], "method.lr = None: data set 'gaussian_sum' states no smoothness"),
        (["dataset=gamma_quadratics", "task.steps=10"], "errors are taken every 128 steps"),
        (["dataset=gamma_quadratics", "task.lrs=[0.1,0.1]"], "distinct step sizes"),
        (["dataset=gamma_quadratics", "task.splits=[3]"], "task.splits: budget = 8: none of the batch sizes [3]"),
        (["dataset=gamma_quadratics", "task.pilot=[1,4]"], "task.pilot = [1, 4]"),
        (["dataset=gamma_quadratics", "task.pilot=[4,4]", "method.rho=0.5"], "method.rho = 0.5: a pilot sample"),
        (["dataset=gamma_quadratics", "method.rho=-0.5"], "method: rho = -0.5: between -0.1429"),
        (["dataset=gamma_quadratics", "method.batch_size=2000"], "method: batch_size = 2000: the data set has 1024"),
        (["dataset=gaussian_sum", "method.lr=0.1", "method.schedule=two_stage"], "needs a strongly convex objective"),
    ],
)
def test_bad_input_is_one_line(arguments, words, job):
    from bench.errors import UserError
    from bench.judge.timing import time_steps

    with pytest.raises(UserError) as error:
        time_steps(job("method=doubly_sgd", *arguments))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
