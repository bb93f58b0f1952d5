"""Puzzle Mix: which blocks of a mixed image come from which of the two is chosen by their saliency.

Saliency of a pixel: the root of the mean over channels of (d loss / d x)^2; of a block its mean, normalised to sum 1 over the image. With z the
share of the image itself and s its saliency, s' that of the partner, masks minimise (methods.mixing.masks)

    sum_p [(1 - z_p) s_p + z_p s'_p - (eta / b^2) log Binomial(m z_p; m, lambda)] + sum_pq (beta + gamma D_pq) / (16 b) (z_p - z_q)^2:

saliency thrown away, a prior about lambda, and smoothness, dearer where the images' colours differ across the border: D_pq is the mean over
channels and over both ways round of |own colour in p - partner's in q|. Labels are weighted by the mask's mean.
Transport moves blocks first, so that salient ones lie where the mask keeps them: the assignment of least t_eps |p - q|^2 / b^2 - s_p z_q.

References: Kim et al., 2020, arXiv 2009.06962; Shen et al., 2024, arXiv 2406.01417 (K masks of a pair, from one saliency). The terms of D and of
transport are ours in detail; the released code has an approximate graph cut in place of an exact one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError
from methods.mixing.composed import Criterion, Network, Parts
from methods.mixing.interpolated import MultiMix
from methods.mixing.masks import Problem, cut, icm
from methods.mixing.pairs import draw_order

if TYPE_CHECKING:
    from bench.types import Levels, NonNegativeFloat, PositiveInt

SOLVERS = {"icm": icm, "cut": cut}


def saliency(gradient: Tensor) -> Tensor:
    """[B, H, W] of d loss / d x [B, C, H, W]."""
    return gradient.float().square().mean(1).sqrt()


def by_block(values: Tensor, b: int) -> Tensor:
    """Means [..., b, b] over blocks of [..., H, W]; b divides both sides."""
    height, width = values.shape[-2:]
    return values.unflatten(-1, (b, width // b)).unflatten(-3, (b, height // b)).mean((-3, -1))


def puzzle(
    own: Tensor, other: Tensor, x: Tensor, partner: Tensor, weights: Tensor, *, levels: int, beta: float, gamma: float, eta: float
) -> Problem:  # fmt: skip
    """The problem of n pairs from block saliencies [n, b, b] (their own scale is left out), colours [n, C, b, b] and lambda [n]."""
    b, m = own.shape[-1], levels - 1
    own, other = (s / s.sum((1, 2), keepdim=True).clamp_min(1e-30) for s in (own, other))
    z = torch.arange(levels, device=own.device, dtype=own.dtype) / m
    lam = weights.to(own.dtype).clamp(1e-6, 1 - 1e-6)[:, None]
    ways = torch.tensor([math.log(math.comb(m, t)) for t in range(levels)], device=own.device, dtype=own.dtype)
    prior = -(ways + m * z * lam.log() + m * (1 - z) * torch.log1p(-lam)) * (eta / b**2)
    shares = z.view(1, -1, 1, 1)
    unary = (1 - shares) * own[:, None] + shares * other[:, None] + prior[:, :, None, None]

    def apart(first: tuple[Any, ...], second: tuple[Any, ...]) -> Tensor:
        one, two = (x[first] - partner[second]).abs(), (partner[first] - x[second]).abs()
        return (beta + gamma * (one + two).mean(1) / 2) / (16 * b)

    every = slice(None)
    across = apart((..., slice(None, -1)), (..., slice(1, None)))
    return Problem(unary, across, apart((..., slice(None, -1), every), (..., slice(1, None), every)))


def transported(s: Tensor, z: Tensor, t_eps: float) -> Tensor:
    """Which block goes to each place: sources [n, b^2] for masks z [n, b, b] and saliency s [n, b, b]; on the CPU."""
    from scipy.optimize import linear_sum_assignment

    b = s.shape[-1]
    at = np.stack(np.meshgrid(np.arange(b), np.arange(b), indexing="ij"), -1).reshape(-1, 2) / b
    far = ((at[:, None] - at) ** 2).sum(-1) * t_eps / b**2
    gains = s.double().flatten(1)[:, :, None] * z.double().flatten(1)[:, None]
    plans = [np.argsort(linear_sum_assignment(far - gain)[1]) for gain in gains.cpu().numpy()]
    return torch.from_numpy(np.stack(plans)).to(s.device)


def moved(x: Tensor, sources: Tensor, b: int) -> Tensor:
    """Images [n, C, H, W] with block sources[p] at place p."""
    n, c, height, width = x.shape
    parts = x.reshape(n, c, b, height // b, b, width // b).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    parts = parts.gather(1, sources.view(n, b * b, 1, 1, 1).expand_as(parts)).unflatten(1, (b, b))
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(n, c, height, width)


def masked(x: Tensor, partner: Tensor, z: Tensor) -> Tensor:
    """z x + (1 - z) partner, z [n, b, b] spread over blocks."""
    b = z.shape[-1]
    height, width = x.shape[-2:]
    full = z.repeat_interleave(height // b, 1).repeat_interleave(width // b, 2)[:, None].to(x.dtype)
    return partner * (1 - full) + x * full


@dataclass
class Pieces:
    """The masks z [N, b, b] of each k, the sources of both images where blocks move, and the mean of each mask [K, N]."""

    masks: list[Tensor]
    sources: list[tuple[Tensor, Tensor] | None]
    kept: Tensor


class PuzzleMix(MultiMix):
    """K masks a pair, each on a grid and with a lambda of its own; the saliency is computed once for the minibatch, in evaluation mode.

    Masks depend on the parameters. In a step they are those of its first gradient: a second one, elsewhere, is of the same images.

    Args: as MultiMix's, and
        blocks: b is drawn out of these, for each k; those that do not divide the images' sides are left out.
        levels: m + 1 shares of a block.
        beta, gamma, eta: weights of smoothness, of colours in it, and of the prior.
        solver: cut (exact, on the CPU) or icm (where the images are).
        clean: weight of the loss of the images as they are, from whose gradient the saliency then is, in training mode; 0: none. Under
            bce it is 2 / C of their cross-entropy, as in the released code.
        transport: move blocks.
        t_eps: the price of moving.
    """

    def __init__(
        self, params: Any, model: nn.Module | None = None, mean: Tensor | None = None, std: Tensor | None = None,
        num_examples: int = 1, seed: int = 0, total_steps: int | None = None,
        *,
        blocks: list[PositiveInt],
        levels: Levels = 3,
        beta: NonNegativeFloat = 1.2,
        gamma: NonNegativeFloat = 0.5,
        eta: NonNegativeFloat = 0.2,
        solver: Literal["cut", "icm"] = "icm",
        clean: NonNegativeFloat = 0.0,
        transport: bool = False,
        t_eps: NonNegativeFloat = 0.8,
        **shared: Any,
    ) -> None:  # fmt: skip
        if not blocks or solver not in SOLVERS:
            raise ValueError(f"blocks = {blocks}, solver = '{solver}': at least one number of blocks; cut or icm")
        self.blocks, self.solver, self.transport, self.t_eps = list(blocks), solver, transport, t_eps
        self.terms = {"levels": levels, "beta": beta, "gamma": gamma, "eta": eta}
        self.clean = clean
        self._in_step, self._held, self._looked = False, None, False
        self._gradient: Tensor | None = None
        super().__init__(params, model, mean, std, num_examples, seed, total_steps, **shared)

    def step(self, closure: Any = None) -> Tensor:  # type: ignore[override]
        """The optimizer's; masks are kept for it."""
        self._in_step, self._held = True, None  # type: ignore[no-redef]  # type: bool, tuple[Tensor, Any] | None
        try:
            return super().step(closure)
        finally:
            self._in_step, self._held = False, None

    def losses(self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator) -> Parts:
        """Those of the masks, and with `clean` that of the images first."""
        if self.clean:
            at = x.detach().requires_grad_()
            logits = network(at)
            scaled = F.cross_entropy(logits, y) * (2 / logits.shape[1]) if self.loss == "bce" else loss(logits, y)
            yield scaled * self.clean, len(y)
            self._gradient = at.grad
        yield from super().losses(network, x, y, loss, generator)
        self._gradient = None

    def _drawn(
        self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator
    ) -> tuple[Tensor, Any]:
        self._looked = self._held is None
        if self._held is not None:
            return self._held
        order = draw_order(len(y), generator, x.device)
        weights = self._weights(len(y), x.device, generator)
        found = order, self._pieces(x, order, weights, self._saliency(network, x, y, loss), generator)
        if self._in_step:
            self._held = found  # type: ignore[assignment]
        return found

    def _saliency(self, network: Network, x: Tensor, y: Tensor, loss: Criterion) -> Tensor:
        """[N, H, W]: of the network in evaluation mode, or of the clean images' own gradient."""
        if self._gradient is not None:
            return saliency(self._gradient)
        training = self.model is not None and self.model.training
        if training:
            self.model.eval()  # type: ignore[union-attr]
        try:
            with torch.enable_grad():
                at = x.detach().requires_grad_()
                return saliency(torch.autograd.grad(loss(network(at), y), at)[0])
        finally:
            if training:
                self.model.train()  # type: ignore[union-attr]

    def _pieces(self, x: Tensor, order: Tensor, weights: Tensor, s: Tensor, generator: torch.Generator) -> Pieces:
        sides = [b for b in self.blocks if all(side % b == 0 for side in x.shape[-2:])]
        if not sides:
            raise UserError(
                f"method.blocks = {self.blocks}: none divides images of {x.shape[-2]} x {x.shape[-1]} pixels"
            )
        drawn = torch.randint(len(sides), (self.k,), generator=generator, device=x.device).tolist()
        masks, sources = [], []
        for k, b in enumerate(sides[i] for i in drawn):
            own, colours = by_block(s, b), by_block(x.float(), b)
            problem = puzzle(own, own[order], colours, colours[order], weights[k], **self.terms)  # type: ignore[arg-type]
            z = SOLVERS[self.solver](problem).to(own.dtype) / problem.steps
            masks.append(z)
            share = own / own.sum((1, 2), keepdim=True).clamp_min(1e-30)
            both = (share, z), (share[order], 1 - z)
            sources.append(tuple(transported(*one, self.t_eps) for one in both) if self.transport else None)
        return Pieces(masks, sources, torch.stack([z.double().mean((1, 2)) for z in masks]))  # type: ignore[arg-type]

    def _forward(self, network: Network, x: Tensor, order: Tensor, plan: Any, ks: slice) -> tuple[Tensor, Tensor]:
        mixed = []
        for z, sources in zip(plan.masks[ks], plan.sources[ks]):
            pair = x, x[order]
            if sources is not None:
                pair = tuple(moved(image, source, z.shape[-1]) for image, source in zip(pair, sources))
            mixed.append(masked(*pair, z))  # type: ignore[call-arg]
        return network(torch.cat(mixed)), plan.kept[ks]

    def _extra(self, n: int) -> int:
        return n if self._looked and not self.clean else 0
