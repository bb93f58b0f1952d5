"""Grids of hyper-parameters whose settings advance in one batch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError, allowed_list, nearest
from bench.run.config import typed


def product(
    grid: Mapping[str, Sequence[float]], node: Mapping[str, Any], device: torch.device | str
) -> dict[str, Tensor]:
    """The values [K, 1], float64, of each hyper-parameter of the grid in the Cartesian product of K settings.

    Args:
        grid: {hyper-parameter: values}; empty: none.
        node: the method's typed config.

    Raises:
        UserError: a name or a value that the method does not take.
    """
    for name, values in grid.items():
        if not isinstance(node.get(name), float):
            known = [key for key, value in node.items() if isinstance(value, float)]
            hint = f"allowed: {allowed_list(known) or 'none'}{nearest(name, known)}"
            raise UserError(f"task.grid.{name}: not a real-valued key of this method; {hint}")
        if not values:
            raise UserError(f"task.grid.{name} = []: at least one value")
        for value in values:
            typed("method", {**node, name: value})
    settings = torch.tensor(list(itertools.product(*grid.values())), dtype=torch.float64, device=device)
    return {name: settings[:, k : k + 1] for k, name in enumerate(grid)}
