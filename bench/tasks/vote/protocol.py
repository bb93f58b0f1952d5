"""What the vote task asks of a method, in two halves, and of its data: a sum of as many functions as there are workers.

Shapes: n workers, S seeds, d dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

Largest = Callable[[Tensor], Tensor]
Uniform = Callable[[], Tensor]


class Problem(Protocol):
    """f(x) = (1/n) sum_j f_j(x), f_j(x) = E F_j(x; sample), for S seeds at once."""

    dim: int
    workers: int

    def start(self) -> Tensor:
        """x_1 [S, d]."""

    def sample(self, step: int) -> Any:
        """What the workers draw at a step, counted from 0; worker j's part comes from streams of its own."""

    def gradient(self, x: Tensor, sample: Any) -> Tensor:
        """Gradients of F_j(x; sample), [n, S, d], for x [S, d]."""

    def full_gradient(self, x: Tensor) -> Tensor:
        """Gradients of f, [S, d]."""


class Worker(Protocol):
    """What a worker keeps and sends. Tensors are [..., d]; leading axes hold the workers that are simulated together.

    Attributes:
        wants_previous: does a step need the gradient at x_{t-1} as well?
        state: tensors kept between steps.
    """

    wants_previous: bool
    state: dict[str, Tensor]

    def message(self, gradient: Tensor, previous: Tensor | None, largest: Largest, uniform: Uniform) -> Tensor:
        """What goes to the server, from gradients of one sample at x_t and at x_{t-1} (None at the first step, or where it is not wanted).

        `largest` turns a number a tensor [..., 1] into the largest over all workers, `uniform` draws numbers in [0, 1) [..., d].
        """


class Server(Protocol):
    """What the server keeps and answers.

    Attributes:
        state: tensors kept between steps.
    """

    state: dict[str, Tensor]

    def vote(self, messages: Tensor, uniform: Uniform) -> Tensor:
        """The direction [..., d] that all workers step against, from all messages [n, ..., d]."""


class Method(Protocol):
    """Attributes:
    lr: x_{t+1} = x_t - lr * direction.
    """

    lr: float

    def worker(self) -> Worker:
        """A worker's half at its first step."""

    def server(self) -> Server:
        """The server's half at its first step."""

    def bits(self, dim: int, workers: int) -> tuple[int, int]:
        """Bits that one worker sends, and that it gets, in a step for a tensor of `dim` coordinates."""

    @staticmethod
    def theory(horizon: int, dim: int) -> dict[str, float]:
        """Factors of the method's keys `lr` and `beta` for T iterations in d dimensions."""
