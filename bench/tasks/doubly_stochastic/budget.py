"""Where to spend a gradient budget: b data points with m noise draws each, or fewer points with more draws?

For F(x) = (1/n) sum_i E_eta f_i(x; eta) the doubly stochastic gradient of a minibatch of b components with m draws each has variance

    V(b, m) = (1/m) [S / b + (1 - 1/b) C] + tau^2 (1/b - 1/n) / (1 - 1/n)        without replacement,

(with replacement the last factor is 1/b), where for one draw

    S = mean_i s_i^2,  s_i^2 = tr Cov(g_i)     noise of a component's gradient,
    C = mean_{i != j} tr Cov(g_i, g_j)         what two components have in common: 0 with draws of their own,
    tau^2 = mean_i ||grad f_i - grad F||^2     heterogeneity of the components.

This is the law of total covariance, for noise of any kind. With tr Cov(g_i, g_j) = rho s_i s_j it is the formula of Kim et al. (2024),
arXiv 2406.00920. On a budget B = b m the terms in b are tau^2 / b + C b / B, so that b* = tau sqrt(B / C): with shared draws the best
minibatch grows as the square root of the budget, with separate draws (C = 0) it is the largest possible.

Ask it of a model of your own:

>>> import torch
>>> from torch.func import functional_call
>>> from bench.tasks.doubly_stochastic.budget import gradient_noise
>>> _ = torch.manual_seed(0)
>>> model = torch.nn.Linear(3, 1).double()
>>> x, y = torch.randn(32, 3).double(), torch.randn(32, 1).double()    # a few minibatches
>>> jitter = torch.randn(16, 3).double()                               # draws of an augmentation
>>> def loss(params, example, eta):
...     return (functional_call(model, params, (example[0] + eta,)) - example[1]).square().mean()
>>> noise = gradient_noise(loss, dict(model.named_parameters()), (x, y), jitter, num_components=1000)
>>> [(split.batch_size, split.mc_samples) for split in (noise.best_split(64), noise.independent().best_split(64))]
[(16, 4), (64, 1)]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.utils._pytree import tree_leaves, tree_map


@dataclass(frozen=True)
class Split:
    """A minibatch of b components with m draws each, and the variance of its gradient (trace of the covariance)."""

    batch_size: int
    mc_samples: int
    variance: float


@dataclass(frozen=True)
class Moments:
    """Second moments of component gradients at one point, for one noise draw (m = 1). All are traces, so they scale with dimension.

    Attributes:
        num_components: n; infinite for a stream of data.
        tau2: tau^2, mean_i ||grad f_i - grad F||^2.
        mean_s: mean_i s_i.
        mean_square_s: S = mean_i s_i^2.
        cross: C = mean_{i != j} tr Cov(g_i, g_j), of different components in one minibatch.
        diagonal: what the second slot of a component drawn twice (sampling with replacement) has in common with the first.
    """

    num_components: float
    tau2: float
    mean_s: float
    mean_square_s: float
    cross: float
    diagonal: float

    @property
    def var_s(self) -> float:
        """Var_i s_i."""
        return max(0.0, self.mean_square_s - self.mean_s**2)

    @property
    def rho(self) -> float:
        """The correlation of component gradients, averaged with weights s_i s_j over i != j; 0 where there is no noise."""
        inverse = 1 / self.num_components
        products = (self.mean_s**2 - inverse * self.mean_square_s) / (1 - inverse) if inverse < 1 else 0.0
        return self.cross / products if products > 0 else 0.0

    def independent(self) -> Moments:
        """The same components with draws of their own."""
        return replace(self, cross=0.0, diagonal=0.0)

    def subsampling_variance(self, b: float, replacement: bool = False) -> float:
        """tau^2 / b_eff, with b_eff = b (with replacement) or (n - 1) b / (n - b); exactly 0 at b = n without replacement."""
        if replacement:
            return self.tau2 / b
        inverse = 1 / self.num_components
        return self.tau2 * max(0.0, 1 / b - inverse) / (1 - inverse) if inverse < 1 else 0.0

    def _common(self, replacement: bool) -> float:
        """What two slots of a minibatch have in common: C, and with replacement C (1 - 1/n) + diagonal / n, as they may hold one component."""
        inverse = 1 / self.num_components
        return (1 - inverse) * self.cross + inverse * self.diagonal if replacement else self.cross

    def monte_carlo_variance(self, b: float, m: float, replacement: bool = False) -> float:
        """(1/m) [S / b + (1 - 1/b) C]; with replacement the two slots may hold one component."""
        return (self.mean_square_s / b + (1 - 1 / b) * self._common(replacement)) / m

    def variance(self, b: float, m: float, replacement: bool = False) -> float:
        """V(b, m) = tr Cov of the minibatch gradient."""
        return self.subsampling_variance(b, replacement) + self.monte_carlo_variance(b, m, replacement)

    def optimal_batch_size(self, budget: float, replacement: bool = False) -> float:
        """b*, the real minimiser of V(b, B / b) in [1, min(B, n)]; where slots have nothing in common V falls all the way.

        Without replacement tau sqrt(B / C) sqrt(n / (n - 1)); with replacement tau sqrt(B / C'), C' = (1 - 1/n) C + diagonal / n.
        """
        most, common = min(budget, self.num_components), self._common(replacement)
        if common <= 0:
            return most
        shrink = 1.0 if replacement else 1 - 1 / self.num_components
        return min(most, max(1.0, math.sqrt(self.tau2 * budget / (common * shrink)))) if shrink > 0 else 1.0

    def splits(self, budget: int, batch_sizes: Sequence[int] | None = None, replacement: bool = False) -> list[Split]:
        """V of each split of B = b m, smallest b first.

        Args:
            batch_sizes: candidates for b; those that do not divide the budget, or exceed n, are left out. Default: every divisor.

        Raises:
            ValueError: no candidate is left.
        """
        wanted = sorted(set(batch_sizes)) if batch_sizes is not None else range(1, budget + 1)
        fitting = [b for b in wanted if budget % b == 0 and b <= self.num_components]
        if not fitting:
            raise ValueError(
                f"budget = {budget}: none of the batch sizes {list(wanted)} divides it and is at most n = {self.num_components:g}"
            )
        return [Split(b, budget // b, self.variance(b, budget // b, replacement)) for b in fitting]

    def best_split(self, budget: int, batch_sizes: Sequence[int] | None = None, replacement: bool = False) -> Split:
        """The split of B = b m with the smallest variance; arguments as `splits`."""
        return min(self.splits(budget, batch_sizes, replacement), key=lambda split: split.variance)


def measure(gradients: Iterable[Tensor], num_components: float = math.inf) -> Moments:
    """Moments from a pilot sample of crossed gradients: every component with the same draws. Unbiased but for `mean_s`.

    With gbar_i the mean over draws and h_k the mean over components of g_ik:
        S = mean_i of the variance over draws, C from the variance of h_k, which is ((q - 1) C + S) / q,
        tau^2 from the variance of gbar_i over components, less (S - C) / K of Monte Carlo error.

    Args:
        gradients: for each of q >= 2 components, drawn without replacement, its gradients [K, P] at K >= 2 draws. Taken one at a time:
            memory for 2 K P numbers is enough.
        num_components: n.

    Raises:
        ValueError: fewer than two components or draws.
    """
    q, squares, roots, own, total, common = 0, 0.0, 0.0, 0.0, None, None
    for g in gradients:
        if g.ndim != 2 or len(g) < 2:
            raise ValueError(f"gradients of shape {list(g.shape)}: [K, P] with at least 2 draws K is needed")
        mean = g.mean(0)
        spread = (g - mean).square().sum() / (len(g) - 1)  # s_i^2
        q, squares, roots, own = q + 1, squares + spread, roots + spread.sqrt(), own + mean.square().sum()
        total = mean.clone() if total is None else total.add_(mean)
        common = g.clone() if common is None else common.add_(g)
    if q < 2 or total is None or common is None:
        raise ValueError(f"{q} components: at least 2 are needed to tell how much they differ")
    draws = len(common)
    s2 = float(squares) / q
    of_mean = float(((common - total) / q).square().sum()) / (draws - 1)  # tr Cov of h_k
    cross = (q * of_mean - s2) / (q - 1)
    between = (float(own) - float(total.square().sum()) / q) / (q - 1)
    tau2 = max(0.0, between - (s2 - cross) / draws) * (1 - 1 / num_components)
    return Moments(num_components, tau2, float(roots) / q, s2, cross, s2)


def gradient_noise(
    loss: Callable[[Any, Any, Any], Tensor], params: Any, examples: Any, draws: Any, num_components: float = math.inf
) -> Moments:
    """`measure` for a loss of one example and one noise draw, by torch.func.

    Args:
        loss: loss(params, example, eta), a scalar. All its randomness is in eta: latent noise, augmentation, dropout masks, diffusion times.
        params: a tensor or a tree of tensors, such as dict(model.named_parameters()).
        examples: a tensor, or a tree of tensors, with a leading dimension q: a few minibatches, drawn without replacement.
        draws: the same with a leading dimension K; every example is seen with every draw.
        num_components: n, size of the data set.

    Raises:
        ValueError: the loss draws random numbers of its own, or normalises by its batch (dropout or BatchNorm in training mode).
    """
    params = tree_map(lambda p: p.detach(), params)
    per_draw = vmap(grad(loss), in_dims=(None, None, 0))

    def gradients() -> Iterator[Tensor]:
        for i in range(len(tree_leaves(examples)[0])):
            try:
                g = per_draw(params, tree_map(lambda t, i=i: t[i], examples), draws)
            except (RuntimeError, ValueError) as error:
                raise _in_one_line(error) from None
            yield torch.cat([leaf.flatten(1) for leaf in tree_leaves(g)], 1)

    return measure(gradients(), num_components)


TRAINING_MODE = {
    "randomness": "loss draws random numbers of its own (dropout in training mode?): call model.eval(), or take them from eta",
    "mutate a captured": "loss changes a tensor in place (BatchNorm in training mode?): call model.eval(), so that it uses the statistics it has",
    "Batch norm got a batched": "BatchNorm in training mode changes its statistics: call model.eval(), so that it uses those it has",
    "more than 1 value per channel": "BatchNorm in training mode sees one example at a time: call model.eval(), so that it uses the statistics it has",
}


def _in_one_line(error: Exception) -> Exception:
    """What to change, where torch.func's error comes from a layer in training mode; else the error itself."""
    lines = [line for part, line in TRAINING_MODE.items() if part in str(error)]
    return ValueError(lines[0]) if lines else error
