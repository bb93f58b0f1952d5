"""CutMix: torchvision's to the bit, label weights counted in pixels, and boxes that know nothing of each other."""

from __future__ import annotations

import pytest
import torch
from mixing_points import batch

from datasets.images.vision import torchvision
from methods.mixing.cutmix import boxes, cutmix, draw_boxes

ORDER = torch.arange(8).roll(1)


@pytest.mark.parametrize("seed", range(8))
def test_with_one_box_it_is_torchvision_s_cutmix_bit_for_bit(seed):
    torchvision()
    from torchvision.transforms import v2

    x, y = batch(8, dtype=torch.float32)
    theirs = v2.CutMix(alpha=1.0, num_classes=4)
    torch.manual_seed(seed)
    expected = theirs(x, y)
    torch.manual_seed(seed)
    lam = float(theirs._dist.sample(()))
    column, row = torch.randint(8, (1,)), torch.randint(8, (1,))
    where = boxes(torch.full((1, 8), lam, dtype=torch.float64), row.expand(1, 8), column.expand(1, 8), 8, 8)
    ours = cutmix(x, y, num_classes=4, where=where, order=ORDER)
    assert torch.equal(ours[0], expected[0])
    assert torch.equal(ours[1], expected[1])


def test_a_label_s_weight_is_the_share_of_pixels_that_are_kept():
    """Of clipped boxes too, which are smaller than 1 - lambda."""
    g = torch.Generator().manual_seed(0)
    x = torch.zeros(8, 1, 9, 12) + torch.arange(8.0).view(-1, 1, 1, 1)
    mixed, labels = cutmix(x, torch.eye(8), k=40, order=ORDER, generator=g)
    kept = (mixed.view(40, 8, -1) == torch.arange(8.0).view(1, 8, 1)).double().mean(2)
    own = labels.view(40, 8, 8).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(own.double(), kept, rtol=0, atol=1e-6)
    assert labels.sum(1) == pytest.approx(1.0)
    whole = draw_boxes(torch.full((1, 500), 0.5, dtype=torch.float64), 9, 12, generator=g).kept
    assert whole.min() == pytest.approx(1 - 6 * 8 / 108), "sides int(9 sqrt(1/2) / 2) 2 and int(12 sqrt(1/2) / 2) 2"
    assert (whole > whole.min()).any(), "some are clipped"


def test_a_box_at_a_border_by_hand():
    where = boxes(torch.tensor([[0.75]]), torch.tensor([[0]]), torch.tensor([[7]]), 8, 8)
    assert [int(v) for v in (where.top, where.bottom, where.left, where.right)] == [0, 2, 5, 8]
    assert float(where.kept) == 1 - 6 / 64


def test_boxes_of_a_pair_are_cut_out_of_the_image_as_it_is():
    """No box shows in another's image, and the batch is left alone."""
    x = torch.zeros(8, 2, 8, 8) + torch.arange(8.0).view(-1, 1, 1, 1)
    before = x.clone()
    where = draw_boxes(torch.full((6, 8), 0.8, dtype=torch.float64), 8, 8, generator=torch.Generator().manual_seed(2))
    mixed = cutmix(x, torch.eye(8), where=where, order=ORDER)[0].view(6, 8, 2, 8, 8)
    assert torch.equal(x, before)
    foreign = mixed != before
    assert torch.equal(foreign, where.inside[:, :, None].expand_as(foreign))
    one = cutmix(x, torch.eye(8), where=where.at(slice(3, 4)), order=ORDER)[0]
    assert torch.equal(one, mixed[3])


def test_a_shared_box_is_one_box():
    where = draw_boxes(torch.full((3, 8), 0.5, dtype=torch.float64), 8, 8, shared=True)
    assert all((side == side[:, :1]).all() for side in (where.top, where.bottom, where.left, where.right))
