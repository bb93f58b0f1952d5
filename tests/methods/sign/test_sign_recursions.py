"""The family against independent numpy code, its identities, and their planted mistake."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sign_family import ALL
from torch import nn

from methods.sign.ssvr import SSVR, SSVRFS


class Sum:
    """m least-squares components in d dimensions, float64, each with its own curvature."""

    def __init__(self, m: int = 8, d: int = 5) -> None:
        rng = np.random.default_rng(0)
        self.a, self.b, self.m, self.d = rng.normal(size=(m, d)), rng.normal(size=m), m, d

    def grad(self, x: np.ndarray, i: int) -> np.ndarray:
        return self.a[i] * (self.a[i] @ x - self.b[i]) + 0.3 * np.cos(x)

    def full(self, x: np.ndarray) -> np.ndarray:
        return np.mean([self.grad(x, i) for i in range(self.m)], axis=0)

    def closure(self, opt, x: torch.Tensor, i: int | None, calls: list | None = None):
        a, b = torch.from_numpy(self.a), torch.from_numpy(self.b)

        def run() -> torch.Tensor:
            opt.zero_grad()
            rows = slice(None) if i is None else slice(i, i + 1)
            loss = 0.5 * (a[rows] @ x - b[rows]).square().mean() + 0.3 * x.sin().sum()
            loss.backward()
            if calls is not None:
                calls.append((i, x.detach().clone()))
            return loss

        return run


def trajectory(
    make, problem: Sum, steps: int = 50, calls: list | None = None, estimates: list | None = None
) -> list[np.ndarray]:
    """Iterates of an optimizer with components drawn from a fixed stream and a snapshot each pass; `estimates` gets v_t."""
    x = nn.Parameter(torch.ones(problem.d, dtype=torch.float64))
    opt, rng, found = make([x]), np.random.default_rng(1), []
    for t in range(steps):
        if t % problem.m == 0 and hasattr(opt, "snapshot"):
            opt.snapshot(problem.closure(opt, x, None), problem.m)
        opt.step(problem.closure(opt, x, int(rng.integers(problem.m)), calls))
        found.append(x.detach().numpy().copy())
        if estimates is not None:
            estimates.append(opt.state[x]["estimate"].numpy().copy())
    return found


def reference(
    name: str, problem: Sum, steps: int = 50, lr: float = 0.01, estimates: list | None = None
) -> list[np.ndarray]:
    """The same iterates, written down from the papers' formulas; `estimates` gets v_t."""
    g, full, m = problem.grad, problem.full, problem.m
    x, rng, found = np.ones(problem.d), np.random.default_rng(1), []
    v = previous = snapshot = average = stored = None
    error = np.zeros(problem.d)
    for t in range(steps):
        if t % m == 0:
            snapshot, average = x.copy(), full(x)
        i = int(rng.integers(m))
        if name == "ssvr":
            v = g(x, i) if v is None else g(x, i) + (1 - 0.3) * (v - g(previous, i))
        elif name == "ssvr_stored":  # heavy ball: yesterday's gradient instead of the second pass
            v, stored = (g(x, i) if v is None else g(x, i) + (1 - 0.3) * (v - stored)), g(x, i)
        elif name == "ssvr_fs":
            beta = 1 / m
            first = v is None
            v = average if first else g(x, i) + (1 - beta) * (v - g(previous, i)) - beta * (g(snapshot, i) - average)
        elif name == "ssvr_fs_spider":
            v = average if t % m == 0 else v + g(x, i) - g(previous, i)
        elif name == "signsvrg":
            v = g(x, i) - g(snapshot, i) + average
        elif name == "signsgd_sim":
            v = g(x, i) if v is None else 0.8 * v + 0.2 * g(x, i)
        elif name == "signsgd":
            v = g(x, i)
        previous = x.copy()
        if name == "ef_signsgd":
            p = lr * g(x, i) + error
            delta = np.abs(p).mean() * np.sign(p)
            x, error = x - delta, p - delta
        else:
            x = x - lr * np.sign(v)
        found.append(x.copy())
        if estimates is not None:
            estimates.append(v.copy())
    return found


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("sgd", "adamw")])
def test_fifty_steps_equal_the_papers_recursion(name):
    problem = Sum()
    np.testing.assert_allclose(trajectory(ALL[name], problem), reference(name, problem), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["ssvr", "ssvr_fs", "ssvr_fs_spider", "signsvrg", "signsgd_sim"])
def test_the_estimates_are_the_papers_too(name):
    """Steps know the sign alone, which forgives a snapshot that is forgotten."""
    problem, ours, theirs = Sum(), [], []
    trajectory(ALL[name], problem, estimates=ours)
    reference(name, problem, estimates=theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_stored_gradient_is_another_method():
    """Negative control: the classic mistake does not pass the comparison above."""
    problem = Sum()
    assert np.abs(np.array(trajectory(ALL["ssvr"], problem)) - reference("ssvr_stored", problem)).max() > 0.01


def test_beta_one_is_signsgd_bit_for_bit():
    problem = Sum()
    ours, plain = trajectory(lambda p: SSVR(p, lr=0.01, beta=1.0), problem), trajectory(ALL["signsgd"], problem)
    assert np.array_equal(ours, plain)
    calls: list = []
    trajectory(lambda p: SSVR(p, lr=0.01, beta=1.0), problem, calls=calls)
    assert len(calls) == 50, "and costs one gradient a step"


@pytest.mark.parametrize("form", ["storm", "spider"])
def test_one_component_is_sign_gradient_descent(form):
    problem = Sum(m=1)
    x, expected = np.ones(problem.d), []
    for _ in range(50):
        x = x - 0.01 * np.sign(problem.full(x))
        expected.append(x)
    np.testing.assert_allclose(trajectory(lambda p: SSVRFS(p, lr=0.01, form=form), problem), expected, atol=1e-12)


@pytest.mark.parametrize("beta", [0.01, 0.3, 0.9, 1.0])
def test_without_noise_the_estimate_is_the_gradient(beta):
    problem = Sum()
    x = nn.Parameter(torch.ones(problem.d, dtype=torch.float64))
    opt = SSVR([x], lr=0.02, beta=beta)
    for _ in range(60):
        exact = problem.full(x.detach().numpy())
        opt.step(problem.closure(opt, x, None))
        np.testing.assert_allclose(opt.state[x]["estimate"].numpy(), exact, atol=1e-12)


def test_both_gradients_use_the_same_draw_at_the_two_points():
    problem, calls = Sum(), []
    points = [np.ones(problem.d), *trajectory(ALL["ssvr"], problem, calls=calls)]
    assert len(calls) == 1 + 2 * 49
    for t in range(1, 50):
        (i, here), (j, there) = calls[2 * t - 1], calls[2 * t]
        assert i == j
        assert np.array_equal(here.numpy(), points[t])
        assert np.array_equal(there.numpy(), points[t - 1])
