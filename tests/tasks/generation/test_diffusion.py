"""Noising, the loss and sampling against diffusers and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bench.errors import UserError
from bench.libraries import diffusers
from bench.tasks.generation.diffusion import Schedule


def test_the_variances_are_those_of_latent_diffusion():
    beta = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000, dtype=torch.float64) ** 2
    schedule = Schedule()
    assert torch.allclose(schedule.alphas_bar.double(), (1 - beta).cumprod(0), atol=1e-6)
    assert schedule.alphas_bar[-1] < 1e-3  # nothing of the data is left at the last time


def test_noised_data_are_diffusers():
    schedule, g = Schedule(), torch.Generator().manual_seed(0)
    x0, noise = torch.randn(5, 2, 4, 4, generator=g), torch.randn(5, 2, 4, 4, generator=g)
    t = torch.tensor([0, 1, 300, 998, 999])
    theirs = diffusers().DDPMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear")
    assert torch.allclose(schedule.noised(x0, t, noise), theirs.add_noise(x0, noise, t), atol=1e-6)


def test_the_loss_of_an_example_is_the_mean_over_its_copies():
    """Against a loop over examples and copies; a network whose rows tell which time and class they were given."""
    schedule, g = Schedule(), torch.Generator().manual_seed(1)
    x0, y = torch.randn(3, 1, 2, 2, generator=g), torch.tensor([2, 0, 1])
    t, noise = schedule.draw_times((3, 4), g), torch.randn(3, 4, 1, 2, 2, generator=g)

    def network(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        return x * (1 + t / 1000).view(-1, 1, 1, 1) + y.view(-1, 1, 1, 1)

    found = schedule.loss_per_example(network, x0, y, t, noise)
    for i in range(3):
        losses = []
        for k in range(4):
            abar = float(schedule.alphas_bar[t[i, k]])
            noised = math.sqrt(abar) * x0[i] + math.sqrt(1 - abar) * noise[i, k]
            predicted = noised * (1 + t[i, k] / 1000) + y[i]
            losses.append(float((predicted - noise[i, k]).square().mean()))
        assert float(found[i]) == pytest.approx(sum(losses) / 4, rel=1e-5)


def exact(schedule: Schedule, mean: Tensor, std: float):
    """The best prediction of the noise in x_t of data N(mean_y, std^2): it is known in closed form."""

    def network(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        abar = schedule.alphas_bar[t].view(-1, 1, 1, 1)
        centre = abar.sqrt() * mean[y].view(-1, 1, 1, 1)
        return (1 - abar).sqrt() * (x - centre) / (abar * std**2 + 1 - abar)

    return network


@pytest.mark.parametrize(("eta", "steps"), [(0.0, 100), (1.0, 1000)])
def test_samples_have_the_mean_and_spread_of_the_data(eta, steps):
    """With eta = 1 fewer steps lose some of the spread: 0.26 of 0.30 with 100."""
    schedule = Schedule(sampling_steps=steps, eta=eta, clip=False)
    mean, y = torch.tensor([-1.5, 0.5]), torch.arange(2000) % 2
    x = schedule.sample(exact(schedule, mean, 0.3), y, (2000, 1, 1, 2), torch.Generator().manual_seed(2))
    assert x.shape == (2000, 1, 1, 2)
    for k in (0, 1):
        assert float(x[y == k].mean()) == pytest.approx(float(mean[k]), abs=0.03)
        assert float(x[y == k].std()) == pytest.approx(0.3, abs=0.03)


def test_with_all_steps_and_eta_1_sampling_is_the_reverse_of_the_noising():
    """DDPM's posterior (Ho et al., 2020, equation 7), step by step, with predicted data in [-1, 1]."""
    schedule, steps = Schedule(timesteps=12, beta_start=0.05, beta_end=0.6, sampling_steps=12), 12
    network = exact(schedule, torch.tensor([0.9]), 0.4)
    y, g = torch.zeros(6, dtype=torch.long), torch.Generator().manual_seed(3)
    found = schedule.sample(network, y, (6, 1, 2, 2), torch.Generator().manual_seed(3))
    abar = schedule.alphas_bar.double()
    x = torch.randn(6, 1, 2, 2, generator=g)
    for t in range(steps - 1, -1, -1):
        now, before = float(abar[t]), float(abar[t - 1]) if t else 1.0
        noise = network(x, torch.full((6,), t), y)
        data = ((x - math.sqrt(1 - now) * noise) / math.sqrt(now)).clamp(-1, 1)
        beta = 1 - now / before
        centre = (math.sqrt(before) * beta * data + math.sqrt(1 - beta) * (1 - before) * x) / (1 - now)
        x = centre + math.sqrt(beta * (1 - before) / (1 - now)) * torch.randn(6, 1, 2, 2, generator=g)
    assert (found - x).abs().max() < 1e-5
    assert found.abs().max() <= 1


def test_samples_are_those_of_the_generator():
    schedule = Schedule(sampling_steps=5)
    draw = lambda seed: schedule.sample(  # noqa: E731
        exact(schedule, torch.zeros(1), 0.5),
        torch.zeros(3, dtype=torch.long),
        (3, 1, 2, 2),
        torch.Generator().manual_seed(seed),
    )
    assert torch.equal(draw(7), draw(7))
    assert not torch.equal(draw(7), draw(8))


def test_settings_that_do_not_fit():
    with pytest.raises(UserError, match=r"sampling_steps = 50: no divisor of timesteps = 20; type sampling_steps=20"):
        Schedule(timesteps=20, sampling_steps=50)
    with pytest.raises(
        UserError, match=r"sampling_steps = 300: no divisor of timesteps = 1000; type sampling_steps=250"
    ):
        Schedule(sampling_steps=300)
    with pytest.raises(UserError, match=r"beta_end = 0.001"):
        Schedule(beta_start=0.01, beta_end=0.001)
