"""What the sign-based optimizers share: sign descent, a second gradient on the same minibatch, snapshots of the full gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from methods.sign.guarded import Guarded, dense

if TYPE_CHECKING:
    from bench.types import NonNegativeFloat, PositiveFloat

Closure = Callable[[], Tensor]


class _Noise:
    """States of the default random generators, so that a second pass draws the same dropout masks."""

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = {device: torch.cuda.get_rng_state(device) for device in devices}

    def put_back(self) -> None:
        torch.set_rng_state(self._cpu)
        for device, state in self._cuda.items():
            torch.cuda.set_rng_state(state, device)


@dataclass(slots=True)
class Move:
    """What a step would do to a group's parameters.

    Attributes:
        directions: v_t of each parameter.
        state: what each entry of the parameters' state becomes, in tensors of its own.
    """

    group: dict[str, Any]
    params: list[Tensor]
    directions: list[Tensor]
    state: dict[str, list[Tensor]] = field(default_factory=dict)


class SignOptimizer(Guarded):
    """Base: x_{t+1} = (1 - lr * weight_decay) x_t - lr * sign(v_t), elementwise, sign(0) = 0.

    Subclasses define `_estimate`. Where a method keeps v_t it lies in `state[p]["estimate"]`.

    Args:
        params: parameters or parameter groups, x.
        buffers: tensors that a forward pass changes (`model.buffers()`: BatchNorm statistics), left untouched by every pass but the one at x_t.
        own: the subclass's hyper-parameters of a group.
        lr: eta, step size.
        weight_decay: decoupled weight decay: x shrinks by the factor 1 - lr * weight_decay at each step.
    """

    _before: _Noise | None = None
    _kept = (*Guarded._kept, "_buffers")

    def __init__(
        self,
        params: Any,
        buffers: Iterable[Tensor] = (),
        own: dict[str, Any] | None = None,
        *,
        lr: PositiveFloat,
        weight_decay: NonNegativeFloat = 0.0,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, **(own or {})}
        self._buffers = list(buffers)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """One iteration; none if a gradient is NaN or infinite.

        Args:
            closure: clears the gradients, recomputes the loss of the minibatch at hand and its gradients, returns the loss.
                It is called once more for each further point at which the method needs this minibatch's gradient.
        Returns:
            The loss at x_t. Afterwards `p.grad` holds the gradient at x_t.
        """
        if closure is None:
            raise ValueError(f"{type(self).__name__}.step needs a closure that recomputes loss and gradients")
        self._before = _Noise(self._cuda()) if self._extra_passes() else None
        with torch.enable_grad():
            loss = closure()
        moves = self._estimate(closure)
        bad = self._bad(self._screened(moves), lambda: self._starts(moves))
        if bad is not True:
            for move in moves:
                self._take(move, bad if isinstance(bad, Tensor) else None)
            self._end()
        return loss

    def _extra_passes(self) -> bool:
        """Will this step evaluate the closure more than once?"""
        return False

    def _estimate(self, closure: Closure) -> list[Move]:
        """What the step would do, after the closure's first pass; changes no parameter and no state."""
        raise NotImplementedError

    def _screened(self, moves: list[Move]) -> list[Tensor]:
        """Finite exactly if the gradients behind the moves are."""
        return [v for move in moves for v in move.directions]

    def _starts(self, moves: list[Move]) -> bool:
        """Would the step create state? Then it has to be known whether it is skipped."""
        return any(not self._has(p, name) for move in moves for name in move.state for p in move.params)

    def _end(self) -> None:
        """After a step that was not skipped, as far as is known without waiting."""

    def _take(self, move: Move, bad: Tensor | None) -> None:
        """Move and keep the new state; with a flag `bad`, only where it is 0."""
        for name, values in move.state.items():
            if bad is not None:
                restore_(values, self._slot(move.params, name), bad)
            for p, value in zip(move.params, values):
                self.state[p][name] = value
        if move.params:
            self._descend(move, bad)

    def _descend(self, move: Move, bad: Tensor | None) -> None:
        self._decay(move, bad)
        signs = torch._foreach_sign(move.directions)
        if bad is not None:
            torch._foreach_mul_(signs, 1 - bad)  # sign(NaN) = 0
        torch._foreach_add_(move.params, signs, alpha=-move.group["lr"])

    @staticmethod
    def _decay(move: Move, bad: Tensor | None) -> None:
        rate = move.group["lr"] * move.group["weight_decay"]
        if rate:
            torch._foreach_mul_(move.params, 1 - rate if bad is None else 1 - rate * (1 - bad.double()))

    def _cuda(self) -> set[torch.device]:
        return {p.device for group in self.param_groups for p in group["params"] if p.is_cuda}

    def _active(self, group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters of the group that have a gradient, and these gradients."""
        params = [p for p in group["params"] if p.grad is not None]
        return params, dense(self, [p.grad for p in params])

    def _has(self, p: Tensor, name: str) -> bool:
        return name in self.state.get(p, ())

    def _slot(self, params: list[Tensor], name: str) -> list[Tensor]:
        return [self.state[p][name] for p in params]

    def _gradient_at(
        self, points: dict[Tensor, Tensor], closure: Closure, here: Sequence[Tensor] | None = None
    ) -> dict[Tensor, Tensor]:
        """This minibatch's gradients with parameters moved to `points`: same random numbers, buffers and p.grad as before.

        `here` are copies of these parameters as they are, where the caller has them.
        """
        everything = [p for group in self.param_groups for p in group["params"]]
        params, values = list(points), list(points.values())
        grads = [p.grad for p in everything]
        here = here or [p.clone() for p in params]
        buffers = [b.clone() for b in self._buffers]
        after = _Noise(self._cuda())
        if self._before is not None:
            self._before.put_back()
        try:
            if params:
                torch._foreach_copy_(params, values)
            for p in everything:
                p.grad = None
            with torch.enable_grad():
                closure()
            return {p: torch.zeros_like(p) if p.grad is None else p.grad for p in params}
        finally:
            if params:
                torch._foreach_copy_(params, here)  # type: ignore[arg-type]
            for p, grad in zip(everything, grads):
                p.grad = grad
            if buffers:
                torch._foreach_copy_(self._buffers, buffers)
            after.put_back()


class SnapshotOptimizer(SignOptimizer):
    """Base of methods that compare with a snapshot x_s and its full gradient G_s, taken once per pass over m components.

    A parameter that has none, unfrozen or added since, starts its estimator at its first gradient. A snapshot with a NaN or infinite
    gradient is left out and counted; an earlier one stays.

    Args: as SignOptimizer's.
    """

    def __init__(
        self, params: Any, buffers: Iterable[Tensor] = (), own: dict[str, Any] | None = None, **shared: Any
    ) -> None:
        super().__init__(params, buffers, {**(own or {}), "num_components": None, "fresh": False}, **shared)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As SignOptimizer's; the new group shares the pass that is under way."""
        super().add_param_group(param_group)
        for name in ("num_components", "fresh"):
            self.param_groups[-1][name] = self.param_groups[0][name]

    @torch.no_grad()
    def snapshot(self, full_closure: Closure, num_components: int) -> None:
        """Store x_s = x and G_s, the gradient that `full_closure` leaves in `p.grad`.

        Args:
            full_closure: leaves the gradient of the whole finite sum, (1/m) sum_i grad f_i(x), in `p.grad`.
            num_components: m, the number of minibatches (components f_i) that the sum runs over.
        """
        if num_components < 1:
            raise ValueError(f"num_components = {num_components}: at least 1")
        self._before = None
        everything = [p for group in self.param_groups for p in group["params"]]
        params = [p for p in everything if p.requires_grad]
        full = self._gradient_at({p: p.clone() for p in params}, full_closure)
        sound = self._bad(dense(self, list(full.values())), lambda: True) is False
        if sound:
            for p in everything:
                if p in full:
                    self.state[p]["snapshot"], self.state[p]["full"] = p.clone(), full[p]
                else:
                    self.state.get(p, {}).pop("snapshot", None)
        for group in self.param_groups:
            group["num_components"] = num_components
            group["fresh"] = sound  # x_t is still x_s

    def _require_snapshot(self) -> None:
        if any(group.get("num_components") is None for group in self.param_groups):
            raise RuntimeError(
                f"{type(self).__name__}: call snapshot(full_closure, num_components) before the first step"
            )

    @property
    def _fresh(self) -> bool:
        return all(group["fresh"] for group in self.param_groups)

    def _screened(self, moves: list[Move]) -> list[Tensor]:
        return super()._screened(moves) + [p.grad for move in moves for p in move.params]  # type: ignore[misc]  # G_s alone may be v_t

    def _starts(self, moves: list[Move]) -> bool:
        return self._fresh or super()._starts(moves)

    def _end(self) -> None:
        for group in self.param_groups:
            group["fresh"] = False


BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def restore_(new: Sequence[Tensor], old: Sequence[Tensor], bad: Tensor) -> None:
    """new <- old where the flag `bad` is 1, bit by bit: a NaN in `new` is harmless."""
    bits, others = ([t.view(BITS[t.element_size()]) for t in ts] for ts in (new, old))
    gone = bad.int()
    torch._foreach_mul_(bits, 1 - gone)
    torch._foreach_add_(bits, torch._foreach_mul(others, gone))
