"""The sign methods and torch's optimizers on a list of parameters, a step at a time; a step with a gradient that is not finite is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Params = list[Tensor]
SNAPSHOTS = ("signsvrg", "ssvr_fs", "ssvr_fs_spider")


class Steps:
    """One method's steps.

    Args:
        name, keys: as in the suite's configs.
        params: where it starts.
        beta: of "ssvr", "signsgd_sim" and "ssvr_fs" (None: one over the number of minibatches).
    """

    def __init__(self, name: str, keys: dict[str, Any], params: Params, beta: float | None) -> None:
        self.name, self.keys, self.x, self.beta = name, keys, [p.clone() for p in params], beta
        self.skipped, self.fresh = 0, False
        self.v: Params | None = None  # the estimate, and the point that it is of
        self.before: Params | None = None
        self.s: Params | None = None  # the snapshot, and its gradient
        self.full: Params | None = None
        self.error = [torch.zeros_like(p) for p in params]
        self.torchs = self._torchs() if name in ("sgd", "adamw") else None

    def _torchs(self) -> torch.optim.Optimizer:
        k, points = self.keys, [torch.nn.Parameter(p) for p in self.x]
        decay = k.get("weight_decay", 0.0)
        if self.name == "sgd":
            more = {"momentum": k.get("momentum", 0.9), "nesterov": k.get("nesterov", False)}
            return torch.optim.SGD(points, lr=1.0, weight_decay=decay, foreach=False, **more)
        betas = k.get("beta1", 0.9), k.get("beta2", 0.999)
        return torch.optim.AdamW(points, lr=1.0, betas=betas, weight_decay=decay, foreach=False)

    def snapshot(self, gradient: Params, minibatches: int) -> None:
        """The gradient of the whole epoch at x; one that is not finite is left out and counted."""
        self.minibatches, self.fresh = minibatches, finite(gradient)
        if self.fresh:
            self.s, self.full = [p.clone() for p in self.x], gradient
        else:
            self.skipped += 1

    def step(self, lr: float, g: Params, at: Callable[[Params], Params]) -> None:
        """g: the minibatch's gradient at x; at: its gradient at any other point, each call a pass."""
        v = self._estimate(g, at)
        if not finite(v) or not finite(g):
            self.skipped += 1
            return
        self.v, self.before, self.fresh = v, [p.clone() for p in self.x], False
        decay = 1 - lr * self.keys.get("weight_decay", 0.0)
        if self.torchs is not None:
            self._torchs_step(lr, g)
        elif self.name == "ef_signsgd":
            for k, (p, e) in enumerate(zip(self.x, self.error)):
                whole = lr * g[k] + e
                delta = whole.abs().mean() * whole.sign()
                self.x[k], self.error[k] = decay * p - delta, whole - delta
        else:
            self.x = [decay * p - lr * d.sign() for p, d in zip(self.x, v)]

    def _estimate(self, g: Params, at: Callable[[Params], Params]) -> Params:
        if self.name == "signsgd_sim" and self.v is not None:
            return [(1 - self.beta) * old + self.beta * new for old, new in zip(self.v, g)]
        if self.name == "ssvr" and self.v is not None and self.beta < 1:
            return [new + (1 - self.beta) * (old - o) for new, old, o in zip(g, self.v, at(self.before))]
        if self.name == "signsvrg" and self.full is not None:
            if self.fresh:
                return self.full
            return [new - there + whole for new, there, whole in zip(g, at(self.s), self.full)]
        if self.name == "ssvr_fs_spider":
            return self._spider(g, at)
        return self._storm(g, at) if self.name == "ssvr_fs" else g

    def _spider(self, g: Params, at: Callable[[Params], Params]) -> Params:
        if self.fresh:
            return self.full
        return g if self.v is None else [old + new - o for old, new, o in zip(self.v, g, at(self.before))]

    def _storm(self, g: Params, at: Callable[[Params], Params]) -> Params:
        if self.v is None:
            return g if self.full is None else self.full
        beta = 1 / self.minibatches if self.beta is None else self.beta
        v = [new + (1 - beta) * (old - o) for new, old, o in zip(g, self.v, at(self.before))]
        if self.full is None:
            return v
        there = g if self.fresh else at(self.s)
        return [one - beta * (a - whole) for one, a, whole in zip(v, there, self.full)]

    def _torchs_step(self, lr: float, g: Params) -> None:
        (group,) = self.torchs.param_groups
        group["lr"] = lr
        for p, gradient in zip(group["params"], g):
            p.grad = gradient
        self.torchs.step()
        self.x = [p.detach().clone() for p in group["params"]]


def finite(tensors: Params) -> bool:
    return all(bool(t.isfinite().all()) for t in tensors)
