"""Methods that mix: their losses and gradients are those of their definition, in K passes and in one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mixing_points import Recorder, batch, convolutional, given, look, network

from methods.mixing.pairs import draw_order, draw_weights, mix, one_hot

RULES = ["multimix", "multimix_cutmix", "multimix_manifold", "multimix_puzzle"]


@pytest.mark.parametrize("name", RULES)
def test_without_batch_norm_passes_and_one_pass_have_one_loss_and_gradient(name):
    x, y = batch()
    found = {}
    for form in ("passes", "concatenated"):
        model = network()
        keys = {"layers": [0, 1]} if name == "multimix_manifold" else {}
        found[form] = look(given(name, model, batch_norm=form, **keys), model, x, y)
    (a, b), (c, d) = (found[form][:2] for form in found)
    torch.testing.assert_close(a, c, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(b, d, rtol=1e-6, atol=1e-8)
    extra = 6 if name == "multimix_puzzle" else 0
    assert found["passes"][2] == [6 + extra, 6, 6, 6, 6], "images, and once those of the saliency"
    assert found["concatenated"][2] == [30 + extra]


@pytest.mark.parametrize("form", ["passes", "concatenated"])
def test_the_loss_is_the_mean_over_k_of_the_losses_of_the_interpolations(form):
    """From the same draws, by hand: the gradient of the average is the average of K gradients."""
    x, y = batch()
    model = network()
    loss, gradient, _ = look(given("multimix", model, k=4, alpha=0.6, batch_norm=form), model, x, y, seed=7)
    g = torch.Generator().manual_seed(7)
    order, weights = draw_order(6, g), draw_weights(6, 4, 0.6, generator=g)
    losses, gradients = [], []
    for k in range(4):
        lam = weights[k].view(-1, 1)
        model.zero_grad()
        mixed = lam.view(-1, 1, 1, 1) * x + (1 - lam.view(-1, 1, 1, 1)) * x[order]
        logs = model(mixed).log_softmax(1)
        rows = torch.arange(6)
        one = -(lam[:, 0] * logs[rows, y] + (1 - lam[:, 0]) * logs[rows, y[order]]).mean()
        one.backward()
        losses.append(one.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(loss, torch.stack(losses).mean(), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(gradient, torch.stack(gradients).mean(0), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "single"), [("multimix", "mixup"), ("multimix_cutmix", "cutmix"), ("multimix_puzzle", "puzzle_mix")]
)
def test_with_one_interpolation_it_is_the_method_that_it_extends_bit_for_bit(name, single):
    x, y = batch()
    model, other = network(), network()
    many, one = look(given(name, model, k=1), model, x, y), look(given(single, other), other, x, y)
    assert torch.equal(many[0], one[0])
    assert torch.equal(many[1], one[1])


def test_passes_have_the_statistics_of_n_images_and_one_pass_those_of_all():
    """Running statistics take K updates in K passes, each of its own interpolation; one in one pass."""
    x, y = batch()
    for form, count in (("passes", 3), ("concatenated", 1)):
        model = convolutional()
        seen = Recorder(model)
        method = given("multimix", model, k=3, batch_norm=form)
        look(method, seen, x, y)
        assert len(seen.seen) == count
        mean = torch.zeros(5, dtype=torch.float64)
        for images in seen.seen:
            mean = 0.9 * mean + 0.1 * model[0](images).mean((0, 2, 3)).detach()
        torch.testing.assert_close(model[1].running_mean, mean)
        assert int(model[1].num_batches_tracked) == count


def test_images_and_labels_are_left_alone_and_draws_are_the_generator_s():
    x, y = batch(8, size=8)
    for name in RULES:
        model = network()
        method = given(name, model, **({"layers": [0, 1]} if name == "multimix_manifold" else {}))
        before = x.clone(), y.clone()
        first, again, other = (look(method, model, x, y, seed) for seed in (3, 3, 4))
        assert torch.equal(first[1], again[1])
        assert not torch.equal(first[1], other[1])
        assert torch.equal(x, before[0])
        assert torch.equal(y, before[1])


def test_boxes_of_the_k_passes_are_cut_out_of_the_batch():
    """Each pass has one box of foreign pixels an image, no more."""
    x = torch.zeros(6, 3, 8, 8, dtype=torch.float64) + torch.arange(6.0, dtype=torch.float64).view(-1, 1, 1, 1)
    model, before = network(), x.clone()
    seen = Recorder(model)
    look(given("multimix_cutmix", model, k=6), seen, x, torch.arange(6) % 4)
    assert torch.equal(x, before)
    for images in seen.seen:
        for i, image in enumerate(images[:, 0]):
            rows, columns = (image != i).nonzero().unbind(1)
            if len(rows):
                area = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
                assert int(area) == len(rows)


def test_mixed_labels_are_probabilities_with_the_weight_of_their_pixels():
    """What the loss is given: rows that sum to 1; CutMix's weight is the share of own pixels."""
    x = torch.zeros(6, 3, 8, 8, dtype=torch.float64) + torch.arange(6.0, dtype=torch.float64).view(-1, 1, 1, 1)
    y = torch.arange(6)
    for name in ("multimix", "multimix_cutmix"):
        model = network(torch.nn.Flatten(), torch.nn.Linear(192, 6))
        seen, targets = Recorder(model), []

        def loss(logits, rows, targets=targets):
            targets.append(rows)
            return F.cross_entropy(logits, rows)

        list(given(name, model).losses(seen, x, y, loss, torch.Generator().manual_seed(5)))
        for images, rows in zip(seen.seen, targets):
            torch.testing.assert_close(rows.sum(1), torch.ones(6, dtype=rows.dtype))
            torch.testing.assert_close(rows.double() @ y.double(), images.mean((1, 2, 3)), rtol=1e-5, atol=1e-6)


def test_the_k_passes_have_lambdas_of_their_own():
    x, y = batch()
    model = network()
    seen = Recorder(model)
    look(given("multimix", model), seen, x, y)
    assert len(seen.seen) == 5
    assert len({images.sum().item() for images in seen.seen}) == 5


def test_label_smoothing_of_the_task_reaches_the_soft_labels():
    x, y = batch()
    model = network()
    method = given("mixup", model)
    smooth = sum(
        loss.detach()
        for loss, _ in method.losses(
            model, x, y, lambda a, b: F.cross_entropy(a, b, label_smoothing=0.2), torch.Generator().manual_seed(0)
        )
    )
    g = torch.Generator().manual_seed(0)
    order, weights = draw_order(6, g), draw_weights(6, 1, 1.0, generator=g)
    rows = mix(one_hot(y, 4), order, weights) * 0.8 + 0.2 / 4
    expected = -(rows * model(mix(x, order, weights)).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(smooth, expected.detach(), rtol=1e-6, atol=1e-8)
