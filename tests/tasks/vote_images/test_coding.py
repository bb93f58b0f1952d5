"""Votes as bytes: what is unpacked is what was packed, and there are as few bytes as bits allow."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from bench.errors import UserError
from bench.models import resnet18
from bench.tasks.vote_images.ballot import Ballot
from bench.tasks.vote_images.coding import Coding
from bench.tasks.vote_images.wire import Wire
from methods.vote.baselines import SSDM, SignSGDMV
from methods.vote.dvr import DVRQ
from methods.vote.ssvr_mv import SSVRMV, SSVRMVStochastic

SOUND, SIZES = torch.tensor(True), (1, 8, 13, 3)


def drawn(levels: int, seed: int) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    codes = [torch.randint(levels, (d,), generator=stream) for d in SIZES]
    return [(2.0 * k - (levels - 1)) / (levels - 1) for k in codes]


@pytest.mark.parametrize("levels", [2, 3, 5, 9, 256])
def test_what_is_unpacked_is_what_was_packed(levels):
    """Three packets at once, tensors that end within a byte."""
    coding, sent = Coding(SIZES, levels), [drawn(levels, seed) for seed in range(3)]
    packets = torch.stack([coding.pack(tensors, SOUND) for tensors in sent])
    assert packets.shape == (3, coding.length)
    for p, rows in enumerate(coding.unpack(packets)):
        assert torch.equal(rows, torch.stack([tensors[p] for tensors in sent]))
    assert bool(Coding.sound(packets))


def test_a_mean_of_signs_is_that_mean_to_the_last_bit():
    signs = torch.where(torch.rand(7, 64, generator=torch.Generator().manual_seed(0)) < 0.5, -1.0, 1.0)
    mean = signs.sum(0) / 7
    coding = Coding([64], 8)
    assert torch.equal(coding.unpack(coding.pack([mean], SOUND)[None])[0][0], mean)


@pytest.mark.parametrize("rows", [1, 3])
def test_numbers_beside_signs_are_single_precision(rows):
    coding = Coding(SIZES, 2, scaled=True)
    scales = torch.tensor([0.1, 3e-20, 0.0, 7.5])
    sent = [[scale * sign for scale, sign in zip(scales, drawn(2, seed))] for seed in range(rows)]
    packets = torch.stack([coding.pack(tensors, SOUND) for tensors in sent])
    assert coding.length == 4 * len(SIZES) + 4 + 1
    for p, found in enumerate(coding.unpack(packets)):
        assert torch.equal(found, torch.stack([tensors[p] for tensors in sent]))


def test_one_sender_without_anything_to_say_is_noticed_whatever_it_packs():
    coding = Coding(SIZES, 3)
    broken = [torch.full((d,), torch.nan) for d in SIZES]
    packets = torch.stack([coding.pack(drawn(3, 0), SOUND), coding.pack(broken, torch.tensor(False))])
    assert not Coding.sound(packets)
    assert all(rows.isfinite().all() for rows in coding.unpack(packets)[:1])


def test_a_mean_of_too_many_signs_is_refused():
    with pytest.raises(UserError, match="takes 257 values"):
        Coding(SIZES, 257)


@cache
def of_resnet18() -> list[int]:
    with torch.device("meta"):
        return [p.numel() for p in resnet18(3, 100, 32).parameters()]


def lengths(method, workers: int = 4) -> tuple[int, int, int]:
    """Of ResNet-18 for CIFAR-100: coordinates, and bytes of a message and of an answer with the numbers told for a radius."""
    sizes = of_resnet18()
    ballot = Ballot(method, sizes, Wire(workers), 0)
    told = 4 * len(sizes) * ballot.asks
    return sum(sizes), ballot.up.length + told, ballot.down.length + told


def test_a_vote_of_resnet18_sends_a_thirtieth_of_what_an_all_reduce_sends():
    """4 bytes a coordinate of the gradient go up and 4 down; a vote in which ties are a coin needs a bit each way. 11.2 M coordinates."""
    for method in (SSVRMV(lr=1.0, beta=0.5, ties="random"), SignSGDMV(lr=1.0, ties="plus")):
        d, up, down = lengths(method)
        assert d == 11_220_132
        assert 8 * d / (up + down) > 31.9
    d, up, down = lengths(SSVRMVStochastic(lr=1.0, beta=0.5))
    assert 8 * d / (up + down) > 31.9, "the second option has no ties"
    d, up, down = lengths(SSVRMV(lr=1.0, beta=0.5))
    assert 21 < 8 * d / (up + down) < 21.4, "ties that are 0 take two bits down"
    d, up, down = lengths(SSVRMV(lr=1.0, beta=0.5), workers=5)
    assert 8 * d / (up + down) > 31.9, "of an odd number of signs none tie"


@pytest.mark.parametrize(
    "method",
    [SSVRMV(lr=1.0, beta=0.5), SSDM(lr=1.0, beta=0.5), DVRQ(lr=1.0, beta=0.5), SignSGDMV(lr=1.0)],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.parametrize("workers", [3, 4, 8])
def test_bytes_are_the_bits_that_the_method_counts(method, workers):
    """Rounded up to bytes, and a byte that says whether the sender has something to say."""
    sizes = [700, 13, 8]
    ballot = Ballot(method, sizes, Wire(workers), 0)
    told = 4 * len(sizes) * ballot.asks
    counted = [sum(own) for own in zip(*(method.bits(d, workers) for d in sizes))]
    for length, bits, coding in zip((ballot.up.length, ballot.down.length), counted, (ballot.up, ballot.down)):
        assert 0 <= 8 * (length - 1 + told) - bits < 8 * coding.bits
