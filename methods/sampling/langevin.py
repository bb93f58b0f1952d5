r"""Langevin samplers of exp(-U(x) / tau) on a bounded domain, with reflection and replica exchange (Zheng et al., 2024, arXiv 2405.07839).

    y_k = x_k - eta_k g(x_k) + sqrt(2 eta_k tau_k) z_k,     x_k' = y_k, or its mirror image where it left the domain,

for chains k = 1, ..., P at temperatures tau_1 < ... < tau_P with noisy gradients g. Then neighbours may exchange their positions (below).
The first chain is the sample. Shapes: P chains, N independent copies of all of them, d dimension; x [P, N, d].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from bench.types import AtLeastOne, NonNegativeFloat, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from bench.tasks.sampling.domains import Domain

Estimate = Callable[[Tensor], Tensor]


class SGLD:
    """Stochastic gradient Langevin dynamics (Welling and Teh, 2011), one chain.

    Args:
        lr: eta, step size.
        temperature: tau.
        reflect: mirror steps that leave the domain (R-SGLD); else it is not known to the chain.
        penalty: c of c |x|^2 / 2 added to the energy, the usual way around a constraint.
    """

    chains = 1
    varies = False
    swaps: Tensor | None = None

    def __init__(
        self,
        *,
        lr: PositiveFloat,
        temperature: PositiveFloat = 1.0,
        reflect: bool = False,
        penalty: NonNegativeFloat = 0.0,
    ) -> None:
        self.lr, self.reflect, self.penalty = lr, reflect, penalty
        self.temperatures = [temperature]

    def begin(self, x: Tensor, domain: Domain, steps: int, energy_variance: float | None = None) -> None:
        """Before the first of `steps` steps, from x [P, N, d] inside the domain."""
        self.domain, self.steps = domain, steps

    def rates(self, t: int) -> tuple[Any, Any]:
        """Step sizes eta_k of step t and sqrt(2 eta_k tau_k), a number or [P, 1, 1] each."""
        return self._with_spread(self.lr)

    def _with_spread(self, lr: float) -> tuple[float, float]:
        """A step size and sqrt(2 lr tau) of the one chain."""
        return lr, math.sqrt(2 * lr * self.temperatures[0])

    def step(
        self,
        t: int,
        x: Tensor,
        gradient: Estimate,
        energy: Estimate,
        normal: Tensor,
        uniform: Tensor,
        rates: Any = None,
    ) -> Tensor:
        """The positions after step t.

        Args:
            gradient, energy: noisy estimates of grad U [P, N, d] and U [P, N] at points [P, N, d].
            normal, uniform: draws [P, N, d] and [P - 1, N].
            rates: eta and sqrt(2 eta tau) of the step; None: those of `rates(t)`. Where they are given t counts by its parity alone.
        """
        return self.move(t, x, gradient(x), normal, rates)

    def move(self, t: int, x: Tensor, g: Tensor, normal: Tensor, rates: Any = None) -> Tensor:
        """One step of all chains, mirrored where that is asked for."""
        if self.penalty:
            g = g + self.penalty * x
        lr, spread = self.rates(t) if rates is None else rates
        y = x - lr * g + spread * normal
        return self.domain.reflect(x, y) if self.reflect else y

    def attempts(self, steps: int) -> list[int]:
        """How often each pair of neighbours is tried in the first `steps` steps, [P - 1]."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside x."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class CyclicalSGLD(SGLD):
    """cycSGLD (Zhang et al., 2020): eta_t = max(lr (1 + cos(pi (t mod L) / L)) / 2, floor) with L = steps / cycles, the noise always on.

    Args:
        floor: the smallest step size.
        cycles: M, restarts at the largest step size.
    """

    varies = True

    def __init__(self, *, floor: PositiveFloat, cycles: PositiveInt, **shared: Any) -> None:
        super().__init__(**shared)
        self.floor, self.cycles = floor, cycles
        if floor > self.lr:
            raise ValueError(f"floor = {floor}: above lr = {self.lr}")

    def rates(self, t: int) -> tuple[float, float]:
        phase = t * self.cycles / self.steps % 1.0
        return self._with_spread(max(self.lr * (1 + math.cos(math.pi * phase)) / 2, self.floor))


class ReplicaSGLD(SGLD):
    r"""Replica exchange (reSGLD, Deng et al., 2020); with `reflect`, r2SGLD: Algorithm 1, and for more than two chains Algorithm 2.

    After each step neighbours k, k + 1 exchange their positions with probability min(1, S),

        log S = delta (U(x_{k+1}) - U(x_k)) - delta^2 s^2 / F,     delta = 1 / tau_{k+1} - 1 / tau_k,

    where s^2 is the variance of one estimate of U: then E S is exactly the ratio for exact energies (normal, independent noise). Of more
    than two chains the pairs (1, 2), (3, 4), ... are tried at even steps, (2, 3), ... at odd ones (deterministic even-odd).

    Args:
        temperatures: tau_1 < ... < tau_P.
        lr_ratio: eta_{k+1} / eta_k; `lr` is that of the first chain.
        swap: metropolis; threshold, as in the released code: exchange where min(1, S) is at least `threshold`, without a draw, which
            breaks detailed balance; or none.
        correction: s^2; None: what the target says of its estimates.
        correction_factor: F, at least 1; above 1 more exchanges, and a bias.
        threshold: of `swap: threshold`.
    """

    def __init__(
        self,
        *,
        temperatures: list[PositiveFloat],
        lr_ratio: PositiveFloat = 1.0,
        swap: Literal["metropolis", "threshold", "none"] = "metropolis",
        correction: NonNegativeFloat | None = None,
        correction_factor: AtLeastOne = 1.0,
        threshold: PositiveFloat = 3e-4,
        lr: PositiveFloat,
        reflect: bool = False,
        penalty: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__(lr=lr, reflect=reflect, penalty=penalty)
        if len(temperatures) < 2 or sorted(set(temperatures)) != temperatures:
            raise ValueError(f"temperatures = {temperatures}: at least two, each above the one before")
        self.temperatures, self.chains = temperatures, len(temperatures)
        self.lr_ratio, self.swap, self.threshold = lr_ratio, swap, threshold
        self.correction, self.factor = correction, correction_factor

    def begin(self, x: Tensor, domain: Domain, steps: int, energy_variance: float | None = None) -> None:
        """As SGLD's; energy_variance is the target's.

        Raises:
            ValueError: neither the target nor `correction` states a variance.
        """
        super().begin(x, domain, steps)
        tau = x.new_tensor(self.temperatures)[:, None, None]
        rates = x.new_tensor([self.lr * self.lr_ratio**k for k in range(self.chains)])[:, None, None]
        self._rates = rates, (2 * rates * tau).sqrt()
        variance = energy_variance if self.correction is None else self.correction
        if variance is None and self.swap != "none":
            raise ValueError("correction = None: the data set does not state its energies' variance; set a number")
        inverse = 1 / x.new_tensor(self.temperatures)
        self._delta = (inverse[1:] - inverse[:-1])[:, None]  # [P - 1, 1], negative
        self._bias = self._delta**2 * (variance or 0.0) / self.factor
        self.swaps = torch.zeros(self.chains - 1, x.shape[1], dtype=torch.int64, device=x.device)

    def rates(self, t: int) -> tuple[Tensor, Tensor]:
        return self._rates

    def step(
        self,
        t: int,
        x: Tensor,
        gradient: Estimate,
        energy: Estimate,
        normal: Tensor,
        uniform: Tensor,
        rates: Any = None,
    ) -> Tensor:
        """As SGLD's, and the exchanges; their energies are of the positions after reflection."""
        x = self.move(t, x, gradient(x), normal, rates)
        if self.swap == "none":
            return x
        return self._exchange(x, energy(x), uniform, slice(t % 2 if self.chains > 2 else 0, self.chains - 1, 2))

    def attempts(self, steps: int) -> list[int]:
        if self.swap == "none":
            return [0] * (self.chains - 1)
        return [steps] if self.chains == 2 else [(steps + 1 - k % 2) // 2 for k in range(self.chains - 1)]

    def _exchange(self, x: Tensor, energies: Tensor, uniform: Tensor, pairs: slice) -> Tensor:
        """Exchange the chosen pairs' positions where their draw says so."""
        log_s = (self._delta * (energies[1:] - energies[:-1]) - self._bias)[pairs]
        agreed = log_s >= math.log(self.threshold) if self.swap == "threshold" else uniform[pairs].log() < log_s
        assert self.swaps is not None
        self.swaps[pairs] += agreed
        if self.chains == 2:
            return torch.where(agreed[..., None], x.roll(1, 0), x)
        low = slice(pairs.start, self.chains - 1, 2)
        high = slice(pairs.start + 1, None, 2)
        colder, hotter = x[low], x[high]
        x = x.clone()
        x[low] = torch.where(agreed[..., None], hotter, colder)
        x[high] = torch.where(agreed[..., None], colder, hotter)
        return x

    def state_dict(self) -> dict[str, Any]:
        return {"swaps": self.swaps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.swaps = state["swaps"]
