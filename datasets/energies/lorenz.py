r"""The Lorenz system from noisy derivatives: a posterior over the coefficients of a library of terms (Zheng et al., 2024, arXiv 2405.07839, section 4.1).

    dx/dt = sigma (y - x),     dy/dt = x (rho - z) - y,     dz/dt = x y - beta z,     (sigma, rho, beta) = (10, 28, 8/3),

is sampled along a path, and Xi [5, 3] is sought with dX = Theta Xi + noise, Theta = (x, y, z, xy, xz) [n, 5] and dX [n, 3]. As in the released code

    U(Xi) = |Theta Xi - dX|^2 / (2 n),

a mean over the data, so the law is that of one effective observation, however many there are. Without the constraints it is normal, its
precision the Gram matrix Theta' Theta / n (eigenvalues from 1 to 6e4) for each column of Xi. The released data file is gone: the path, its
length and the noise are those of the usual example of sparse identification (Brunton et al., 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from bench.seeding import generator
from bench.tasks.sampling.coefficients import Coefficients
from bench.types import NonNegativeFloat, NonNegativeInt, PositiveInt
from datasets.energies.lorenz_domain import BETA, DIM, MIRRORS, RHO, SIGMA, STATES, TERMS, coefficients, parameters

DT = 1e-3
X0 = (-8.0, 7.0, 27.0)
HORIZON = 3.0  # time of the trajectories that are drawn
HAIR = 1e-3  # of beta at the start, whose face zero lies on
FEWEST = 100  # points
UPPER = torch.triu_indices(TERMS, TERMS)
State = tuple[float, float, float]


def rk4(f: Callable[[State], State], state: State, dt: float, steps: int) -> list[State]:
    """The states at times 0, dt, ..., steps dt by the classical Runge-Kutta method of order four; what overflows is infinite or NaN."""
    path = [state]
    for _ in range(steps):
        a = f(state)
        b = f(_along(state, a, dt / 2))
        c = f(_along(state, b, dt / 2))
        d = f(_along(state, c, dt))
        slope = tuple((p + 2 * q + 2 * r + s) / 6 for p, q, r, s in zip(a, b, c, d))
        state = _along(state, slope, dt)
        path.append(state)
    return path


def _along(state: State, slope: tuple[float, ...], dt: float) -> State:
    return state[0] + dt * slope[0], state[1] + dt * slope[1], state[2] + dt * slope[2]


def field(xi: Tensor) -> Callable[[State], State]:
    """The right-hand side with coefficients [15]."""
    columns = xi.view(TERMS, STATES).T.tolist()

    def f(state: State) -> State:
        x, y, z = state
        terms = (x, y, z, x * y, x * z)
        first, second, third = (sum(c * t for c, t in zip(column, terms)) for column in columns)
        return first, second, third

    return f


def lorenz(state: State) -> State:
    """The system with its true parameters."""
    x, y, z = state
    return SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z


def library(states: Tensor) -> Tensor:
    """Theta [n, 5] of states [n, 3]."""
    x, y, z = states.unbind(1)
    return torch.stack([x, y, z, x * y, x * z], 1)


@lru_cache(maxsize=2)
def measured(instance: int, points: int, noise: float) -> tuple[Tensor, Tensor]:
    """Theta [n, 5] along one path, and its exact derivatives with independent normal noise [n, 3]."""
    path = rk4(lorenz, X0, DT, points - 1)
    states = torch.tensor(path, dtype=torch.float64)
    slopes = torch.tensor([lorenz(state) for state in path], dtype=torch.float64)
    drawn = torch.randn(points, STATES, generator=generator(instance, "data"), dtype=torch.float64)
    return library(states), slopes + noise * drawn


class Lorenz:
    """U and its estimates from minibatches, on the constraints.

    The data are cut at random, once, into blocks whose sums of Theta' Theta, Theta' dX and |dX|^2 are formed once. An epoch is a shuffle of the M
    blocks, a minibatch the next `batch_size` / `block` of them, the epoch's last one what is left. Its sums times M / (its blocks n) are
    unbiased at every step, smaller blocks and minibatches included. The shuffle is a function of (seed, epoch, replicate): each replicate
    has its own, and the chains of a copy share a step's minibatch.

    Args:
        root: not used.
        instance: which noise and which cut, the same for all seeds and methods.
        points: n, along the path, 1e-3 apart.
        noise: standard deviation of the derivatives' noise.
        batch_size: data of a minibatch.
        block: data of a block.
        mirror: of a reflected step: normal, at the faces as they lie in R^15, which leaves the uniform law invariant; parameters, in the
            space of (sigma, rho, beta), which does not; reset, as released: that, and after each step the other coefficients are put to the truth.
        energy: what exchanges see: full, U itself; minibatch, the step's estimate, whose errors in the two chains are not independent, so that
            the method has to state a correction; rmse, as released: the root of the step's mean squared residual.
        start: inside, zero brought inside the constraints; zero, which lies outside, as in the released scripts and for chains that are not
            mirrored; truth, where the released cycSGLD starts.
    """

    modes, window = None, None

    def __init__(
        self,
        root: str = "",
        *,
        instance: NonNegativeInt = 0,
        points: PositiveInt = 100_000,
        noise: NonNegativeFloat = 1.0,
        batch_size: PositiveInt = 4096,
        block: PositiveInt = 64,
        mirror: Literal["normal", "parameters", "reset"] = "normal",
        energy: Literal["full", "minibatch", "rmse"] = "full",
        start: Literal["inside", "zero", "truth"] = "inside",
    ) -> None:
        if points < FEWEST:
            raise ValueError(
                f"points = {points}: at least {FEWEST}; along a shorter path the five terms cannot be told apart"
            )
        if batch_size % block:
            raise ValueError(f"batch_size = {batch_size}: a multiple of block = {block}")
        self.theta, self.slopes = measured(instance, points, noise)
        self.domain, self.source, self.first = MIRRORS[mirror](), energy, start
        self.energy_variance = 0.0 if energy == "full" else None
        cut = torch.randperm(points, generator=generator(instance, "order"))
        self.blocks, self.per_batch = list(cut.split(block)), batch_size // block
        self.sums = torch.stack([_packed(self.theta[index], self.slopes[index]) for index in self.blocks])  # [M, 31]
        self.steps_per_epoch = -(-len(self.blocks) // self.per_batch)
        self.whole = _unpacked(self.sums.sum(0) / points)
        mean, covariance = self.posterior()
        self.coefficients = Coefficients(
            names=[f"{term} in d{state}/dt" for term in ("x", "y", "z", "xy", "xz") for state in "xyz"],
            truth=coefficients(SIGMA, RHO, BETA),
            derived=parameters(),
            mean=mean,
            deviation=covariance.diagonal().sqrt(),
            path=path,
        )

    def start(self) -> Tensor:
        """Inside: zero, mirrored at the faces that it violates, which makes rho = 2 and sigma = 2; beta = 0.001, since zero lies on that face."""
        if self.first == "truth":
            return coefficients(SIGMA, RHO, BETA)
        if self.first == "zero":
            return torch.zeros(DIM, dtype=torch.float64)
        sigma, rho, beta = parameters().values()
        return 2 * sigma / sigma.square().sum() + 2 * rho + HAIR * beta

    def posterior(self, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Mean [15] and covariance [15, 15] of exp(-U / temperature) without the constraints, a normal law."""
        gram, cross, _ = (part.cpu() for part in self.whole)
        inverse = torch.linalg.inv(gram).contiguous()
        return (inverse @ cross).flatten(), temperature * torch.kron(inverse, torch.eye(STATES, dtype=torch.float64))

    def energy(self, x: Tensor) -> Tensor:
        if self.whole[0].device != x.device:
            self.whole = tuple(part.to(x.device) for part in self.whole)
        return half_mean_square(x, *self.whole)

    def draws(self, seeds: Sequence[int], first: int, count: int, chains: int, replicates: int) -> tuple[Tensor, ...]:
        """Means of a step's minibatch: Theta' Theta [count, N, 5, 5], Theta' dX [count, N, 5, 3] and |dX|^2 [count, N]."""
        size, blocks = self.steps_per_epoch, len(self.blocks)
        epochs = range(first // size, (first + count - 1) // size + 1)
        orders = [
            torch.randperm(blocks, generator=generator(seed, "order", epoch, r))
            for seed in seeds
            for r in range(replicates)
            for epoch in epochs
        ]
        cuts = torch.arange(0, blocks, self.per_batch)
        offsets = (blocks * torch.arange(len(orders))[:, None] + cuts).flatten()
        sums = embedding_bag(torch.cat(orders), self.sums, offsets, mode="sum")
        taken = (blocks - cuts).clamp(max=self.per_batch).double()
        means = sums.view(-1, len(epochs), size, sums.shape[1]) * (blocks / (taken * len(self.theta)))[:, None]
        skip = first - epochs[0] * size
        return _unpacked(means.flatten(1, 2)[:, skip : skip + count].transpose(0, 1))

    def noisy_gradient(self, x: Tensor, *draw: Tensor) -> Tensor:
        """Theta' (Theta Xi - dX) / B of the minibatch, [P, N, 15]."""
        gram, cross, _ = draw
        return (gram @ x.unflatten(-1, (TERMS, STATES)) - cross).flatten(-2)

    def noisy_energy(self, x: Tensor, *draw: Tensor) -> Tensor:
        """By the key `energy`, [P, N]."""
        if self.source == "full":
            return self.energy(x)
        found = half_mean_square(x, *draw)
        return found if self.source == "minibatch" else (2 * found / STATES).clamp(min=0).sqrt()


def path(xi: Tensor) -> tuple[Tensor, Tensor]:
    """Times and x(t) [301] from X0 with coefficients [15], every tenth step up to HORIZON."""
    states = rk4(field(xi), X0, DT, round(HORIZON / DT))[::10]
    values = torch.tensor([state[0] for state in states], dtype=torch.float64)
    return 10 * DT * torch.arange(len(values), dtype=torch.float64), values


def half_mean_square(x: Tensor, gram: Tensor, cross: Tensor, square: Tensor) -> Tensor:
    """|Theta Xi - dX|^2 / (2 B) [...] at x [..., 15] from means of Theta' Theta, Theta' dX and |dX|^2."""
    xi = x.unflatten(-1, (TERMS, STATES))
    return (xi * (gram @ xi - 2 * cross)).sum((-2, -1)) / 2 + square / 2


def _packed(theta: Tensor, slopes: Tensor) -> Tensor:
    """The sums of a block in a row: the upper triangle of Theta' Theta (15), Theta' dX (15), |dX|^2."""
    gram = (theta.mT @ theta)[UPPER[0], UPPER[1]]
    return torch.cat([gram, (theta.mT @ slopes).flatten(), slopes.square().sum().view(1)])


def _unpacked(row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[..., 31] into [..., 5, 5], [..., 5, 3] and [...]."""
    place = torch.zeros(TERMS, TERMS, dtype=torch.int64)
    place[UPPER[0], UPPER[1]] = torch.arange(UPPER.shape[1])
    place = torch.maximum(place, place.mT)
    gram, cross, square = row.split([UPPER.shape[1], TERMS * STATES, 1], -1)
    return gram[..., place], cross.unflatten(-1, (TERMS, STATES)), square[..., 0]
