"""The generator on cells against closed forms, its stationary law, its own motion in time, and other solvers' eigenvalues."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import expm_multiply
from scipy.special import ive

from bench.errors import UserError
from bench.tasks.mixing import generator as mixing
from bench.tasks.mixing.generator import centres, flat_gap, generator, langevin, log_law, spectral_gap, symmetrised
from datasets.energies.potentials import Cosine
from methods.sampling.diffusions import ReflectedDiffusion

COLD, PAIR = [1.0], [1.0, 10.0]
TILTED = Cosine(amplitude=1.3, frequency=0.7, confinement=0.2)


class Uneven:
    """A potential without symmetry."""

    def energy(self, x):
        return np.sin(3 * x) + 0.4 * x + 0.3 * np.cos(7 * x + 1)


def diffusion(temperatures, swap_intensity=0.0):
    return ReflectedDiffusion(temperatures=temperatures, swap_intensity=swap_intensity)


def made(chains, potential, diameter: float, per_unit: int = 20):
    """(generator, log of its law)."""
    x, width = centres(diameter, per_unit)
    energy = potential.energy(x)
    return generator(chains, energy, width), log_law(chains, energy)


def gap(chains, potential, diameter: float, per_unit: int = 20) -> float:
    matrix, asymmetry = symmetrised(*made(chains, potential, diameter, per_unit))
    assert asymmetry < 1e-14
    return spectral_gap(matrix, asymmetry, flat_gap(chains, (math.pi / diameter) ** 2))


def test_cells_fill_the_interval():
    """Equal ones round its middle, as many as come nearest to the wanted width."""
    x, width = centres(3.02, 20)
    assert (len(x), width) == (60, pytest.approx(3.02 / 60))
    np.testing.assert_allclose(x, np.linspace(-1.51, 1.51, 121)[1::2], atol=1e-14)


@pytest.mark.parametrize("temperatures", [[0.7], [10.0], PAIR, [1.0, 3.0, 10.0]], ids=len)
@pytest.mark.parametrize("potential", [TILTED, Uneven()], ids=lambda p: type(p).__name__)
def test_flows_are_balanced_and_mass_is_kept(temperatures, potential):
    """pi_i L_ij = pi_j L_ji; rows sum to 0; the null vector of the transpose is the product of the Gibbs laws, and no other."""
    chains = diffusion(temperatures, 4.0 if len(temperatures) > 1 else 0.0)
    rates, log_weights = made(chains, potential, 1.0, 8)
    dense, law = rates.toarray(), np.exp(log_weights) / np.exp(log_weights).sum()
    flow = law[:, None] * dense
    np.testing.assert_allclose(flow, flow.T, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(dense.sum(1), 0, atol=1e-10)
    assert (dense - np.diag(np.diag(dense)) >= 0).all()
    null = scipy.linalg.null_space(dense.T, rcond=1e-12)
    assert null.shape[1] == 1
    np.testing.assert_allclose(null[:, 0] / null[:, 0].sum(), law, rtol=1e-8)


def test_the_law_of_several_chains_is_a_product():
    x, _ = centres(1.0, 4)
    u = Uneven().energy(x)
    weights = log_law(diffusion([1.0, 2.0, 5.0]), u).reshape(4, 4, 4)
    for i, j, k in ((0, 0, 0), (3, 1, 2), (1, 3, 0)):
        assert weights[i, j, k] == pytest.approx(-u[i] - u[j] / 2 - u[k] / 5, rel=1e-14)


def test_a_drift_moves_down_and_a_temperature_spreads():
    """L x = -U' and L x^2 = 2 T - 2 x U' away from the ends, up to the square of a cell's width."""
    x, width = centres(2.0, 200)
    rates = langevin(x + 0.5 * x**3, 3.0, width)
    inside, slope = slice(1, -1), 1 + 1.5 * x**2
    np.testing.assert_allclose((rates @ x)[inside], -slope[inside], rtol=2e-4)
    np.testing.assert_allclose((rates @ x**2)[inside], (6 - 2 * x * slope)[inside], rtol=2e-4)


@pytest.mark.parametrize("diameter", [0.5, 3.0, 6.0])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 10.0])
def test_a_flat_interval_in_closed_form(temperature, diameter):
    """(2 T / w^2) (1 - cos(pi / n)) on n cells, pi^2 T / D^2 in the limit; all of the spectrum too."""
    n = round(20 * diameter)
    found = gap(diffusion([temperature]), Cosine(amplitude=0.0), diameter)
    exact = 2 * temperature * 400 * (1 - math.cos(math.pi / n))
    assert found == pytest.approx(exact, rel=1e-10)
    assert found == pytest.approx(temperature * (math.pi / diameter) ** 2, rel=1.1 * (math.pi / n) ** 2 / 12)
    modes = 800 * temperature * (1 - np.cos(np.pi * np.arange(n) / n))
    whole = symmetrised(*made(diffusion([temperature]), Cosine(amplitude=0.0), diameter))[0].toarray()
    np.testing.assert_allclose(np.linalg.eigvalsh(whole), modes, atol=1e-9 * modes[-1])


@pytest.mark.parametrize("swap", [0.0, 0.3, 5.0, 1000.0])
def test_a_flat_pair_in_closed_form(swap):
    """The smaller root of two chains whose coefficients decay and are exchanged."""
    found = gap(diffusion(PAIR, swap), Cosine(amplitude=0.0), 2.0)
    slowest = 800 * (1 - math.cos(math.pi / 40))
    exact = slowest * 5.5 + swap - math.sqrt(swap**2 + (4.5 * slowest) ** 2)
    assert found == pytest.approx(exact, rel=1e-9)
    assert flat_gap(diffusion(PAIR, swap), slowest) == pytest.approx(exact, rel=1e-11)


def test_three_flat_chains_in_closed_form():
    chains = diffusion([1.0, 2.0, 10.0], 3.0)
    slowest = 200 * (1 - math.cos(math.pi / 12))
    path = np.array([[slowest + 3, -3, 0], [-3, 2 * slowest + 6, -3], [0, -3, 10 * slowest + 3]])
    assert gap(chains, Cosine(amplitude=0.0), 1.2, 10) == pytest.approx(np.linalg.eigvalsh(path)[0], rel=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_a_parabola_has_the_gap_of_ornstein_and_uhlenbeck(temperature):
    """U'' at any temperature, where the interval is wide; the second mode is twice as fast."""
    potential = Cosine(amplitude=0.0, confinement=0.75)
    assert gap(diffusion([temperature]), potential, 12.0) == pytest.approx(1.5, rel=1e-3)
    whole = symmetrised(*made(diffusion([temperature]), potential, 12.0))[0].toarray()
    np.testing.assert_allclose(np.linalg.eigvalsh(whole)[1:4], [1.5, 3.0, 4.5], rtol=3e-3)


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_many_wells_have_the_effective_diffusivity_of_lifson_and_jackson(temperature):
    """gap D^2 / pi^2 tends to T / (<exp(U / T)> <exp(-U / T)>), for a cosine T / I_0(amplitude / T)^2.

    On cells of width w one of the means is over the edges, where a wave has cos(pi w) of its amplitude.
    """

    def distances(per_unit: int, *shrunk: float) -> list[float]:
        one, other = (ive(0, a) * math.exp(a) for a in (2 * factor / temperature for factor in shrunk))
        wanted = temperature / (one * other)
        sizes = (6, 12, 24)
        gaps = [gap(diffusion([temperature]), Cosine(), d, per_unit) for d in sizes]
        return [abs(g * (d / math.pi) ** 2 / wanted - 1) for g, d in zip(gaps, sizes)]

    for errors, last in ((distances(20, 1, math.cos(math.pi / 20)), 1.5e-3), (distances(200, 1, 1), 1.5e-3)):
        assert errors[-1] < last
        assert errors == sorted(errors, reverse=True)


def test_chains_that_never_swap_have_the_smaller_of_their_gaps():
    for temperatures in (PAIR, [1.0, 1.2]):
        alone = [gap(diffusion([t]), Cosine(), 3.0) for t in temperatures]
        assert gap(diffusion(temperatures), Cosine(), 3.0) == pytest.approx(min(alone), rel=1e-9)
    three = [gap(diffusion([t]), TILTED, 1.2, 10) for t in (1.0, 2.0, 10.0)]
    assert gap(diffusion([1.0, 2.0, 10.0]), TILTED, 1.2, 10) == pytest.approx(min(three), rel=1e-9)


@pytest.mark.parametrize("temperatures", [PAIR, [0.4, 0.5], [1.0, 3.0, 10.0]], ids=str)
@pytest.mark.parametrize("potential", [Cosine(), TILTED, Uneven()], ids=["cosine", "tilted", "uneven"])
def test_a_gap_never_falls_with_the_intensity(potential, temperatures):
    """Swaps add a non-negative form to the Dirichlet form of the same law."""
    size = (1.0, 8) if len(temperatures) == 3 else (2.0, 10)
    gaps = [gap(diffusion(temperatures, a), potential, *size) for a in (0.0, 0.01, 0.1, 1.0, 10.0, 100.0, 1e4)]
    assert all(b > a * (1 - 1e-9) for a, b in pairwise(gaps))
    assert gaps[-1] > 1.02 * gaps[0]


@pytest.mark.parametrize(("temperatures", "swap"), [(COLD, 0.0), (PAIR, 0.0), (PAIR, 2.0)])
def test_motion_in_time_relaxes_at_the_gap(temperatures, swap):
    """Means under the chain started anywhere, by the exponential of its generator, decay as exp(-gap t)."""
    chains = diffusion(temperatures, swap)
    rates, log_weights = made(chains, Uneven(), 2.0, 12)
    law = np.exp(log_weights) / np.exp(log_weights).sum()
    expected = gap(chains, Uneven(), 2.0, 12)
    f = np.random.default_rng(1).standard_normal(len(law))
    f -= law @ f
    times = np.linspace(0, 14, 3) / expected  # faster modes are gone by the second
    moved = expm_multiply(rates, f, start=times[0], stop=times[-1], num=3)
    np.testing.assert_allclose(moved @ law, 0, atol=1e-9)
    norm = np.sqrt(moved**2 @ law)
    assert math.log(norm[1] / norm[2]) / (times[2] - times[1]) == pytest.approx(expected, rel=1e-3)


def test_eigenvalues_of_the_generator_itself():
    """Those of the unsymmetrised matrix, by another solver; dense and sparse ways agree."""
    chains = diffusion(PAIR, 7.0)
    rates, log_weights = made(chains, Uneven(), 2.0, 12)
    found = np.sort(-np.linalg.eigvals(rates.toarray()).real)
    matrix, asymmetry = symmetrised(rates, log_weights)
    assert rates.shape[0] > mixing.DENSE
    sparse = spectral_gap(matrix, asymmetry, flat_gap(chains, (math.pi / 2) ** 2))
    dense = scipy.linalg.eigvalsh(matrix.toarray())
    assert abs(dense[0]) < 1e-10
    assert sparse == pytest.approx(dense[1], rel=1e-10)
    assert sparse == pytest.approx(found[1], rel=1e-8)


@pytest.mark.parametrize("temperatures", [PAIR, [1.0, 1.5]], ids=str)
def test_slow_modes_in_a_cluster_are_told_apart(temperatures):
    """Barriers of 12 T: three modes near 0 beside rates of 500; the pair's second eigenvalue is still the cold chain's."""
    alone = gap(diffusion([1.0]), Cosine(amplitude=6.0), 4.0)
    assert alone < 2e-4
    assert gap(diffusion(temperatures), Cosine(amplitude=6.0), 4.0) == pytest.approx(alone, rel=1e-5)


def test_a_grid_twice_as_fine_has_a_quarter_of_the_error():
    gaps = [gap(diffusion(COLD), TILTED, 3.0, m) for m in (20, 40, 80)]
    assert (gaps[0] - gaps[1]) / (gaps[1] - gaps[2]) == pytest.approx(4, rel=0.02)


class Swapping:
    """A pair that swaps by another rule of the energies."""

    temperatures = PAIR

    def __init__(self, rule):
        self.rule = rule

    def swap_rates(self, k, low, high):
        return self.rule(low, high)


REACH = 1 - 1 / 10
RULES = {
    "metropolis": (lambda low, high: np.exp(np.minimum(0, REACH * (low - high))), True),
    "barker": (lambda low, high: 1 / (1 + np.exp(-REACH * (low - high))), True),
    "reversed": (lambda low, high: np.exp(np.minimum(0, REACH * (high - low))), False),
    "unbounded": (lambda low, high: np.exp(REACH * (low - high)), False),
    "threshold": (lambda low, high: (high - low <= 0.91).astype(float) + 0 * low, False),  # of the released code
}


@pytest.mark.parametrize("name", RULES)
def test_a_swap_that_is_not_balanced_is_told(name):
    rule, balanced = RULES[name]
    _, asymmetry = symmetrised(*made(Swapping(rule), TILTED, 2.0, 4))
    assert asymmetry < 1e-14 if balanced else asymmetry > 0.5


@pytest.mark.parametrize("per_unit", [4, 12])  # dense and sparse
@pytest.mark.parametrize("name", RULES)
def test_the_gap_is_that_of_the_generator_balanced_or_not(name, per_unit):
    rates, log_weights = made(Swapping(RULES[name][0]), TILTED, 2.0, per_unit)
    found = spectral_gap(*symmetrised(rates, log_weights), (math.pi / 2) ** 2)
    assert found == pytest.approx(np.sort(-np.linalg.eigvals(rates.toarray()).real)[1], rel=1e-7)


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (lambda: centres(0.01, 20), "0.2 cells on a diameter of 0.01"),
        (lambda: centres(1e300, 20), "2e+301 cells"),
        (lambda: gap(diffusion(PAIR), Cosine(), 20.0), "400^2 states, at most 32768"),
        (lambda: gap(diffusion([0.1]), Cosine(), 3.0), "rises by 6.26 T over a cell"),
        (lambda: gap(diffusion([1e-300]), Cosine(), 3.0), "rises by"),
        (lambda: gap(diffusion([1e200]), Cosine(), 3.0), "rates beyond 1e+150"),
        (lambda: gap(diffusion(PAIR, 1e30), Cosine(), 3.0), "is rounding"),
        (lambda: gap(diffusion(COLD), Cosine(amplitude=12.0), 3.0, 60), "is rounding"),
    ],
)
def test_what_cannot_be_computed_is_one_line(act, line):
    with pytest.raises(UserError) as error:
        act()
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_matrices_stay_sparse():
    rates, _ = made(diffusion(PAIR, 1.0), Cosine(), 3.0)
    assert sp.issparse(rates)
    assert rates.nnz <= 6 * rates.shape[0]
