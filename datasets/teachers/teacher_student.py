"""Two-layer ReLU teachers of either sign on Gaussian inputs. Float64, batched over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.teacher_recovery.relu_population import Teachers
from bench.types import Fraction, NonNegativeFloat, PositiveInt

DRAWS = 10_000  # of a seed's teacher, until its angles are as wide as asked for


def teacher_student(
    root: str,
    seeds: Sequence[int],
    *,
    dim: PositiveInt = 10,
    neurons: PositiveInt = 3,
    signs: Literal["alternating", "positive"] | list[Literal[-1, 1]] = "alternating",
    mixing: NonNegativeFloat = 0.3,
    max_cosine: Fraction = 0.6,
) -> Teachers:
    """f*(x) = sum_i a_i relu(w_i.x), a_i = +1 or -1, x ~ N(0, I); rows of I + mixing N(0, 1) in the first r coordinates, normalised.

    A teacher whose largest |w_i.w_j| exceeds `max_cosine` is drawn again. A seed's teachers of different `dim` are the same in the first
    r coordinates.

    Args:
        root: not used.
        seeds: one teacher each, from the stream "data".
        dim: d, of the inputs.
        neurons: r, at most d.
        signs: alternating (+1, -1, +1, ...), positive, or a list of r signs.
        mixing: deviation of what is added to the orthogonal rows; 0: orthogonal teachers.
        max_cosine: in (0, 1]; w and -w count as one direction, since they differ by a linear function.

    Raises:
        ValueError: r > d, another number of signs, or no such angles in 10,000 draws.
    """
    if neurons > dim:
        raise ValueError(f"neurons = {neurons}: at most dim = {dim} directions are independent")
    if isinstance(signs, list) and len(signs) != neurons:
        raise ValueError(f"signs = {signs}: one for each of {neurons} neurons")
    given = {"alternating": [(-1) ** i for i in range(neurons)], "positive": [1] * neurons}
    weights = torch.tensor(given[signs] if isinstance(signs, str) else signs, dtype=torch.float64)
    rows = torch.stack([_rows(seed, neurons, mixing, max_cosine) for seed in seeds])
    units = torch.nn.functional.pad(rows, (0, dim - neurons))
    return Teachers(units, weights.expand(len(units), -1).contiguous())


def _rows(seed: int, r: int, mixing: float, max_cosine: float) -> Tensor:
    """Unit rows [r, r]."""
    stream, eye = generator(seed, "data"), torch.eye(r, dtype=torch.float64)
    for _ in range(DRAWS):
        rows = eye + mixing * torch.randn(r, r, generator=stream, dtype=torch.float64)
        rows = rows / rows.norm(dim=1, keepdim=True)
        if (rows @ rows.T - eye).abs().max() <= max_cosine:
            return rows
    raise ValueError(
        f"max_cosine = {max_cosine:g}: no {r} teachers at such angles in {DRAWS:,} draws with mixing = {mixing:g}"
    )
