"""What the sampling task asks of a method and of its data, an energy on a bounded domain: the law exp(-U(x) / tau) restricted to it.

Shapes: T steps, P chains at different temperatures, S seeds, R replicates of a seed, N = S R, d dimension. Positions are x [P, N, d].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from bench.tasks.sampling.domains import Domain


class Draws(NamedTuple):
    """The randomness of T steps: `normal` [T, P, N, d], `uniform` [T, P - 1, N], and what the target's estimates need, a tensor [T, ...] each."""

    normal: Tensor
    uniform: Tensor
    target: tuple[Tensor, ...]

    def part(self, first: int, end: int) -> Draws:
        """Of steps first, ..., end - 1 of these."""
        return Draws(self.normal[first:end], self.uniform[first:end], tuple(part[first:end] for part in self.target))


class Target(Protocol):
    """An energy U on a domain, seen through unbiased noisy estimates.

    Attributes:
        domain: where the law lives.
        energy_variance: of an estimate of U, where two estimates of a step are independent and normal; None: it is not known.
        modes: points [M, d] whose surroundings are counted; None where there are none.
        window: the low and high end of the square on which densities are compared; None: the domain's own box.
        coefficients: where x holds the coefficients of a model, what is known of them; else None.
    """

    domain: Domain
    energy_variance: float | None
    modes: Tensor | None
    window: tuple[float, float] | None
    coefficients: Any | None

    def start(self) -> Tensor:
        """Where all chains start, inside, [d]."""

    def energy(self, x: Tensor) -> Tensor:
        """U [...] at x [..., d], exact."""

    def draws(self, seeds: Sequence[int], first: int, count: int, chains: int, replicates: int) -> tuple[Tensor, ...]:
        """What the estimates of steps first, ..., first + count - 1 need, a tensor [count, ...] each; a function of the arguments alone."""

    def noisy_gradient(self, x: Tensor, *draw: Tensor) -> Tensor:
        """An estimate of grad U [P, N, d] at x; `draw` are one step's parts of `draws`."""

    def noisy_energy(self, x: Tensor, *draw: Tensor) -> Tensor:
        """An estimate of U [P, N] at x."""


class Method(Protocol):
    """Chains that advance together; the first is the one whose points count.

    Attributes:
        chains: P; a step takes P gradients.
        swaps: exchanges of each pair of neighbours so far [P - 1, N], or None; a step adds to it in place.
        varies: do the step sizes depend on the step?
    """

    chains: int
    swaps: Tensor | None
    varies: bool

    def begin(self, x: Tensor, domain: Domain, steps: int, energy_variance: float | None) -> None:
        """Before the first of `steps` steps, from x [P, N, d]; and before `load_state_dict`."""

    def step(
        self,
        t: int,
        x: Tensor,
        gradient: Callable[[Tensor], Tensor],
        energy: Callable[[Tensor], Tensor],
        normal: Tensor,
        uniform: Tensor,
        rates: Any = None,
    ) -> Tensor:
        """The positions after step t = 0, 1, ...; `gradient` and `energy` are estimates at points [P, N, d], `normal` and `uniform` draws.

        With `rates`, those of the step, of t only the parity is known. A compiled run traces this once for many steps: of a method's state
        only tensors may change here, in place.
        """

    def rates(self, t: int) -> tuple[Any, Any]:
        """What `step` takes as `rates` of step t; two numbers where they vary."""

    def attempts(self, steps: int) -> Sequence[int]:
        """How often each pair of neighbours is tried in the first `steps` steps, [P - 1]."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside x."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""


def effective_sample_size(values: Tensor, mean: Tensor | float, variance: Tensor | float) -> Tensor:
    """n / (1 + 2 sum of autocorrelations) of chains [n, N], [N]: Geyer's initial positive sequence, about a known mean and variance.

    About its own mean a chain that never leaves one mode would look independent, and so would one that stays where the law's mean is: where the
    chain's mean square about it is a share r < 1/2 of the variance, the number is (2 r)^2 times that, and 0 of a chain that stands still there.
    No more than n log10(n), where autocorrelations are negative.
    """
    n = len(values)
    centred = values - mean
    spectrum = torch.fft.rfft(centred, 2 * n, dim=0).abs().square()
    rho = torch.fft.irfft(spectrum, 2 * n, dim=0)[:n] / (n * variance)
    pairs = rho[: n // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    positive = (pairs > 0).cumprod(0)
    spread = (2 * rho[0]).clamp(max=1).square()
    return (n * spread / (2 * (pairs * positive).sum(0) - rho[0]).clamp(min=1 / n)).clamp(
        max=n * math.log10(max(n, 10))
    )
