"""What a method of learning the first layer of a two-layer network is. Its data are `index_models.IndexModel`, its model `two_layer.TwoLayer`.

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
    """Built with its hyper-parameters, floats or tensors [G, 1]. It moves W.

    Attributes:
        neurons: those of `begin`. A method of all samples at once may put others in their place, with a and b that it trained.
        sphere: the task projects rows to the unit sphere after each step.
        batch_size: B; None: all n samples at once.
        fresh: new samples at every step; False: the same n samples throughout, all at once.
        steps: number of steps of all n samples; None where batches are smaller.
        evaluations: gradients of single data that a step takes, divided by B.
    """

    neurons: Neurons
    sphere: bool
    batch_size: int | None
    fresh: bool
    steps: int | None
    evaluations: int

    def begin(self, neurons: Neurons, target: Target, dims: Tensor) -> None:
        """Before the first step, and again whenever paths have left: the paths' neurons and their d [C, 1, 1].

        Raises:
            ValueError: this network or target is not one that the method is for.
        """

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """(alpha [G, C, N, 1], beta [G, C, N, B]) of one step, before the projection.

        alpha = None: that of a single gradient step, 1 - sum_b beta_b h_b (the tangent space) on the sphere and 1 off it.
        """

    def exponent(self, information: int, generative: int) -> float | None:
        """The power of d in the samples that theory asks for, logarithms left out; None: no such theorem."""
