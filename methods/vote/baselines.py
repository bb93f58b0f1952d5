"""Distributed sign methods that SSVR-MV is compared with. beta is the weight of the new gradient throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.vote.base import Vote
from methods.vote.halves import Gradient, Majority, Mean, Momentum, Server, Worker
from methods.vote.signs import NormalisedSigns, Radius, Signs, StochasticSigns, Ties

if TYPE_CHECKING:
    from bench.types import Fraction, PositiveFloat


class _Voting(Vote):
    """Base: the server sends the majority of the votes, sign(sum_j q_j).

    Args:
        ties: what sign(0), a worker's and the vote's, is: "zero", "random" or "plus".
    """

    def __init__(self, *, ties: Ties = "zero", **shared: float) -> None:
        super().__init__(**shared)
        self.ties = ties

    def server(self) -> Server:
        """The majority."""
        return Majority(self.ties)


class SignSGDMV(_Voting):
    """signSGD with majority vote: q_j = sign(g_j).

    Args:
        lr: eta, step size.
        ties: what sign(0) is.
    References: Bernstein et al., 2018, 2019; the released code of the vote has sign(0) = +1.
    """

    def worker(self) -> Worker:
        """The gradient's sign."""
        return Worker(Gradient(), Signs(self.ties))


class SignumMV(_Voting):
    """Signum with majority vote: m_j <- (1 - beta) m_j + beta g_j from m_j = g_j, q_j = sign(m_j).

    Args:
        lr: eta, step size.
        beta: weight of the new gradient, one minus the momentum that the authors state.
        ties: what sign(0) is.
    References: Bernstein et al., 2018, 2019.
    """

    def __init__(self, *, beta: PositiveFloat, **shared: float) -> None:
        super().__init__(**shared)  # type: ignore[arg-type]
        self.beta = beta

    def worker(self) -> Worker:
        """The momentum's sign."""
        return Worker(Momentum(self.beta), Signs(self.ties))


class StoSignSGD(_Voting):
    """Sto-signSGD: q_j = S_R(g_j), a random sign of the gradient.

    Args:
        lr: eta, step size.
        radius: R; None: at each step and for each tensor the largest |g| of all workers.
        quantile: with radius = None, the share of a worker's coordinates that R covers.
        ties: what a vote without a majority is.
    References: Jin et al., "Stochastic-Sign SGD for federated learning".
    """

    def __init__(
        self, *, radius: PositiveFloat | None = None, quantile: Fraction = 1.0, ties: Ties = "zero", **shared: float
    ) -> None:
        super().__init__(ties=ties, **shared)
        self._radius = Radius(radius, quantile)

    def worker(self) -> Worker:
        """The gradient as random signs."""
        return Worker(Gradient(), StochasticSigns(self._radius))


class MVStoSignSGDSIM(StoSignSGD):
    """MV-sto-signSGD-SIM: m_j <- (1 - beta) m_j + beta g_j from m_j = g_j, q_j = S_R(m_j).

    Args: as StoSignSGD's, and
        beta: weight of the new gradient.
    References: Sun et al., ICML 2023.
    """

    def __init__(self, *, beta: PositiveFloat, **shared: float) -> None:
        super().__init__(**shared)  # type: ignore[arg-type]
        self.beta = beta

    def worker(self) -> Worker:
        """The momentum as random signs."""
        return Worker(Momentum(self.beta), StochasticSigns(self._radius))


class SSDM(Vote):
    """SSDM: m_j <- (1 - beta) m_j + beta g_j from m_j = g_j, q_j = +1 with probability 1/2 + m_j / (2 ||m_j||_2), x <- x - (lr / n) sum_j q_j.

    Args:
        lr: eta, step size.
        beta: weight of the new gradient.
    References: Safaryan and Richtarik, 2021. The mean of the signs, not their majority, is sent back.
    """

    def __init__(self, *, beta: PositiveFloat, **shared: float) -> None:
        super().__init__(**shared)
        self.beta = beta

    def worker(self) -> Worker:
        """The momentum over its norm, as random signs."""
        return Worker(Momentum(self.beta), NormalisedSigns())

    def server(self) -> Server:
        """The mean."""
        return Mean()
