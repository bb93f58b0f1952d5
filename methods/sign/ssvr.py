"""SSVR and SSVR-FS: sign descent on a variance-reduced gradient (Jiang, Yang, Yang, Zhang, 2024, arXiv 2406.00489)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from methods.sign.base import Closure, Move, SignOptimizer, SnapshotOptimizer

if TYPE_CHECKING:
    from bench.types import Fraction


class SSVR(SignOptimizer):
    r"""Sign-based stochastic variance reduction.

    v_t = g(x_t; B_t) + (1 - beta) (v_{t-1} - g(x_{t-1}; B_t)),    x_{t+1} = x_t - lr * sign(v_t),    v_1 = g(x_1; B_1)

    Both gradients use the same minibatch B_t (STORM's estimator), so a step costs two backward passes; reusing the gradient stored
    at t-1 instead would turn the estimator into heavy-ball momentum. beta = 1 is signSGD, and then one pass is enough.

    >>> w = torch.nn.Parameter(torch.zeros(3)); x, y = torch.randn(8, 3), torch.randn(8)
    >>> opt = SSVR([w], lr=1e-2, beta=0.5)
    >>> def closure():
    ...     opt.zero_grad(); loss = (x @ w - y).square().mean(); loss.backward(); return loss
    >>> loss = opt.step(closure)

    Args:
        params: parameters to optimise, x.
        buffers: `model.buffers()`, left untouched by the pass at x_{t-1}.
        lr: eta, step size (the theory's choice is d^(-1/2) T^(-2/3) up to a constant).
        beta: weight of the new gradient, in (0, 1].
        weight_decay: decoupled weight decay: x shrinks by the factor 1 - lr * weight_decay at each step.
    References:
        Jiang et al., 2024, arXiv 2406.00489, Algorithm 1. Cutkosky and Orabona, 2019, for the estimator.
    Known limits:
        Gains need mean-squared smoothness that is small against the variance; at equal gradient calls momentum can be ahead.
    """

    def __init__(self, params: Any, buffers: Iterable[Tensor] = (), *, beta: Fraction, **shared: Any) -> None:
        super().__init__(params, buffers, {"beta": beta}, **shared)

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """Theorem 1: lr = d^(-1/2) T^(-2/3), beta = T^(-2/3), initial batch T^(1/3), up to constants."""
        return {
            "lr": dim**-0.5 * horizon ** (-2 / 3),
            "beta": horizon ** (-2 / 3),
            "initial_batch": round(horizon ** (1 / 3)),
        }

    def _extra_passes(self) -> bool:
        return any(group["beta"] < 1 for group in self.param_groups) and any(
            "estimate" in state for state in self.state.values()
        )

    def _estimate(self, closure: Closure) -> list[Move]:
        active = [(group, *self._active(group)) for group in self.param_groups]
        here = {p: p.clone() for _, params, _ in active for p in params}
        points = {p: self.state[p]["previous"] for p in here if self._has(p, "estimate")}
        again = bool(points) and self._extra_passes()
        old = self._gradient_at(points, closure, [here[p] for p in points]) if again else {}
        moves = []
        for group, params, grads in active:
            if not params:
                continue
            if group["beta"] < 1:  # v_1 = g_1 through the same recursion
                last = [self.state[p]["estimate"] if p in points else g for p, g in zip(params, grads)]
                estimates = list(torch._foreach_sub(last, [old.get(p, g) for p, g in zip(params, grads)]))
                torch._foreach_mul_(estimates, 1 - group["beta"])
                torch._foreach_add_(estimates, grads)
            else:
                estimates = [g.clone() for g in grads]
            state = {"estimate": estimates, "previous": [here[p] for p in params]}
            moves.append(Move(group, params, estimates, state))
        return moves


class SSVRFS(SnapshotOptimizer):
    r"""SSVR for finite sums f = (1/m) sum_i f_i. The paper's own form was not readable; both forms below have its rate.

    form "storm" (A):  v_t = g_i(x_t) + (1 - beta) (v_{t-1} - g_i(x_{t-1})) - beta (g_i(x_s) - G_s),  v_1 = G_s
    form "spider" (B): v_t = grad f(x_t) at a snapshot, else v_{t-1} + g_i(x_t) - g_i(x_{t-1})
    x_{t+1} = x_t - lr * sign(v_t)

    x_s, G_s = grad f(x_s) is the snapshot, taken by the caller once per pass (every m steps). Component gradients a step,
    snapshot included: 4 (storm), 3 (spider).

    >>> w = torch.nn.Parameter(torch.zeros(3)); x, y = torch.randn(8, 2, 3), torch.randn(8, 2); opt = SSVRFS([w], lr=1e-2)
    >>> def loss_on(i):
    ...     opt.zero_grad(); loss = (x[i] @ w - y[i]).square().mean(); loss.backward(); return loss
    >>> opt.snapshot(lambda: loss_on(slice(None)), num_components=8)
    >>> losses = [opt.step(lambda i=i: loss_on(i)) for i in range(8)]

    Args:
        params: parameters to optimise, x.
        buffers: `model.buffers()`, left untouched by every pass but the one at x_t.
        lr: eta, step size (theory: m^(-1/4) d^(-1/2) T^(-1/2) up to a constant).
        beta: weight of the new gradient in form "storm", in (0, 1]; None: 1/m. Form "spider" has none.
        form: "storm" or "spider".
        weight_decay: decoupled weight decay: x shrinks by the factor 1 - lr * weight_decay at each step.
    References:
        Jiang et al., 2024, arXiv 2406.00489, Theorem 2 (rate). Fang et al., 2018 (SPIDER).
    """

    def __init__(
        self,
        params: Any,
        buffers: Iterable[Tensor] = (),
        *,
        beta: Fraction | None = None,
        form: Literal["storm", "spider"] = "storm",
        **shared: Any,
    ) -> None:
        super().__init__(params, buffers, {"beta": beta, "form": form}, **shared)

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """Theorem 2: lr = m^(-1/4) d^(-1/2) T^(-1/2), beta = 1/m, up to constants."""
        m = num_components or 1
        return {"lr": m**-0.25 * dim**-0.5 * horizon**-0.5, "beta": 1 / m}

    def _extra_passes(self) -> bool:
        return any("previous" in state for state in self.state.values())

    def _check(self, group: dict[str, Any], scheduled: bool = False) -> None:
        super()._check(group, scheduled)
        if group["form"] not in ("storm", "spider"):
            raise ValueError(f"form = '{group['form']}': 'storm' or 'spider'")
        if group["form"] != self.defaults["form"]:
            raise ValueError(f"form = '{group['form']}': all groups share one, '{self.defaults['form']}'")

    def _estimate(self, closure: Closure) -> list[Move]:
        self._require_snapshot()
        active = [p for group in self.param_groups for p in self._active(group)[0]]
        started = [p for p in active if self._has(p, "estimate")]
        estimates = {p: (self.state[p]["full"] if self._has(p, "full") else p.grad).clone() for p in active}  # type: ignore[union-attr]
        if not (self._fresh and self.defaults["form"] == "spider"):
            estimates |= self._recursion(closure, started)
        moves = []
        for group in self.param_groups:
            params, _ = self._active(group)
            directions = [estimates[p] for p in params]
            state = {"estimate": directions, "previous": [p.clone() for p in params]}
            moves.append(Move(group, params, directions, state))
        return moves

    def _recursion(self, closure: Closure, started: list[Tensor]) -> dict[Tensor, Tensor]:
        """v_t out of v_{t-1} for parameters that have one; at a fresh snapshot g_i(x_s) is g_i(x_t)."""
        if not started:
            return {}
        storm = self.defaults["form"] == "storm"
        old = self._gradient_at({p: self.state[p]["previous"] for p in started}, closure)
        held = [p for p in started if storm and self._has(p, "snapshot")]
        anchor = {p: p.grad for p in held}
        if held and not self._fresh:
            anchor = self._gradient_at({p: self.state[p]["snapshot"] for p in held}, closure)
        found: dict[Tensor, Tensor] = {}
        for group in self.param_groups:
            params = [p for p in group["params"] if p in old]
            if not params:
                continue
            estimates = list(torch._foreach_sub(self._slot(params, "estimate"), [old[p] for p in params]))
            found |= zip(params, estimates)
            if storm:
                beta = group["beta"] or 1 / group["num_components"]
                torch._foreach_mul_(estimates, 1 - beta)
                anchored = [p for p in params if p in anchor]
                if anchored:
                    moved = [found[p] for p in anchored]
                    torch._foreach_add_(moved, self._slot(anchored, "full"), alpha=beta)
                    torch._foreach_sub_(moved, [anchor[p] for p in anchored], alpha=beta)  # type: ignore[misc]
            torch._foreach_add_(estimates, [p.grad for p in params])
        return found
