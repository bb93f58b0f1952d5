"""What the sign-based optimizers share: sign descent, a second gradient on the same minibatch, snapshots of the full gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

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


class SignOptimizer(Optimizer):
    """Base: x_{t+1} = (1 - lr * weight_decay) x_t - lr * sign(v_t), elementwise, sign(0) = 0.

    Subclasses define `_estimate`. Where a method keeps v_t it lies in `state[p]["estimate"]`.

    Args:
        params: parameters or parameter groups, x.
        buffers: tensors that a forward pass changes (`model.buffers()`: BatchNorm statistics), left untouched by every pass but the one at x_t.
        own: the subclass's hyper-parameters of a group.
        lr: eta, step size.
        weight_decay: decoupled weight decay: x shrinks by the factor 1 - lr * weight_decay at each step.
    """

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
        check_ranges(defaults)
        self._buffers = list(buffers)
        super().__init__(params, defaults)
        self._cuda = {p.device for group in self.param_groups for p in group["params"] if p.is_cuda}

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:
        """One iteration.

        Args:
            closure: clears the gradients, recomputes the loss of the minibatch at hand and its gradients, returns the loss.
                It is called once more for each further point at which the method needs this minibatch's gradient.
        Returns:
            The loss at x_t. Afterwards `p.grad` holds the gradient at x_t.
        """
        if closure is None:
            raise ValueError(f"{type(self).__name__}.step needs a closure that recomputes loss and gradients")
        self._before = _Noise(self._cuda) if self._extra_passes() else None
        with torch.enable_grad():
            loss = closure()
        self._estimate(closure)
        return loss

    def _extra_passes(self) -> bool:
        """Will this step evaluate the closure more than once?"""
        return False

    def _estimate(self, closure: Closure) -> None:
        raise NotImplementedError

    def _active(self, group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters of the group that have a gradient, and these gradients."""
        params = [p for p in group["params"] if p.grad is not None]
        return params, [p.grad for p in params]

    def _slot(self, params: list[Tensor], name: str) -> list[Tensor]:
        return [self.state[p][name] for p in params]

    def _descend(self, group: dict[str, Any], params: list[Tensor], directions: list[Tensor]) -> None:
        if not params:
            return
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(params, torch._foreach_sign(directions), alpha=-group["lr"])

    def _gradient_at(self, points: dict[Tensor, Tensor], closure: Closure) -> dict[Tensor, Tensor]:
        """This minibatch's gradients with parameters moved to `points`: same random numbers, buffers and p.grad as before."""
        everything = [p for group in self.param_groups for p in group["params"]]
        params, values = list(points), list(points.values())
        grads = [p.grad for p in everything]
        here = [p.clone() for p in params]
        buffers = [b.clone() for b in self._buffers]
        after = _Noise(self._cuda)
        if self._before is not None:
            self._before.put_back()
        torch._foreach_copy_(params, values)
        for p in everything:
            p.grad = None
        with torch.enable_grad():
            closure()
        found = {p: torch.zeros_like(p) if p.grad is None else p.grad for p in params}
        torch._foreach_copy_(params, here)
        for p, grad in zip(everything, grads):
            p.grad = grad
        if buffers:
            torch._foreach_copy_(self._buffers, buffers)
        after.put_back()
        return found


class SnapshotOptimizer(SignOptimizer):
    """Base of methods that compare with a snapshot x_s and its full gradient G_s, taken once per pass over m components.

    Args: as SignOptimizer's.
    """

    def __init__(
        self, params: Any, buffers: Iterable[Tensor] = (), own: dict[str, Any] | None = None, **shared: Any
    ) -> None:
        super().__init__(params, buffers, {**(own or {}), "num_components": None, "fresh": False}, **shared)

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
        params = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        full = self._gradient_at({p: p.clone() for p in params}, full_closure)
        for p in params:
            self.state[p]["snapshot"] = p.clone()
            self.state[p]["full"] = full[p]
        for group in self.param_groups:
            group["num_components"] = num_components
            group["fresh"] = True  # x_t is still x_s

    def _require_snapshot(self) -> None:
        if any(group.get("num_components") is None for group in self.param_groups):
            raise RuntimeError(
                f"{type(self).__name__}: call snapshot(full_closure, num_components) before the first step"
            )

    @property
    def _fresh(self) -> bool:
        return all(group["fresh"] for group in self.param_groups)

    def _spend(self) -> None:
        for group in self.param_groups:
            group["fresh"] = False


def check_ranges(defaults: dict[str, Any]) -> None:
    """Ranges of the hyper-parameters that the family shares."""
    if not 0 < defaults["lr"] < float("inf"):
        raise ValueError(f"lr = {defaults['lr']}: a positive number")
    if defaults.get("weight_decay", 0.0) < 0:
        raise ValueError(f"weight_decay = {defaults['weight_decay']}: a non-negative number")
    beta = defaults.get("beta")
    if beta is not None and not 0 < beta <= 1:
        raise ValueError(f"beta = {beta}: a number in (0, 1], the weight of the new gradient")
