r"""Stochastic gradient Hamiltonian Monte Carlo on networks, in the whole space or reflected in a box.

Target: p(theta) ~ exp(-U(theta) / T), U = sum over N examples of their loss + weight_decay |theta|^2 / 2, where |theta_i| <= bound. A minibatch
estimates U by N times its mean loss.

    v <- (1 - alpha) v - lr (N grad + weight_decay theta) + N(0, 2 lr (alpha - beta) T),     theta <- theta + v

In the limit of small lr, theta has the law p and v the law N(0, lr T), each whatever the other. At T = 0 this is SGD with heavy-ball momentum
1 - alpha and step size N lr. Reflection mirrors theta_i at +-bound and turns v_i round: that keeps volume, so that a flat U has a uniform law.

References: Chen et al., 2014, arXiv 1402.4102, eq. 15 (SGHMC); Zhang et al., 2020, arXiv 1902.03932, eq. 1 (cyclical steps); Zheng et al.,
2024, arXiv 2405.07839, section 4.3 (reflection of networks).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.seeding import generator
from methods.sign.guarded import Guarded, dense

if TYPE_CHECKING:
    from bench.types import Decay, Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Probability

Closure = Callable[[], Tensor]


class SGHMC(Guarded):
    """One chain, on the parameters themselves. A step with a NaN or infinite gradient changes nothing and is counted.

    Args:
        params: parameters or parameter groups, theta.
        num_examples: N.
        seed: of the noise, which is a function of (seed, step): a run resumes bit for bit.
        total_steps: of the run, of which `burn_in` and `cooling_until` are shares.
        own: a subclass's hyper-parameters.
        lr: step size of the gradient of U, a sum over examples: N lr is what SGD calls its step size.
        friction: alpha; the momentum is 1 - alpha.
        noise_estimate: beta <= alpha, the part of the friction that the minibatch's own noise pays for.
        temperature: T.
        weight_decay: of U, a sum over examples as well.
        bound: half the side of the box; none: no reflection.
        reflect_velocity: False leaves the velocity as it is where theta is mirrored, as the released code of r2SGLD does.
        cooling: the temperature is multiplied by this, geometrically, in the first `cooling_until` of the run.
        cooling_until: share of the run.
        burn_in: share of the run after which its networks are samples.
    """

    _kept = (*Guarded._kept, "num_examples", "seed", "total_steps", "_taken")

    def __init__(
        self,
        params: Any,
        num_examples: int = 1,
        seed: int = 0,
        total_steps: int | None = None,
        own: dict[str, Any] | None = None,
        *,
        lr: PositiveFloat,
        friction: Fraction = 0.1,
        noise_estimate: NonNegativeFloat = 0.0,
        temperature: NonNegativeFloat = 1.0,
        weight_decay: NonNegativeFloat = 0.0,
        bound: PositiveFloat | None = None,
        reflect_velocity: bool = True,
        cooling: Fraction = 1.0,
        cooling_until: Fraction = 1.0,
        burn_in: Probability = 0.5,
    ) -> None:
        self.num_examples, self.seed, self.total_steps, self._taken = num_examples, seed, total_steps, 0
        chain = {"lr": lr, "friction": friction, "noise_estimate": noise_estimate, "temperature": temperature}
        walls = {"weight_decay": weight_decay, "bound": bound, "reflect_velocity": reflect_velocity}
        times = {"cooling": cooling, "cooling_until": cooling_until, "burn_in": burn_in}
        super().__init__(params, {**chain, **walls, **times, **(own or {})})

    @property
    def collects(self) -> bool:
        """Are the parameters, after the steps taken, a sample to be kept?"""
        return self.total_steps is None or self._taken >= self.param_groups[0]["burn_in"] * self.total_steps

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """One iteration; none if a gradient is NaN or infinite.

        Args:
            closure: clears the gradients, recomputes the mean loss of the minibatch at hand and its gradients, returns the loss.
        Returns:
            The loss before the step.
        """
        loss, gradients = self._evaluate(closure)
        if self._bad(gradients, lambda: True) is False:
            self._move(0, gradients)
        self._taken += 1
        return loss

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with the numbers of steps taken and skipped."""
        return {**super().state_dict(), "taken": self._taken}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        super().load_state_dict(state_dict)
        self._taken = state_dict["taken"]

    def _check(self, group: dict[str, Any], scheduled: bool = False) -> None:
        super()._check(group, scheduled)
        if not 0 < group["friction"] <= 1:
            raise ValueError(f"friction = {group['friction']}: a number in (0, 1]")
        if not 0 <= group["noise_estimate"] <= group["friction"]:
            raise ValueError(f"noise_estimate = {group['noise_estimate']}: not above friction = {group['friction']}")
        if not 0 <= group["temperature"] < math.inf:
            raise ValueError(f"temperature = {group['temperature']}: a non-negative number")
        if group["bound"] is not None and not 0 < group["bound"] < math.inf:
            raise ValueError(f"bound = {group['bound']}: a positive number, or none")

    def _moving(self, group: dict[str, Any]) -> list[Tensor]:
        return [p for p in group["params"] if p.requires_grad]

    def _evaluate(self, closure: Closure | None) -> tuple[Tensor, list[Tensor]]:
        """Loss [] and gradients at the network's parameters; those that the loss does not depend on have 0."""
        if closure is None:
            raise ValueError(f"{type(self).__name__}.step needs a closure that recomputes loss and gradients")
        params = [p for group in self.param_groups for p in self._moving(group)]
        for p in params:
            p.grad = None  # earlier ones are kept by whoever has them
        with torch.enable_grad():
            loss = closure()
        return loss.detach(), dense(self, [torch.zeros_like(p) if p.grad is None else p.grad for p in params])

    def _points(self, chain: int, params: Sequence[Tensor]) -> list[Tensor]:
        """A chain's position at these parameters."""
        return list(params)

    def _velocities(self, chain: int, params: Sequence[Tensor]) -> list[Tensor]:
        return [self._slot(p, f"velocity{chain}", torch.zeros_like) for p in params]

    def _slot(self, p: Tensor, name: str, start: Callable[[Tensor], Tensor]) -> Tensor:
        state = self.state[p]
        if name not in state:
            state[name] = start(p.detach())
        return state[name]

    def _move(self, chain: int, gradients: list[Tensor]) -> None:
        noise, temperature = None, self._temperature(chain)
        if temperature > 0:
            noise = self._noise(chain, gradients)
        first = 0
        for group in self.param_groups:
            params = self._moving(group)
            own, first = slice(first, first + len(params)), first + len(params)
            if not params:
                continue
            x, v, lr = self._points(chain, params), self._velocities(chain, params), self._rate(group, chain)
            torch._foreach_mul_(v, 1 - group["friction"])
            torch._foreach_add_(v, gradients[own], alpha=-lr * self.num_examples)
            if group["weight_decay"]:
                torch._foreach_add_(v, x, alpha=-lr * group["weight_decay"])
            if noise is not None:
                share = group["friction"] - group["noise_estimate"]
                torch._foreach_add_(v, noise[own], alpha=math.sqrt(2 * lr * share * temperature))
            torch._foreach_add_(x, v)
            if group["bound"] is not None:
                reflect_(x, v if group["reflect_velocity"] else None, group["bound"])

    def _noise(self, chain: int, like: list[Tensor]) -> list[Tensor]:
        """Standard normal numbers in the shapes given, of this step and chain."""
        stream = generator(self.seed, "noise", self._taken, chain, 0, device=like[0].device)
        sizes = [t.numel() for t in like]
        flat = torch.randn(sum(sizes), generator=stream, device=like[0].device, dtype=like[0].dtype)
        return [part.view(t.shape).to(t) for part, t in zip(flat.split(sizes), like)]

    def _rate(self, group: dict[str, Any], chain: int) -> float:
        """The step size of this step."""
        return group["lr"]

    def _temperature(self, chain: int) -> float:
        """The temperature of this step."""
        group = self.param_groups[0]
        if group["cooling"] == 1:
            return group["temperature"]
        return group["temperature"] * group["cooling"] ** min(1.0, self._share(self._taken) / group["cooling_until"])

    def _share(self, taken: int) -> float:
        """Of the run that so many steps are."""
        if self.total_steps is None:
            raise ValueError(f"{type(self).__name__}: give total_steps, the number of steps of the run")
        return taken / self.total_steps


class CyclicalSGHMC(SGHMC):
    """Step sizes lr (1 + cos(pi r)) / 2, where r runs from 0 to 1 in each of M cycles, times what a schedule makes of lr.

    Args: as SGHMC's, and
        cycles: M.
        exploration: share of each cycle, from its start, without noise and without samples.
    """

    def __init__(
        self,
        params: Any,
        num_examples: int = 1,
        seed: int = 0,
        total_steps: int | None = None,
        *,
        cycles: PositiveInt = 5,
        exploration: Decay = 0.0,
        **shared: Any,
    ) -> None:
        own = {"cycles": cycles, "exploration": exploration}
        super().__init__(params, num_examples, seed, total_steps, own, **shared)

    @property
    def collects(self) -> bool:
        """As SGHMC's, and the last step was past its cycle's exploration."""
        return super().collects and self._taken > 0 and self._samples(self._taken - 1)

    def _phase(self, taken: int) -> float:
        """r of the step after `taken` others."""
        self._share(taken)
        length = math.ceil(self.total_steps / self.param_groups[0]["cycles"])
        return taken % length / length

    def _samples(self, taken: int) -> bool:
        exploration = self.param_groups[0]["exploration"]
        return exploration == 0 or self._phase(taken) >= exploration

    def _rate(self, group: dict[str, Any], chain: int) -> float:
        return group["lr"] * (1 + math.cos(math.pi * self._phase(self._taken))) / 2

    def _temperature(self, chain: int) -> float:
        return super()._temperature(chain) if self._samples(self._taken) else 0.0


def reflect_(points: Sequence[Tensor], velocities: Sequence[Tensor] | None, bound: float) -> None:
    """Mirror what lies outside of [-bound, bound] at the walls, as often as it takes; velocities turn round at each."""
    if points[0].device.type == "cpu" and float(torch.stack(torch._foreach_norm(points, math.inf)).max()) <= bound:  # type: ignore[arg-type]
        return
    for k, x in enumerate(points):
        outside = x.abs() > bound
        unfolded = torch.remainder(x + bound, 4 * bound)  # from the lower wall, there and back
        if velocities is not None:
            v = velocities[k]
            v.copy_(torch.where(outside & (unfolded > 2 * bound), -v, v))
        x.copy_(torch.where(outside, bound - (unfolded - 2 * bound).abs(), x))
