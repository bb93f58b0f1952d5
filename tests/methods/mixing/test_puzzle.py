"""Puzzle Mix: the terms of its energy by hand, labels by the mask's mean, blocks that move, and one saliency a step."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mixing_points import Recorder, batch, convolutional, given, look, network

from bench.errors import UserError
from methods.mixing.masks import energy
from methods.mixing.puzzle import by_block, masked, moved, puzzle, saliency, transported

TERMS = {"levels": 3, "beta": 1.2, "gamma": 0.5, "eta": 0.2}


def test_the_energy_of_a_mask_by_hand():
    """One pair, 2 x 2 blocks, each of a few masks; log Binomial(2z; 2, lambda) and colours across borders written out."""
    g = torch.Generator().manual_seed(0)
    own, other = (torch.rand(1, 2, 2, generator=g, dtype=torch.float64) for _ in range(2))
    x, partner = (torch.randn(1, 3, 2, 2, generator=g, dtype=torch.float64) for _ in range(2))
    lam = 0.3
    p = puzzle(own, other, x, partner, torch.tensor([lam]), **TERMS)
    s, t, a, b = own[0] / own.sum(), other[0] / other.sum(), x[0], partner[0]
    law = {0.0: (1 - lam) ** 2, 0.5: 2 * lam * (1 - lam), 1.0: lam**2}
    for levels in itertools.product(range(3), repeat=4):
        z = torch.tensor(levels).view(2, 2) / 2
        total = float(((1 - z) * s + z * t).sum()) - 0.2 / 4 * sum(math.log(law[float(v)]) for v in z.flatten())
        for p1, p2 in (((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0), (1, 0)), ((0, 1), (1, 1))):
            colours = (a[:, *p1] - b[:, *p2]).abs().mean() / 2 + (b[:, *p1] - a[:, *p2]).abs().mean() / 2
            total += (1.2 + 0.5 * float(colours)) / (16 * 2) * float(z[p1] - z[p2]) ** 2
        assert float(energy(p, (2 * z).long()[None])) == pytest.approx(total, abs=1e-6)


def test_saliency_and_blocks_by_hand():
    gradient = torch.zeros(1, 3, 4, 6)
    gradient[0, :, 1, 2] = torch.tensor([1.0, 2.0, 2.0])
    assert float(saliency(gradient)[0, 1, 2]) == pytest.approx(math.sqrt(3.0))
    found = by_block(torch.arange(24.0).view(1, 4, 6), 2)
    assert found[0].tolist() == [[4.0, 7.0], [16.0, 19.0]]


def test_labels_have_the_mean_of_the_mask_and_pixels_its_blocks():
    x = torch.zeros(4, 3, 8, 8, dtype=torch.float64) + torch.arange(4.0, dtype=torch.float64).view(-1, 1, 1, 1)
    x[:, :, 2:5, 1:6] += 0.0
    y, model, targets = torch.arange(4), network(), []

    def loss(logits, rows):
        targets.append(rows)
        return F.cross_entropy(logits, rows)

    method = given("multimix_puzzle", model, k=6)
    seen = Recorder(model)
    list(method.losses(seen, x, y, loss, torch.Generator().manual_seed(1)))
    assert len(seen.seen) == 7, "the saliency's pass first"
    for images, rows in zip(seen.seen[1:], targets[1:]):
        torch.testing.assert_close(rows.double() @ y.double(), images.mean((1, 2, 3)), rtol=1e-5, atol=1e-6)
        assert {round(2 * float(v), 6) % 1 for v in (images[images > 0] * 1).unique()} <= {0.0}
    assert len({tuple(images.flatten().tolist()) for images in seen.seen[1:]}) > 1, "masks of their own"


def test_a_salient_block_is_kept():
    """The network looks at one block of each image alone: there the mask has the image that is salient there."""
    own, other = torch.full((1, 4, 4), 1e-3), torch.full((1, 4, 4), 1e-3)
    own[0, 1, 2], other[0, 3, 0] = 1.0, 1.0
    flat = torch.zeros(1, 3, 4, 4)
    for solver in ("cut", "icm"):
        from methods.mixing.puzzle import SOLVERS

        z = SOLVERS[solver](puzzle(own, other, flat, flat, torch.tensor([0.5]), **TERMS))
        assert (int(z[0, 1, 2]), int(z[0, 3, 0])) == (2, 0)


def test_lambda_decides_how_much_is_kept():
    g = torch.Generator().manual_seed(0)
    own, other, flat = torch.rand(50, 4, 4, generator=g), torch.rand(50, 4, 4, generator=g), torch.zeros(50, 3, 4, 4)
    from methods.mixing.masks import cut

    kept = [
        float(cut(puzzle(own, other, flat, flat, torch.full((50,), lam), **TERMS)).double().mean() / 2)
        for lam in (0.1, 0.5, 0.9)
    ]
    assert kept[0] < kept[1] - 0.1 < kept[2] - 0.2
    sure = puzzle(own, other, flat, flat, torch.ones(50), **TERMS | {"eta": 100.0})
    assert (cut(sure) == 2).all(), "lambda = 1 with a strong prior: the image itself"


def test_transport_moves_salient_blocks_into_the_mask_at_the_least_price():
    """Against all permutations of four blocks."""
    g = torch.Generator().manual_seed(0)
    s, z = torch.rand(6, 2, 2, generator=g), torch.rand(6, 2, 2, generator=g).round()
    at = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]) / 2
    for price in (0.0, 0.8, 50.0):
        found = transported(s, z, price)
        for i in range(6):
            costs = {
                plan: sum(
                    price * float((at[plan[q]] - at[q]).square().sum()) / 4
                    - float(s[i].flatten()[plan[q]] * z[i].flatten()[q])
                    for q in range(4)
                )
                for plan in itertools.permutations(range(4))
            }
            assert costs[tuple(found[i].tolist())] == pytest.approx(min(costs.values()), abs=1e-6)
    assert torch.equal(transported(s, z, 50.0), torch.arange(4).expand(6, 4)), "too dear to move"


def test_a_method_that_moves_blocks_moves_those_of_both_images():
    """Every block of a mixed image is a whole one of the batch; with a high price it is the method that moves none."""
    x, y = batch(4)
    model = network()
    keys = {"blocks": [4], "levels": 2, "beta": 0.0, "gamma": 0.0, "eta": 0.0}
    seen = Recorder(model)
    look(given("puzzle_mix", model, transport=True, t_eps=0.0, **keys), seen, x, y)
    mixed = seen.seen[1]
    parts = {
        tuple(p.flatten().tolist())
        for i in x
        for p in i.unfold(1, 2, 2).unfold(2, 2, 2).permute(1, 2, 0, 3, 4).flatten(0, 1)
    }
    for image in mixed:
        for part in image.unfold(1, 2, 2).unfold(2, 2, 2).permute(1, 2, 0, 3, 4).flatten(0, 1):
            assert tuple(part.flatten().tolist()) in parts
    still = Recorder(model)
    look(given("puzzle_mix", model, **keys), still, x, y)
    assert not torch.equal(mixed, still.seen[1])
    dear = Recorder(model)
    look(given("puzzle_mix", model, transport=True, t_eps=1e6, **keys), dear, x, y)
    assert torch.equal(dear.seen[1], still.seen[1])


def test_blocks_move_whole():
    x = torch.arange(32.0).view(1, 2, 4, 4)
    found = moved(x, torch.tensor([[3, 1, 2, 0]]), 2)
    assert torch.equal(found[..., :2, :2], x[..., 2:, 2:])
    assert torch.equal(found[..., 2:, 2:], x[..., :2, :2])
    assert torch.equal(found[..., :2, 2:], x[..., :2, 2:])
    assert torch.equal(moved(x, torch.tensor([[0, 1, 2, 3]]), 2), x)
    z = torch.tensor([[[1.0, 0.5], [0.0, 1.0]]])
    by_pixel = torch.from_numpy(np.kron(z[0], np.ones((2, 2)))).float()
    torch.testing.assert_close(masked(x, -x, z), x * by_pixel - x * (1 - by_pixel))


def test_the_saliency_is_taken_in_evaluation_mode_and_leaves_no_trace():
    x, y = batch()
    model = convolutional()
    modes = []
    model[1].register_forward_hook(lambda m, a, b: modes.append(m.training))
    look(given("puzzle_mix", model), model, x, y)
    assert modes == [False, True]
    assert model.training
    assert int(model[1].num_batches_tracked) == 1


def test_a_second_gradient_in_a_step_is_of_the_same_images():
    """Even where the parameters, and with them the saliency, are others; the next step has masks of its own."""
    x, y = batch()
    model = network()
    seen = Recorder(model)
    method = given("puzzle_mix", model, blocks=[4])
    counts = []

    def closure():
        method.zero_grad()
        *_, images = look(method, seen, x, y)
        counts.append(sum(images))
        return torch.zeros(())

    def twice(inner):
        inner()
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(3)))
        return inner()

    method.optimizer.step = twice
    method.step(closure)
    method.step(closure)
    saliency_1, first, second, saliency_2, third, fourth = seen.seen
    assert torch.equal(first, second)
    assert torch.equal(third, fourth)
    assert not torch.equal(first, third)
    assert torch.equal(saliency_1, saliency_2)
    assert counts == [12, 6, 12, 6]


def test_the_clean_images_loss_is_added_and_gives_the_saliency():
    """At weight 0.5: half the cross-entropy of the images beside that of the masks, which are those of the images' own gradient."""
    x, y = batch()
    model = network()
    _, gradient, counts = look(given("puzzle_mix", model, clean=0.5, blocks=[4]), model, x, y)
    _, mixed, _ = look(given("puzzle_mix", model, blocks=[4]), model, x, y)
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    own = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(gradient, mixed + own / 2, rtol=1e-5, atol=1e-8)
    assert counts == [6, 6]


def test_under_bce_the_clean_images_loss_is_the_released_code_s():
    """2 / C of their cross-entropy: twice bce's scale where the network is sure of nothing."""
    x, y = batch()
    model = network()
    keys = {"blocks": [4], "loss": "bce"}
    both = look(given("puzzle_mix", model, clean=1.0, **keys), model, x, y)
    masks = look(given("puzzle_mix", model, **keys), model, x, y)
    model.zero_grad()
    clean = F.cross_entropy(model(x), y) * 2 / 4
    clean.backward()
    own = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(both[1], masks[1] + own, rtol=1e-5, atol=1e-8)
    assert float(both[0] - masks[0]) == pytest.approx(clean.item(), rel=1e-6)


def test_images_that_no_grid_divides_are_refused():
    x, y = batch(size=7)
    model = network(torch.nn.Flatten(), torch.nn.Linear(147, 4))
    with pytest.raises(UserError, match=r"blocks = \[2, 4\]: none divides images of 7 x 7"):
        look(given("puzzle_mix", model, blocks=[2, 4]), model, x, y)
