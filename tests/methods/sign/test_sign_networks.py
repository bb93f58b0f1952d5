"""What a step with several passes leaves alone: BatchNorm buffers, dropout masks, gradients, random state; no host syncs."""

from __future__ import annotations

import copy

import pytest
import torch
from sign_family import ALL, WITH_BUFFERS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)).double()


def batches(count: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    g = torch.Generator().manual_seed(1)
    return [(torch.randn(12, 6, generator=g).double(), torch.randint(3, (12,), generator=g)) for _ in range(count)]


def train(opt, model: nn.Module, data, seen: list | None = None, snapshot: bool = True) -> None:
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

    if snapshot and hasattr(opt, "snapshot"):
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
def test_no_host_synchronisation_in_a_step(name, monkeypatch):
    """On a GPU (a CPU has a flag at hand): but for the first step, which creates state, and the first after a snapshot."""
    monkeypatch.setattr("methods.sign.guarded.at_hand", lambda flag: False)
    model, data = network(), batches()
    opt = ALL[name](model.parameters())
    train(opt, model, data)
    with NoSync():
        train(opt, model, data, snapshot=False)
    with pytest.raises(AssertionError, match="host"), NoSync():
        data[0][0].sum().item()
