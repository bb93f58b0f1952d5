"""The two halves of a vote: what a worker keeps and sends, what the server makes of all messages.

Halves see tensors and nothing of where the others are, so that workers simulated in one process and workers of their own compute the same.
A worker's half holds one worker [d], or many in leading axes [..., d]; the server's half takes messages stacked in the first axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from methods.vote.signs import Largest, ScaledSigns, Ties, Uniform, sign, stochastic_sign

State = dict[str, Tensor]
Encode = Callable[[Tensor, Largest, Uniform], Tensor]
Project = Callable[[Tensor], Tensor]


# ---- a worker's estimate out of its gradients at x_t and, of the same sample, at x_{t-1}


class Gradient:
    """g_t itself."""

    wants_previous = False

    def __call__(self, state: State, gradient: Tensor, previous: Tensor | None) -> Tensor:
        return gradient


class Momentum:
    """m_t = (1 - beta) m_{t-1} + beta g_t, m_1 = g_1."""

    wants_previous = False

    def __init__(self, beta: float) -> None:
        self.beta = weight(beta)

    def __call__(self, state: State, gradient: Tensor, previous: Tensor | None) -> Tensor:
        old = state.get("estimate", gradient)
        state["estimate"] = (1 - self.beta) * old + self.beta * gradient
        return state["estimate"]


class Storm:
    """v_t = g_t(x_t) + (1 - beta) (v_{t-1} - g_t(x_{t-1})), v_1 = g_1; what is kept is its projection, where there is one."""

    def __init__(self, beta: float, project: Project | None = None) -> None:
        self.beta, self.project, self.wants_previous = weight(beta), project, beta < 1

    def __call__(self, state: State, gradient: Tensor, previous: Tensor | None) -> Tensor:
        v = gradient
        if previous is not None:
            v = gradient + (1 - self.beta) * (state["estimate"] - previous)
        state["estimate"] = v if self.project is None else self.project(v)
        return state["estimate"]


class Difference:
    """h_t = g_t(x_t) - (1 - beta) g_t(x_{t-1}), h_1 = g_1: what the server's own recursion takes; the worker keeps nothing."""

    def __init__(self, beta: float) -> None:
        self.beta, self.wants_previous = weight(beta), beta < 1

    def __call__(self, state: State, gradient: Tensor, previous: Tensor | None) -> Tensor:
        return gradient if previous is None else gradient - (1 - self.beta) * previous


class Worker:
    """One worker's half: an estimate, and its message.

    Args:
        estimate: as above.
        encode: from the estimate to the message, as in signs.py.
    Attributes:
        state: tensors to be kept between steps, by name.
        wants_previous: does a step need the gradient at x_{t-1}?
    """

    def __init__(self, estimate: Gradient | Momentum | Storm | Difference, encode: Encode) -> None:
        self.estimate, self.encode, self.wants_previous = estimate, encode, estimate.wants_previous
        self.state: State = {}

    def message(self, gradient: Tensor, previous: Tensor | None, largest: Largest, uniform: Uniform) -> Tensor:
        """-1 and +1 (0 where sign(0) is 0), times one number a tensor where the encoding has one: [..., d].

        Args:
            gradient: at x_t, [..., d].
            previous: at x_{t-1}, of the same sample; None at the first step, or where it is not wanted.
            largest: of each worker's number [..., 1] the largest over all workers.
            uniform: this worker's random numbers of this step, in [0, 1), [..., d].
        """
        return self.encode(self.estimate(self.state, gradient, previous), largest, uniform)


# ---- the server


class Server:
    """What servers share: `state`, tensors to be kept between steps by name; `floats`, numbers a tensor that go down beside the signs."""

    floats = 0

    def __init__(self) -> None:
        self.state: State = {}

    def vote(self, messages: Tensor, uniform: Uniform) -> Tensor:
        """The direction that all workers step against, as it goes over the wire, [..., d].

        Args:
            messages: of all workers in the order of their numbers, [n, ..., d]. Sums of -1, 0 and +1 are exact in any order.
            uniform: the server's random numbers of this step, in [0, 1), [..., d].
        """
        raise NotImplementedError

    def levels(self, workers: int, voted: int) -> int:
        """Values that a coordinate of the direction can take, if one of a message takes `voted`."""
        raise NotImplementedError


class Majority(Server):
    """sign(sum_j q_j)."""

    def __init__(self, ties: Ties) -> None:
        super().__init__()
        self.ties = ties

    def vote(self, messages: Tensor, uniform: Uniform) -> Tensor:
        return sign(messages.sum(0), self.ties, uniform)

    def levels(self, workers: int, voted: int) -> int:
        return 2 if self.ties != "zero" or (voted == 2 and workers % 2 == 1) else 3


class StochasticMajority(Server):
    """S_1((1/n) sum_j q_j): its mean is the mean of the votes."""

    def vote(self, messages: Tensor, uniform: Uniform) -> Tensor:
        return stochastic_sign(messages.sum(0) / len(messages), 1.0, uniform)

    def levels(self, workers: int, voted: int) -> int:
        return 2


class Mean(Server):
    """(1/n) sum_j q_j, no vote."""

    def vote(self, messages: Tensor, uniform: Uniform) -> Tensor:
        return messages.sum(0) / len(messages)

    def levels(self, workers: int, voted: int) -> int:
        return workers * (voted - 1) + 1


class Recursion(Server):
    """z_t = (1 - beta) z_{t-1} + (1/n) sum_j Q(h_j), z_1 = (1/n) sum_j Q(h_j); it sends sign(z_t), or Q(z_t) where `scaled`."""

    def __init__(self, beta: float, ties: Ties, scaled: bool) -> None:
        super().__init__()
        self.beta, self.ties, self.scaled, self.floats = weight(beta), ties, scaled, int(scaled)

    def vote(self, messages: Tensor, uniform: Uniform) -> Tensor:
        z = messages.sum(0) / len(messages)
        if "estimate" in self.state:
            z = (1 - self.beta) * self.state["estimate"] + z
        self.state["estimate"] = z
        return ScaledSigns()(z, _alone, uniform) if self.scaled else sign(z, self.ties, uniform)

    def levels(self, workers: int, voted: int) -> int:
        return 3 if self.ties == "zero" and not self.scaled else 2


def _alone(number: Tensor) -> Tensor:
    """The largest number where there is one."""
    return number


def bits(levels: int, floats: int, dim: int) -> int:
    """Bits that a tensor of `dim` coordinates takes: so many values a coordinate, and float32 numbers beside them."""
    return dim * math.ceil(math.log2(levels)) + 32 * floats


def weight(beta: float) -> float:
    """beta, if it is the weight of a new gradient.

    Raises:
        ValueError: it is none.
    """
    if not 0 < beta <= 1:
        raise ValueError(f"beta = {beta}: the weight of the new gradient, above 0 and at most 1")
    return beta
