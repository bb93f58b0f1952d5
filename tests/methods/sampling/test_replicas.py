"""Replica exchange: what it leaves invariant, what it exchanges, how it estimates the noise; rules that are wrong break these checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from methods.sampling.exchange import Visit
from methods.sampling.replicas import ReplicaSGHMC
from methods.sampling.sghmc import SGHMC

COLD, HOT = 0.15, 0.6
GRID = np.linspace(-2.2, 2.2, 40_001)


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def well(x: Any) -> Any:
    """U of a double well whose right one is a little deeper."""
    return (x * x - 1) ** 2 - 0.03 * x


def law(temperature: float) -> np.ndarray:
    """exp(-U / T) on the grid, normalised, by quadrature."""
    weights = np.exp(-(well(GRID) - well(GRID).min()) / temperature)
    return weights / weights.sum()


def ladder(**keys: Any) -> ReplicaSGHMC:
    keys = {"lr": 2e-3, "temperature": COLD, "temperature_ratio": COLD / HOT, "chains": 2, **keys}
    return ReplicaSGHMC([nn.Parameter(torch.zeros(1, dtype=torch.float64))], **keys)


# ---- the rule, on pairs from the product law


def exchange_leaves_the_law(
    noise: float = 0.0, correction: float | None = None, pairs: int = 60_000, **keys: Any
) -> None:
    """60,000 pairs from the exact product of the laws: after one exchange U and the side that a chain is on have the same mean."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.choice(GRID, size=pairs, p=law(t)) for t in (COLD, HOT)])
    opt = ladder(variance=noise**2 if correction is None else correction, **keys)
    energies = well(x) + np.stack([noise * rng.standard_normal(pairs), np.zeros(pairs)])
    uniform, made = rng.random(pairs), np.zeros(pairs, dtype=bool)
    for k in range(pairs):
        made[k] = opt._accepts(0, *(Visit(e, e, [], True) for e in energies[:, k]), uniform[k])
    assert 0.02 < made.mean() < 0.98
    after = np.where(made, x[::-1], x)
    for k, temperature in enumerate((COLD, HOT)):
        for of in (well, lambda x: x > 0, lambda x: np.abs(x) < 0.5):
            exact = np.dot(law(temperature), of(GRID))
            values = of(after[k]).astype(float)
            assert abs(values.mean() - exact) < 4.5 * values.std() / math.sqrt(pairs), (k, exact, values.mean())


def test_an_exchange_leaves_the_product_law_invariant():
    exchange_leaves_the_law()


@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_so_does_one_on_noisy_energies_with_the_correction(noise):
    exchange_leaves_the_law(noise)


@pytest.mark.parametrize(
    "keys",
    [
        {"swap": "released", "correction_factor": 0.0001},
        {"noise": 0.4, "correction": 0.0},
        {"noise": 0.4, "correction_factor": 4.0},
        {"noise": 0.4, "correction": 2 * 0.4**2},
    ],
    ids=["the sign reversed", "no correction", "a correction divided", "the noise of two energies"],
)
def test_a_wrong_rule_is_noticed(keys):
    with pytest.raises(AssertionError):
        exchange_leaves_the_law(**keys)


# ---- the whole chain


def run_in_the_well(steps: int, **keys: Any) -> tuple[np.ndarray, ReplicaSGHMC]:
    """Positions of the cold chain, which starts in the left well."""
    opt, path = ladder(seed=4, friction=0.3, **keys), []
    (x,) = opt.param_groups[0]["params"]
    x.data.fill_(-1.0)

    def closure() -> Tensor:
        at = x.detach()
        x.grad = 4 * at * (at * at - 1) - 0.03
        return well(at).sum()

    for _ in range(steps):
        opt.step(closure)
        path.append(x.item())
    return np.array(path), opt


def test_the_cold_chain_visits_both_wells_as_often_as_quadrature_says():
    """Alone it stays where it started; the estimate finds that the energies have next to no noise."""
    keys = {"lr": 0.01, "temperature": 0.05, "temperature_ratio": 0.05 / 0.6, "lr_ratio": 0.5}
    path, opt = run_in_the_well(9_000, **keys)
    alone, _ = run_in_the_well(3_000, **keys | {"chains": 1})
    weights = law(0.05)
    assert (alone > 0).mean() == 0.0
    assert weights[GRID > 0].sum() == pytest.approx(0.77, abs=0.01)
    assert (path > 0).mean() == pytest.approx(weights[GRID > 0].sum(), abs=0.06)
    assert well(path).mean() == pytest.approx(np.dot(weights, well(GRID)), abs=0.006)
    assert opt.swap_rates[0] > 0.1
    assert opt._pairs[0].variance < 0.003


def exchanges_heat_no_chain() -> None:
    """Ladders of two temperatures near each other, which exchange about every second step, have the variances of chains alone."""
    x, lr, found = nn.Parameter(torch.zeros(25, dtype=torch.float64)), 0.02, []
    keys = {"lr": lr, "lr_ratio": 1.0, "temperature": 1.0, "temperature_ratio": 0.8, "friction": 0.3, "variance": 0.0}
    opt = ReplicaSGHMC([x], (), 10, 2, chains=2, weight_decay=1.0, **keys)

    def closure() -> Tensor:
        x.grad = 3 * x.detach() / 10
        return 1.5 * x.detach().square().sum() / 10

    for step in range(4_000):
        opt.step(closure)
        if step > 100:
            found.append([x.detach().square().mean().item(), opt.state[x]["position1"].square().mean().item()])
    assert 0.3 < opt.swap_rates[0] < 0.8
    expected = np.array([1.0, 1 / 0.8]) / 4 / (1 - lr * 4 / 3.4)
    np.testing.assert_allclose(np.mean(found, 0), expected, rtol=0.05)


def test_exchanges_heat_or_cool_no_chain():
    exchanges_heat_no_chain()


def test_velocities_that_are_not_brought_along_are_noticed():
    with patch.object(ReplicaSGHMC, "_kick", lambda *_: None), pytest.raises(AssertionError, match="Not equal"):
        exchanges_heat_no_chain()


# ---- the estimate of the noise


class Noisy:
    """A quadratic whose loss has noise that all chains share, and noise of each visit."""

    def __init__(self, own: float, **keys: Any) -> None:
        self.x, self.own, self.stream = nn.Parameter(torch.ones(30, dtype=torch.float64)), own, draw(0)
        self.opt = ReplicaSGHMC([self.x], (), 10, 1, lr=1e-3, temperature=1.0, **keys)

    def step(self) -> None:
        shared = 50 * torch.randn((), generator=self.stream, dtype=torch.float64)

        def closure() -> Tensor:
            self.x.grad = 5 * self.x.detach() / 10
            own = self.own * torch.randn((), generator=self.stream, dtype=torch.float64)
            return (2.5 * self.x.detach().square().sum() + shared + own) / 10

        self.opt.step(closure)


@pytest.mark.parametrize("pairs", ["even_odd", "all"])
def test_the_estimate_is_the_variance_of_the_difference_whatever_noise_is_shared(pairs):
    """Exchanges, which go on, do not spoil it."""
    noisy, found = Noisy(3.0, chains=3, temperature_ratio=0.7, correction_factor=50.0, pairs=pairs), []
    for step in range(1500):
        noisy.step()
        if step > 100:
            found.append([pair.variance for pair in noisy.opt._pairs])
    assert min(noisy.opt.swap_rates) > 0.02
    np.testing.assert_allclose(np.mean(found, 0), 2 * 3.0**2, rtol=0.15)


def test_without_noise_it_vanishes_however_much_the_energies_move():
    noisy, energies = Noisy(0.0, chains=2, correction_factor=1e6), []
    for _ in range(300):
        noisy.step()
        energies.append(2.5 * noisy.x.detach().square().sum().item())
    moves = np.var(np.diff(energies))
    assert moves > 0.3
    assert noisy.opt._pairs[0].variance < 0.01 * moves


# ---- what is exchanged, and what is counted


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()


DATA = [
    (torch.randn(16, 5, generator=draw(k), dtype=torch.float64), torch.randint(3, (16,), generator=draw(k)))
    for k in range(6)
]
KEYS = {"lr": 1e-3, "temperature": 0.5, "weight_decay": 1.0, "bound": 0.5}


class Training:
    def __init__(self, kind: Callable[..., Any], **keys: Any) -> None:
        self.model, self.calls = network(), 0
        own = (self.model.buffers(),) if kind is ReplicaSGHMC else ()
        self.opt = kind(self.model.parameters(), *own, 50, 5, 40, **KEYS, **keys)

    def step(self, t: int, spoil: int | None = None) -> float:
        def closure() -> Tensor:
            self.opt.zero_grad()
            loss = nn.functional.cross_entropy(self.model(DATA[t % 6][0]), DATA[t % 6][1])
            loss.backward()
            if spoil == self.calls:
                self.model[3].bias.grad[1] = torch.inf
            self.calls += 1
            return loss

        return self.opt.step(closure).item()

    def everything(self) -> list[Tensor]:
        return [t.detach().clone() for t in self.model.state_dict().values()]

    def chain(self, k: int) -> list[Tensor]:
        """Its positions, then its buffers."""
        params, buffers = list(self.model.parameters()), list(self.model.buffers())
        points = params if k == 0 else [self.opt.state[p][f"position{k}"] for p in params]
        return [t.detach().clone() for t in (*points, *(buffers if k == 0 else self.opt._others[k - 1]))]

    def velocity(self, k: int) -> list[Tensor]:
        return [self.opt.state[p][f"velocity{k}"].clone() for p in self.model.parameters()]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def test_the_cold_chain_is_that_of_sghmc_as_long_as_nothing_is_exchanged():
    """With its own statistics of BatchNorm; the others leave it and are hotter."""
    alone, together = Training(SGHMC), Training(ReplicaSGHMC, chains=3, swap_every=1000)
    together.opt._taken = alone.opt._taken = 1  # no exchange at the first step either
    for t in range(12):
        assert alone.step(t) == together.step(t)
        assert equal(alone.everything(), together.everything())
    assert together.calls == 36
    assert not equal(together.chain(1), together.chain(0))
    speed = [torch.cat([v.flatten() for v in together.velocity(k)]).std().item() for k in range(3)]
    assert speed[0] < speed[1] < speed[2]


@pytest.mark.parametrize("swap", ["metropolis", "released"])
@pytest.mark.parametrize("k", [0, 1])
def test_positions_and_buffers_are_exchanged_and_velocities_get_half_a_kick_or_nothing(k, swap):
    training = Training(ReplicaSGHMC, chains=3, swap_every=1000, swap=swap)
    for t in range(5):
        training.step(t)
    before, speeds = [training.chain(j) for j in range(3)], [training.velocity(j) for j in range(3)]
    gradients = [[torch.full_like(x, 0.1 * j) for x in before[0][:6]] for j in range(3)]
    visits = [Visit(float(j), float(j), gradients[j], True) for j in range(3)]
    training.opt._swap(k, visits)
    order = [1, 0, 2] if k == 0 else [0, 2, 1]
    assert [visit.energy for visit in visits] == order
    for j in range(3):
        assert equal(training.chain(j), before[order[j]])
        for x, old, v, speed in zip(training.chain(j)[:6], before[j], training.velocity(j), speeds[j]):
            kick = (50 * 0.1 * (order[j] - j) + (x - old)) * 1e-3 / 0.66**j / 2 if swap == "metropolis" else 0 * x
            torch.testing.assert_close(v, speed + kick, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("pairs", "chains", "tried"), [("even_odd", 4, [5, 5, 5]), ("even_odd", 2, [10]), ("all", 4, [10, 10, 10])]
)
def test_pairs_take_turns_or_all_are_tried(pairs, chains, tried):
    """Ten attempts in twenty steps; even-odd ones try (0, 1) with (2, 3), then (1, 2)."""
    training = Training(ReplicaSGHMC, chains=chains, pairs=pairs, swap_every=2)
    seen = []
    for t in range(20):
        training.step(t)
        seen.append([pair.tried for pair in training.opt._pairs])
    assert seen[-1] == tried
    if tried == [5, 5, 5]:
        assert seen[:4] == [[1, 0, 1], [1, 0, 1], [1, 1, 1], [1, 1, 1]]


def test_a_hot_chain_with_an_infinity_stays_and_the_others_go_on():
    training = Training(ReplicaSGHMC, chains=3, swap_every=1000)
    for t in range(3):
        training.step(t)
    before = [training.chain(j)[:6] for j in range(3)]
    training.step(3, spoil=training.calls + 1)
    after = [training.chain(j)[:6] for j in range(3)]
    assert [equal(a, b) for a, b in zip(before, after)] == [False, True, False]
    assert training.opt.skipped_steps == 1


def test_the_released_rule_takes_the_worse_network_and_draws_no_chance():
    opt = ladder(swap="released", correction_factor=2.0)
    for cold, hot, swapped in ((0.0, 2.0, True), (0.0, 1.9, False), (5.0, 0.0, False)):
        assert all(
            opt._accepts(0, Visit(cold, 0, [], True), Visit(hot, 0, [], True), u) is swapped for u in (0.0, 0.99)
        )


def test_a_ladder_s_temperatures_and_step_sizes():
    opt = ladder(chains=4, temperature=0.05, temperature_ratio=0.2, lr=2e-5, lr_ratio=0.66)
    np.testing.assert_allclose([opt._temperature(k) for k in range(4)], [0.05, 0.25, 1.25, 6.25])
    rates = [opt._rate(opt.param_groups[0], k) for k in range(4)]
    np.testing.assert_allclose(rates, [2e-5, 3.0303e-5, 4.5914e-5, 6.9566e-5], rtol=1e-4)
