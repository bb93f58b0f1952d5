"""What a method that trains a two-layer network may ask of a teacher: population quantities, or samples; the requests are counted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.teacher_recovery.relu_population import Teachers, correlation, gradients, kernel


class Oracle:
    """Answers about f* less its mean and linear part, of S seeds at once.

    Attributes:
        evaluations: gradients taken so far, each an expectation over the population (one a request) or one sample's.
    """

    def __init__(self, teachers: Teachers, seeds: Sequence[int], evaluations: int = 0) -> None:
        self._teachers, self._seeds, self.evaluations = teachers, list(seeds), evaluations

    def teacher_gradient(self, w: Tensor) -> Tensor:
        """Gradient by w of E[f* s(w.x)] at unit rows w [S, m, d]: minus the loss's at a network whose output is 0, but for the factor a_j."""
        self.evaluations += 1
        return correlation(w, self._teachers.units, self._teachers.weights)[1]

    def regression(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """E[s(u_j.x) s(u_l.x)] [S, m, m] and E[f* s(u_j.x)] [S, m] at unit rows u [S, m, d]."""
        self.evaluations += 1
        target = kernel(u @ self._teachers.units.mT) @ self._teachers.weights[..., None]
        return kernel(u @ u.mT), target[..., 0]

    def gradients(self, a: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Of E (f - f*)^2 / 2 by a [K, S, m] and w [K, S, m, d]."""
        self.evaluations += 1
        return gradients(a, w, self._teachers)

    def draw(self, count: int, *index: int) -> tuple[Tensor, Tensor]:
        """Inputs x ~ N(0, I) [S, n, d] and outputs f*(x) [S, n], of the stream ("noise", *index), drawn on the teachers' device."""
        units, device = self._teachers.units, self._teachers.units.device
        shape = (count, self._teachers.dim)
        streams = (generator(seed, "noise", *index, device=device) for seed in self._seeds)
        x = torch.stack([torch.randn(shape, generator=s, dtype=units.dtype, device=device) for s in streams])
        self.evaluations += count
        return x, ((x @ units.mT).relu_() @ self._teachers.weights[..., None])[..., 0]
