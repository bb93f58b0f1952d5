"""SGHMC: its stationary law against closed forms and against HMC, its walls, its limit without noise; mistakes break these checks."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from methods.sampling import sghmc
from methods.sampling.replicas import ReplicaSGHMC
from methods.sampling.sghmc import SGHMC, CyclicalSGHMC, reflect_

N = 50  # examples that the mean loss is over


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sampled(gradient: Callable[[Tensor], Tensor], start: Tensor, steps: int, thin: int = 0, **keys: Any) -> Tensor:
    """Positions [S, *start] of chains side by side after `steps` steps, and then so many more times `thin` ones (10); grad U is `gradient`."""
    x = nn.Parameter(start.clone())
    opt, found = SGHMC([x], N, 3, **keys), []

    def closure() -> Tensor:
        x.grad = gradient(x.detach()) / N
        return x.new_zeros(())

    for step in range(1, steps + 10 * thin + 1):
        opt.step(closure)
        if step == steps or (step > steps and thin and (step - steps) % thin == 0):
            found.append(x.detach().clone())
    return torch.stack(found)


# ---- the law without walls


@pytest.mark.parametrize("temperature", [0.05, 1.0, 6.25])
def test_the_law_on_a_quadratic_is_the_closed_form_and_tends_to_the_target_s(temperature):
    """theta is AR(2): with h = lr lambda and momentum a its variance is (T / lambda) / (1 - h / (2 (1 + a))), its mean the minimum."""
    n, curvature, centre, errors = 20_000, 4.0, 1.5, []
    for h in (1.0, 0.3, 0.08):
        keys = {"lr": h / curvature, "friction": 0.1, "temperature": temperature}
        start = torch.zeros(n, dtype=torch.float64)
        (x,) = sampled(lambda x: curvature * (x - centre), start, 250, **keys)
        expected = temperature / curvature / (1 - h / 3.8)
        assert x.mean().item() == pytest.approx(centre, abs=5 * (expected / n) ** 0.5)
        assert x.var().item() == pytest.approx(expected, rel=5 * (2 / n) ** 0.5)
        errors.append(abs(x.var().item() / (temperature / curvature) - 1))
    assert errors[0] > 0.3
    assert errors[0] > 3 * errors[1]
    assert errors[2] < 0.07


def test_weight_decay_is_a_gaussian_prior_and_the_noise_estimate_takes_from_the_noise():
    n, zero = 20_000, torch.zeros(20_000, dtype=torch.float64)
    (x,) = sampled(lambda x: 2.0 * x, zero, 250, lr=0.02, weight_decay=3.0)
    assert x.var().item() == pytest.approx(1 / 5 / (1 - 0.1 / 3.8), rel=5 * (2 / n) ** 0.5)
    (x,) = sampled(lambda x: 5.0 * x, zero, 250, lr=0.02, friction=0.1, noise_estimate=0.04)
    assert x.var().item() == pytest.approx(0.6 / 5 / (1 - 0.1 / 3.8), rel=5 * (2 / n) ** 0.5)


@cache
def logistic() -> tuple[Tensor, Tensor]:
    """120 examples of four variables with labels 0 and 1."""
    x = torch.randn(120, 4, generator=draw(0), dtype=torch.float64) * torch.tensor([1.0, 0.5, 2.0, 1.0])
    chance = torch.sigmoid(x @ torch.tensor([0.5, -1.0, 0.3, 0.0], dtype=torch.float64))
    return x, (torch.rand(120, generator=draw(1), dtype=torch.float64) < chance).double()


def potential(theta: Tensor) -> Tensor:
    """U [C] of theta [C, 4]: the logistic loss and |theta|^2 / 2."""
    x, y = logistic()
    logits = theta @ x.T
    return (nn.functional.softplus(logits) - logits * y).sum(-1) + theta.square().sum(-1) / 2


def slope(theta: Tensor) -> Tensor:
    x, y = logistic()
    return (torch.sigmoid(theta @ x.T) - y) @ x + theta


@cache
def hmc(chains: int = 400, draws: int = 100) -> Tensor:
    """Samples [draws * chains, 4] of Hamiltonian Monte Carlo: 12 leapfrog steps of 0.08."""
    stream, theta, found = draw(7), torch.zeros(chains, 4, dtype=torch.float64), []
    for t in range(draws + 20):
        p = torch.randn(theta.shape, generator=stream, dtype=torch.float64)
        x, q = theta, p - 0.04 * slope(theta)
        for k in range(12):
            x = x + 0.08 * q
            q = q - (0.08 if k < 11 else 0.04) * slope(x)
        change = potential(theta) - potential(x) + (p.square() - q.square()).sum(-1) / 2
        better = torch.rand(chains, generator=stream, dtype=torch.float64).log() < change
        theta = torch.where(better[:, None], x, theta)
        if t >= 20:
            found.append(theta)
    return torch.cat(found)


@pytest.mark.parametrize("bound", [None, 1.3])
def test_a_logistic_regression_s_posterior_is_that_of_hmc(bound):
    """In a box: those of HMC's samples that lie in it."""
    reference = hmc()
    if bound is not None:
        reference = reference[(reference.abs() <= bound).all(-1)]
        assert 0.1 < len(reference) / len(hmc()) < 0.6, "the walls matter"
    start = torch.zeros(1000, 4, dtype=torch.float64)
    found = sampled(slope, start, 300, 30, lr=4e-4, friction=0.1, bound=bound).flatten(0, 1)
    assert bound is None or found.abs().max() <= bound
    assert ((found.mean(0) - reference.mean(0)).abs() < 0.06 * reference.std(0)).all()
    np.testing.assert_allclose(found.var(0), reference.var(0), rtol=0.08)


# ---- walls


def uniform_in_the_box(**keys: Any) -> None:
    """Without a force the law in the box is uniform."""
    x = sampled(torch.zeros_like, torch.zeros(20_000, dtype=torch.float64), 300, lr=0.05, bound=1.0, **keys)[0]
    assert x.abs().max() <= 1
    assert kstest(x.numpy(), "uniform", (-1, 2)).pvalue > 1e-3
    assert len(x.unique()) == len(x)


def test_without_a_force_the_law_in_a_box_is_uniform():
    uniform_in_the_box()


def clamped(points: Any, velocities: Any, bound: float) -> None:
    for x in points:
        x.clamp_(-bound, bound)


def test_a_velocity_that_is_not_turned_round_or_a_clamp_is_noticed():
    with pytest.raises(AssertionError):
        uniform_in_the_box(reflect_velocity=False)
    with patch.object(sghmc, "reflect_", clamped), pytest.raises(AssertionError):
        uniform_in_the_box()


def test_reflection_by_hand():
    x = torch.tensor([0.3, 1.25, -1.5, 3.5, -5.25, 1.0, -1.0], dtype=torch.float64)
    v = torch.ones(7, dtype=torch.float64)
    reflect_([x], [v], 1.0)
    assert x.tolist() == [0.3, 0.75, -0.5, -0.5, -0.75, 1.0, -1.0]
    assert v.tolist() == [1, -1, -1, 1, -1, 1, 1], "3.5 meets 1, then -1; -5.25 meets three walls"


# ---- limits


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()


DATA = [
    (torch.randn(16, 5, generator=draw(k), dtype=torch.float64), torch.randint(3, (16,), generator=draw(k)))
    for k in range(6)
]


def closure_of(model: nn.Module, opt: Any, step: int) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(DATA[step % 6][0]), DATA[step % 6][1])
        loss.backward()
        return loss

    return closure


def trained(make: Callable[[nn.Module], Any], steps: int = 25) -> tuple[list[float], list[Tensor]]:
    """Losses, and parameters with buffers at the end."""
    model = network()
    opt = make(model)
    losses = [opt.step(closure_of(model, opt, t)).item() for t in range(steps)]
    return losses, [t.detach().clone() for t in model.state_dict().values()]


def test_without_noise_it_is_sgd_with_momentum():
    found = trained(lambda m: SGHMC(m.parameters(), N, lr=0.002, friction=0.2, temperature=0.0, weight_decay=0.5))
    other = trained(lambda m: torch.optim.SGD(m.parameters(), lr=0.002 * N, momentum=0.8, weight_decay=0.5 / N))
    np.testing.assert_allclose(found[0], other[0], rtol=1e-10)
    for one, expected in zip(found[1], other[1]):
        torch.testing.assert_close(one, expected, rtol=1e-9, atol=1e-12)


KEYS = {"lr": 1e-3, "temperature": 0.5, "weight_decay": 1.0, "bound": 0.5}


def test_one_replica_is_sghmc_bit_for_bit():
    plain = trained(lambda m: SGHMC(m.parameters(), N, 5, 25, **KEYS))
    replica = trained(lambda m: ReplicaSGHMC(m.parameters(), m.buffers(), N, 5, 25, chains=1, **KEYS))
    other = trained(lambda m: SGHMC(m.parameters(), N, 6, 25, **KEYS))
    assert plain[0] == replica[0] != other[0]
    assert all(torch.equal(a, b) for a, b in zip(plain[1], replica[1]))


MAKERS = {
    "sghmc": lambda m: SGHMC(m.parameters(), N, 5, 30, cooling=0.1, cooling_until=0.5, **KEYS),
    "cyclical": lambda m: CyclicalSGHMC(m.parameters(), N, 5, 30, cycles=3, exploration=0.3, **KEYS),
    "replica": lambda m: ReplicaSGHMC(m.parameters(), m.buffers(), N, 5, 30, chains=3, correction_factor=1e9, **KEYS),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_goes_on_bit_for_bit_from_what_is_kept(name):
    make, model = MAKERS[name], network()
    opt = make(model)
    for t in range(11):
        opt.step(closure_of(model, opt, t))
    file, other = io.BytesIO(), network()
    torch.save([model.state_dict(), opt.state_dict()], file)
    file.seek(0)
    kept = torch.load(file, weights_only=True)
    again = make(other)
    other.load_state_dict(kept[0])
    again.load_state_dict(kept[1])
    for t in range(11, 30):
        assert torch.equal(opt.step(closure_of(model, opt, t)), again.step(closure_of(other, again, t)))
    for one, expected in zip(other.state_dict().values(), model.state_dict().values()):
        assert torch.equal(one, expected)
    if name == "replica":
        assert again.swap_rates == opt.swap_rates
        assert sum(opt.swap_rates) > 0, "or this would tell little"


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "way", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "pickle"]
)
def test_a_copy_goes_on_bit_for_bit(name, way):
    model = network()
    opt = MAKERS[name](model)
    for t in range(7):
        opt.step(closure_of(model, opt, t))
    other, again = way((model, opt))
    losses = [opt.step(closure_of(model, opt, t)).item() for t in range(7, 15)]
    assert losses == [again.step(closure_of(other, again, t)).item() for t in range(7, 15)]


# ---- schedules of its own


def test_step_sizes_run_through_cosine_cycles_that_a_schedule_multiplies():
    """At friction 1 and T = 0 a step is lr_t times a gradient of 1 / N."""
    x = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    opt, steps = CyclicalSGHMC([x], N, 0, 10, lr=0.4, friction=1.0, temperature=0.0, cycles=3, weight_decay=0.0), []

    def closure() -> Tensor:
        x.grad = torch.full_like(x, 1 / N)
        return x.new_zeros(())

    for t in range(10):
        opt.param_groups[0]["lr"] = 0.4 if t < 8 else 0.2
        before = x.item()
        opt.step(closure)
        steps.append(before - x.item())
    one = [0.4 * (1 + np.cos(np.pi * r / 4)) / 2 for r in range(4)]  # ceil(10 / 3) steps a cycle
    np.testing.assert_allclose(steps, [*one, *one, one[0] / 2, one[1] / 2], atol=1e-14)


def test_an_exploration_is_without_noise_and_without_samples():
    model, noisy, kept = network(), [], []
    opt = CyclicalSGHMC(model.parameters(), N, 5, 20, cycles=2, exploration=0.6, burn_in=0.25, **KEYS)
    with patch.object(sghmc, "generator", side_effect=sghmc.generator) as streams:
        for t in range(20):
            before = streams.call_count
            opt.step(closure_of(model, opt, t))
            noisy.append(streams.call_count > before)
            kept.append(opt.collects)
    assert noisy == kept == ([False] * 6 + [True] * 4) * 2


def test_samples_are_kept_after_the_burn_in_and_the_temperature_falls_geometrically():
    model = network()
    opt = SGHMC(model.parameters(), N, 5, 20, burn_in=0.5, cooling=0.01, cooling_until=0.5, **KEYS)
    kept, temperatures = [opt.collects], []
    for t in range(20):
        temperatures.append(opt._temperature(0))
        opt.step(closure_of(model, opt, t))
        kept.append(opt.collects)
    assert kept == [False] * 10 + [True] * 11
    np.testing.assert_allclose(temperatures, [0.5 * 0.1 ** (min(t, 10) / 5) for t in range(20)])


# ---- what goes wrong


def test_a_step_with_a_nan_changes_nothing_and_is_counted():
    model = network()
    opt = SGHMC(model.parameters(), N, 5, **KEYS)
    opt.step(closure_of(model, opt, 0))
    before = [p.detach().clone() for p in model.parameters()]

    def spoilt() -> Tensor:
        loss = closure_of(model, opt, 1)()
        model[3].bias.grad[1] = torch.nan
        return loss

    opt.step(spoilt)
    assert opt.skipped_steps == 1
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before))
    opt.step(closure_of(model, opt, 2))
    assert not torch.equal(model[0].weight, before[0])


@pytest.mark.parametrize(
    ("kind", "keys", "line"),
    [
        (SGHMC, {"friction": 0.0}, "friction = 0.0"),
        (SGHMC, {"noise_estimate": 0.2}, "noise_estimate = 0.2: not above friction"),
        (SGHMC, {"temperature": -1.0}, "temperature = -1.0"),
        (SGHMC, {"bound": 0.0}, "bound = 0.0"),
        (ReplicaSGHMC, {"chains": 65}, "chains = 65: at most 64"),
        (ReplicaSGHMC, {"temperature": 0.0}, "temperature = 0: chains = 4"),
        (ReplicaSGHMC, {"temperature_ratio": 1e-300}, "temperature_ratio = 1e-300"),
    ],
)
def test_a_wrong_hyper_parameter_is_one_line(kind, keys, line):
    with pytest.raises(ValueError, match=line):
        kind([nn.Parameter(torch.zeros(1))], **{"lr": 0.1, **keys})


def test_cycles_and_cooling_need_the_number_of_steps():
    x = nn.Parameter(torch.zeros(1))
    for opt in (CyclicalSGHMC([x], lr=0.1), SGHMC([x], lr=0.1, cooling=0.5)):
        with pytest.raises(ValueError, match="give total_steps"):
            opt.step(lambda: (x.sum() * 0).requires_grad_())
