"""Rates of claims A and B of SSVR on the finite_sum task, and its formulas against autograd."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import seed_folders

from bench.errors import UserError
from bench.run.curve import read_metrics
from datasets.sums.finite_sums import PenalisedLeastSquares, SineQuadratic


def curve(folder: Path, metric: str = "mean_grad_l1_per_dim") -> dict[int, float]:
    return {row["iterations"]: row[metric] for row in read_metrics(folder)}


def slope(values: dict[int, float]) -> float:
    return float(np.polyfit(np.log(list(values)), np.log(list(values.values())), 1)[0])


def by_method(tmp_path: Path) -> dict[str, list[dict[int, float]]]:
    found: dict[str, list[dict[int, float]]] = {}
    for folder in seed_folders(tmp_path):
        method = json.loads((folder / "result.json").read_text())["method"]
        found.setdefault(method, []).append(curve(folder))
    return found


def test_claim_a_on_two_seeds(program, tmp_path):
    """The asserts of the rate experiment: SSVR's slope near -1/3, momentum's near -1/4, signSGD stalls (its table: .284 and .470 at T = 16000)."""
    done = program("experiment=ssvr/rate_stochastic", "scale=mini", "seeds=[0,1]")
    assert done.returncode == 0, done.stderr
    found = by_method(tmp_path)
    for seed in range(2):
        ssvr, sim, sign = (found[name][seed] for name in ("ssvr", "signsgd_sim", "signsgd"))
        assert slope(ssvr) <= -0.29
        assert -0.31 <= slope(sim) <= -0.19
        assert min(sign.values()) >= 0.95
        assert ssvr[16000] <= 0.70 * sim[16000]
        np.testing.assert_allclose([ssvr[16000], sim[16000]], [0.284, 0.470], rtol=0.01)


def test_claim_b_on_two_seeds(program, tmp_path):
    """SSVR-FS in both forms falls as T^-1/2 and is at most half of SignSVRG (m = 256)."""
    more = [
        "experiment=ssvr/rate_finite_sum",
        "dataset.num_components=256",
        "scale=mini",
        "seeds=[0,1]",
        "task.horizons=[2048,8192]",
    ]
    done = program(*more)
    assert done.returncode == 0, done.stderr
    found = by_method(tmp_path)
    for seed in range(2):
        for name in ("ssvr_fs", "ssvr_fs_spider"):
            assert slope(found[name][seed]) <= -0.42
            assert found[name][seed][8192] <= 0.5 * found["signsvrg"][seed][8192]


def test_gradients_are_counted_as_the_paper_counts_them(program, tmp_path):
    for method in ("signsgd", "ssvr", "ssvr_fs", "ssvr_fs_spider", "signsvrg"):
        program(
            f"method={method}",
            "dataset=least_squares",
            "dataset.num_components=50",
            "task.horizons=[500]",
            "task.theory=false",
        )
    expected = {
        "signsgd": 500,
        "ssvr": 2 * 500 - 1,
        "ssvr_fs": 500 + 10 * 50 + 499 + 490,  # x_t, snapshots, x_{t-1} but at t = 1, x_s but at snapshots
        "ssvr_fs_spider": 500 + 10 * 50 + 490,
        "signsvrg": 500 + 10 * 50 + 490,
    }
    for folder in seed_folders(tmp_path):
        result = json.loads((folder / "result.json").read_text())
        assert result["metrics"]["gradient_evaluations"] == expected[result["method"]]


def test_a_method_for_finite_sums_refuses_an_expectation(program):
    done = program("method=ssvr_fs", "dataset=sine_quadratic")
    assert done.returncode == 2
    assert "method 'ssvr_fs' needs a finite sum" in done.stderr


@pytest.mark.parametrize(
    "problem", [SineQuadratic([0, 1], dim=7), PenalisedLeastSquares([0, 1], dim=7, num_components=11)]
)
def test_full_gradient_is_the_mean_of_the_components_and_autograds(problem):
    x = torch.randn(3, 2, 7, dtype=torch.float64, requires_grad=True)
    if problem.num_components is None:
        value = (x.square() + 3 * x.sin().square()).sum()
        draws = problem.draw(0, 20_000)
        assert abs(problem.gradient(x.detach()[0], draws).mean(0) - problem.full_gradient(x.detach()[0])).max() < 0.08
    else:
        residual = torch.einsum("smd,hsd->hsm", problem.a, x) - problem.b
        value = residual.square().sum() / 2 / 11 + 0.05 * (x.square() / (1 + x.square())).sum()
        each = [problem.gradient(x.detach(), torch.full((2,), i)) for i in range(11)]
        torch.testing.assert_close(torch.stack(each).mean(0), problem.full_gradient(x.detach()))
    (expected,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(problem.full_gradient(x.detach()), expected)


def test_noise_takes_its_two_values_in_double_precision():
    """0.3 and -0.3 / 4 at p = 1/5 are no float32; the rare value is drawn a fifth of the time."""
    draws = SineQuadratic([0, 1], dim=7, noise=0.3, rare=0.2).draw(0, 5000)
    assert draws.dtype == torch.float64
    assert set(draws.unique().tolist()) == {0.3, -0.3 * 0.2 / (1 - 0.2)}
    assert (draws > 0).double().mean() == pytest.approx(0.2, abs=0.01)


def test_a_seed_is_the_same_alone_and_among_others():
    alone, both = SineQuadratic([1]), SineQuadratic([0, 1])
    assert torch.equal(alone.draw(3, 5)[:, 0], both.draw(3, 5)[:, 1])
    small, large = (PenalisedLeastSquares([3], num_components=m) for m in (64, 256))
    torch.testing.assert_close(large.a[:, :64], small.a, rtol=0, atol=0)
    torch.testing.assert_close(large.b[:, :64], small.b)
    with pytest.raises(ValueError, match="rare"):
        SineQuadratic([0], rare=1.0)


def test_repeated_horizons_are_refused(program):
    done = program("method=ssvr", "dataset=sine_quadratic", "task.horizons=[10,10]")
    assert done.returncode == 2
    assert "task.horizons" in done.stderr
    assert UserError.__name__ not in done.stderr


def test_the_means_are_over_the_points_at_which_steps_are_taken(go):
    """Without noise f' = 2 x + 3 sin 2 x > 0 on the way from 1, so signSGD is at 1 - lr t: the mean over t = 0, ..., T - 1, no error of v_t."""
    more = ["dataset=sine_quadratic", "dataset.noise=0", "task.theory=false", "task.horizons=[25,40]"]
    (folder,) = go("method=signsgd", "method.lr=0.02", *more, "seeds=[0]")
    rows = {row["iterations"]: row for row in read_metrics(folder)}
    for horizon in (25, 40):
        x = 1 - 0.02 * np.arange(horizon)
        slopes, row = 2 * x + 3 * np.sin(2 * x), rows[horizon]
        assert row["mean_grad_l1_per_dim"] == pytest.approx(slopes.mean(), rel=1e-12)
        assert row["mean_grad_l2"] == pytest.approx(10 * slopes.mean(), rel=1e-12), "d = 100 equal coordinates"
        assert row["last_grad_l1"] == pytest.approx(100 * slopes[-1], rel=1e-12)
        assert row["tracking_mse"] == pytest.approx(0, abs=1e-24)


def test_every_step_and_every_member_of_the_first_batch_has_a_draw_of_its_own(go, monkeypatch):
    """T steps and the first batch's T^(1/3) - 1 further members meet as many different draws; only x_t and x_{t-1} share one."""
    met, gradient = [], SineQuadratic.gradient

    def watched(self, x, sample):
        met.append(sample.reshape(-1, sample.shape[-1]))
        return gradient(self, x, sample)

    monkeypatch.setattr(SineQuadratic, "gradient", watched)
    go("method=ssvr", "dataset=sine_quadratic", "task.horizons=[1000]", "task.theory=true", "seeds=[0]")
    assert len(torch.cat(met).unique(dim=0)) == 1000 + 10 - 1
