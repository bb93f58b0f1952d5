"""Sign-based baselines: signSGD, its momentum and error-feedback forms, and SignSVRG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from methods.sign.base import Closure, Move, SignOptimizer, SnapshotOptimizer, restore_

if TYPE_CHECKING:
    from bench.types import Fraction


class SignSGD(SignOptimizer):
    """x_{t+1} = x_t - lr * sign(g(x_t; B_t)).

    Args:
        params: parameters to optimise, x.
        lr: eta, step size.
        weight_decay: decoupled weight decay: x shrinks by the factor 1 - lr * weight_decay at each step.
    References: Bernstein et al., 2018, "signSGD: Compressed Optimisation for Non-Convex Problems".
    Known limits: where the noise is skewed, the sign of one stochastic gradient is biased and the method stalls.
    """

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """lr = d^(-1/2) T^(-1/2) up to a constant."""
        return {"lr": dim**-0.5 * horizon**-0.5}

    def _estimate(self, closure: Closure) -> list[Move]:
        return [Move(group, *self._active(group)) for group in self.param_groups]


class SignSGDSIM(SignOptimizer):
    """signSGD with momentum, "simple momentum": m_t = (1 - beta) m_{t-1} + beta g(x_t; B_t), x_{t+1} = x_t - lr * sign(m_t).

    m_1 = g_1. Signum on one machine, whose momentum is 1 - beta.

    Args:
        params: parameters to optimise, x.
        lr: eta, step size.
        beta: weight of the new gradient, in (0, 1]; 1 is signSGD.
        weight_decay: decoupled weight decay: x shrinks by the factor 1 - lr * weight_decay at each step.
    References: Sun et al., 2023, "Momentum Ensures Convergence of SIGNSGD under Weaker Assumptions".
    """

    def __init__(self, params: Any, *, beta: Fraction, **shared: Any) -> None:
        super().__init__(params, (), {"beta": beta}, **shared)

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """lr = d^(-1/2) T^(-3/4), beta = T^(-1/2), up to constants."""
        return {"lr": dim**-0.5 * horizon**-0.75, "beta": horizon**-0.5}

    def _estimate(self, closure: Closure) -> list[Move]:
        moves = []
        for group in self.param_groups:
            params, grads = self._active(group)
            if params:
                old = [self.state[p]["estimate"] if self._has(p, "estimate") else g for p, g in zip(params, grads)]
                estimates = list(torch._foreach_lerp(old, grads, group["beta"]))
                moves.append(Move(group, params, estimates, {"estimate": estimates}))
        return moves


class EFSignSGD(SignOptimizer):
    """signSGD with error feedback: p = lr g + e, delta = mean(|p|) sign(p), x <- x - delta, e <- p - delta, tensor by tensor.

    Args:
        params: parameters to optimise, x.
        lr: gamma, step size (on SGD's scale, not on that of the sign methods).
        weight_decay: decoupled weight decay: x shrinks by the factor 1 - lr * weight_decay at each step.
    References: Karimireddy et al., 2019, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", Algorithm 1.
    """

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """lr = T^(-1/2) up to a constant, as for SGD."""
        return {"lr": horizon**-0.5}

    def _estimate(self, closure: Closure) -> list[Move]:
        moves = []
        for group in self.param_groups:
            params, grads = self._active(group)
            if not params:
                continue
            errors = [self.state[p]["error"] if self._has(p, "error") else torch.zeros_like(p) for p in params]
            errors = torch._foreach_add(errors, grads, alpha=group["lr"])  # p = lr g + e
            means = [norm / p.numel() for norm, p in zip(torch._foreach_norm(errors, 1), params)]
            deltas = torch._foreach_sign(errors)
            torch._foreach_mul_(deltas, means)
            torch._foreach_sub_(errors, deltas)
            moves.append(Move(group, params, list(deltas), {"error": list(errors)}))
        return moves

    def _descend(self, move: Move, bad: Tensor | None) -> None:
        if bad is not None:
            restore_(move.directions, [torch.zeros_like(p) for p in move.params], bad)
        self._decay(move, bad)
        torch._foreach_sub_(move.params, move.directions)


class SignSVRG(SnapshotOptimizer):
    """v_t = g_i(x_t) - g_i(x_s) + G_s, x_{t+1} = x_t - lr * sign(v_t), with a snapshot x_s, G_s = grad f(x_s) every m steps.

    Two passes a step and one full gradient per m steps.

    >>> w = torch.nn.Parameter(torch.zeros(3)); x, y = torch.randn(8, 2, 3), torch.randn(8, 2); opt = SignSVRG([w], lr=1e-2)
    >>> def loss_on(i):
    ...     opt.zero_grad(); loss = (x[i] @ w - y[i]).square().mean(); loss.backward(); return loss
    >>> opt.snapshot(lambda: loss_on(slice(None)), num_components=8)
    >>> losses = [opt.step(lambda i=i: loss_on(i)) for i in range(8)]

    Args:
        params: parameters to optimise, x.
        buffers: `model.buffers()`, left untouched by every pass but the one at x_t.
        lr: eta, step size.
        weight_decay: decoupled weight decay: x shrinks by the factor 1 - lr * weight_decay at each step.
    References: Chzhen and Schechtman, 2023, arXiv 2305.13187; the snapshot interval m is our choice.
    """

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """lr = m^(-1/2) d^(-1/2) T^(-1/2) up to a constant."""
        return {"lr": (num_components or 1) ** -0.5 * dim**-0.5 * horizon**-0.5}

    def _extra_passes(self) -> bool:
        return not self._fresh

    def _estimate(self, closure: Closure) -> list[Move]:
        self._require_snapshot()
        active = [p for group in self.param_groups for p in self._active(group)[0]]
        held = [p for p in active if self._has(p, "snapshot")]
        estimates = {p: p.grad.clone() for p in active if not self._has(p, "snapshot")}  # type: ignore[union-attr]
        if self._fresh:  # x_t = x_s
            estimates |= {p: self.state[p]["full"].clone() for p in held}
        elif held:
            old = self._gradient_at({p: self.state[p]["snapshot"] for p in held}, closure)
            sums = torch._foreach_add(self._slot(held, "full"), [p.grad for p in held])  # type: ignore[misc]
            torch._foreach_sub_(sums, [old[p] for p in held])
            estimates |= dict(zip(held, sums))
        moves = []
        for group in self.param_groups:
            params, _ = self._active(group)
            directions = [estimates[p] for p in params]
            moves.append(Move(group, params, directions, {"estimate": directions}))
        return moves
