"""A two-layer network as the theory of feature learning has it, batched over settings and independent paths: f(x) = scale sum_j a_j s(<w_j, x> + b_j).

Shapes: G settings, C paths, N neurons, B samples, k directions, d dimension. Float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.feature_learning.index_models import Target
from bench.tasks.feature_learning.polynomials import by_powers, degree, horner, random_polynomials
from bench.types import PositiveFloat, PositiveInt


@dataclass(frozen=True)
class Neurons:
    """What the first layer's training does not change: a and b [C, N, 1] (no b: None), the activation s, the factor before the sum.

    Where all layers are trained a and b are what they are at the time, [G, C, N, 1].

    Attributes:
        link: (s, s'); None: relu, or polynomials.
        powers: a polynomial a neuron: its coefficients by powers, constant first, [K + 1, C, N, 1].
    """

    a: Tensor
    b: Tensor | None
    scale: float
    link: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None = None
    powers: Tensor | None = None

    def value(self, h: Tensor) -> Tensor:
        """s_j(h_j + b_j), of the shape of h = W x [..., C, N, B]."""
        z = h if self.b is None else h + self.b
        if self.powers is not None:
            return horner(self.powers, z)
        return torch.relu(z) if self.link is None else self.link[0](z)

    def slope(self, h: Tensor) -> Tensor:
        """s_j'(h_j + b_j), of the shape of h; relu's as truth values."""
        if self.powers is None and self.link is None:
            return h > (0.0 if self.b is None else -self.b)
        z = h if self.b is None else h + self.b
        return horner(self._slopes, z) if self.link is None else self.link[1](z)

    @cached_property
    def _slopes(self) -> Tensor:
        """The coefficients of s', [K, C, N, 1]."""
        degrees = torch.arange(1, len(self.powers), dtype=self.powers.dtype, device=self.powers.device)  # type: ignore[arg-type, union-attr]
        return degrees[:, None, None, None] * self.powers[1:]  # type: ignore[index]

    def output(self, h: Tensor) -> Tensor:
        """f [..., C, 1, B] from h = W x [..., C, N, B]."""
        return self.scale * (self.a * self.value(h)).sum(-2, keepdim=True)

    def signal(self, h: Tensor, y: Tensor, interaction: bool) -> Tensor:
        """g_j = a_j s'(h_j + b_j) (y - f), or with y alone without interaction: minus the derivative of the loss by h_j, times N; [..., C, N, B]."""
        return self.slope(h) * (self.a * (y - self.output(h) if interaction else y))

    def first(self, count: int) -> Neurons:
        """The first `count` of the neurons."""
        b, powers = (None if part is None else part[..., :count, :] for part in (self.b, self.powers))
        return replace(self, a=self.a[..., :count, :], b=b, powers=powers)

    @staticmethod
    def joined(parts: Sequence[Neurons]) -> Neurons:
        """The paths of several dimensions side by side; the network is otherwise the same."""
        a, b, powers = (_joined([getattr(part, name) for part in parts]) for name in ("a", "b", "powers"))
        return replace(parts[0], a=a, b=b, powers=powers)  # type: ignore[arg-type]


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    return None if parts[0] is None else torch.cat(parts, -3)  # type: ignore[arg-type]


class TwoLayer:
    """Draws networks; a path's network depends on (seed, replicate, d) alone.

    Args:
        width: N, neurons.
        activation: s; relu, link: the target's own (student and teacher match), polynomial: a random one a neuron (Lee et al., 2024,
            Lemma 11).
        bias: b; none; normal: N(0, 1), fixed in training. Without biases relu has no odd Hermite coefficients but the first.
        second_layer: a; signs: random +-1, ones, alternating: +1, -1, ..., gaussian: N(0, 1). Fixed while the first layer learns.
        output: factor before the sum: mean: 1 / N; root: 1 / sqrt(N).
        start: rows of W_0; uniform on the sphere; orthogonal: on the sphere in the complement of the target's directions;
            barely: overlap exactly 1 / sqrt(d) with the first direction.
        small: c, the size of the polynomials' coefficients that are not +-1.
    """

    def __init__(
        self,
        *,
        width: PositiveInt,
        activation: Literal["relu", "link", "polynomial"],
        bias: Literal["normal", "none"],
        second_layer: Literal["signs", "ones", "alternating", "gaussian"],
        output: Literal["mean", "root"],
        start: Literal["uniform", "orthogonal", "barely"],
        small: PositiveFloat = 0.3,
    ) -> None:
        self.width, self.activation, self.bias = width, activation, bias
        self.second_layer, self.output, self.start, self.small = second_layer, output, start, small

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
            ValueError: activation link with a target that has no derivative in one variable; polynomial with one that is no polynomial.
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
        link = (lambda h: target.value(h[..., None]), target.slope) if self.activation == "link" else None
        powers = self._polynomials(seeds, replicates, d, target) if self.activation == "polynomial" else None
        powers = None if powers is None else powers.to(device, dtype)
        return Neurons(a, b if self.bias == "normal" else None, scale, link, powers)  # type: ignore[arg-type]

    def _polynomials(self, seeds: Sequence[int], replicates: int, d: int, target: Target) -> Tensor:
        """The neurons' activations by powers, [K + 1, C, N, 1]."""
        if target.monomials is None or target.label_power is None:
            raise ValueError("activation = 'polynomial': only with a polynomial of one direction as target")
        size = degree(len(target.monomials) - 1, target.label_power[0])
        streams = [generator(seed, "init", d, r, 2) for seed in seeds for r in range(replicates)]
        drawn = torch.stack([random_polynomials(self.width, size, self.small, g) for g in streams])
        return by_powers(drawn).permute(2, 0, 1)[..., None]

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
