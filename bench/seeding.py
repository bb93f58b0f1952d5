"""Named random streams.

A stream is a pure function of (seed, name, indices): `generator(seed, "augment", epoch, batch)` gives the same numbers whenever
and by whomever it is asked for. Two things follow. Methods are compared under common random numbers, because no stream depends on
the method. And a run resumes at any step without stored generator states.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch

Stream = Literal["data", "init", "order", "augment", "noise"]


def stream_seed(seed: int, name: Stream, *indices: int) -> int:
    """A 63-bit integer from (seed, name, indices); distinct arguments give independent streams."""
    text = f"{seed}/{name}/" + "/".join(str(int(i)) for i in indices)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, name: Stream, *indices: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one stream, on `device` (CPU and CUDA generators draw different numbers from one seed)."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, name, *indices))
