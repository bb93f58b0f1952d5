"""DP-SGD as a method: its step written out, splits, resumption after a kill, curves that are functions of releases, and its keys."""

from __future__ import annotations

import math
import signal
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, clean_env
from private_problems import SETTINGS, Whole, begun, small_problem

from bench.errors import UserError
from bench.run.signature import REQUIRED, signature
from bench.tasks.generation.accounting import epsilon, noise_multiplier
from bench.tasks.generation.ledger import Ledger, Refused
from bench.types import Decay, Inner, NonNegativeFloat, PositiveFloat, PositiveInt


def parameters(method) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in method._trained.values()])


def written_out(method, step: int, noise: list[torch.Tensor]) -> list[torch.Tensor]:
    """The released gradient of a step, one image and one backward pass at a time."""
    problem, trained = method.problem, list(method._trained.values())
    batch = method.ledger.batch(step)
    total = [torch.zeros_like(p) for p in trained]
    for index, (rows, losses) in enumerate(singly(method, batch, step)):
        assert rows.tolist() == [int(batch[index])]
        gradient = torch.autograd.grad(losses.sum(), trained)
        size = math.sqrt(sum(float(g.double().square().sum()) for g in gradient))
        total = [a + g * min(1.0, method.clip / size) for a, g in zip(total, gradient)]
    return [(a + xi) / (method.batch_size / len(problem.x) * len(problem.x)) for a, xi in zip(total, noise)]


def singly(method, batch, step):
    size, method.physical_batch_size = method.physical_batch_size, 1
    yield from method._losses(batch, step)
    method.physical_batch_size = size


@pytest.mark.parametrize("copies", [1, 3])
def test_a_step_is_adamw_on_the_gradient_written_out(copies, monkeypatch):
    handed, draw = [], Ledger.noise
    monkeypatch.setattr(Ledger, "noise", lambda *a, **k: handed.append(draw(*a, **k)) or handed[-1])
    method, other = (begun(noise_multiplicity=copies, weight_decay=0.1) for _ in range(2))
    optimizer = torch.optim.AdamW(other._trained.values(), lr=0.01, weight_decay=0.1)
    for step in range(2):
        method.advance(step)
        for parameter, part in zip(other._trained.values(), written_out(other, step, handed[-1])):
            parameter.grad = part
        optimizer.step()
        torch.testing.assert_close(parameters(method), parameters(other), rtol=0, atol=3e-6)


@pytest.mark.parametrize("physical", [1, 3, 100])
def test_physical_batches_do_not_change_the_step(physical):
    whole, split = begun(noise_multiplicity=2), begun(noise_multiplicity=2, physical_batch_size=physical)
    for step in range(2):
        assert len(whole.ledger.batch(step)) > 3
        whole.advance(step)
        split.advance(step)
    torch.testing.assert_close(parameters(whole), parameters(split), rtol=0, atol=5e-6)


def one_step(rows: list[int], **settings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(clipped sum, noise, released gradient), each [p], of a step of four copies on a given batch; examples are expected to be 8."""
    method, seen = begun(**{"noise_multiplicity": 4, "clip": 1e-3, **settings}), []
    draw, method.ledger._drawn[0] = method.ledger.noise, torch.tensor(rows, dtype=torch.int64)

    def noise(step, sums, used):
        seen.append([one.clone() for one in sums])
        seen.append(draw(step, sums, used))
        return seen[-1]

    method.ledger.noise, method._update = noise, seen.append
    method.advance(0)
    return tuple(torch.cat([one.flatten() for one in part]).double() for part in seen)


def test_an_image_moves_the_sum_of_a_step_by_at_most_c():
    """Batches with and without their last image, with the same draws for the others."""
    for size in (24, 9, 2, 1):
        (one, _, _), (other, _, _) = one_step(list(range(size))), one_step(list(range(size - 1)))
        assert (one - other).norm() <= 1e-3 * (1 + 1e-4)


def test_the_sum_of_a_step_is_that_of_images_clipped_one_by_one():
    method, total = begun(noise_multiplicity=4), 0
    for _, losses in singly(method, torch.arange(6), 0):
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(losses.sum(), [*method._trained.values()])])
        total = total + gradient * (1e-3 / gradient.norm()).clamp(max=1)
    found = one_step(list(range(6)))[0]
    assert (found - total).norm() < 1e-4 * total.norm()


@pytest.mark.parametrize("rows", [[], [0, 3, 4]])
def test_the_noise_of_a_step_has_sigma_c_over_the_expected_batch(rows):
    total, _, released = one_step(rows)
    wanted = noise_multiplier(5.0, 8 / 24, 6, 1e-3, "rdp") * 1e-3 / 8
    assert (released - total / 8).std() == pytest.approx(wanted, rel=0.1)


def test_the_sum_of_a_step_is_over_the_expected_batch_whatever_was_drawn():
    for rows in ([], [5], list(range(20))):
        total, noise, released = one_step(rows)
        torch.testing.assert_close(released, (total + noise) / 8, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("physical", "public"), [(2, 0), (8, 16)])
def test_the_noise_is_calibrated_for_the_rate_of_the_batch(physical, public):
    """Of private images alone, whatever is backpropagated at a time; and what is spent at the end is the budget."""
    method = begun(small_problem(public=public), physical_batch_size=physical)
    sigma = noise_multiplier(5.0, 8 / 24, 6, 1e-3, "rdp")
    assert method.ledger.noise_multiplier == sigma
    for step in range(6):
        method.advance(step)
    assert method.ledger.epsilon() == epsilon(8 / 24, sigma, 6, 1e-3, "rdp") == pytest.approx(5, rel=1e-3)
    assert method.ledger.epsilon() <= 5


def test_epochs_are_steps_over_the_rate():
    assert Whole(**{**SETTINGS, "steps": None, "epochs": 2.0}).begin(small_problem()) == 6
    problem = small_problem(n=25)
    assert Whole(**{**SETTINGS, "steps": None, "epochs": 2.0, "batch_size": 4}).begin(problem) == 12


def test_a_method_starts_from_the_seed_alone():
    class Drawn(Whole):
        def adapt(self, denoiser):
            torch.nn.init.normal_(denoiser.out.weight)
            return denoiser

    starts = []
    for _ in range(2):
        method = Drawn(**SETTINGS)
        method.begin(small_problem())
        starts.append(method.adapted.out.weight.detach().clone())
        torch.rand(3)
    assert torch.equal(*starts)


def test_what_a_private_run_shows_is_a_function_of_what_it_released(monkeypatch):
    """Two data sets whose releases are made equal show the same numbers."""
    from methods.private import base

    release = [torch.full((3,), 2.0)]
    monkeypatch.setattr(base, "private_gradient", lambda parts, like, book, step: [*map(torch.ones_like, like)])
    monkeypatch.setattr(Whole, "_update", lambda self, gradient: release.append(gradient[0]))
    shown = []
    for seed in (0, 1):
        problem = small_problem(seed=seed)
        problem.ledger = small_problem().ledger
        shown.append(begun(problem).advance(0))
    assert shown[0] == shown[1]
    assert set(shown[0]) == {"gradient_norm", "released", "gradient_evaluations"}


def test_without_privacy_it_is_adamw_on_the_mean_loss_of_the_same_batches():
    method, private = begun(epsilon=None, noise_multiplicity=2, physical_batch_size=3), begun(noise_multiplicity=2)
    other = begun(epsilon=None, noise_multiplicity=2)
    optimizer = torch.optim.AdamW(other._trained.values(), lr=0.01, weight_decay=0.0)
    for step in range(3):
        batch = private.ledger.batch(step)
        assert torch.equal(method.ledger.batch(step), batch)
        loss = torch.cat([losses for _, losses in other._losses(batch, step)]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert method.advance(step)["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    torch.testing.assert_close(parameters(method), parameters(other), rtol=0, atol=5e-6)
    assert method.ledger.epsilon() == math.inf
    assert method.notice is None


@pytest.mark.parametrize("budget", [None, 5.0])
def test_an_empty_batch_moves_a_private_network_alone(budget, monkeypatch):
    from bench.tasks.generation import ledger

    monkeypatch.setattr(ledger, "poisson_batch", lambda n, rate, stream: torch.empty(0, dtype=torch.int64))
    method = begun(epsilon=budget)
    before = parameters(method)
    method.advance(0)
    assert torch.equal(before, parameters(method)) == (budget is None)


def test_the_average_is_what_is_sampled_from():
    method = begun(ema=0.9)
    mean = parameters(method)
    for step in range(3):
        method.advance(step)
        mean = mean + (1 - min(0.9, (2 + step) / (11 + step))) * (parameters(method) - mean)
    sampled = torch.cat([p.detach().flatten() for p in method.network().parameters()])
    torch.testing.assert_close(sampled, mean)
    assert not torch.equal(sampled, parameters(method))
    assert begun().network() is not None
    assert begun(ema=0.0)._average == {}


def test_a_run_that_was_saved_and_goes_on_is_the_run_that_was_not_interrupted(tmp_path):
    straight = begun(ema=0.5)
    for step in range(5):
        straight.advance(step)
    first = begun(small_problem(journal=tmp_path / "journal"), ema=0.5)
    for step in range(3):
        first.advance(step)
    state = first.state_dict()
    second = begun(small_problem(journal=tmp_path / "journal"), ema=0.5)
    second.load_state_dict(state)
    for step in (3, 4):
        second.advance(step)
    assert torch.equal(parameters(straight), parameters(second))
    assert all(torch.equal(a, b) for a, b in zip(straight._average.values(), second._average.values()))
    assert second.ledger.epsilon() == straight.ledger.epsilon()


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from private_problems import begun, small_problem
from bench.tasks.generation.ledger import Ledger
folder, draw = Path(sys.argv[1]), Ledger.noise
def noise(self, step, *arguments, **more):
    found = draw(self, step, *arguments, **more)
    torch.save(torch.cat([one.flatten() for one in found]), folder / f"noise{step}")
    if step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
Ledger.noise = noise
method = begun(small_problem(journal=folder / "journal"))
for step in range(6):
    method.advance(step)
    if step == 1:
        torch.save(method.state_dict(), folder / "saved")
"""


def test_a_killed_run_neither_reuses_noise_nor_loses_what_it_spent(tmp_path, monkeypatch):
    """SIGKILL after the fifth release, saved after the second: three are spent for nothing, and the run makes the one that is left."""
    path = ":".join([str(ROOT), str(ROOT / "tests")])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=clean_env() | {"PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    old = [torch.load(tmp_path / f"noise{step}") for step in range(5)]
    new, draw = [], Ledger.noise

    def noise(self, *arguments, **more):
        found = draw(self, *arguments, **more)
        new.append(torch.cat([one.flatten() for one in found]))
        return found

    monkeypatch.setattr(Ledger, "noise", noise)
    method = begun(small_problem(journal=tmp_path / "journal"))
    method.load_state_dict(torch.load(tmp_path / "saved"))
    assert method.ledger.released == 5
    assert method.ledger.epsilon() == epsilon(8 / 24, method.ledger.noise_multiplier, 5, 1e-3, "rdp")
    untouched = small_problem().ledger(8 / 24, method.ledger.noise_multiplier, 0.1, 6, 1e-3)
    assert not torch.equal(method.ledger.batch(2), untouched.batch(2))  # a sample of its own too
    shown = [method.advance(step) for step in range(2, 6)]
    assert len(new) == 1
    assert not any(torch.equal(new[0], one) for one in old)
    assert [row["released"] for row in shown] == [6.0] * 4
    assert [row["gradient_norm"] > 0 for row in shown] == [True, False, False, False]
    assert method.ledger.epsilon() <= 5
    assert "3 releases of a run that was stopped are spent" in method.notice


def test_a_checkpoint_without_its_journal_is_refused():
    method = begun()
    method.advance(0)
    with pytest.raises(Refused, match="the checkpoint has 1 releases, the journal 0: what was spent is lost"):
        begun().load_state_dict(method.state_dict())


def test_draws_of_a_secure_run_do_not_follow_from_its_seed():
    """Known draws belong to places in a batch: leaving the first of many images out would give all others another one's, and move the sum by several C."""
    same, secure = ([begun(secure=how, batch_size=24)._draws(24, 0) for _ in range(2)] for how in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(*same))
    assert not any(torch.equal(a, b) for a, b in zip(*secure))
    t, noise = begun(secure=True, noise_multiplicity=400)._draws(24, 0)
    assert (t.shape, t.dtype, noise.shape, noise.dtype) == ((24, 400), torch.int64, (24, 400, 1, 4, 4), torch.float32)
    assert (t.flatten().bincount(minlength=10) - 960).abs().max() < 6 * math.sqrt(960)
    assert abs(float(noise.double().std()) - 1) < 6 / math.sqrt(2 * noise.numel())


def test_secure_runs_differ_and_store_no_generator():
    one, two = begun(secure=True), begun(secure=True)
    for method in (one, two):
        method.advance(0)
    assert not torch.equal(parameters(one), parameters(two))
    state = one.state_dict()
    assert set(state) == {"trained", "average", "optimizer", "updates", "released"}


def test_wrong_settings_are_lines():
    for more in ({"steps": None}, {"epochs": 2.0}):
        with pytest.raises(ValueError, match="one of them is a number, the other null"):
            Whole(**{**SETTINGS, **more})
    with pytest.raises(ValueError, match="batch_size = 25: more than the 24 private images; at most 24"):
        begun(batch_size=25)
    with pytest.raises(ValueError, match=r"epochs = 0\.1: less than a step"):
        begun(steps=None, epochs=0.1)
    with pytest.raises(UserError, match="less than accountant = prv can state"):
        begun(epsilon=0.005, accountant="prv", steps=2)
    assert "delta = 0.1: above 1 / 24" in begun(delta=0.1).notice


def test_keys_are_read_without_importing():
    keys = signature("methods.private.base.Tuning").keys
    required = {name for name, (_, default) in keys.items() if default is REQUIRED}
    assert required == {"epsilon", "delta", "clip", "batch_size", "lr"}
    kinds = {
        "delta": Inner,
        "clip": PositiveFloat,
        "batch_size": PositiveInt,
        "weight_decay": NonNegativeFloat,
        "ema": Decay,
        "secure": bool,
    }
    assert {name: keys[name][0] for name in kinds} == kinds
    assert set(keys["accountant"][0].__args__) == {"prv", "pld", "rdp"}
