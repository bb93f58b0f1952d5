"""What methods of distributed sign descent share: workers send one bit a coordinate, a server answers with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.vote.halves import Server, Worker, bits

if TYPE_CHECKING:
    from bench.types import PositiveFloat


class Vote:
    """Base: f = (1/n) sum_j f_j, worker j has gradients of f_j; x_{t+1} = x_t - lr * server.vote(messages of all workers).

    Subclasses define `worker` and `server`.

    Args:
        lr: eta, step size.
    """

    def __init__(self, *, lr: PositiveFloat) -> None:
        self.lr = lr

    def worker(self) -> Worker:
        """A worker's half at its first step; one with leading axes serves all workers."""
        raise NotImplementedError

    def server(self) -> Server:
        """The server's half at its first step."""
        raise NotImplementedError

    def bits(self, dim: int, workers: int) -> tuple[int, int]:
        """What one worker sends, and what it gets, in a step for a tensor of `dim` coordinates.

        A coordinate takes one bit where it is -1 or +1, two where it may be 0 as well, ceil(log2(n + 1)) where it is a mean of n signs;
        a number takes 32.
        """
        encode, server = self.worker().encode, self.server()
        down = server.levels(workers, encode.levels)  # type: ignore[attr-defined]
        return bits(encode.levels, encode.floats, dim), bits(down, server.floats + encode.returned, dim)  # type: ignore[attr-defined]

    @staticmethod
    def theory(horizon: int, dim: int) -> dict[str, float]:
        """Factors of keys: lr by (d T)^(-1/2), the order of the theorems of SSVR-MV, beta by T^(-1/2)."""
        return {"lr": (dim * horizon) ** -0.5, "beta": horizon**-0.5}
