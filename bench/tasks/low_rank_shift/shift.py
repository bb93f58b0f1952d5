r"""A linear denoiser that was trained on public data, and private data whose best denoiser differs from it by a matrix of low rank.

    target = W* x + tau xi,     W* = W_0 + s U V^T,     U, V orthonormal [d, r]

A private example is one noised vector x in R^d with its target. The loss of an example is half the squared error, whose mean is least at W*.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LowRankShift:
    """N examples x [N, d] with targets [N, d], the public matrix `start` [d, d] and the private one `optimum` [d, d], float32."""

    x: Tensor
    target: Tensor
    start: Tensor
    optimum: Tensor


class LinearDenoiser(nn.Module):
    """x [B, d] to W x, called as a denoiser; its layer is named as the projections that methods look for.

    Args:
        weight: W [d, d].
    """

    projections = ("map",)
    class_layer = None

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        layer = nn.Linear(*weight.shape, bias=False)  # type: ignore[misc]
        layer.weight = nn.Parameter(weight.clone())
        self.net = nn.ModuleDict({"map": layer})

    def forward(self, x: Tensor, t: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        """[B, d]; times and classes are not read."""
        return self.net["map"](x)

    @torch.no_grad()
    def matrix(self, dim: int) -> Tensor:
        """What it multiplies by, adapters included, [d, d]."""
        return self(torch.eye(dim)).T


class HalfSquares:
    """A schedule without times, whose losses are those of a regression: the labels of its examples are their targets."""

    alphas_bar = torch.ones(1)

    def loss_per_example(self, denoiser: nn.Module, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Half the squared error [B] of x0 [B, d] and targets y [B, d]. Nothing of it is random: the K copies of an example, t [B, K], are alike."""
        copies = t.shape[1]
        rows = [part.repeat_interleave(copies, 0) for part in (x0, y)]
        return (denoiser(rows[0], t.flatten()) - rows[1]).square().sum(1).view(-1, copies).mean(1) / 2
