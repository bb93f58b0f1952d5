"""Hermite polynomials against NumPy's, their identities, and exponents that the literature states."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.polynomial import hermite_e

from bench.tasks.feature_learning.hermite import (
    coefficient,
    generative_exponent,
    hermite,
    information_exponent,
    label_power,
    moments,
    monomials,
    quadrature,
)

Z = torch.linspace(-3, 3, 13, dtype=torch.float64)


@pytest.mark.parametrize("k", range(7))
def test_polynomials_are_those_of_numpy(k):
    unit = np.eye(7)[k]
    np.testing.assert_allclose(hermite(k, Z), hermite_e.hermeval(Z.numpy(), unit), atol=1e-12)
    np.testing.assert_allclose(np.polynomial.polynomial.polyval(Z.numpy(), monomials(k)), hermite(k, Z), atol=1e-12)


def test_they_are_orthogonal_with_norm_k_factorial():
    z, w = quadrature()
    gram = torch.stack([torch.stack([(w * hermite(j, z) * hermite(k, z)).sum() for j in range(7)]) for k in range(7)])
    np.testing.assert_allclose(gram, np.diag([math.factorial(k) for k in range(7)]), atol=1e-9)


def test_derivative_and_recurrence():
    """He_k' = k He_{k-1}, by automatic differentiation."""
    z = Z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(hermite(5, z).sum(), z)
    np.testing.assert_allclose(gradient, 5 * hermite(4, Z), atol=1e-11)


@pytest.mark.parametrize(
    ("link", "information", "generative"),
    [
        (lambda z: z, 1, 1),
        (lambda z: hermite(2, z), 2, 2),
        (lambda z: hermite(3, z), 3, 1),  # a polynomial that is not even: 1
        (lambda z: hermite(4, z), 4, 2),  # even: 2
        (lambda z: hermite(5, z), 5, 1),
        (torch.relu, 1, 1),
        (torch.cos, 2, 2),
        (lambda z: z**2 * torch.exp(-(z**2)), 4, 4),  # Damian et al., 2024: no transform helps
    ],
)
def test_exponents(link, information, generative):
    assert (information_exponent(link), generative_exponent(link)) == (information, generative)


def test_a_constant_has_none():
    assert information_exponent(torch.ones_like) is None
    assert generative_exponent(torch.ones_like) is None


def test_label_powers_lower_the_information_exponent_of_he3():
    """He_3^2 = He_6 + 9 He_4 + 18 He_2 + 6, and E He_3^3 He_1 = 9 4! + 3 18 2! = 324."""
    square, cube = (lambda z: hermite(3, z) ** 2), (lambda z: hermite(3, z) ** 3)
    expected = hermite(6, Z) + 9 * hermite(4, Z) + 18 * hermite(2, Z) + 6
    np.testing.assert_allclose(square(Z), expected, atol=1e-10)
    assert information_exponent(square) == 2
    assert coefficient(cube, 1) == pytest.approx(324)
    assert moments(lambda z: hermite(3, z)) == pytest.approx((0, math.sqrt(6)), abs=1e-9)


@pytest.mark.parametrize(
    ("coefficients", "power", "exponent"),
    [
        ([0, 1], 1, 1),
        ([0, 0, 1], 1, 2),  # even
        ([0, 0, 0, 1], 3, 1),  # E He_3^2 He_1 = 0, E He_3^3 He_1 = 324
        ([0, 0, 0, 0, 1], 2, 2),
        ([0, 0, 0, 0, 0, 1], 3, 1),
        ([0, 0, 0, 0, 0, 0, 1], 2, 2),
        ([0, 0, 1, 1], 2, 1),  # not even: He_2 He_3 has He_1, and an exponent of 2 is not enough
        ([5, 0, 0, 1e-3, 1], 2, 1),  # 2 He_3 He_4 has He_1; an even polynomial but for a thousandth
        ([0, 0, 0, 1, 0, -0.15], 5, 1),  # E (He_3 + c He_5)^3 He_1 = 324 + 5400 c + 54000 c^2 + 216000 c^3, zero here
    ],
)
def test_powers_of_polynomials_lower_the_exponent(coefficients, power, exponent):
    def link(z):
        return sum(c * hermite(k, z) for k, c in enumerate(map(float, coefficients)))

    assert label_power(link) == (power, exponent)
    assert label_power(lambda z: -3 * link(z)) == (power, exponent)
