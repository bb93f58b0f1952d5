"""The released code's step, by reading: stock Opacus on a batch in which each copy of an image is an example."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from outside_made import module
from torch import nn

from bench.libraries import diffusers
from bench.tasks.generation.accounting import epsilon
from bench.tasks.generation.ledger import Ledger, Refused
from bench.tasks.generation.protocol import Problem
from bench.tasks.private_step.watched import WatchedLedger, flat
from methods.private.lora import LoRA
from methods.private.released import ReleasedLoRA

networks = module("methods/private/test_tuned_networks.py")
COPIES, N = 3, 24
KEYS = networks.KEYS | {"noise_multiplicity": COPIES, "rank": 2, "clip": 0.05}


def problem(ledger=None) -> Problem:
    known = vars(networks.problem()) | {"ledger": ledger or partial(Ledger, N, seed=0)}
    return Problem(features=None, decode=lambda x: x, **known)


def begun(kind, **keys):
    """A method on a small U-Net after two steps, with its ledger."""
    opened = []

    def ledger(**terms):
        opened.append(WatchedLedger(n=N, seed=0, **terms))
        return opened[-1]

    method = kind(**KEYS | keys)
    method.begin(problem(ledger))
    for step in range(2):
        method.advance(step)
    return method, opened[0]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")  # of theirs, at the first layer
def test_the_sum_is_that_of_stock_opacus_with_copies_as_examples():
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    method, ledger = begun(ReleasedLoRA)
    rows, network = torch.tensor([1, 4, 5, 11]), method.adapted
    parameters = [p for p in network.parameters() if p.requires_grad]
    before, draws = method.state_dict(), drawn(method, rows)
    ledger.chosen = rows
    method.advance(2)
    ledger.chosen = None
    method.load_state_dict(before)
    for layer in network.modules():  # of other inputs its gradients of convolutions are wrong
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda layer, given: (given[0].contiguous(),))
    for layer in network.modules():  # the fused kernels hand it no gradients
        if isinstance(layer, diffusers().models.attention_processor.Attention):
            layer.set_processor(diffusers().models.attention_processor.FusedAttnProcessor2_0())
    wrapped = GradSampleModule(network, batch_first=True, loss_reduction="sum").train()
    theirs = DPOptimizer(
        torch.optim.SGD(parameters, lr=0.0), noise_multiplier=0.0, max_grad_norm=KEYS["clip"], expected_batch_size=1
    )
    x, y, schedule = method.problem.x[rows], method.problem.y[rows], method.problem.schedule
    losses = schedule.loss_per_example(wrapped, x, y, *draws)
    (COPIES * losses).sum().backward()
    theirs.step()
    wanted = flat([p.grad for p in parameters])
    assert wanted.norm() > 0
    assert (flat(ledger.sums) - wanted).norm() <= 1e-5 * wanted.norm()


def drawn(method, rows):
    """Times [B, K] and noise [B, K, C, S, S] of the method's step 2."""
    seen = []
    loss = method.problem.schedule.loss_per_example
    method.problem.schedule.loss_per_example = lambda network, x, y, t, noise: (
        seen.append((t, noise)) or loss(network, x, y, t, noise)
    )
    list(method._losses(rows, 2))
    del method.problem.schedule.loss_per_example
    return seen[0]


def test_an_image_of_parallel_copies_moves_the_sum_by_k_times_the_clip():
    """All copies have one draw, so that their gradients are parallel; averaged first they move it by C."""
    moved = {}
    for kind in (LoRA, ReleasedLoRA):
        method, ledger = begun(kind)
        loss = method.problem.schedule.loss_per_example

        def same(network, x, y, t, noise, loss=loss):
            return loss(network, x, y, t[:, :1].expand_as(t), noise[:, :1].expand_as(noise))

        method.problem.schedule.loss_per_example = same
        ledger.chosen = torch.tensor([3])
        method.advance(2)
        moved[kind] = float(flat(ledger.sums).norm()) / KEYS["clip"]
    assert moved == {LoRA: pytest.approx(1, rel=1e-5), ReleasedLoRA: pytest.approx(COPIES, rel=1e-5)}


def test_its_ledger_is_told_what_is_done_and_refuses_the_budget():
    method = ReleasedLoRA(**KEYS)
    steps = method.begin(problem())
    right = LoRA(**KEYS)
    right.begin(problem())
    assert method.ledger.clip == pytest.approx(COPIES * right.ledger.clip)
    assert method.ledger.noise_multiplier == pytest.approx(right.ledger.noise_multiplier / COPIES)
    for step in range(steps):
        method.advance(step)
        right.advance(step)
    assert right.ledger.epsilon() <= KEYS["epsilon"]
    cost = epsilon(8 / N, right.ledger.noise_multiplier / COPIES, steps, KEYS["delta"], "rdp")
    with pytest.raises(Refused, match=f"cost {cost:.4g}; calibrate the noise"):
        method.ledger.epsilon()


def test_with_one_copy_it_is_lora():
    found = []
    for kind in (LoRA, ReleasedLoRA):
        method, _ = begun(kind, noise_multiplicity=1)
        found.append(flat([p for p in method.adapted.parameters() if p.requires_grad]))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-7)
