"""Single- and multi-index models: moments, exponents, streams, directions, errors."""

from __future__ import annotations

import pytest
import torch

from bench.tasks.feature_learning.two_layer import TwoLayer
from datasets.teachers.multi_index import multi_index
from datasets.teachers.single_index import single_index

TARGETS = ["z1+z1z2", "z1+he3_z2", "z1+z1he3_z2", "z1z2z3", "sign_z1z2", "5sign_z1z2z3", "he4_z1+5sign_z1z2z3"]
TARGETS += ["he2_z1+5sign_z1z2z3", "tanh_z1+he3_z2"]


@pytest.mark.parametrize("link", ["he1", "he2", "he3", "he4", "he2+he3", "he3-0.15he5", "relu"])
@pytest.mark.parametrize("normalised", [True, False])
def test_links_have_the_moments_they_state(link, normalised):
    target = single_index(d=8, link=link, normalised=normalised).target
    z = torch.randn(2**20, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = target.value(z)
    assert float(values.var()) == pytest.approx(target.variance, rel=0.06)
    if normalised:
        assert target.variance == pytest.approx(1)
        assert float(values.mean()) == pytest.approx(0, abs=0.005)
    z = torch.linspace(0.1, 2, 5, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(target.value(z[:, None]).sum(), z)
    torch.testing.assert_close(target.slope(z.detach()), slope)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("normalised", [True, False])
def test_multi_index_targets_have_the_variance_they_state(name, normalised):
    target = multi_index(d=8, target=name, normalised=normalised).target
    z = torch.randn(2**20, target.k, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(target.value(z).var()) == pytest.approx(target.variance, rel=0.06)
    if normalised:
        assert target.variance == pytest.approx(1)


def test_exponents_are_reported():
    found = {link: single_index(d=4, link=link).target for link in ("he1", "he2", "he3", "he4", "relu")}
    exponents = {k: (t.information_exponent, t.generative_exponent) for k, t in found.items()}
    assert exponents == {"he1": (1, 1), "he2": (2, 2), "he3": (3, 1), "he4": (4, 2), "relu": (1, 1)}
    mixture = single_index(d=4, link="hermite", coefficients=[0.0, 0.0, 1.0, 1.0]).target
    assert (mixture.information_exponent, mixture.generative_exponent) == (2, 1)
    powers = {link: single_index(d=4, link=link).target.label_power for link in ("he2", "he3", "he4", "he3-0.15he5")}
    assert powers == {"he2": (1, 2), "he3": (3, 1), "he4": (2, 2), "he3-0.15he5": (5, 1)}
    same = single_index(d=4, link="polynomial", coefficients=[0.0, -3.0, 0.0, 1.0], normalised=False).target
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    torch.testing.assert_close(same.value(z), single_index(d=4, normalised=False).target.value(z))


def test_the_linear_direction_is_that_of_the_first_moments():
    """For tanh(z1 + He_3(z2)): (.3568, -.2981) up to scale, from a quadrature made elsewhere; He_3 has none."""
    u = multi_index(d=8, target="tanh_z1+he3_z2").target.linear_direction
    assert u.tolist() == pytest.approx([0.7674, -0.6412], abs=2e-3)
    assert single_index(d=8).target.linear_direction is None
    assert multi_index(d=8, target="z1z2z3").target.linear_direction is None


def test_samples_depend_on_seed_replicate_dimension_and_block_alone():
    model = single_index(d=[8, 16], noise=0.1)
    together, noise = model.inputs([0, 1, 2], 2, 8, 5, 32)
    alone, quiet = model.inputs([1], 2, 8, 5, 32)
    assert torch.equal(together[2:4], alone)
    assert torch.equal(noise[2:4], quiet)
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(model.inputs([0], 1, 8, 6, 32)[0][0], together[0])
    assert torch.equal(single_index(d=8).inputs([0], 1, 8, 5, 32)[0][0], together[0]), "noise comes after the inputs"
    assert float(noise.std()) == pytest.approx(0.1, rel=0.2)


def test_directions_are_orthonormal_and_random():
    model = multi_index(d=8, target="z1z2z3")
    theta = model.directions([0, 1], 2, 8)
    assert theta.shape == (4, 3, 8)
    torch.testing.assert_close(theta @ theta.mT, torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    assert not torch.equal(theta[0], theta[1])
    axes = multi_index(d=8, target="z1z2z3", rotated=False).directions([0, 1], 1, 8)
    assert torch.equal(axes[1], torch.eye(3, 8, dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": 8, "link": "hermite"}, "needs a list"),
        ({"d": 8, "coefficients": [0.0, 1.0]}, "only for link hermite or polynomial"),
        ({"d": 8, "link": "hermite", "coefficients": [2.0]}, "nothing to learn"),
        ({"d": [8, 8]}, "distinct dimensions"),
        ({"d": 1}, "above the number of directions, 1"),
        ({"d": []}, "distinct dimensions"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        single_index(**arguments)


def test_replicates_seeds_and_dimensions_are_independent():
    """Weights, second layers, directions and inputs of the paths: no two are the same, and none is another's continued."""
    model = single_index(d=[8, 9], link="he3", noise=0.1)
    network = TwoLayer(
        width=5, activation="relu", bias="normal", second_layer="gaussian", output="mean", start="uniform"
    )
    found: dict[str, list[torch.Tensor]] = {"w": [], "a": [], "b": [], "theta": [], "x": [], "noise": []}
    for d in (8, 9):
        theta = model.directions([0, 1], 3, d)
        neurons = network.neurons([0, 1], 3, d, model.target, torch.device("cpu"))
        x, noise = model.inputs([0, 1], 3, d, 1, 4)
        parts = network.weights([0, 1], 3, d, theta), neurons.a, neurons.b, theta, x, noise
        for values, part in zip(found.values(), parts):
            values += [path.flatten()[:4] for path in part]
    for name, values in found.items():
        numbers = torch.cat(values)
        assert len(values) == 12, name
        assert len(numbers.unique()) == len(numbers), name
