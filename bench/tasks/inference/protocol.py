"""What a method of Gaussian variational inference is. Its data are `bayes.BayesianModel`.

Shapes: K settings of hyper-parameters, S seeds, d dimension; all advance in one batch.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from bench.tasks.inference.gaussian import Gaussian


class Method(Protocol):
    """Built with its hyper-parameters, floats or tensors [K, 1].

    Attributes:
        state: what the method keeps between steps, tensors by name; enough to go on from.
    """

    state: dict[str, Tensor]

    @property
    def q(self) -> Gaussian:
        """The current q, mean [K, S, d] and scale [K, S, d, d]."""

    def begin(self, q: Gaussian) -> None:
        """Start from q; called once, also where a checkpoint's `state` is put in its place afterwards."""

    def update(self, t: int, g: Tensor, hessian: Tensor) -> Tensor | None:
        """Step t = 0, 1, ... with estimates of E_q grad [K, S, d] and E_q Hess [K, S, d, d] of -log p(y, z) at the current q.

        K is left out of the Hessian where it does not depend on q.

        Returns:
            Where the step would have lost positive-definiteness and was not taken, [K, S]; None: such steps do not exist.
        """
