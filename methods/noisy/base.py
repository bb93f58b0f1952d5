r"""Doubly stochastic gradients: minibatches of a finite sum whose components are expectations (Kim et al., 2024, arXiv 2406.00920).

    F(x) = (1/n) sum_i f_i(x),  f_i(x) = E_eta f_i(x; eta),      x_{t+1} = x_t - gamma_t g_t,
    g_t = (1/b) sum_{i in I_t} (1/m) sum_{j <= m} grad f_i(x_t; eta_ij)

The minibatch I_t is fresh each step (independent minibatching), or the next block of n / b of a new permutation (random reshuffling, RR).
The noise eta is fresh each step. Within a step its correlation between components is rho: 1, the same draws for all of them (what
reparameterised variational inference and common random numbers do); 0, draws of their own.

Shapes: T steps, P paths (independent repetitions), G step sizes, d dimension of x, k of eta.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from bench.seeding import generator
from bench.types import Correlation, PositiveFloat, PositiveInt

Sampling = Literal["without_replacement", "with_replacement", "reshuffling"]


def couple(noise: Tensor, rho: float) -> Tensor:
    """Standard normal draws [..., b, m, k] with correlation rho between any two of the b components, from independent ones.

    eta_i = sqrt(1 - rho) (z_i - zbar) + sqrt(1 + (b - 1) rho) zbar, which is N(0, I) for every rho from -1 / (b - 1) to 1.
    """
    mean = noise.mean(-3, keepdim=True)
    return (1 - rho) ** 0.5 * (noise - mean) + max(0.0, 1 + (noise.shape[-3] - 1) * rho) ** 0.5 * mean


class DoublyStochastic:
    """Base: the estimator g_t, its minibatches and noise. Subclasses say what is done with it.

    Args:
        num_components: n.
        smoothness: L, the largest of the components' smoothness constants, where it is known.
        strong_convexity: mu of F, where it is known.
        lr: gamma; None: 1 / (2 L p) with p = n / b steps in an epoch, small enough for RR, where L is known.
        batch_size: b; None: all n components.
        mc_samples: m; None: budget / b, or 1 without a budget.
        budget: b m, component gradients a step; None: whatever b and m come to.
        exact: the expectation over eta in place of draws: singly stochastic SGD, or gradient descent at b = n.
        rho: correlation of the noise between components of a minibatch.
        sampling: independent minibatches without or with replacement, or reshuffling. Where b does not divide n, reshuffling leaves
            out the last n mod b components of each permutation.

    Raises:
        ValueError: b > n, b m other than the budget, or rho below -1 / (b - 1).
    """

    def __init__(
        self,
        num_components: int,
        smoothness: float | None = None,
        strong_convexity: float | None = None,
        *,
        lr: PositiveFloat | None = None,
        batch_size: PositiveInt | None = None,
        mc_samples: PositiveInt | None = None,
        budget: PositiveInt | None = None,
        exact: bool = False,
        rho: Correlation = 1.0,
        sampling: Sampling = "without_replacement",
    ) -> None:
        self.n, self.rho, self.exact, self.sampling = num_components, rho, exact, sampling
        self.b = num_components if batch_size is None else batch_size
        if self.b > self.n:
            raise ValueError(f"batch_size = {self.b}: the data set has {self.n} components")
        self.m = mc_samples or (1 if budget is None else budget // self.b)
        if budget is not None and self.b * self.m != budget:
            raise ValueError(
                f"budget = {budget}: batch_size * mc_samples = {self.b} * {self.m}; let mc_samples be null and batch_size divide the budget"
            )
        self.steps_per_epoch = self.n // self.b
        self._check_rho()
        self.mu = strong_convexity
        if lr is None and smoothness is not None:
            lr = 1 / (2 * smoothness * self.steps_per_epoch)
        self.lr = lr

    def _check_rho(self) -> None:
        least = -1.0 if self.b == 1 else -1 / (self.b - 1)
        if not least <= self.rho <= 1:
            raise ValueError(f"rho = {self.rho}: between {least:.4g} (-1 / (b - 1) at b = {self.b}) and 1")

    def with_split(self, batch_size: int, mc_samples: int) -> Self:
        """The same estimator with another b and m."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, b=batch_size, m=mc_samples, steps_per_epoch=self.n // batch_size)
        other._check_rho()
        return other

    @property
    def replacement(self) -> bool:
        return self.sampling == "with_replacement"

    @property
    def draws(self) -> int:
        """Noise vectors drawn a step: m when the components share them, b m else, none without Monte Carlo noise."""
        return 0 if self.exact else self.m * (1 if self.rho == 1 else self.b)

    @property
    def evaluations(self) -> int:
        """Component gradients a step."""
        return self.b * (1 if self.exact else self.m)

    # ---- the estimator's draws, functions of (seed, step) alone

    def minibatches(self, seeds: Sequence[int], first: int, count: int, paths: int) -> Tensor:
        """I_t for t = first, ..., first + count - 1: indices [T, S paths, b], from the streams ("order", ...) of S seeds."""
        if self.b == self.n and not self.replacement:
            return torch.arange(self.n).expand(count, len(seeds) * paths, self.n)
        if self.sampling == "reshuffling":
            return torch.cat([self._blocks(seed, first, count, paths) for seed in seeds], 1)
        return torch.cat([self._subsets(generator(s, "order", first, self.b), count, paths) for s in seeds], 1)

    def _blocks(self, seed: int, first: int, count: int, paths: int) -> Tensor:
        """Consecutive blocks of a new permutation an epoch."""
        p = self.steps_per_epoch
        epochs = range(first // p, (first + count - 1) // p + 1)
        blocks = [self._permutations(seed, epoch, paths)[:, : p * self.b].unflatten(1, (p, self.b)) for epoch in epochs]
        start = first - epochs[0] * p
        return torch.cat(blocks, 1)[:, start : start + count].transpose(0, 1)

    def _permutations(self, seed: int, epoch: int, paths: int) -> Tensor:
        """[paths, n]"""
        return torch.rand(paths, self.n, generator=generator(seed, "order", epoch), dtype=torch.float64).argsort(1)

    def _subsets(self, stream: torch.Generator, count: int, paths: int) -> Tensor:
        """Fresh minibatches. Small ones without replacement are drawn again until nothing is repeated, which leaves them uniform."""
        if self.replacement or self.b == 1:
            return torch.randint(self.n, (count, paths, self.b), generator=stream)
        if self.b * (self.b - 1) > 2 * self.n:
            return torch.rand(count, paths, self.n, generator=stream, dtype=torch.float64).argsort(-1)[..., : self.b]
        drawn = torch.randint(self.n, (count * paths, self.b), generator=stream)
        while True:
            ordered = drawn.sort(1).values
            again = (ordered[:, 1:] == ordered[:, :-1]).any(1).nonzero()[:, 0]
            if len(again) == 0:
                return drawn.view(count, paths, self.b)
            drawn[again] = torch.randint(self.n, (len(again), self.b), generator=stream)

    def noise(self, seeds: Sequence[int], first: int, count: int, paths: int, dim: int) -> Tensor | None:
        """eta of the same steps, standard normal [T, S paths, b or 1 (shared), m, k], from the streams ("noise", ...); None when exact.

        Drawn in single precision, which is four times as fast and fine enough for noise.
        """
        if self.exact:
            return None
        shape = (count, paths, 1 if self.rho == 1 else self.b, self.m, dim)
        streams = [generator(seed, "noise", first, self.b, self.m) for seed in seeds]
        drawn = torch.cat([torch.randn(shape, generator=stream) for stream in streams], 1).double()
        return drawn if self.rho in (0, 1) else couple(drawn, self.rho)

    # ---- what the task asks of a method

    def begin(self, x: Tensor, lrs: Tensor, project: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """Start at x [G, P, d] with a step size lrs [G] for each of the first axis; `project` takes an iterate to the feasible set."""
        self._lrs, self._project = lrs.to(x)[:, None, None], project
        return x

    def update(self, x: Tensor, g: Tensor, t: int) -> Tensor:
        """x_{t+1} from x_t and g_t [G, P, d]."""
        raise NotImplementedError

    def answer(self, x: Tensor) -> Tensor:
        """The point that the method gives out."""
        return x

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside x."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
