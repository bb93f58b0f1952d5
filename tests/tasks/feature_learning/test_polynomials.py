"""Random polynomial activations: degrees and laws of Lemma 11 as printed, and networks of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.polynomial import hermite_e

from bench.tasks.feature_learning.polynomials import by_powers, degree, horner, random_polynomials
from bench.tasks.feature_learning.two_layer import Neurons, TwoLayer
from datasets.teachers.multi_index import multi_index
from datasets.teachers.single_index import single_index

SMALL = 0.1


@pytest.mark.parametrize(
    ("target", "power", "size"),
    [(1, 1, 3), (2, 1, 5), (3, 3, 5), (4, 2, 7), (5, 3, 7), (3, 6, 7), (3, 5, 7), (1, 3, 5)],
)
def test_degree_is_the_smallest_odd_number_of_the_lemma(target, power, size):
    assert degree(target, power) == size
    assert size % 2
    assert size >= max(power + 1, target + 2, 3)
    assert size - 2 < max(power + 1, target + 2, 3)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_coefficients_have_the_lemma_s_law(size):
    count = 4000
    beta = random_polynomials(count, size, SMALL, torch.Generator().manual_seed(0))
    assert beta.shape == (count, size + 1)
    assert not beta[:, 0].any()
    first = beta[:, 1].abs() == 1
    assert float(first.double().mean()) == pytest.approx(0.5, abs=0.03)
    low, high = beta[first], beta[~first]
    assert bool((low[:, 2:].abs() == SMALL).all())
    assert bool((high[:, 1:-2].abs() == SMALL).all())
    assert bool((high[:, -2:].abs() == 1).all())
    assert torch.equal(high[:, -1], high[:, -2]), "the two largest have one sign"
    independent = [*low[:, 1:].T, *high[:, 1:-1].T]
    for column in independent:
        assert float((column > 0).double().mean()) == pytest.approx(0.5, abs=0.05)
    for rows in (low[:, 1:], high[:, 1:-1]):
        signs = rows.sign().numpy()
        np.testing.assert_allclose(signs.T @ signs / len(signs), np.eye(signs.shape[1]), atol=0.1)


def test_hermite_polynomials_are_normalised():
    """By powers of z they are NumPy's He_k / sqrt(k!), and E s^2 = sum_k beta_k^2."""
    beta = random_polynomials(6, 5, SMALL, torch.Generator().manual_seed(1))
    powers = by_powers(beta)
    z, w = hermite_e.hermegauss(20)
    factorials = np.sqrt([math.factorial(k) for k in range(6)])
    expected = hermite_e.hermeval(z, (beta.numpy() / factorials).T)
    values = horner(powers.T[..., None], torch.from_numpy(z))
    np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-10)
    second = (w / w.sum() * values.numpy() ** 2).sum(-1)
    np.testing.assert_allclose(second, (beta**2).sum(-1), rtol=1e-10)


def polynomial(width: int = 8) -> TwoLayer:
    chosen = {"bias": "none", "second_layer": "signs", "output": "mean", "start": "uniform"}
    return TwoLayer(width=width, activation="polynomial", small=SMALL, **chosen)


def test_a_neuron_has_a_polynomial_of_its_own():
    target, cpu = single_index(d=[6, 9]).target, torch.device("cpu")
    neurons = polynomial().neurons([0, 1], 2, 6, target, cpu)
    assert neurons.powers.shape == (6, 4, 8, 1)  # degree 5 for He_3
    assert len({tuple(c) for c in neurons.powers[..., 0].flatten(1).T.tolist()}) > 16
    h = torch.randn(3, 4, 8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(neurons.value(h).sum(), h)
    torch.testing.assert_close(neurons.slope(h.detach()), slope)
    other = polynomial().neurons([0, 1], 2, 9, target, cpu)
    both = Neurons.joined([neurons, other])
    torch.testing.assert_close(both.value(h.detach().repeat(1, 2, 1, 1))[:, 4:], other.value(h.detach()))
    torch.testing.assert_close(neurons.first(3).value(h.detach()[:, :, :3]), neurons.value(h.detach())[:, :, :3])


@pytest.mark.parametrize("model", [single_index(d=4, link="relu"), multi_index(d=4)], ids=["relu", "two directions"])
def test_targets_without_a_degree_are_refused(model):
    with pytest.raises(ValueError, match="only with a polynomial of one direction"):
        polynomial().neurons([0], 1, 4, model.target, torch.device("cpu"))
