"""Networks of public data: trained once, kept, gone on from after a kill, and never mistaken for another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from generation_pairs import Tiny, bars

import bench.tasks.generation.pretraining as module
from bench.tasks.generation.autoencoder import Autoencoder, autoencoder
from bench.tasks.generation.diffusion import Schedule
from bench.tasks.generation.pair import as_float
from bench.tasks.generation.pretraining import Training, pretrained, read_tensors

PAIR = bars("", 0)
X, Y = as_float(PAIR.public_x), PAIR.public_y
TRAINING = Training(steps=30, batch_size=8, lr=3e-3, ema=0.9)


def start(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return Tiny(1, 2, 8)


def trained(folder: Path, network: torch.nn.Module | None = None, x=X, training=TRAINING, seed=0, said=None) -> dict:
    made = pretrained(
        network or start(), x, Y, Schedule(), training, folder, seed, (said if said is not None else []).append
    )
    return {name: tensor.clone() for name, tensor in made.state_dict().items()}


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_to_tell_the_noise_and_is_read_the_second_time(tmp_path):
    schedule, said = Schedule(), []
    t, noise = schedule.draw_times((48, 20), torch.Generator().manual_seed(1)), torch.randn(48, 20, 1, 8, 8)
    network = start()
    before = schedule.loss_per_example(network, X, Y, t, noise).mean()
    first = trained(tmp_path, network, training=Training(300, 16, 1e-2), said=said)
    assert schedule.loss_per_example(network, X, Y, t, noise).mean() < 0.7 * before
    assert said[0].startswith("training the denoiser on 48 public images, 300 steps")
    assert not network.training
    said.clear()
    assert same(first, trained(tmp_path, training=Training(300, 16, 1e-2), said=said))
    assert said == []


def test_a_killed_training_is_gone_on_from(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole")
    monkeypatch.setattr(module, "SAVE_EVERY", -1.0)  # after every step
    schedule, steps = Schedule(), []

    class Killed(Exception):
        pass

    def loss_per_example(*given):
        steps.append(1)
        if len(steps) == 20:
            raise Killed
        return Schedule.loss_per_example(schedule, *given)

    monkeypatch.setattr(schedule, "loss_per_example", loss_per_example)
    with pytest.raises(Killed):
        pretrained(start(), X, Y, schedule, TRAINING, tmp_path / "killed", 0)
    resumed = pretrained(start(), X, Y, schedule, TRAINING, tmp_path / "killed", 0)
    assert same(whole, resumed.state_dict())
    assert len(steps) == 20 + TRAINING.steps - 19
    assert [path.name for path in sorted((tmp_path / "killed").rglob("*")) if path.is_file()] == ["lock", "weights"]


def test_whatever_it_depends_on_is_part_of_its_name(tmp_path):
    first = trained(tmp_path)
    others = [
        lambda: trained(tmp_path, x=X.flip(3)),
        lambda: trained(tmp_path, network=start(1)),
        lambda: trained(tmp_path, training=Training(30, 8, 1e-3, 0.9)),
        lambda: trained(tmp_path, seed=1),
    ]
    for count, other in enumerate(others, 2):
        assert not same(first, other())
        assert len([*tmp_path.iterdir()]) == count
    assert same(first, trained(tmp_path))


def test_a_damaged_file_is_moved_aside_and_trained_again(tmp_path):
    first = trained(tmp_path)
    (path,) = tmp_path.glob("*/weights")
    content = path.read_bytes()
    path.write_bytes(content[:-3] + b"abc")
    assert same(first, trained(tmp_path))
    assert path.read_bytes() == content
    path.write_bytes(b"\n")
    assert read_tensors(path, torch.device("cpu")) is None
    assert not path.exists()


def test_an_average_of_the_weights_is_kept(tmp_path):
    """mean_t = e_t mean_(t - 1) + (1 - e_t) w_t, e_t = min(e, (1 + t) / (10 + t)), of the weights w_t after each step."""
    recorded = [start().state_dict()]
    network = start()
    step = torch.optim.Adam.step

    def recording(self, *given):
        step(self, *given)
        recorded.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", recording)
        found = trained(tmp_path, network, training=Training(6, 8, 1e-2, 0.2))
    for name, expected in recorded[0].items():
        for t, weights in enumerate(recorded[1:]):
            decay = min(0.2, (1 + t) / (10 + t))
            expected = decay * expected + (1 - decay) * weights[name]
        assert torch.allclose(found[name], expected, atol=1e-6)
        assert not torch.allclose(found[name], recorded[-1][name], atol=1e-6)


def test_latents_have_unit_variance_and_come_back_as_images(tmp_path):
    training = Training(steps=60, batch_size=16, lr=5e-3)
    made = autoencoder(X, training, tmp_path, 0)
    z = made.encode(X)
    assert z.shape == (48, 4, 4, 4)
    assert float(z.std()) == pytest.approx(1, abs=1e-4)
    error, variance = (made.decode(z) - X).square().mean(), X.var()
    assert error < 0.2 * variance
    again = autoencoder(X, training, tmp_path, 0)
    assert torch.equal(again.encode(X), z)
    assert not any(p.requires_grad for p in again.parameters())
    z.requires_grad_(True)
    again.decode(z).sum().backward()
    assert z.grad.abs().max() > 0


def test_an_autoencoder_halves_the_side_at_each_further_width():
    with torch.device("meta"):
        made = Autoencoder(3, (8, 16, 16), 2)
        assert made.encode(torch.empty(2, 3, 32, 32)).shape == (2, 2, 8, 8)
