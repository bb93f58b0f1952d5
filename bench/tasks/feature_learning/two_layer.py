"""A two-layer network as the theory of feature learning has it, batched over settings and independent paths: f(x) = scale sum_j a_j s(<w_j, x> + b_j).

Shapes: G settings, C paths, N neurons, B samples, k directions, d dimension. Float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.feature_learning.index_models import Target
from bench.types import PositiveInt


@dataclass(frozen=True)
class Neurons:
    """What the first layer's training does not change: a and b [C, N, 1] (no b: None), the activation s, the factor before the sum.

    Attributes:
        link: (s, s'); None: relu.
    """

    a: Tensor
    b: Tensor | None
    scale: float
    link: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None = None

    def output(self, h: Tensor) -> Tensor:
        """f [..., C, 1, B] from h = W x [..., C, N, B]."""
        value = torch.relu if self.link is None else self.link[0]
        return self.scale * (self.a * value(h if self.b is None else h + self.b)).sum(-2, keepdim=True)

    def signal(self, h: Tensor, y: Tensor, interaction: bool) -> Tensor:
        """g_j = a_j s'(h_j + b_j) (y - f), or with y alone without interaction: minus the derivative of the loss by h_j, times N; [..., C, N, B]."""
        error = self.a * (y - self.output(h) if interaction else y)
        if self.link is None:
            return (h > (0.0 if self.b is None else -self.b)) * error
        return self.link[1](h if self.b is None else h + self.b) * error

    @staticmethod
    def joined(parts: Sequence[Neurons]) -> Neurons:
        """The paths of several dimensions side by side; the network is otherwise the same."""
        b = None if parts[0].b is None else torch.cat([part.b for part in parts])
        return replace(parts[0], a=torch.cat([part.a for part in parts]), b=b)


class TwoLayer:
    """Draws networks; a path's network depends on (seed, replicate, d) alone.

    Args:
        width: N, neurons.
        activation: s; relu, or link: the target's own (student and teacher match).
        bias: b; normal: N(0, 1), fixed in training; none. Without biases relu has no odd Hermite coefficients but the first.
        second_layer: a; signs: random +-1, ones, alternating: +1, -1, ..., gaussian: N(0, 1). Fixed while the first layer learns.
        output: factor before the sum: mean: 1 / N; root: 1 / sqrt(N).
        start: rows of W_0; uniform on the sphere; orthogonal: on the sphere in the complement of the target's directions;
            barely: overlap exactly 1 / sqrt(d) with the first direction.
    """

    def __init__(
        self,
        *,
        width: PositiveInt,
        activation: Literal["relu", "link"],
        bias: Literal["normal", "none"],
        second_layer: Literal["signs", "ones", "alternating", "gaussian"],
        output: Literal["mean", "root"],
        start: Literal["uniform", "orthogonal", "barely"],
    ) -> None:
        self.width, self.activation, self.bias = width, activation, bias
        self.second_layer, self.output, self.start = second_layer, output, start

    def neurons(
        self,
        seeds: Sequence[int],
        replicates: int,
        d: int,
        target: Target,
        device: torch.device,
        dtype: torch.dtype = torch.float64,
    ) -> Neurons:
        """a and b of the paths of one dimension.

        Raises:
            ValueError: activation link with a target that has no derivative in one variable.
        """
        if self.activation == "link" and target.slope is None:
            raise ValueError("activation = 'link': only with a single-index target")
        streams = [generator(seed, "init", d, r) for seed in seeds for r in range(replicates)]
        drawn = torch.stack([torch.randn(2, self.width, generator=g, dtype=torch.float64) for g in streams])
        a, b = drawn.to(device, dtype)[..., None].unbind(1)  # [C, N, 1] each
        if self.second_layer == "signs":
            a = a.sign()
        elif self.second_layer == "ones":
            a = torch.ones_like(a)
        elif self.second_layer == "alternating":
            a = (1 - 2 * (torch.arange(self.width) % 2)).to(a)[:, None].expand_as(a)
        scale = 1 / self.width if self.output == "mean" else 1 / math.sqrt(self.width)
        link = None if self.activation == "relu" else (lambda h: target.value(h[..., None]), target.slope)
        return Neurons(a, b if self.bias == "normal" else None, scale, link)

    def weights(self, seeds: Sequence[int], replicates: int, d: int, theta: Tensor) -> Tensor:
        """W_0 [P, N, d] for P = seeds x replicates paths, with directions theta [P, k, d]; unit rows."""
        streams = [generator(seed, "init", d, r, 1) for seed in seeds for r in range(replicates)]
        w = torch.stack([torch.randn(self.width, d, generator=g, dtype=torch.float64) for g in streams]).to(
            theta.device
        )
        if self.start != "uniform":
            w = w - (w @ theta.mT) @ theta
        w = torch.nn.functional.normalize(w, dim=-1)
        if self.start == "barely":
            w = theta[:, :1] / math.sqrt(d) + w * math.sqrt(1 - 1 / d)
        return w
