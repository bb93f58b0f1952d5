"""Doubly SGD's draws (minibatches, permutations, correlated noise) and its updates against torch's own optimizers."""

from __future__ import annotations

import doctest

import pytest
import torch

import methods.noisy.doubly_sgd
from methods.noisy.base import couple
from methods.noisy.doubly_sgd import DoublyAdam, DoublySGD


def method(n=12, b=3, **more) -> DoublySGD:
    return DoublySGD(n, 5.0, 0.5, batch_size=b, **more)


@pytest.mark.parametrize(("n", "b"), [(12, 3), (12, 11), (200, 6)])
def test_minibatches_without_replacement_are_uniform(n, b):
    """Both ways of drawing them: no index twice, every index and every pair equally often."""
    index = method(n, b).minibatches([0], 0, 20_000, 1)[:, 0]
    assert index.shape == (20_000, b)
    assert (index.sort(1).values.diff(dim=1) > 0).all()
    chosen = torch.zeros(20_000, n, dtype=torch.float64).scatter_(1, index, 1.0)
    single = chosen.mean(0)
    assert (single - b / n).abs().max() < 5 * (b / n * (1 - b / n) / 20_000) ** 0.5
    pairs = chosen.T @ chosen / 20_000
    expected = b * (b - 1) / (n * (n - 1))
    apart = ~torch.eye(n, dtype=torch.bool)
    assert (pairs - expected)[apart].abs().max() < 5.5 * (expected * (1 - expected) / 20_000) ** 0.5


def test_minibatches_with_replacement_repeat():
    index = method(sampling="with_replacement").minibatches([0], 0, 10_000, 1)[:, 0]
    repeated = (index.sort(1).values.diff(dim=1) == 0).any(1).double().mean()
    assert repeated == pytest.approx(1 - 11 * 10 / 144, abs=0.02)


def test_reshuffling_sees_every_component_once_an_epoch_in_new_blocks():
    index = method(sampling="reshuffling").minibatches([0, 1], 0, 40, 5)  # ten epochs of four blocks, ten paths
    assert index.shape == (40, 10, 3)
    epochs = index.unflatten(0, (10, 4)).permute(0, 2, 1, 3).flatten(2)  # [epoch, path, n]
    assert (epochs.sort(-1).values == torch.arange(12)).all()
    partitions = {tuple(sorted(map(tuple, e.view(4, 3).sort(1).values.tolist()))) for e in epochs[:, 0]}
    assert len(partitions) == 10, "a new partition each epoch, not new orders of old blocks"
    assert not torch.equal(epochs[0, 0], epochs[0, 1]), "each path has its own permutation"


def test_reshuffling_leaves_out_what_does_not_fill_a_block():
    index = method(14, 4, sampling="reshuffling").minibatches([0], 0, 3, 1)
    assert len(index.unique()) == 12


def test_the_full_batch_is_every_component():
    for sampling in ("without_replacement", "reshuffling"):
        assert (DoublySGD(5, sampling=sampling).minibatches([0], 0, 2, 1) == torch.arange(5)).all()
    assert len(DoublySGD(50, sampling="with_replacement").minibatches([0], 0, 1, 1).unique()) < 50


def test_draws_depend_on_seed_and_step_alone():
    m = method(sampling="reshuffling", mc_samples=2)
    whole = m.minibatches([0, 1], 0, 40, 2)
    assert torch.equal(m.minibatches([1], 0, 40, 2), whole[:, 2:]), "a seed is the same alone and among others"
    assert torch.equal(m.minibatches([0, 1], 7, 20, 2), whole[7:27]), "whichever step the chunk starts at"
    noise = m.noise([0, 1], 8, 4, 2, 6)
    assert torch.equal(m.noise([1], 8, 4, 2, 6), noise[:, 2:])
    assert not torch.equal(noise[0], noise[1]), "fresh at every step"
    assert not torch.equal(m.noise([0, 1], 12, 4, 2, 6), noise)


def test_shared_noise_is_one_draw_and_separate_noise_is_b():
    assert method(mc_samples=2).noise([0], 0, 7, 2, 6).shape == (7, 2, 1, 2, 6)
    assert method(mc_samples=2, rho=0.0).noise([0], 0, 7, 2, 6).shape == (7, 2, 3, 2, 6)
    assert method(exact=True).noise([0], 0, 7, 2, 6) is None
    assert [method(mc_samples=2, **k).draws for k in ({}, {"rho": 0.0}, {"exact": True})] == [2, 6, 0]


@pytest.mark.parametrize("rho", [1.0, 0.5, 0.0, -0.2, -1 / 3])
def test_any_correlation(rho):
    z = torch.randn(100_000, 4, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eta = couple(z, rho)[..., 0, 0]
    expected = (1 - rho) * torch.eye(4, dtype=torch.float64) + rho
    assert (torch.cov(eta.T) - expected).abs().max() < 0.02
    if rho == 1:
        assert (eta - eta[:, :1]).abs().max() < 1e-12
    if rho == -1 / 3:
        assert eta.sum(1).abs().max() < 1e-6, "draws that cancel"


def test_budget_and_draws():
    assert [method(budget=12).m, method(mc_samples=5).m, method().m] == [4, 5, 1]
    assert method(exact=True, mc_samples=5).evaluations == 3
    assert method(mc_samples=5).evaluations == 15
    other = method(budget=12).with_split(6, 2)
    assert (other.b, other.m, other.steps_per_epoch) == (6, 2, 2)
    assert method().lr == 1 / (2 * 5.0 * 4), "1 / (2 L p)"
    assert DoublySGD(12).lr is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"b": 13}, "batch_size = 13: the data set has 12"),
        ({"budget": 10}, r"budget = 10: batch_size \* mc_samples = 3 \* 3"),
        ({"budget": 12, "mc_samples": 2}, "budget = 12"),
        ({"rho": -0.6}, r"rho = -0.6: between -0.5"),
        ({"rho": 1.1}, "rho = 1.1"),
    ],
)
def test_bad_settings_are_one_line(more, words):
    with pytest.raises(ValueError, match=words):
        method(**more)


def test_two_stage_needs_strong_convexity():
    with pytest.raises(ValueError, match="two_stage"):
        DoublySGD(12, 5.0, schedule="two_stage")


def test_the_two_stage_schedule():
    """Constant while (2 t + 1) / ((t + 1)^2 mu) is larger, about t = 2 / (mu lr); each step size has its own switch."""
    m = method(schedule="two_stage")
    m.begin(torch.zeros(2, 1, 1, dtype=torch.float64), torch.tensor([0.1, 0.01]))
    gamma = torch.stack([m.step_sizes(t).flatten() for t in range(2000)])
    assert (gamma[:38, 0] == gamma[0, 0]).all()
    t = torch.arange(2000.0, dtype=torch.float64)
    torch.testing.assert_close(gamma[50:, 0], ((2 * t + 1) / ((t + 1).square() * 0.5))[50:])
    assert (gamma[:395, 1] == gamma[0, 1]).all()
    assert (gamma.diff(dim=0) <= 0).all()


def stepped(m, steps=30, project=lambda x: x):
    """x_{t+1} on f(x) = sum x^4 / 4, whose gradient is x^3."""
    x = m.begin(torch.linspace(-1, 1, 5, dtype=torch.float64)[None, None], torch.tensor([0.05]), project)
    path = []
    for t in range(steps):
        x = m.update(x, x**3, t)
        path.append(x)
    return path


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (method(), torch.optim.SGD),
        (DoublyAdam(12, averaging=None), torch.optim.Adam),
    ],
)
def test_updates_are_torch_s(ours, theirs):
    x = torch.linspace(-1, 1, 5, dtype=torch.float64, requires_grad=True)
    opt = theirs([x], lr=0.05)
    for _ in range(30):
        x.grad = x.detach() ** 3
        opt.step()
    torch.testing.assert_close(stepped(ours)[-1][0, 0], x.detach(), rtol=1e-7, atol=1e-9)


def test_adam_averages_projected_iterates():
    m = DoublyAdam(12, averaging=8.0)
    path = stepped(m, project=lambda x: x.clamp(min=-0.5))
    assert min(float(x.min()) for x in path) == -0.5
    mean = path[0]
    for t, x in enumerate(path[1:], 2):
        mean = mean + 9 / (8 + t) * (x - mean)
    torch.testing.assert_close(m.answer(path[-1]), mean)
    other = DoublyAdam(12)
    other.begin(path[0], torch.tensor([0.05]))
    other.load_state_dict(m.state_dict())
    assert torch.equal(other.answer(path[-1]), m.answer(path[-1]))
    with pytest.raises(ValueError, match="beta1"):
        DoublyAdam(12, beta1=1.0)


def test_the_example_of_the_docstring():
    assert doctest.testmod(methods.noisy.doubly_sgd).failed == 0
