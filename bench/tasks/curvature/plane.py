"""-ELBO over all Gaussians N(m, v) of one weight: its Hessian by automatic differentiation, and in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from bench.errors import UserError
from bench.numerics import eigvalsh
from bench.tasks.curvature.protocol import Parameterisation
from bench.tasks.inference.bayes import BayesianModel

LARGEST = 1e6  # of what cancels in a Hessian
STEP, REACH = 0.1, 9.0  # of the trapezoidal rule over N(0, 1)
FINE = 0.5  # its largest step in the predictor
WIDEST = 100.0  # deviation of the predictor: nodes grow as its square
NUMBERS = 2**18  # values of f that are computed at once


def trapezoidal(deviation: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights for means over N(0, 1) of f at predictors of this deviation, and of derivatives of f.

    Exact to rounding where f is analytic within pi of the real line (logistic: the error is exp(-2 pi^2 / FINE)) and grows no faster than
    exp |a|: the mean of exp a is the mass of a Gaussian whose centre is one deviation away, so the nodes reach as much further. (f itself
    overflows at the last nodes from a deviation of 22 on where it is exponential, as for Poisson data, and all is NaN.)
    """
    step = min(STEP, FINE / max(deviation, FINE))
    count = math.ceil((REACH + deviation) / step)
    nodes = torch.arange(-count, count + 1, dtype=torch.float64, device=device) * step
    weights = torch.exp(-nodes.square() / 2)
    return nodes, weights / weights.sum()


class Plane:
    """-ELBO of a model of one weight as a function of the coordinates of N(m, v); on the model's device.

    Raises:
        UserError: the model has more weights, or one data set for each seed; or parts of the Hessian that cancel are so large that their
            rounding errors hide the others; or, later, a variance is too large.
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

    def _rule(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes and weights for variances up to the largest of v."""
        deviation = float(self.x.abs().max() * v.max().sqrt())
        if not deviation <= WIDEST:
            raise UserError(
                f"task curvature: a deviation of {deviation:.3g} of the predictor, at most {WIDEST:g}: smaller variances v"
            )
        return trapezoidal(deviation, self.device)

    def _at_once(self, nodes: Tensor) -> int:
        """Points (m, v) whose f fit in memory."""
        return max(1, NUMBERS // (len(nodes) * len(self.x)))

    def minus_elbo(self, point: Tensor, nodes: Tensor, weights: Tensor) -> Tensor:
        """E_q f + KL(q || prior) up to a constant, for coordinates [2]."""
        m, v = self.coordinates.moments(point)
        z = m + v.sqrt() * nodes
        energy = self.nll(self.x[:, None] * z, self.y[:, None]).sum(0) @ weights
        return energy + self.prior_precision / 2 * ((m - self.prior_mean).square() + v) - v.log() / 2

    def hessians(self, m: Tensor, v: Tensor) -> Tensor:
        """By automatic differentiation in the coordinates themselves, [..., 2, 2]."""
        rule = self._rule(v)
        points = self.coordinates.parameters(m, v).reshape(-1, 2)
        hessian = jacrev(grad(lambda point: self.minus_elbo(point, *rule)))  # type: ignore[misc]
        return vmap(hessian, chunk_size=self._at_once(rule[0]))(points).reshape(*m.shape, 2, 2)

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
        rule, found = self._rule(v), []
        for _ in range(4):
            order = grad(order)
            found.append(self._means(vmap(order), m, v, *rule))
        return found[1:]

    def _means(self, of: Callable[[Tensor], Tensor], m: Tensor, v: Tensor, nodes: Tensor, weights: Tensor) -> Tensor:
        size = self._at_once(nodes)
        parts = zip(m.flatten().split(size), v.sqrt().flatten().split(size))
        z = (mean[:, None] + deviation[:, None] * nodes for mean, deviation in parts)
        return torch.cat([of(each.flatten()).reshape(each.shape) @ weights for each in z]).reshape(m.shape)

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
        m, v = torch.tensor(pair, dtype=torch.float64, device=self.device).unbind(-1)
        ends = self.coordinates.parameters(m, v)
        middle = ends.mean(0)
        rule = self._rule(torch.stack([*v, self.coordinates.moments(middle)[1]]))
        values = [self.minus_elbo(point, *rule) for point in (middle, *ends)]
        return (values[0] - (values[1] + values[2]) / 2).item()
