"""Interpolations of pairs: torchvision's mixup to the bit, the laws of lambda, and what several interpolations of one pair have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixing_points import batch
from scipy import stats

from datasets.images.vision import torchvision
from methods.mixing.cutmix import cutmix
from methods.mixing.pairs import draw_weights, mix, mixup, multimix, one_hot

CLASSES = 4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(5))
def test_with_one_interpolation_it_is_torchvision_s_mixup_bit_for_bit(seed):
    torchvision()
    from torchvision.transforms import v2

    x, y = batch(8, dtype=torch.float32)
    theirs = v2.MixUp(alpha=0.4, num_classes=CLASSES)
    torch.manual_seed(seed)
    expected = theirs(x, y)
    torch.manual_seed(seed)
    lam = theirs.make_params([x])["lam"]
    ours = multimix(x, y, k=1, num_classes=CLASSES, weights=lam, order=torch.arange(8).roll(1))
    assert torch.equal(ours[0], expected[0])
    assert torch.equal(ours[1], expected[1])


def test_one_interpolation_is_mixup_of_the_same_seed():
    x, y = batch()
    for a, b in zip(
        multimix(x, y, k=1, alpha=0.3, num_classes=CLASSES, generator=seeded()),
        mixup(x, y, 0.3, num_classes=CLASSES, generator=seeded()),
    ):
        assert torch.equal(a, b)


def test_small_alpha_leaves_images_and_labels_of_the_batch():
    """alpha -> 0: lambda is 0 or 1, as in training on the images and on permuted ones."""
    x, y = batch()
    order = torch.tensor([1, 2, 3, 4, 5, 0])
    mixed, labels = multimix(x, y, k=6, alpha=1e-5, num_classes=CLASSES, order=order, generator=seeded())
    sources = torch.stack([x, x[order]])
    kinds = torch.stack([one_hot(y, CLASSES), one_hot(y[order], CLASSES)])
    for row, label, i in zip(mixed, labels, list(range(6)) * 6):
        (which,) = ((sources[:, i] - row).abs().amax((1, 2, 3)) < 1e-9).nonzero().flatten().tolist()
        assert (kinds[which, i] - label).abs().max() < 1e-6


def test_the_same_lambda_k_times_is_one_interpolation_k_times():
    x, y = batch()
    order = torch.randperm(6, generator=seeded())
    one = multimix(x, y, num_classes=CLASSES, weights=[0.3], order=order)
    three = multimix(x, y, num_classes=CLASSES, weights=[0.3] * 3, order=order)
    assert torch.equal(three[0], one[0].repeat(3, 1, 1, 1))
    assert torch.equal(three[1], one[1].repeat(3, 1))


def test_all_k_points_of_a_pair_lie_on_one_segment_where_their_labels_say():
    """One permutation for all K; a label's weight is the point's own place on the segment."""
    x, _ = batch()
    y = torch.eye(6, dtype=torch.float64)  # a class an image: labels name the pair
    mixed, labels = multimix(x, y, k=5, alpha=0.7, generator=seeded(3))
    mixed, labels = mixed.view(5, 6, -1), labels.view(5, 6, 6)
    for i in range(6):
        partners = {int(j) for row in labels[:, i] for j in row.nonzero().flatten()} - {i}
        assert len(partners) <= 1, "one partner"
        for k in range(5):
            expected = (labels[k, i][:, None] * x.flatten(1)).sum(0)
            torch.testing.assert_close(mixed[k, i], expected)
    assert labels.sum(2) == pytest.approx(1.0)
    assert len(labels[:, 0, 0].unique()) == 5, "and K values of lambda"


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
@pytest.mark.parametrize("stratified", [False, True])
def test_lambda_has_the_law_beta(alpha, stratified):
    weights = draw_weights(2000, 5, alpha, stratified=stratified, generator=seeded(4))
    assert weights.shape == (5, 2000)
    assert stats.kstest(weights.flatten().numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    if stratified:
        strata = np.floor(stats.beta(alpha, alpha).cdf(weights.numpy()) * 5 - 1e-12)
        assert (strata == np.arange(5)[:, None]).mean() > 0.999
    else:
        assert abs(np.corrcoef(weights.numpy())[np.triu_indices(5, 1)]).max() < 0.1, "the K are independent"


@pytest.mark.parametrize("alpha", [1e-4, 1e-3, 1e-2])
def test_lambda_of_a_small_alpha_is_as_near_0_or_1_as_its_law(alpha):
    """Where the ratio of two Gamma numbers is 0 / 0."""
    weights = draw_weights(40_000, 1, alpha, generator=seeded(5))
    inside = float(((weights > 1e-6) & (weights < 1 - 1e-6)).double().mean())
    law = stats.beta(alpha, alpha)
    share = 1 - 2 * law.cdf(1e-6)
    assert abs(inside - share) < 4 * (share / 40_000) ** 0.5
    assert abs(float(weights.mean()) - 0.5) < 4 * 0.5 / 40_000**0.5


def test_a_shared_lambda_is_that_of_all_pairs_and_others_are_not():
    shared, own = (draw_weights(7, 3, 2.0, shared=s, generator=seeded()) for s in (True, False))
    assert all(len(row.unique()) == 1 for row in shared)
    assert len(shared[:, 0].unique()) == 3
    assert len(own.unique()) == 21


def test_half_precision_rounds_the_mix_and_not_lambda():
    """0.999 in bfloat16 is 1: such a mix would have nothing of the partner's."""
    x = torch.tensor([[0.0], [256.0]], dtype=torch.bfloat16)
    found = mix(x, torch.tensor([1, 0]), torch.full((1, 2), 0.999, dtype=torch.float64))
    assert found.dtype == torch.bfloat16
    assert float(found[0]) == pytest.approx(0.256, rel=4e-3)


def test_images_keep_their_layout():
    x = batch()[0].contiguous(memory_format=torch.channels_last)
    order = torch.arange(6).roll(1)
    mixed = mix(x, order, torch.rand(3, 6, generator=seeded()))
    cut, _ = cutmix(x, torch.eye(6), k=3, order=order)
    for one in (mixed, cut):
        assert one.is_contiguous(memory_format=torch.channels_last)


def test_what_cannot_be_mixed_is_refused():
    x, y = batch()
    with pytest.raises(ValueError, match="num_classes"):
        multimix(x, y)
    with pytest.raises(ValueError, match="floating point"):
        mix(x.to(torch.uint8), torch.arange(6), torch.ones(1, 6))
