"""What a method of learning the first layer is. Its data are `index_models.IndexModel`.

A method looks at a batch of B samples through h = W X^T, the labels and X X^T, and answers with coefficients: w_j <- alpha_j w_j + sum_b beta_jb x_b.
Whatever gradient steps it takes on one batch stay in that span, so that the task may keep W, or h and coefficients of a block of samples.

Shapes: G settings of hyper-parameters, C paths (independent runs, of several dimensions d), N neurons, B samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from bench.tasks.feature_learning.index_models import Target
from bench.tasks.feature_learning.two_layer import Neurons


@dataclass
class Batch:
    """What a method sees of B samples.

    Attributes:
        h: W X^T, [G, C, N, B].
        y: labels, [C, 1, B].
        r: ||x||^2, [C, 1, B].
        inner: beta [G, C, N, B] -> beta X X^T, the change of h that the step sum_b beta_b x_b makes.
        progress: t / T, the part of the run that is over, [C, 1, 1].
    """

    h: Tensor
    y: Tensor
    r: Tensor
    inner: Callable[[Tensor], Tensor]
    progress: Tensor


class Method(Protocol):
    """Built with its hyper-parameters, floats or tensors [K, 1].

    Attributes:
        sphere: rows are projected to the unit sphere after each step, by the task.
        batch_size: B; None: all n samples at once.
        fresh: new samples at every step; False: the same n samples throughout.
        steps: number of steps of all n samples; None where batches are smaller.
        evaluations: gradients of single data that a step takes, divided by B.
    """

    sphere: bool
    batch_size: int | None
    fresh: bool
    steps: int | None
    evaluations: int

    def begin(self, neurons: Neurons, target: Target, dims: Tensor) -> None:
        """Before the first step, and again whenever paths have left: the paths' neurons and their d [C, 1, 1].

        Raises:
            ValueError: these neurons or this target do not suit the method.
        """

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """(alpha [G, C, N, 1], beta [G, C, N, B]); alpha = None: 1 - sum_b beta_b h_b on the sphere, the tangent step, and 1 off it."""

    def tangent(self, beta: Tensor, h: Tensor) -> Tensor | float:
        """alpha of the step (I - w w^T) sum_b beta_b x_b on the sphere; 1 off it."""

    def exponent(self, information: int, generative: int) -> float | None:
        """The power of d in the samples that theory asks for, logarithms left out; None: no such theorem."""
