"""Gradients of several workers at one point, each on its own minibatch: one after another, or all in one pass.

One after another a worker's numbers are the same bit for bit whoever else is computed; in one pass (torch.func.vmap) they are so to rounding.
BatchNorm takes the statistics of a worker's own minibatch, and its running statistics are the worker's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from bench.errors import UserError
from bench.seeding import stream_seed

DROPOUT = 3  # of the streams "noise": the first ones are of samples, workers' signs and the server's
Minibatches = Sequence[tuple[Tensor, Tensor]]
Point = dict[str, Tensor]


class Gradients:
    """Losses and gradients of the network `model` for workers `own`.

    Args:
        seed: the run's, of dropout.
        autocast: the precision of the forward passes.
        batched: all workers in one pass.
    Attributes:
        buffers: running statistics of each worker.

    Raises:
        UserError: `batched` of a network that has running statistics or dropout.
    """

    def __init__(
        self,
        model: nn.Module,
        own: Sequence[int],
        seed: int,
        autocast: Callable[[], AbstractContextManager[Any]],
        batched: bool,
    ) -> None:
        self.model, self.own, self.seed, self._autocast = model, list(own), seed, autocast
        self.buffers: list[Point] = [{name: b.clone() for name, b in model.named_buffers()} for _ in self.own]
        self._noisy = any(isinstance(m, nn.Dropout | nn.Dropout2d) and m.p > 0 for m in model.modules())
        if batched and (self._noisy or self.buffers[0]):
            what = "dropout" if self._noisy else "running statistics (BatchNorm)"
            raise UserError(f"task.gradients = 'batched': this network has {what}; use task.gradients=looped")
        self._all = self._batched if batched else self._looped

    def __call__(
        self, point: Point, minibatches: Minibatches, step: int, remember: bool
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """Losses [m] and each worker's gradients [d], a tensor each, at `point`.

        Args:
            remember: is the pass one of those that running statistics take in? One at x_{t-1} is not.
        """
        return self._all(point, minibatches, step, remember)

    def _looped(
        self, point: Point, minibatches: Minibatches, step: int, remember: bool
    ) -> tuple[Tensor, list[list[Tensor]]]:
        point = {name: p.detach().requires_grad_() for name, p in point.items()}
        losses, gradients = [], []
        for worker, own, (x, y) in zip(self.own, self.buffers, minibatches):
            buffers = own if remember else {name: b.clone() for name, b in own.items()}
            if self._noisy:
                torch.manual_seed(stream_seed(self.seed, "noise", DROPOUT, worker, step))
            with torch.enable_grad():
                loss = self._loss(point, buffers, x, y)
                found = torch.autograd.grad(loss, list(point.values()))
            losses.append(loss.detach())
            gradients.append([g.reshape(-1) for g in found])
        return torch.stack(losses), gradients

    def _batched(
        self, point: Point, minibatches: Minibatches, step: int, remember: bool
    ) -> tuple[Tensor, list[list[Tensor]]]:
        x, y = (torch.stack(parts) for parts in zip(*minibatches))
        each = vmap(grad_and_value(lambda p, x, y: self._loss(p, {}, x, y)), in_dims=(None, 0, 0))
        found, losses = each({name: p.detach() for name, p in point.items()}, x, y)
        return losses, [[g[k].reshape(-1) for g in found.values()] for k in range(len(self.own))]

    def _loss(self, point: Point, buffers: Point, x: Tensor, y: Tensor) -> Tensor:
        with self._autocast():
            return F.cross_entropy(functional_call(self.model, (point, buffers), (x,)), y)
