"""A method that forms its own loss is, in all else, its optimizer."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from conftest import job_of
from mixing_points import batch, given, look, network
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.run.build import build
from methods.mixing.composed import Unmixed, bce_of_softmax
from methods.mixing.interpolated import MultiMix
from methods.sign.baselines import SGD, AdamW
from methods.sign.ssvr import SSVR

OPTIMIZERS = ["sgd", "adamw", "ssvr", "ssvr_fs", "signsvrg", "ef_signsgd", "sgdm"]


def composed(optimizer: str, model: torch.nn.Module, *, keys: dict | None = None, **more):
    """multimix with that optimizer, as the command line makes it."""
    job = job_of("method=multimix", f"method@method.optimizer={optimizer}", "dataset=digits", "scale=smoke")
    node = job.parts["method"]
    node = {**node, **(keys or {})}
    return build("method", node, list(model.parameters()), model, num_examples=6, seed=3, total_steps=8, **more)


def steps(method, model, count: int, first: int = 0) -> list[torch.Tensor]:
    """Parameters after each of some steps on minibatches that are functions of the step's number."""
    x, y = batch(12)
    found = []
    for t in range(first, first + count):
        part = slice(6 * (t % 2), 6 * (t % 2) + 6)

        def closure(part=part, t=t):
            method.zero_grad()
            return look(method, model, x[part], y[part], seed=t)[0]

        if t % 4 == 0 and hasattr(method, "snapshot"):
            method.snapshot(closure, 1)
        method.step(closure)
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]).clone())
    return found


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(optimizer):
    model = network()
    whole = steps(composed(optimizer, model), model, 8)
    first = network()
    method = composed(optimizer, first)
    steps(method, first, 5)
    file = io.BytesIO()
    torch.save((first.state_dict(), method.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file)
    second = network()
    second.load_state_dict(weights)
    other = composed(optimizer, second)
    other.load_state_dict(state)
    rest = steps(other, second, 3, first=5)
    assert all(torch.equal(a, b) for a, b in zip(whole[5:], rest))
    assert not torch.equal(whole[4], rest[0])


def test_groups_state_schedules_and_counts_are_the_optimizer_s():
    model = network()
    method = MultiMix(model.parameters(), model, optimizer=lambda params: SGD(params, lr=0.1, momentum=0.9))
    assert isinstance(method, torch.optim.Optimizer)
    assert method.param_groups is method.optimizer.param_groups
    schedule = CosineAnnealingLR(method, T_max=2)
    before = method.param_groups[0]["lr"]
    steps(method, model, 1)
    schedule.step()
    assert method.optimizer.param_groups[0]["lr"] == pytest.approx(before / 2)
    assert method.skipped_steps == 0
    method.step(lambda: [p.grad.fill_(float("nan")) for p in model.parameters()] and torch.zeros(()))
    assert method.skipped_steps == 1
    assert len(method.state) == 4
    method.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2))]})
    assert len(method.optimizer.param_groups) == 2
    assert not hasattr(method, "snapshot")
    assert not hasattr(method, "collects")
    with pytest.raises(AttributeError, match="misspelt"):
        method.misspelt  # noqa: B018


def test_snapshots_samples_and_what_the_run_supplies_reach_the_optimizer():
    model = network()
    assert hasattr(composed("ssvr_fs", model), "snapshot")
    sampler = composed("sgdm", model)
    assert (sampler.collects, sampler.num_examples, sampler.seed, sampler.total_steps) == (False, 6, 3, 8)
    stored = torch.nn.BatchNorm1d(3)
    ssvr = MultiMix(
        stored.parameters(), stored, optimizer=lambda params, buffers: SSVR(params, buffers, lr=0.1, beta=0.5)
    )
    assert [id(b) for b in ssvr._buffers] == [id(b) for b in stored.buffers()]


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_goes_on_bit_for_bit(way):
    model = network()
    method = composed("adamw", model)
    steps(method, model, 2)
    pair = copy.deepcopy((method, model)) if way == "deepcopy" else pickle.loads(pickle.dumps((method, model)))
    assert all(torch.equal(a, b) for a, b in zip(steps(method, model, 2, 2), steps(*pair, 2, 2)))


def test_both_gradients_of_ssvr_s_step_are_of_the_same_interpolations():
    """v_2 = g_2(x_2) + (1 - beta) (v_1 - g_2(x_1)), with g_2 of the second minibatch's own pairs and lambda."""
    model = network()
    method = composed("ssvr", model)
    beta = method.param_groups[0]["beta"]
    x, y = batch()
    start = [p.detach().clone() for p in model.parameters()]
    first = look(method, model, x, y, seed=0)[1]

    def closure(seed):
        def run():
            method.zero_grad()
            return look(method, model, x, y, seed=seed)[0]

        return run

    method.step(closure(0))
    here = [p.detach().clone() for p in model.parameters()]
    second = look(method, model, x, y, seed=1)[1]
    for p, value in zip(model.parameters(), start):
        p.data.copy_(value)
    old = look(method, model, x, y, seed=1)[1]
    for p, value in zip(model.parameters(), here):
        p.data.copy_(value)
    method.step(closure(1))
    estimate = torch.cat([method.state[p]["estimate"].flatten() for p in model.parameters()])
    torch.testing.assert_close(estimate, second + (1 - beta) * (first - old), rtol=1e-9, atol=1e-12)


def test_one_that_forms_its_own_loss_is_no_optimizer_of_another():
    model = network()
    inner = lambda params: MultiMix(params, model, optimizer=lambda p: AdamW(p, lr=0.1))  # noqa: E731
    with pytest.raises(ValueError, match="MultiMix forms a loss of its own"):
        Unmixed(model.parameters(), model, optimizer=inner)
    with pytest.raises(ValueError, match="loss = 'mse'"):
        Unmixed(model.parameters(), model, optimizer=inner, loss="mse")


def test_bce_of_softmax_is_torch_s_on_probabilities():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=g, dtype=torch.float64, requires_grad=True)
    rows = torch.rand(6, 5, generator=g, dtype=torch.float64).softmax(1)
    expected = F.binary_cross_entropy(logits.softmax(1), rows)
    found = bce_of_softmax(logits, rows)
    torch.testing.assert_close(found, expected)
    a, b = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (found, expected))
    torch.testing.assert_close(a, b)
    sure = torch.tensor([[500.0, 0.0], [0.0, -500.0]], requires_grad=True)
    bce_of_softmax(sure, torch.tensor([[1.0, 0.0], [0.0, 1.0]])).backward()
    assert torch.isfinite(sure.grad).all()


@pytest.mark.parametrize("name", ["unmixed", "mixup", "cutmix", "puzzle_mix"])
def test_the_other_loss_is_a_switch(name):
    x, y = batch()
    found = {}
    for loss in ("ce", "bce"):
        model = network()
        found[loss] = look(given(name, model, loss=loss), model, x, y)[0]
    assert 0 < found["bce"] < found["ce"]
