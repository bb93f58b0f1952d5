"""The Hessian of -ELBO over N(m, v) against elementary formulas and adaptive quadrature, on the map that is drawn and beyond it."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad

from bench.errors import UserError
from bench.tasks.curvature.plane import Plane
from datasets.bayes.drawn import repeated_datum
from methods.variational.parameterisations import ExpectationParameters, MeanScale

COORDINATES = [ExpectationParameters(), MeanScale()]
PRIOR = 1 / 100


def plane(coordinates, likelihood: str, copies: int = 3) -> Plane:
    return Plane(coordinates, repeated_datum("", [0], likelihood=likelihood, copies=copies))


def largest_error(coordinates, found, m, v, derivatives) -> float:
    """Of the Hessian in the basis of the closed form, relative to the largest entry, over all points."""
    basis = coordinates.basis(m, v)
    wanted = coordinates.hessian(m, v, derivatives, torch.tensor(PRIOR, dtype=torch.float64))
    error = (basis.mT @ found @ basis - wanted).abs().amax((-2, -1)) / wanted.abs().amax((-2, -1))
    return error.max().item()


@pytest.mark.parametrize("coordinates", COORDINATES, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("largest", [1.5, 2.3])  # log10 of the largest variance: of the map, and beyond
def test_poisson_is_its_closed_form(coordinates, largest):
    """All derivatives of exp are exp: E f^(k) = N exp(m + v / 2)."""
    m, v = torch.meshgrid(
        torch.linspace(-4, 4, 9, dtype=torch.float64),
        10 ** torch.linspace(-2, largest, 15, dtype=torch.float64),
        indexing="ij",
    )
    mass = 3 * (m + v / 2).exp()
    of = plane(coordinates, "poisson")
    assert largest_error(coordinates, of.hessians(m, v), m, v, [mass] * 3) < 1e-9
    for found in of._derivatives(m, v):
        torch.testing.assert_close(found, mass, rtol=1e-12, atol=0)


def logistic(k: int, z: float) -> float:
    """The k-th derivative of log(1 + e^z)."""
    p = 1 / (1 + math.exp(-z)) if z > -700 else 0.0
    slope = p * (1 - p)
    return {2: slope, 3: slope * (1 - 2 * p), 4: slope * (1 - 6 * p + 6 * p * p)}[k]


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")  # integrals that are 0 by symmetry
@pytest.mark.parametrize("coordinates", COORDINATES, ids=lambda c: type(c).__name__)
def test_logistic_is_adaptive_quadrature(coordinates):
    points = [(-4.0, 0.01), (0.0, 0.01), (2.0, 3.0), (4.0, 31.6), (-4.0, 31.6), (0.0, 31.6), (3.0, 900.0), (0.0, 1e4)]
    m, v = torch.tensor(points, dtype=torch.float64).unbind(-1)

    def mean(k: int, m: float, v: float) -> float:
        s = math.sqrt(v)
        low, high = max(m - 12 * s, -45.0), min(m + 12 * s, 45.0)  # beyond it the derivatives are below 1e-19
        density = lambda z: math.exp(-((z - m) ** 2) / (2 * v)) / (s * math.sqrt(2 * math.pi))  # noqa: E731
        ends = [p for p in (-6.0, -1.0, 0.0, 1.0, 6.0, m) if low < p < high]
        return quad(lambda z: logistic(k, z) * density(z), low, high, points=ends, epsabs=1e-16, epsrel=1e-11)[0]

    derivatives = [torch.tensor([3 * mean(k, *p) for p in points], dtype=torch.float64) for k in (2, 3, 4)]
    of = plane(coordinates, "bernoulli")
    assert largest_error(coordinates, of.hessians(m, v), m, v, derivatives) < 1e-9
    for found, wanted in zip(of._derivatives(m, v), derivatives):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-14)


def test_a_point_does_not_depend_on_the_widest_of_its_map():
    m, v = torch.tensor([1.0, 1.0], dtype=torch.float64), torch.tensor([0.5, 400.0], dtype=torch.float64)
    for likelihood in ("bernoulli", "poisson"):
        of = plane(COORDINATES[0], likelihood)
        torch.testing.assert_close(of.hessians(m, v)[:1], of.hessians(m[:1], v[:1]), rtol=1e-10, atol=1e-12)


def test_jensens_gap_of_poisson_in_closed_form():
    """-ELBO = N exp(m + v / 2) - log(v) / 2 + what is linear in the expectation parameters."""
    pair, middle = [(0.5, 2.75), (1.5, 0.75)], (1.0, 2.0)

    def value(m: float, v: float) -> float:
        return 10 * math.exp(m + v / 2) - math.log(v) / 2

    gap = plane(COORDINATES[0], "poisson", 10).jensen_gap([list(point) for point in pair])
    assert gap == pytest.approx(value(*middle) - (value(*pair[0]) + value(*pair[1])) / 2, rel=1e-12)
    assert gap > 0
    assert plane(COORDINATES[1], "poisson", 10).jensen_gap([list(point) for point in pair]) < 0


def test_a_variance_that_asks_for_too_many_nodes_is_one_line():
    m, v = torch.zeros(1, dtype=torch.float64), torch.tensor([1e5], dtype=torch.float64)
    with pytest.raises(UserError, match="at most 100"):
        plane(COORDINATES[0], "bernoulli").hessians(m, v)
