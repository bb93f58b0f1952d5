"""One release of mean features: its sensitivity, its noise, its means, and a generator that is trained to have them."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bench.tasks.generation.accounting import epsilon
from bench.tasks.generation.ledger import Ledger, Refused
from methods.private.mepf import COUNT, MEPF

KEYS = {"epsilon": 2.0, "delta": 1e-3, "steps": 3, "batch_size": 8, "lr": 1e-2, "width": 8}


class Features(nn.Module):
    """Ten features of images, of any size and sign."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(64, 10).requires_grad_(False)

    def forward(self, x):
        return 5 * self.layer(x.flatten(1))


def problem(n: int = 60, classes: int = 3, **changes) -> SimpleNamespace:
    draw = torch.Generator().manual_seed(1)
    y = torch.arange(n) % classes
    x = (torch.randn(n, 1, 8, 8, generator=draw) * 0.3 + torch.linspace(-0.8, 0.8, classes)[y].view(-1, 1, 1, 1)).clamp(
        -1, 1
    )
    pair = SimpleNamespace(public_x=torch.zeros(2, 1, 8, 8, dtype=torch.uint8), num_classes=classes)
    given = SimpleNamespace(
        pair=pair, x=x, y=y, features=Features(), decode=lambda z: z, schedule=None, seed=0, device=torch.device("cpu"),
        ledger=partial(Ledger, n, seed=0),
    )  # fmt: skip
    return SimpleNamespace(**{**vars(given), **changes})


def sums(given: SimpleNamespace, **keys) -> torch.Tensor:
    """The sums without noise."""
    method = MEPF(**(KEYS | {"epsilon": None} | keys))
    method.begin(given)
    return method.release()


@pytest.mark.parametrize("squares", [True, False])
def test_an_image_moves_the_sums_by_the_sensitivity_and_no_more(squares):
    given = problem()
    whole, bound = sums(given, squares=squares), MEPF(**KEYS, squares=squares).sensitivity
    assert bound == pytest.approx(math.sqrt(2 + 1 / 16 if squares else 1 + 1 / 16))
    for i in (0, 17, 59):
        kept = torch.arange(60) != i
        without = sums(problem(n=59, x=given.x[kept], y=given.y[kept]), squares=squares)
        moved = (whole - without).norm()
        assert float(moved) == pytest.approx(bound, rel=1e-4)
        assert float((whole - without)[given.y[i]].norm()) == pytest.approx(float(moved), rel=1e-5)


def test_an_image_whose_features_are_not_finite_stays_within_the_sensitivity():
    given = problem()
    broken = given.x.clone()
    broken[4] = float("nan")
    found, whole = sums(problem(x=broken)), sums(given)
    assert found.isfinite().all()
    assert torch.allclose(found[[0, 2]], whole[[0, 2]], atol=1e-5)
    assert float(found[1, -1]) == pytest.approx(20 * COUNT)


def test_the_sums_are_those_of_a_loop():
    given = problem()
    found, expected = sums(given), torch.zeros(3, 21)
    for x, y in zip(given.x, given.y):
        f = given.features(x[None])[0]
        expected[y] += torch.cat([f / f.norm(), f**2 / (f**2).norm(), torch.tensor([0.25])])
    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.allclose(found[:, -1] / COUNT, torch.full((3,), 20.0))


def test_noise_is_that_of_the_budget():
    """Standard deviation sigma Delta in every coordinate, and what it costs is what was asked for."""
    given = problem(features=nn.Sequential(Features(), nn.Linear(10, 2000, bias=False).requires_grad_(False)))
    method = MEPF(**KEYS)
    method.begin(given)
    ledger = method._ledger
    noise = (method.release() - sums(given)).flatten()
    assert float(noise.std()) == pytest.approx(ledger.noise_multiplier * method.sensitivity, rel=0.03)
    assert abs(float(noise.mean())) < 4 * float(noise.std()) / math.sqrt(len(noise))
    assert 1.99 < ledger.epsilon() <= 2.0
    assert ledger.epsilon() == epsilon(1.0, ledger.noise_multiplier, 1, 1e-3)
    with pytest.raises(Refused, match="a second release is a new run"):
        method.release()


def test_the_generator_comes_to_have_the_released_means():
    given = problem()
    method = MEPF(**(KEYS | {"epsilon": 50.0, "steps": 80, "batch_size": 24, "lr": 1e-2}))
    distances = [method.advance(step)["distance"] for step in range(method.begin(given))]
    assert distances[-1] < 0.2 * distances[0]
    y = torch.arange(90) % 3
    x = method.sample(y, torch.Generator().manual_seed(2))
    assert x.shape == (90, 1, 8, 8)
    assert x.abs().max() <= 1
    mean = [float(x[y == k].mean()) for k in range(3)]
    assert mean == sorted(mean)  # as the classes' are
    assert torch.equal(x, method.sample(y, torch.Generator().manual_seed(2)))
    assert method._ledger.released == 1
    assert method.network() is None


def test_a_run_is_gone_on_from_without_a_second_release():
    def begun() -> MEPF:
        method = MEPF(**KEYS)
        assert method.begin(given) == 3
        return method

    given = problem()
    whole, stopped = begun(), begun()
    for step in range(3):
        whole.advance(step)
    stopped.advance(0)
    resumed = begun()
    resumed.load_state_dict(stopped.state_dict())
    for step in (1, 2):
        resumed.advance(step)
    y = torch.arange(6) % 3
    draw = lambda method: method.sample(y, torch.Generator().manual_seed(4))  # noqa: E731
    assert torch.equal(draw(whole), draw(resumed))
    assert resumed._ledger.released == 0  # by this process


def test_latents_are_not_bounded_and_sides_need_not_be_multiples_of_four():
    latents = problem(
        x=torch.randn(60, 2, 6, 6), decode=lambda z: z.mean(1, keepdim=True).repeat(1, 1, 2, 2)[:, :, :8, :8]
    )
    method = MEPF(**KEYS)
    method.begin(latents)
    method.advance(0)
    x = method.sample(torch.tensor([0, 1, 2]), torch.Generator().manual_seed(0))
    assert x.shape == (3, 2, 6, 6)
    assert not any(isinstance(layer, nn.Tanh) for layer in method._generator.modules())


def test_a_batch_holds_every_class():
    with pytest.raises(ValueError, match="batch_size = 2: less than one image of each of 3 classes"):
        MEPF(**(KEYS | {"batch_size": 2})).begin(problem())
