"""Votes as bytes: one bit a coordinate where it is -1 or +1, two where it may be 0, ceil(log2(n + 1)) where it is a mean of n signs.

A packet holds the float32 numbers of all tensors, then the bits of all coordinates plane by plane, and last a byte that is 1 where its sender
has nothing to say. What is packed and unpacked is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.errors import UserError

GATHER = 0x0102040810204080  # times eight bytes that are 0 or 1, the topmost byte has a bit of each
LARGEST_LEVELS = 256  # a code is a byte before its bits are packed


@dataclass(frozen=True)
class Coding:
    """How tensors of `sizes` coordinates go over the wire.

    Args:
        sizes: coordinates of each tensor.
        levels: values of a coordinate, evenly spaced from -1 to 1.
        scaled: are those of a tensor multiples of one number, which goes beside them?

    Raises:
        UserError: more levels than a byte has.
    """

    sizes: Sequence[int]
    levels: int
    scaled: bool = False

    def __post_init__(self) -> None:
        if self.levels > LARGEST_LEVELS:
            raise UserError(f"task.workers: a mean of signs takes {self.levels} values; at most {LARGEST_LEVELS}")

    @property
    def bits(self) -> int:
        """Bits a coordinate."""
        return math.ceil(math.log2(self.levels))

    @property
    def length(self) -> int:
        """Bytes of a packet."""
        return self._numbers + self.bits * self._plane + 1

    @property
    def _numbers(self) -> int:
        return 4 * len(self.sizes) * self.scaled

    @property
    def _plane(self) -> int:
        return -(-sum(self.sizes) // 8)

    def pack(self, tensors: Sequence[Tensor], sound: Tensor) -> Tensor:
        """Tensors [d] each as one packet, uint8 [length]; where `sound` [] is False, of a sender that has nothing to say."""
        scales = [v.abs().amax() for v in tensors] if self.scaled else []
        codes = torch.cat([self._codes(v, scales[p] if scales else None) for p, v in enumerate(tensors)])
        parts = [torch.stack(scales).float().view(torch.uint8)] if scales else []
        parts += [_packed((codes >> plane) & 1) for plane in range(self.bits)]
        return torch.cat([*parts, (~sound).to(torch.uint8)[None]])

    @staticmethod
    def sound(packets: Tensor) -> Tensor:
        """Have the senders of all packets [..., length] something to say? Bool []."""
        return (packets[..., -1] == 0).all()

    def unpack(self, packets: Tensor, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """The tensors [n, d] of n packets [n, length]."""
        start, total, codes = self._numbers, sum(self.sizes), None
        for plane in range(self.bits):
            bits = _unpacked(packets[:, start : start + self._plane], total) << plane
            codes = bits if codes is None else codes | bits
            start += self._plane
        assert codes is not None
        steps = torch.arange(2**self.bits, dtype=dtype, device=packets.device)
        values = (2 * steps - (self.levels - 1)) / (self.levels - 1)
        found = [values.take(own.long()) for own in codes.split(list(self.sizes), 1)]
        if not self.scaled:
            return found
        scales = packets[:, : self._numbers].flatten().view(torch.float32).view(len(packets), -1).to(dtype)
        return [scales[:, p, None] * v for p, v in enumerate(found)]

    def _codes(self, v: Tensor, scale: Tensor | None) -> Tensor:
        """Of each coordinate the number of its level, from 0, as a byte."""
        if self.levels == 2:
            return (v > 0).to(torch.uint8)
        share = v if scale is None else v / scale
        return ((share + 1) * ((self.levels - 1) / 2)).round().to(torch.uint8)


def _packed(bits: Tensor) -> Tensor:
    """Bytes that are 0 or 1 [d] as bits, [ceil(d / 8)], the first one lowest."""
    padded = torch.nn.functional.pad(bits, (0, -len(bits) % 8))
    return ((padded.view(torch.int64) * GATHER) >> 56).to(torch.uint8)


def _unpacked(packed: Tensor, count: int) -> Tensor:
    """The first `count` bits of rows of bytes [n, ...] as bytes that are 0 or 1, [n, count]."""
    places = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return ((packed[:, :, None] >> places) & 1).flatten(1)[:, :count]
