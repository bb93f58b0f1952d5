"""Feature learning by stochastic gradients with weight decay: the three stages of methods/two_layer/regularised_gd.py from fresh samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bench.tasks.teacher_recovery.oracle import Oracle
from bench.tasks.teacher_recovery.relu_population import TINY
from bench.types import PositiveInt
from methods.two_layer.regularised_gd import RegularisedGD

CHUNK = 10_000  # samples of the first stages that are in memory at once


class RegularisedSGD(RegularisedGD):
    r"""RegularisedGD with every expectation replaced by a mean over fresh Gaussian samples.

    alpha = mean y and beta = mean y x of the first sample leave y - alpha - beta.x as the target. The network's own mean and linear part are
    known, x being N(0, I): sum_j a_j (relu(w_j.x) - ||w_j|| / sqrt(2 pi) - w_j.x / 2). With residual R = f - y on a minibatch,

        grad_{a_j} = mean R s(w_j.x),    grad_{w_j} = a_j mean R (sign(w_j.x) x / 2 - w_j / (||w_j|| sqrt(2 pi))).

    Their means are the population's gradients whatever the errors of alpha and beta, which are orthogonal to every s(w.x).

    Args:
        features, ridge, lr, lam, halvings, floor: as RegularisedGD.
        first_samples: of alpha and beta, again of stage 1, and again of stage 2.
        batch_size: samples a step of stage 3.
    References: as RegularisedGD.
    """

    def __init__(self, *, first_samples: PositiveInt, batch_size: PositiveInt, **shared: Any) -> None:
        super().__init__(**shared)
        self.first_samples, self.batch_size = first_samples, batch_size

    def _teacher_gradient(self, oracle: Oracle, rows: Tensor) -> Tensor:
        found = torch.zeros_like(rows)
        for x, y in self._large(oracle, 1):
            found += correlations(x, y, rows)[1]
        return found / self.first_samples

    def _regression(self, oracle: Oracle, rows: Tensor) -> tuple[Tensor, Tensor]:
        gram = rows.new_zeros(*rows.shape[:-1], rows.shape[-2])
        target = rows.new_zeros(rows.shape[:-1])
        for x, y in self._large(oracle, 2):
            s = centred(x @ rows.mT, rows)
            gram += s.mT @ s
            target += (s.mT @ y[..., None])[..., 0]
        return gram / self.first_samples, target / self.first_samples

    def _gradients(self, oracle: Oracle, t: int, a: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self._target(*oracle.draw(self.batch_size, 3, t))
        residual = (centred(x @ w.mT, w) @ a[..., None])[..., 0] - y
        by_a, by_w = correlations(x, residual, w)
        return by_a / self.batch_size, a[..., None] * (by_w / self.batch_size)

    def _large(self, oracle: Oracle, stage: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The sample of stage 1 or 2 in chunks, x [S, n, d] and the target [S, n]; before the first of them, alpha and beta."""
        if not self.state:
            self.state = self._preprocessed(oracle)
        yield from (self._target(x, y) for x, y in self._chunks(oracle, stage))

    def _chunks(self, oracle: Oracle, stage: int) -> Iterator[tuple[Tensor, Tensor]]:
        for k, begin in enumerate(range(0, self.first_samples, CHUNK)):
            yield oracle.draw(min(CHUNK, self.first_samples - begin), stage, k)

    def _preprocessed(self, oracle: Oracle) -> dict[str, Tensor]:
        """alpha [S, 1] and beta [S, d]."""
        alpha, beta = 0, 0
        for x, y in self._chunks(oracle, 0):
            alpha, beta = alpha + y.sum(1, keepdim=True), beta + (y[:, None] @ x)[:, 0]
        return {"alpha": alpha / self.first_samples, "beta": beta / self.first_samples}  # type: ignore[dict-item]

    def _target(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x, y - self.state["alpha"] - (x @ self.state["beta"][..., None])[..., 0]


def centred(h: Tensor, w: Tensor) -> Tensor:
    """s(w_j.x) = |h| / 2 - ||w_j|| / sqrt(2 pi) [..., n, m] of pre-activations h = x w^T."""
    return h.abs() / 2 - w.norm(dim=-1)[..., None, :] / math.sqrt(2 * math.pi)


def correlations(x: Tensor, residual: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over a sample of residual s(w_j.x) [..., m], and of its gradient by w_j [..., m, d].

    Args:
        x: [S, n, d]. residual: [..., S, n]. w: [..., S, m, d].
    """
    h = x @ w.mT
    length = w.norm(dim=-1)
    mean = residual.sum(-1)[..., None] / math.sqrt(2 * math.pi)
    by_w = (h.sign() * residual[..., None]).mT @ x / 2 - (mean / length.clamp_min(TINY))[..., None] * w
    return (by_w * w).sum(-1), by_w
