"""Stochastic gradients of the negative expected log joint: minibatches, and four ways to take the expectation over q.

E(q) = E_q[-log p(y, z)] has g = E_q grad and H = E_q Hess of -log p(y, z); g is the gradient of E by the mean, H / 2 that by the
covariance (Bonnet, Price). The likelihood's part of a minibatch of b out of n data is multiplied by n / b, the prior's part is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.inference.bayes import BayesianModel
from bench.tasks.inference.gaussian import Gaussian

CHUNK = 128  # steps whose draws are made at once
Kind = Literal["exact", "quadrature", "monte_carlo", "gradient"]


class EnergyGradients:
    """Unbiased estimates of g and H at each step, for S seeds at once; a seed's draws are the same for every method and setting.

    Args:
        model: of S seeds.
        seeds: S of them.
        kind: how the expectation over q is taken, of which the last two use `samples` draws z = m + C u.
            exact: in closed form, where the likelihood has one.
            quadrature: one-dimensional rules in each datum's linear predictor, exact to 1e-10 (a closed form where there is one).
            monte_carlo: means of the gradient and of the Hessian at z.
            gradient: no second derivatives: H is the symmetrised mean of grad(z) (C^-T u)^T (Stein's identity), which need not be
                positive definite even where every Hessian is.
        batch_size: b, drawn with replacement from the stream "order"; None: all data at each step.
        samples: draws of z at each step, from the stream "noise".

    Raises:
        ValueError: kind is exact and the likelihood has no closed form.
    """

    def __init__(
        self, model: BayesianModel, seeds: Sequence[int], kind: Kind, batch_size: int | None, samples: int
    ) -> None:
        if kind == "exact" and not model.likelihood.closed_form:
            name = type(model.likelihood).__name__
            raise ValueError(f"estimator = 'exact': a {name} likelihood has no closed form; use quadrature")
        self.model, self.seeds, self.kind, self.batch_size, self.samples = model, list(seeds), kind, batch_size, samples
        self.sampled = kind in ("monte_carlo", "gradient")
        self.weight = 1.0 if batch_size is None else model.num_data / batch_size
        self._rows = torch.arange(len(model.x), device=model.x.device)[:, None]
        self._chunk = -1
        self._indices = self._noise = self._statistics = None

    @property
    def cost(self) -> int:
        """Gradients of single data that a step takes, of one seed and setting."""
        return (self.batch_size or self.model.num_data) * (self.samples if self.sampled else 1)

    def __call__(self, t: int, q: Gaussian) -> tuple[Tensor, Tensor]:
        """(g, H) at step t = 0, 1, ... for a q of K settings: [K, S, d] and [K, S, d, d] or, where H does not depend on q, [S, d, d]."""
        chunk, offset = divmod(t, CHUNK)
        if chunk != self._chunk:
            self._draw(chunk)
        if self._statistics is not None:
            return self._quadratic(*(s[offset] for s in self._statistics), q)
        batch = self.model
        if self._indices is not None:
            batch = self._batch(self._indices[offset])
        if not self.sampled:
            return self._scaled(*batch.energy_gradients(q), q)
        return self._sampled(batch, q, self._noise[offset])  # type: ignore[index]

    def _draw(self, chunk: int) -> None:
        model, device, d = self.model, self.model.x.device, self.model.dim
        if self.batch_size is not None:
            size, n = (CHUNK, self.batch_size), model.num_data
            drawn = [torch.randint(n, size, generator=generator(s, "order", chunk)) for s in self.seeds]
            self._indices = torch.stack(drawn, 1).to(device)  # type: ignore[assignment]  # [CHUNK, S, b]
        if self.sampled:
            size = (CHUNK, self.samples, d)
            drawn = [torch.randn(size, generator=generator(s, "noise", chunk), dtype=torch.float64) for s in self.seeds]
            self._noise = torch.stack(drawn, 2).to(device)  # type: ignore[assignment]  # [CHUNK, samples, S, d]
        elif model.likelihood.conjugate:
            self._statistics = self._sums()  # type: ignore[assignment]
        self._chunk = chunk

    def _batch(self, indices: Tensor) -> BayesianModel:
        """The model of a minibatch, indices [..., S, b]."""
        m = self.model
        rows = self._rows if len(m.x) > 1 else 0
        return BayesianModel(m.x[rows, indices], m.y[rows, indices], m.likelihood, m.prior_mean, m.prior_precision)

    def _sums(self) -> tuple[Tensor, Tensor]:
        """H [CHUNK, S, d, d] and H m - g [CHUNK, S, d] of a quadratic log joint: they do not depend on q."""
        m = self.model
        batch = m if self._indices is None else self._batch(self._indices)
        scale = self.weight / m.likelihood.noise  # type: ignore[attr-defined]
        hessian = m.prior_precision + scale * (batch.x.mT @ batch.x)
        right = m.prior_precision @ m.prior_mean + scale * (batch.y[..., None, :] @ batch.x)[..., 0, :]
        if self._indices is None:
            hessian, right = (s.expand(CHUNK, *s.shape) for s in (hessian, right))
        return hessian, right

    @staticmethod
    def _quadratic(hessian: Tensor, right: Tensor, q: Gaussian) -> tuple[Tensor, Tensor]:
        return torch.einsum("sij,ksj->ksi", hessian, q.mean) - right, hessian

    def _scaled(self, g: Tensor, hessian: Tensor, q: Gaussian) -> tuple[Tensor, Tensor]:
        """n / b times the likelihood's part; the prior's part as it is."""
        force, precision = self.model.prior_force(q.mean), self.model.prior_precision
        return self.weight * (g - force) + force, self.weight * (hessian - precision) + precision

    def _sampled(self, batch: BayesianModel, q: Gaussian, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Means over z = m + C u, noise u [samples, S, d]."""
        u = noise[:, None]  # [samples, 1, S, d], the same for all settings
        z = q.mean + torch.einsum("ksij,ausj->aksi", q.scale, u)
        first, second = batch.likelihood.derivatives(torch.einsum("snd,aksd->aksn", batch.x, z), batch.y)
        gradients = self.weight * batch.pulled_back(first) + self.model.prior_force(z)
        if self.kind == "monte_carlo":
            return gradients.mean(0), self.weight * batch.curvature(second.mean(0)) + self.model.prior_precision
        outer = (gradients[..., None] * q.whiten_transposed(u.expand_as(z))[..., None, :]).mean(0)
        return gradients.mean(0), (outer + outer.mT) / 2
