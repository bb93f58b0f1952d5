"""DVR-Sign and DVR-Q: the variance reduction moves to the server, which removes the bias of SSVR-MV's first option (Jiang, Li, Zhang)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.vote.base import Vote
from methods.vote.halves import Difference, Recursion, Server, Worker
from methods.vote.signs import ScaledSigns, Ties

if TYPE_CHECKING:
    from bench.types import PositiveFloat


class _DVR(Vote):
    """Base: workers send Q(h_t^j), h_t^j = g_j(x_t; xi) - (1 - beta) g_j(x_{t-1}; xi), h_1^j = g_j(x_1); the server keeps
    z_t = (1 - beta) z_{t-1} + (1/n) sum_j Q(h_t^j). Q(v) = ||v||_inf S_{||v||_inf}(v): one bit a coordinate and a number.

    Args:
        beta: weight of the new gradient.
    """

    def __init__(self, *, beta: PositiveFloat, **shared: float) -> None:
        super().__init__(**shared)
        self.beta = beta

    def worker(self) -> Worker:
        """What the gradient changed by, scaled random signs; it keeps nothing."""
        return Worker(Difference(self.beta), ScaledSigns())


class DVRSign(_DVR):
    r"""The server sends sign(z_t).

    Args:
        lr: eta, step size.
        beta: weight of the new gradient, in (0, 1].
        ties: what sign(0) is: "zero", "random" or "plus".
    References: "Revisiting Distributed Sign-Based Variance Reduction".
    """

    def __init__(self, *, ties: Ties = "zero", **shared: float) -> None:
        super().__init__(**shared)
        self.ties = ties

    def server(self) -> Server:
        """The recursion's sign."""
        return Recursion(self.beta, self.ties, scaled=False)


class DVRQ(_DVR):
    r"""The server sends Q(z_t), whose mean is z_t: a step of SGD of size lr.

    Args:
        lr: eta, step size.
        beta: weight of the new gradient, in (0, 1].
    References: "Revisiting Distributed Sign-Based Variance Reduction".
    """

    def server(self) -> Server:
        """The recursion as scaled random signs."""
        return Recursion(self.beta, "zero", scaled=True)
