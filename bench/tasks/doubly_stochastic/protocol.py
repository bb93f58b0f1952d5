"""What the doubly stochastic task asks of a method and of its data, a finite sum with infinite data (1/n) sum_i E_eta f_i(x; eta).

Shapes: T steps, S seeds, P paths (independent repetitions) of a seed, G step sizes, b components and m noise draws a minibatch,
d dimension of x, k of the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from bench.tasks.doubly_stochastic.budget import Moments

Batch = tuple[Tensor, ...]  # what the gradients of minibatches need, with the minibatches' leading dimensions


class Problem(Protocol):
    """The data: a sum whose instance is the same for all seeds.

    Attributes:
        dim, noise_dim, num_components: d, k, n.
        smoothness: the largest L of a component; None where there is none.
        strong_convexity: mu of F; None where there is none.
        optimum: x* [d].
        has_optimum: is x* the optimum, and not merely the point at which V is taken?
        footprint: numbers of a minibatch's batch beside its noise, where they are many.
    """

    dim: int
    noise_dim: int
    num_components: int
    smoothness: float | None
    strong_convexity: float | None
    optimum: Tensor
    has_optimum: bool
    footprint: int

    def start(self) -> Tensor:
        """x_0 [d]."""

    def project(self, x: Tensor) -> Tensor:
        """The feasible point nearest to x [..., d]."""

    def batch(self, index: Tensor, noise: Tensor | None) -> Batch:
        """From indices [..., b] and standard normal noise [..., b or 1 (shared), m, k]; None: the expectation over it."""

    def gradient(self, x: Tensor, batch: Batch) -> Tensor:
        """Minibatch gradients [..., d] at x [..., d] (broadcast)."""

    def moments(self, x: Tensor, rho: float) -> Moments | None:
        """The gradient's moments at x [d] for noise of correlation rho between components; None: only to be measured."""


class Method(Protocol):
    """Built with n, L and mu before its hyper-parameters. Its draws are functions of (seed, step) alone.

    Attributes:
        b, m: components and draws a minibatch.
        exact: the expectation over the noise in place of draws.
        rho: correlation of the noise between components of a minibatch.
        replacement: minibatches are drawn with replacement.
        steps_per_epoch: n / b.
        evaluations: component gradients a step.
        lr: step size where the task names none; None: the problem states no smoothness to choose it by.
    """

    b: int
    m: int
    exact: bool
    rho: float
    steps_per_epoch: int
    lr: float | None

    @property
    def replacement(self) -> bool: ...

    @property
    def evaluations(self) -> int: ...

    def with_split(self, batch_size: int, mc_samples: int) -> Method:
        """The same estimator with another b and m: its variance is asked for."""

    def minibatches(self, seeds: Sequence[int], first: int, count: int, paths: int) -> Tensor:
        """Indices [T, S P, b] of the steps first, ..., first + count - 1."""

    def noise(self, seeds: Sequence[int], first: int, count: int, paths: int, dim: int) -> Tensor | None:
        """Standard normal noise [T, S P, b or 1 (shared), m, k] of the same steps; None where `exact`."""

    def begin(self, x: Tensor, lrs: Tensor, project: Callable[[Tensor], Tensor]) -> Tensor:
        """The first iterates from x [G, S P, d], with a step size lrs [G] each; before the first step, and before `load_state_dict`."""

    def update(self, x: Tensor, g: Tensor, t: int) -> Tensor:
        """The iterates [G, S P, d] after step t = 0, 1, ... with gradients g at x."""

    def answer(self, x: Tensor) -> Tensor:
        """The points [G, S P, d] whose errors count, at iterates x."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside x."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
