"""Variance of the stochastic gradient of mixup with K interpolations of each pair, by Monte Carlo and by its law.

Write the gradient of one interpolation as mu + a(pair) + c(lambda) + r(pair, lambda), the last three of mean 0 in each argument (analysis of
variance), and their variances, summed over the parameters, as A, C and R. N pairs with K interpolations each, averaged, have the variance

    A / N + (C + R) / (N K)        where every pair draws its own lambdas,
    A / N + C / K + R / (N K)      where the batch shares them.

So the floor A / N stays whatever K is, and N K pairs with one lambda each have no more variance than N pairs with K. Multi-mix: Shen, Yu, Yang
and Kwok (2024, arXiv 2406.01417) claims that the variance falls with K; the law is derived here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from bench.seeding import generator

CHUNK = {"cpu": 1 << 24, "cuda": 1 << 28}  # numbers that are held at a time
ACTIVATIONS = 128  # numbers that a network keeps of an image, for each of the image's own: a guess on the large side
PAIRS, LAMBDAS = 2, 3  # streams
LEVELS = 32  # quantiles of lambda behind the components
Gradients = Callable[
    [Tensor, Tensor], Tensor
]  # x [B, S, ...], targets [B, S, classes] -> sums over S of the gradients [B, P]


def network_gradients(model: nn.Module) -> Gradients:
    """Of the cross-entropy of probabilities, by vmap of grad; the network must be in evaluation mode, so that images do not depend on each other."""
    buffers = {name: b.detach() for name, b in model.named_buffers()}
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    fixed = buffers | {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}

    def loss(values: dict[str, Tensor], x: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, (values, fixed), (x,)), targets, reduction="sum")

    of_each = vmap(grad(loss), in_dims=(None, 0, 0), randomness="error")

    def gradients(x: Tensor, targets: Tensor) -> Tensor:
        return torch.cat([g.flatten(1) for g in of_each(parameters, x, targets).values()], 1)

    return gradients


@dataclass(frozen=True)
class Mixture:
    """Pairs of a training set, interpolated: x = lambda x_i + (1 - lambda) x_j and the same of the labels; lambda ~ Beta(alpha, alpha).

    i and j are drawn uniformly and independently.

    Attributes:
        x: [N, ...], as the network sees them. y: [N].
        seed: of pairs and lambdas.
        parameters: P, from which the sizes of chunks follow.
    """

    x: Tensor
    y: Tensor
    classes: int
    alpha: float
    gradients: Gradients
    parameters: int
    seed: int = 0

    def mixed(self, pairs: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
        """Images [..., *shape] and probabilities [..., classes] of pairs [2, ...] and lambdas [...]."""
        x, targets = self.x[pairs], F.one_hot(self.y, self.classes).to(self.x.dtype)[pairs]
        parts = []
        for both in (x, targets):
            weight = lam.view(*lam.shape, *[1] * (both.dim() - 1 - lam.dim()))
            parts.append(weight * both[0] + (1 - weight) * both[1])
        return parts[0], parts[1]

    def pairs(self, count: int, stream: int) -> Tensor:
        """[2, count] of one stream of random numbers."""
        drawn = torch.randint(len(self.y), (2, count), generator=generator(self.seed, "noise", stream, 0, 0))
        return drawn.to(self.x.device)

    def lambdas(self, *shape: int, stream: int) -> Tensor:
        """Independent ones, by inversion, of one stream."""
        return self._quantiles(self._uniform(shape, stream))

    def strata(self, *shape: int, stream: int) -> Tensor:
        """The same, but along the last axis of size K the k-th is between the quantiles k / K and (k + 1) / K."""
        places = torch.arange(shape[-1], dtype=torch.float64) + self._uniform(shape, stream)
        return self._quantiles(places / shape[-1])

    def summed(self, pairs: Tensor, lam: Tensor) -> Tensor:
        """Sums of gradients [draws, P] over pairs [2, draws, batch] and their lambdas [draws, batch, K]."""
        x, targets = self.mixed(pairs[..., None].expand(2, *lam.shape), lam)
        return self.gradients(x.flatten(1, 2), targets.flatten(1, 2))

    def levels(self, count: int) -> Tensor:
        """[count] quantiles of lambda at (l + 1/2) / count."""
        return self._quantiles((torch.arange(count, dtype=torch.float64) + 0.5) / count)

    def parts(self, draws: int, gradients: int, images: int) -> Iterator[slice]:
        """Slices of so many draws, each of which holds gradients and images."""
        each = gradients * self.parameters + images * ACTIVATIONS * self.x[0].numel()
        size = max(1, CHUNK.get(self.x.device.type, CHUNK["cpu"]) // each)
        return (slice(start, min(start + size, draws)) for start in range(0, draws, size))

    def _uniform(self, shape: tuple[int, ...], stream: int) -> Tensor:
        return torch.rand(shape, generator=generator(self.seed, "noise", stream, 1, 0), dtype=torch.float64)

    def _quantiles(self, u: Tensor) -> Tensor:
        found = torch.as_tensor(betaincinv(self.alpha, self.alpha, u.numpy()))
        return found.to(self.x.device, self.x.dtype)


@dataclass(frozen=True)
class Components:
    """A, C and R of the law: variances of the gradient's parts, each summed over the parameters."""

    pairs: float
    lam: float
    interaction: float

    def predicted(self, k: int, batch: int = 1, shared: bool = False) -> float:
        """Variance of the mean gradient of `batch` pairs with k lambdas each, or with k that they share."""
        of_lambda = self.lam / k if shared else self.lam / (batch * k)
        return self.pairs / batch + of_lambda + self.interaction / (batch * k)


def measured(
    mixture: Mixture, ks: Sequence[int], draws: int, *, batch: int = 1, shared: bool = False
) -> dict[int, float]:
    """By K of `ks`, rising: the variance of a batch's mean gradient, summed over the parameters; unbiased, over `draws` batches.

    The pairs are the same for all K of a draw, and the first lambdas too: what K changes is not hidden by other draws.
    """
    pairs = mixture.pairs(draws * batch, PAIRS).view(2, draws, batch)
    lam = mixture.lambdas(draws, 1 if shared else batch, max(ks), stream=LAMBDAS).expand(draws, batch, max(ks))
    moments = {k: _Moments() for k in ks}
    for part in mixture.parts(draws, len(ks), batch * max(ks)):
        total, before = torch.zeros((), device=mixture.x.device), 0
        for k in ks:
            total = total + mixture.summed(pairs[:, part], lam[part, :, before:k])
            moments[k].add(total / (batch * k))
            before = k
    return {k: found.variance() for k, found in moments.items()}


def stratified(mixture: Mixture, k: int, draws: int) -> float:
    """The variance for one pair with k lambdas, one from each k-th part of the law's mass; on the pairs of `measured`. No part of the paper."""
    pairs, lam = mixture.pairs(draws, PAIRS).view(2, draws, 1), mixture.strata(draws, 1, k, stream=LAMBDAS)
    moments = _Moments()
    for part in mixture.parts(draws, 1, k):
        moments.add(mixture.summed(pairs[:, part], lam[part]) / k)
    return moments.variance()


def components(mixture: Mixture, draws: int, levels: int = LEVELS) -> Components:
    """A, C and R by a table of `draws` pairs by quantiles of lambda, the same for all pairs: two-way analysis of variance.

    The pairs are those of `measured` where it is given as many: what is compared is then the law, and not two draws of pairs.
    The quantiles are a quadrature of the law of lambda, so that nothing of A is lambda's sampling; what C has of the pairs' is taken off.
    """
    pairs, lam = mixture.pairs(draws, PAIRS), mixture.levels(levels)
    rows, squares = _Moments(), torch.zeros((), dtype=torch.float64, device=lam.device)
    columns: Tensor | float = 0.0
    for part in mixture.parts(draws, levels, levels):
        chosen = pairs[:, part, None].expand(2, -1, levels)
        x, targets = mixture.mixed(chosen, lam.expand(chosen.shape[1:]))
        g = mixture.gradients(x.flatten(0, 1)[:, None], targets.flatten(0, 1)[:, None]).unflatten(0, (-1, levels))
        rows.add(g.mean(1))
        squares = squares + g.double().square().sum()
        columns = columns + g.sum(0, dtype=torch.float64)
    mean = columns / draws  # [levels, P]
    grand = mean.mean(0)  # type: ignore[union-attr]
    of_rows, of_columns = rows.squares - draws * grand.square().sum(), (mean - grand).square().sum()  # sums of squares
    rest = squares - levels * draws * grand.square().sum() - levels * of_rows - draws * of_columns
    interaction = rest / (levels * (draws - 1))
    found = torch.stack([of_rows / (draws - 1), of_columns / levels - interaction / draws, interaction]).tolist()
    return Components(*found)


@torch.no_grad()
def expected_loss(mixture: Mixture, model: nn.Module, most: int, levels: int = LEVELS) -> float:
    """Mean cross-entropy of interpolations: over all ordered pairs, or `most` drawn ones where there are more, and quantiles of lambda."""
    n, lam = len(mixture.y), mixture.levels(levels)
    every = torch.cartesian_prod(*[torch.arange(n, device=mixture.x.device)] * 2).T if n * n <= most else None
    pairs = mixture.pairs(most, PAIRS) if every is None else every
    total = torch.zeros((), dtype=torch.float64, device=lam.device)
    for part in mixture.parts(pairs.shape[1], 0, levels):
        chosen = pairs[:, part, None].expand(2, -1, levels)
        x, targets = mixture.mixed(chosen, lam.expand(chosen.shape[1:]))
        total += F.cross_entropy(model(x.flatten(0, 1)), targets.flatten(0, 1), reduction="sum").double()
    return (total / (pairs.shape[1] * levels)).item()


class _Moments:
    """Sums over rows of vectors, on their device."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def add(self, rows: Tensor) -> None:
        self.count += len(rows)
        self.total = self.total + rows.sum(0, dtype=torch.float64)  # type: ignore[assignment]
        self.squares = self.squares + rows.double().square().sum()  # type: ignore[assignment]

    def variance(self) -> float:
        """Summed over the columns."""
        mean = self.total / self.count
        return ((self.squares - self.count * mean.square().sum()) / (self.count - 1)).item()  # type: ignore[attr-defined]
