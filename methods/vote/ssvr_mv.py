"""SSVR-MV: variance-reduced signs by majority vote (Jiang, Yang, Yang, Zhang, 2024, arXiv 2406.00489), options 1 and 2."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from methods.vote.base import Vote
from methods.vote.halves import Majority, Server, StochasticMajority, Storm, Worker
from methods.vote.signs import Radius, StochasticSigns, Ties, ball, box

if TYPE_CHECKING:
    from bench.types import Fraction, PositiveFloat


class SSVRMV(Vote):
    r"""SSVR-MV, option 1: random signs from the workers, their majority from the server.

    v_t^j = g_j(x_t; xi) + (1 - beta) (v_{t-1}^j - g_j(x_{t-1}; xi)),  v_1^j = g_j(x_1)      both gradients of the same sample
    q_j = S_R(v_t^j),    s_t = sign(sum_j q_j),    x_{t+1} = x_t - lr * s_t

    Args:
        lr: eta, step size (Theorem 3: of order (d T)^(-1/2)).
        beta: weight of the new gradient (Theorem 3: 1/2); 1 needs no second gradient.
        radius: R, a bound of |v| (Theorem 3: 4 G where every |g| <= G); None: at each step and for each tensor the largest |v| of all workers.
        quantile: with radius = None, the share of a worker's coordinates that R covers; those beyond it are clipped.
        ties: what a vote without a majority is: "zero", "random" or "plus".
    References: Jiang et al., 2024, section on the majority vote; Theorem 3 as restated by Jiang, Li and Zhang, "Revisiting Distributed
        Sign-Based Variance Reduction", section 3.1.
    Known limits:
        The sign of a mean of random signs is no unbiased sign: with few workers that disagree x settles beside the optimum, even with exact
        gradients. Of deep networks a fixed radius above all gradients makes each vote nearly a coin.
    """

    def __init__(
        self,
        *,
        beta: PositiveFloat,
        radius: PositiveFloat | None = None,
        quantile: Fraction = 1.0,
        ties: Ties = "zero",
        **shared: float,
    ) -> None:
        super().__init__(**shared)
        self.beta, self.ties, self._radius = beta, ties, Radius(radius, quantile)

    def worker(self) -> Worker:
        """STORM's estimate as random signs."""
        return Worker(Storm(self.beta), StochasticSigns(self._radius))

    def server(self) -> Server:
        """The majority."""
        return Majority(self.ties)

    @staticmethod
    def theory(horizon: int, dim: int) -> dict[str, float]:
        """Theorem 3: lr of order (d T)^(-1/2), beta constant."""
        return {**Vote.theory(horizon, dim), "beta": 1.0}


class SSVRMVStochastic(Vote):
    r"""SSVR-MV, option 2: random signs both ways, so that the direction's mean is the mean estimate over R.

    v_t^j as in option 1, projected onto a ball and kept so;    q_j = S_R(v_t^j),    s_t = S_1((1/n) sum_j q_j),    x_{t+1} = x_t - lr * s_t

    E[s_t | v] = (1 / (n R)) sum_j v_t^j, so a step is one of SGD of size lr / R.

    Args:
        lr: eta, step size (of order (d T)^(-1/2)).
        beta: weight of the new gradient (of order T^(-1/2)).
        radius: R; None: at each step and for each tensor the largest |v| of all workers.
        quantile: as in option 1.
        projection: of v: "ball", ||v||_2 <= R, as in the paper; "box", |v| <= R; None: none, for a radius that is no number.
    References: Jiang et al., 2024, Theorem 4; in words in "Revisiting Distributed Sign-Based Variance Reduction". Orders of lr and beta are derived.

    Raises:
        ValueError: a projection without a radius.
    """

    def __init__(
        self,
        *,
        beta: PositiveFloat,
        radius: PositiveFloat | None = None,
        quantile: Fraction = 1.0,
        projection: Literal["ball", "box"] | None = None,
        **shared: float,
    ) -> None:
        super().__init__(**shared)
        if projection is not None and radius is None:
            raise ValueError(f"projection = {projection}: onto what has no radius; set radius, or projection=null")
        self.beta, self._radius = beta, Radius(radius, quantile)
        self._project = None if projection is None else partial({"ball": ball, "box": box}[projection], radius=radius)  # type: ignore[arg-type]

    def worker(self) -> Worker:
        """STORM's estimate, projected, as random signs."""
        return Worker(Storm(self.beta, self._project), StochasticSigns(self._radius))

    def server(self) -> Server:
        """A random sign of the mean vote."""
        return StochasticMajority()
