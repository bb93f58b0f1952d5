"""Finite sums with infinite data, (1/n) sum_i E_eta f_i(x; eta). Float64.

A problem turns the indices [..., b] and noise [..., b or 1, m, k] of minibatches into a `batch`, a tuple of tensors with the same leading
dimensions that holds what their gradients need; noise None is the expectation over it. The instance depends on `instance` alone.

Shapes: n components, d dimension of x, k of the noise eta ~ N(0, I_k).
"""

from __future__ import annotations

from torch import Tensor

Batch = tuple[Tensor, ...]


class NoisySum:
    """What the problems share.

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
    smoothness: float | None = None
    strong_convexity: float | None = None
    optimum: Tensor
    has_optimum = True
    footprint = 0

    def project(self, x: Tensor) -> Tensor:
        """The nearest feasible point; here every point is."""
        return x
