"""Finite sums with infinite data, (1/n) sum_i E_eta f_i(x; eta): what the problems of `bench.tasks.doubly_stochastic.protocol` share. Float64.

A problem turns the indices [..., b] and noise [..., b or 1, m, k] of minibatches into a `batch`, a tuple of tensors with the same leading
dimensions that holds what their gradients need; noise None is the expectation over it. The instance depends on `instance` alone.

Shapes: n components, d dimension of x, k of the noise eta ~ N(0, I_k).
"""

from __future__ import annotations

from torch import Tensor


class NoisySum:
    """Base of the problems: what most of them have; see the protocol for the attributes."""

    dim: int  # d
    noise_dim: int  # k
    num_components: int  # n
    smoothness: float | None = None
    strong_convexity: float | None = None
    optimum: Tensor
    has_optimum = True
    footprint = 0

    def project(self, x: Tensor) -> Tensor:
        """The nearest feasible point; here every point is."""
        return x
