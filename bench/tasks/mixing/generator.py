r"""The generator of reflected Langevin diffusions on an interval, as a Markov chain on cells, and its spectral gap.

A chain at temperature T moves from a cell to a neighbour at the rate (T / w^2) exp(-dU / (2 T)), w the width of a cell, dU the rise of the
potential; no rate leads over an end. P chains are the Kronecker sum of their generators and swaps of adjacent ones. Reversible with respect
to the product of the laws exp(-U / T_k); second order in w (a finite-volume scheme: Scharfetter and Gummel's with another mean).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import eigs, eigsh

from bench.errors import UserError
from bench.tasks.mixing.protocol import Method

MOST_STATES = 2**15  # whose matrix is factorised in seconds, of three chains in half a minute
DENSE = 256  # states up to which a matrix is dense
STEEPEST = 4.0  # rise of U over a cell, in units of T: a coarser grid is no diffusion
LARGEST = 1e150  # rate, whose square is still a number
BALANCED = 1e-10  # relative difference of two flows that is rounding
UNRESOLVED = 1e-10  # a gap below this, relative to the largest rate, is rounding


def centres(diameter: float, per_unit: int) -> tuple[NDArray, float]:
    """Centres [n] of n cells of equal width on [-diameter / 2, diameter / 2], and that width.

    Raises:
        UserError: fewer than two cells, or more than a chain may have.
    """
    wanted = diameter * per_unit
    if not 1.5 <= wanted <= MOST_STATES:
        raise UserError(
            f"task mixing: {wanted:g} cells on a diameter of {diameter:g}; from 2 to {MOST_STATES}: change task.cells_per_unit"
        )
    n = round(wanted)
    width = diameter / n
    return (np.arange(n) + 0.5) * width - diameter / 2, width


def langevin(energy: NDArray, temperature: float, width: float) -> sp.csr_array:
    """One chain's generator [n, n] on cells of this width; reflected at both ends.

    Raises:
        UserError: the potential rises by more than STEEPEST temperatures over a cell.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rise = np.diff(energy) / temperature
    steepest = np.abs(rise).max()
    if not steepest <= STEEPEST:
        raise UserError(
            f"task mixing: the potential rises by {steepest:.3g} T over a cell, at most {STEEPEST:g}: "
            f"more task.cells_per_unit, a higher temperature or a flatter potential"
        )
    rate = temperature / width**2
    moves = sp.diags_array(
        [rate * np.exp(rise / 2), rate * np.exp(-rise / 2)], offsets=[-1, 1], shape=(len(energy),) * 2
    )
    return _conservative(moves)


def swaps(diffusion: Method, energy: NDArray, k: int) -> sp.csr_array:
    """The generator [n^P, n^P] of swaps of the chains k and k + 1."""
    count = len(diffusion.temperatures)
    states = np.arange(len(energy) ** count).reshape((len(energy),) * count)
    rates = np.asarray(diffusion.swap_rates(k, _along(energy, k, count), _along(energy, k + 1, count)))
    rates = np.broadcast_to(rates, states.shape)
    pairs = states.ravel(), states.swapaxes(k, k + 1).ravel()
    return _conservative(sp.coo_array((rates.ravel(), pairs), shape=(states.size, states.size)))


def generator(diffusion: Method, energy: NDArray, width: float) -> sp.csr_array:
    """The generator [n^P, n^P] of all chains; a state's number has the cell of the first chain as its highest digit.

    Raises:
        UserError: more than MOST_STATES states, or rates that overflow; or as `langevin`.
    """
    n, count = len(energy), len(diffusion.temperatures)
    if n**count > MOST_STATES:
        raise UserError(
            f"task mixing: {n}^{count} states, at most {MOST_STATES}: fewer temperatures, smaller task.diameters or task.cells_per_unit"
        )
    found = sp.csr_array((n**count, n**count))
    for k, temperature in enumerate(diffusion.temperatures):
        before, after = sp.eye_array(n**k), sp.eye_array(n ** (count - 1 - k))
        found = found + sp.kron(sp.kron(before, langevin(energy, temperature, width)), after)
    for k in range(count - 1):
        found = found + swaps(diffusion, energy, k)
    if not np.abs(found.diagonal()).max() < LARGEST:
        raise UserError(f"task mixing: rates beyond {LARGEST:g}: smaller temperatures, rarer swaps or larger diameters")
    return found


def log_law(diffusion: Method, energy: NDArray) -> NDArray:
    """log of the product of the laws exp(-U / T_k), up to a constant, [n^P]."""
    count = len(diffusion.temperatures)
    parts = [-_along(energy, k, count) / temperature for k, temperature in enumerate(diffusion.temperatures)]
    return sum(parts[1:], parts[0]).ravel()


def symmetrised(moves: sp.csr_array, log_weights: NDArray) -> tuple[sp.csr_array, float]:
    """-sqrt(pi) L / sqrt(pi), and how far the flows of two states into each other are apart, relative to the larger one.

    The largest of all pairs: from 0 to rounding, detailed balance and a symmetric matrix, to 1, a way of no return.
    """
    entries = moves.tocoo()
    ratio = np.exp((log_weights[entries.row] - log_weights[entries.col]) / 2)
    found = sp.csr_array((-entries.data * ratio, (entries.row, entries.col)), shape=entries.shape)
    larger = abs(found).maximum(abs(found.T)).tocsr()
    larger.data = 1 / np.maximum(larger.data, 1 / LARGEST)
    return found, float((abs(found - found.T) * larger).max())


def spectral_gap(matrix: sp.csr_array, asymmetry: float, near: float) -> float:
    """The second smallest real part of the eigenvalues of what `symmetrised` found: the rate at which the slowest mean relaxes.

    Args:
        near: a positive number of the size of the gap, by which the matrix is shifted to be definite.

    Raises:
        UserError: it is too small against the largest rate to be told from rounding.
    """
    largest, balanced = matrix.diagonal().max(), asymmetry < BALANCED
    if matrix.shape[0] <= DENSE:
        values = (scipy.linalg.eigvalsh if balanced else scipy.linalg.eigvals)(matrix.toarray())
    else:
        start = np.random.default_rng(0).standard_normal(matrix.shape[0])  # the same for all seeds
        shift = max(near, UNRESOLVED * largest)
        values = (eigsh if balanced else eigs)(matrix.tocsc(), k=4, sigma=-shift, v0=start, return_eigenvectors=False)
    gap = float(np.sort(values.real)[1])
    if not gap > UNRESOLVED * largest:
        raise UserError(
            f"task mixing: a spectral gap of {gap:.2g} beside rates of {largest:.2g} is rounding: "
            f"a higher temperature, rarer swaps or a flatter potential"
        )
    return gap


def flat_gap(diffusion: Method, slowest: float) -> float:
    r"""The gap where the potential is flat and one chain at temperature 1 has the gap `slowest`: pi^2 / D^2 on an interval.

    For one chain slowest T. The slowest functions of several are sum_k c_k cos(pi x_k / D): diffusion multiplies c_k, swaps exchange c_k and
    c_{k+1}, so that the gap is the smallest eigenvalue of diag(slowest T_k) plus the Laplacian of the path with the swaps' rates. Products of
    such waves, and shorter ones, decay faster.
    """
    temperatures = np.asarray(diffusion.temperatures, float)
    rates = [float(diffusion.swap_rates(k, np.zeros(1), np.zeros(1))[0]) for k in range(len(temperatures) - 1)]
    path = np.zeros((len(temperatures),) * 2)
    for k, rate in enumerate(rates):
        path[k : k + 2, k : k + 2] += rate * np.array([[1, -1], [-1, 1]])
    return float(scipy.linalg.eigvalsh(np.diag(slowest * temperatures) + path)[0])


def _along(energy: NDArray, axis: int, count: int) -> NDArray:
    """The energy of the chain `axis` among `count`, for broadcasting over all states."""
    return energy.reshape([-1 if k == axis else 1 for k in range(count)])


def _conservative(rates: sp.sparray) -> sp.csr_array:
    """Off-diagonal rates with the diagonal that makes rows sum to 0."""
    return sp.csr_array(rates - sp.diags_array(np.asarray(rates.sum(1)).ravel()))
