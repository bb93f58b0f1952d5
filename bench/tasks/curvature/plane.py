"""-ELBO over all Gaussians N(m, v) of one weight: its Hessian by automatic differentiation, and in closed form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from bench.errors import UserError
from bench.numerics import eigvalsh
from bench.tasks.curvature.protocol import Parameterisation
from bench.tasks.inference.bayes import BayesianModel

LARGEST = 1e6  # of what cancels in a Hessian
STEP, REACH = 0.1, 9.0  # the trapezoidal rule over N(0, 1), exact to rounding for functions analytic near the real line


class Plane:
    """-ELBO of a model of one weight as a function of the coordinates of N(m, v); on the model's device.

    Raises:
        UserError: the model has more weights, or one data set for each seed; or parts of the Hessian that cancel are so large that their
            rounding errors hide the others.
    """

    def __init__(self, coordinates: Parameterisation, model: BayesianModel) -> None:
        if model.dim != 1 or len(model.x) != 1:
            raise UserError(f"task curvature: a model of one weight, the same for all seeds; this one has {model.dim}")
        self.coordinates, self.device = coordinates, model.x.device
        self.x, self.y, self.nll = model.x[0, :, 0], model.y[0], model.likelihood.nll
        self.prior_mean, self.prior_precision = model.prior_mean[0], model.prior_precision[0, 0]
        for name, size in (("1 / dataset.prior_variance", self.prior_precision), ("dataset.y", self.y.abs().max())):
            if size > LARGEST:
                raise UserError(
                    f"task curvature: {name} = {float(size):g}, at most {LARGEST:g}: the Hessian drowns in rounding errors"
                )
        self.nodes = torch.arange(-REACH, REACH + STEP / 2, STEP, dtype=torch.float64, device=self.device)
        weights = torch.exp(-self.nodes.square() / 2)
        self.weights = weights / weights.sum()

    def minus_elbo(self, point: Tensor) -> Tensor:
        """E_q f + KL(q || prior) up to a constant, for coordinates [2]."""
        m, v = self.coordinates.moments(point)
        energy = self._mean(lambda z: self.nll(self.x[:, None] * z, self.y[:, None]).sum(0), m, v)
        return energy + self.prior_precision / 2 * ((m - self.prior_mean).square() + v) - v.log() / 2

    def _mean(self, of: Callable[[Tensor], Tensor], m: Tensor, v: Tensor) -> Tensor:
        return of(m + v.sqrt() * self.nodes) @ self.weights

    def hessians(self, m: Tensor, v: Tensor) -> Tensor:
        """By automatic differentiation in the coordinates themselves, [..., 2, 2]."""
        points = self.coordinates.parameters(m, v).reshape(-1, 2)
        return vmap(jacrev(grad(self.minus_elbo)), chunk_size=1024)(points).reshape(*m.shape, 2, 2)

    def relative(self, m: Tensor, v: Tensor, found: Tensor) -> Tensor:
        """The smallest eigenvalue of the Hessians relative to the Fisher information, [...]."""
        basis = self.coordinates.basis(m, v) / self.coordinates.fisher(m, v).sqrt()[..., None, :]
        return eigvalsh(basis.mT @ found @ basis)[..., 0]

    def closed_form_error(self, m: Tensor, v: Tensor, found: Tensor) -> float:
        """The largest entry of the difference, relative to the largest of the Hessian, over all points."""
        basis = self.coordinates.basis(m, v)
        closed = self.coordinates.hessian(m, v, self._derivatives(m, v), self.prior_precision)
        error = (basis.mT @ found @ basis - closed).abs().amax((-2, -1)) / closed.abs().amax((-2, -1))
        return error.max().item()

    def _derivatives(self, m: Tensor, v: Tensor) -> list[Tensor]:
        """E f'', E f''', E f'''' of f(z) = -log p(y | z), [...]."""
        order: Callable[[Tensor], Tensor] = lambda z: self.nll(self.x * z, self.y).sum()  # noqa: E731
        found = []
        for _ in range(4):
            order = grad(order)
            each = vmap(order)
            found.append(self._at_nodes(each, m, v))
        return found[1:]

    def _at_nodes(self, of: Callable[[Tensor], Tensor], m: Tensor, v: Tensor) -> Tensor:
        z = m[..., None] + v.sqrt()[..., None] * self.nodes
        return of(z.flatten()).reshape(z.shape) @ self.weights

    def point_rows(self, points: list[list[float]]) -> list[dict[str, float]]:
        """The eigenvalues at (m, v)."""
        if not points:
            return []
        m, v = torch.tensor(points, dtype=torch.float64, device=self.device).unbind(-1)
        eigenvalues = eigvalsh(self.hessians(m, v)).tolist()
        return [
            {"m": m, "v": v, "low_eigenvalue": low, "high_eigenvalue": high}
            for (m, v), (low, high) in zip(points, eigenvalues)
        ]

    def jensen_gap(self, pair: list[list[float]]) -> float:
        """-ELBO at the midpoint of two points, averaged in the coordinates, minus the mean of its values there."""
        ends = self.coordinates.parameters(*torch.tensor(pair, dtype=torch.float64, device=self.device).unbind(-1))
        values = [self.minus_elbo(point) for point in (ends.mean(0), *ends)]
        return (values[0] - (values[1] + values[2]) / 2).item()
