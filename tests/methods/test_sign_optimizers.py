"""The family against independent numpy code, identities, protections of the second pass, and convergence of every optimizer."""

from __future__ import annotations

import copy
import doctest
import importlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from methods.baselines import SGD, AdamW
from methods.signsgd import EFSignSGD, SignSGD, SignSGDSIM, SignSVRG
from methods.ssvr import SSVR, SSVRFS

ALL = {
    "ssvr": lambda p, lr=0.01, **k: SSVR(p, lr=lr, beta=0.3, **k),
    "ssvr_fs": lambda p, lr=0.01, **k: SSVRFS(p, lr=lr, **k),
    "ssvr_fs_spider": lambda p, lr=0.01, **k: SSVRFS(p, lr=lr, form="spider", **k),
    "signsgd": lambda p, lr=0.01: SignSGD(p, lr=lr),
    "signsgd_sim": lambda p, lr=0.01: SignSGDSIM(p, lr=lr, beta=0.2),
    "ef_signsgd": lambda p, lr=0.01: EFSignSGD(p, lr=lr),
    "signsvrg": lambda p, lr=0.01, **k: SignSVRG(p, lr=lr, **k),
    "sgd": lambda p, lr=0.01: SGD(p, lr=lr),
    "adamw": lambda p, lr=0.01: AdamW(p, lr=lr),
}
WITH_BUFFERS = ["ssvr", "ssvr_fs", "ssvr_fs_spider", "signsvrg"]


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


def trajectory(make, problem: Sum, steps: int = 50, calls: list | None = None) -> list[np.ndarray]:
    """Iterates of an optimizer with components drawn from a fixed stream and a snapshot each pass."""
    x = nn.Parameter(torch.ones(problem.d, dtype=torch.float64))
    opt, rng, found = make([x]), np.random.default_rng(1), []
    for t in range(steps):
        if t % problem.m == 0 and hasattr(opt, "snapshot"):
            opt.snapshot(problem.closure(opt, x, None), problem.m)
        opt.step(problem.closure(opt, x, int(rng.integers(problem.m)), calls))
        found.append(x.detach().numpy().copy())
    return found


def reference(name: str, problem: Sum, steps: int = 50, lr: float = 0.01) -> list[np.ndarray]:
    """The same iterates, written down from the papers' formulas."""
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
    return found


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("sgd", "adamw")])
def test_fifty_steps_equal_the_papers_recursion(name):
    problem = Sum()
    np.testing.assert_allclose(trajectory(ALL[name], problem), reference(name, problem), rtol=0, atol=1e-12)


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


# ---- networks: BatchNorm, dropout, gradients left behind


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)).double()


def batches(count: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    g = torch.Generator().manual_seed(1)
    return [(torch.randn(12, 6, generator=g).double(), torch.randint(3, (12,), generator=g)) for _ in range(count)]


def train(opt, model: nn.Module, data, seen: list | None = None) -> None:
    """One pass; `seen` collects the masks of the dropout layer."""

    def closure(x, y, share=1.0, zero=True):
        if zero:
            opt.zero_grad()
        hidden = model[3](torch.ones(12, 16, dtype=torch.float64)) if seen is not None else None
        loss = nn.functional.cross_entropy(model(x), y) * share
        loss.backward()
        if seen is not None:
            seen.append(hidden)
        return loss

    def full() -> None:
        opt.zero_grad()
        for x, y in data:
            closure(x, y, 1 / len(data), zero=False)

    if hasattr(opt, "snapshot"):
        opt.snapshot(full, len(data))
        if seen is not None:
            seen.clear()
    for x, y in data:
        opt.step(lambda x=x, y=y: closure(x, y))


def buffers_after(make, protect: bool) -> list[torch.Tensor]:
    model, data = network(), batches()
    opt = make(model.parameters(), **({"buffers": model.buffers()} if protect else {}))
    history = []
    for batch in data * 2:
        before = copy.deepcopy(model)
        train(opt, model, [batch])
        before(batch[0])  # one forward pass alone
        history.append(all(torch.equal(a, b) for a, b in zip(model.buffers(), before.buffers())))
    return history


@pytest.mark.parametrize("name", WITH_BUFFERS)
def test_batchnorm_buffers_change_as_in_one_forward_pass(name):
    assert all(buffers_after(ALL[name], protect=True))


@pytest.mark.parametrize("name", WITH_BUFFERS)
def test_buffers_updated_twice_are_noticed(name):
    """Negative control: without the protection the comparison above fails."""
    assert not all(buffers_after(ALL[name], protect=False))


@pytest.mark.parametrize("name", ["ssvr", "ssvr_fs", "signsvrg"])
def test_every_pass_of_a_step_draws_the_same_dropout_mask(name):
    model, seen = network(), []
    opt = ALL[name](model.parameters(), buffers=model.buffers())
    data = batches()
    train(opt, model, data)
    train(opt, model, data, seen)
    steps = {"ssvr": [2] * 4, "ssvr_fs": [2, 3, 3, 3], "signsvrg": [1, 2, 2, 2]}[name]
    assert len(seen) == sum(steps)
    at = 0
    for passes in steps:
        assert all(torch.equal(seen[at], mask) for mask in seen[at : at + passes])
        at += passes
    assert not torch.equal(seen[0], seen[-1])


@pytest.mark.parametrize("name", ALL)
def test_the_step_leaves_the_first_gradient_and_the_random_state(name):
    model, data = network(), batches()
    opt = ALL[name](model.parameters())
    train(opt, model, data)
    x, y = data[1]
    model.eval()  # no dropout, no batch statistics: gradients can be compared

    def closure():
        opt.zero_grad(set_to_none=False)
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    closure()
    expected, state = [p.grad.clone() for p in model.parameters()], torch.get_rng_state()
    opt.step(closure)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), expected))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ALL)
def test_state_dict_round_trip_continues_bit_for_bit(name):
    data = batches()

    def start():
        model = network()
        return model, ALL[name](model.parameters())

    model, opt = start()
    torch.manual_seed(5)
    train(opt, model, data)
    other, again = start()
    other.load_state_dict(model.state_dict())
    again.load_state_dict(copy.deepcopy(opt.state_dict()))
    for m, o in ((model, opt), (other, again)):
        torch.manual_seed(6)
        train(o, m, data)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))


class NoSync(TorchDispatchMode):
    """Fails on any operator that hands a tensor's value to Python."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert "_local_scalar_dense" not in str(func), "a host synchronisation"
        assert "nonzero" not in str(func), "a host synchronisation"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ALL)
def test_no_host_synchronisation_in_a_step(name):
    model, data = network(), batches()
    opt = ALL[name](model.parameters())
    with NoSync():
        train(opt, model, data)
    with pytest.raises(AssertionError, match="host"), NoSync():
        data[0][0].sum().item()


# ---- convergence of every optimizer on one list of problems


def scaled_quadratic(x):
    return (torch.logspace(-2, 2, x.numel(), dtype=x.dtype) * (x - 1).square()).sum() / 2


def rosenbrock(x):
    return ((1 - x[0]).square() + 100 * (x[1] - x[0].square()).square()) / 100


def factorisation(x):
    u = x.view(2, 3)
    target = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 0.5]], dtype=x.dtype)
    return (u.T @ u - target).square().sum()


PROBLEMS = {
    "quadratic": (scaled_quadratic, 6, 0.05),
    "rosenbrock": (rosenbrock, 2, 0.02),
    "factorisation": (factorisation, 6, 0.75),
}
RATES = {
    "sgd": {"quadratic": 0.005, "factorisation": 0.005},
    "ef_signsgd": {"quadratic": 0.004, "factorisation": 0.005},
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", ALL)
def test_convergence(name, problem):
    """With a step size decaying to zero, each reaches a small loss on each problem (the factorisation's minimum is above zero)."""
    loss_of, dim, target = PROBLEMS[problem]
    x = nn.Parameter(torch.linspace(-0.5, 0.7, dim, dtype=torch.float64))
    lr, steps = RATES.get(name, {}).get(problem, 0.02), 3000
    opt = ALL[name]([x], lr=lr)

    def closure():
        opt.zero_grad()
        loss = loss_of(x)
        loss.backward()
        return loss

    for t in range(steps):
        opt.param_groups[0]["lr"] = lr * (1 - t / steps)
        if t % 10 == 0 and hasattr(opt, "snapshot"):
            opt.snapshot(closure, 10)
        opt.step(closure)
    assert loss_of(x).item() < target


# ---- bad use


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda p: SSVR(p, lr=-1.0, beta=0.5), "lr"),
        (lambda p: SSVR(p, lr=0.1, beta=0.0), "beta"),
        (lambda p: SSVR(p, lr=0.1, beta=1.5), "beta"),
        (lambda p: SSVRFS(p, lr=0.1, form="other"), "form"),
        (lambda p: SignSGD(p, lr=0.1, weight_decay=-1.0), "weight_decay"),
        (lambda p: SGD(p, lr=-0.1), "lr"),
        (lambda p: AdamW(p, lr=float("nan")), "lr"),
    ],
)
def test_bad_hyper_parameters_name_the_argument(make, word):
    with pytest.raises(ValueError, match=word):
        make([nn.Parameter(torch.zeros(2))])


@pytest.mark.parametrize("name", ["ssvr_fs", "signsvrg"])
def test_a_step_before_any_snapshot_is_an_error(name):
    x = nn.Parameter(torch.zeros(5, dtype=torch.float64))
    opt = ALL[name]([x])
    with pytest.raises(RuntimeError, match="snapshot"):
        opt.step(Sum().closure(opt, x, 0))


def test_a_step_without_a_closure_is_an_error():
    with pytest.raises(ValueError, match="closure"):
        ALL["ssvr"]([nn.Parameter(torch.zeros(2))]).step(None)


@pytest.mark.parametrize("module", ["methods.ssvr", "methods.signsgd"])
def test_the_examples_in_the_docstrings_run(module):
    done = doctest.testmod(importlib.import_module(module), extraglobs={"torch": torch})
    assert done.attempted >= 4
    assert done.failed == 0
