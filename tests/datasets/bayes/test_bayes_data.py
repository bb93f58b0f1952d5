"""Real tables as Bayesian models: shapes, standardisation, noise, leaks, missing and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA

from bench.errors import UserError
from bench.tasks.inference.likelihoods import Bernoulli, Normal
from datasets.bayes.drawn import poisson_regression, repeated_datum
from datasets.bayes.tabular import linear, logistic

SHAPES = {
    "diabetes": (442, 10),
    "energy": (768, 8),
    "bike": (17379, 15),
    "breast_cancer": (569, 31),
    "mushrooms": (8124, 11),
}
FILES = {
    "energy": "uci/UCI_Datasets/energy/data/data.txt",
    "bike": "uci/treforevans/bike/data.csv.gz",
    "mushrooms": "libsvm/mushrooms",
}


def load(name: str, root: Path = DATA):
    if name in ("breast_cancer", "mushrooms"):
        return logistic(str(root), [0, 1], name=name, components=10 if name == "mushrooms" else None)
    return linear(str(root), [0, 1], name=name)


@pytest.mark.parametrize("name", SHAPES)
def test_tables_are_standardised_and_shared_by_all_seeds(name):
    if name in FILES and not (DATA / FILES[name]).is_file():
        pytest.skip(f"no {FILES[name]} in {DATA.name}/")
    model = load(name)
    assert model.x.shape == (1, *SHAPES[name])
    assert model.x.dtype == model.y.dtype == torch.float64
    columns = model.x[0] if isinstance(model.likelihood, Normal) else model.x[0, :, :-1]
    torch.testing.assert_close(columns.mean(0), torch.zeros(columns.shape[1], dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(columns.std(0), torch.ones(columns.shape[1], dtype=torch.float64), rtol=2e-3, atol=0)
    if isinstance(model.likelihood, Bernoulli):
        assert set(model.y.unique().tolist()) == {0.0, 1.0}
        assert (model.x[0, :, -1] == 1).all()


def test_the_noise_is_that_of_a_ridge_fit():
    model = load("diabetes")
    x, y = model.x[0], model.y[0]
    weights = torch.linalg.solve(x.T @ x + torch.eye(10, dtype=torch.float64), x.T @ y)
    assert model.likelihood.noise == pytest.approx((y - x @ weights).square().mean().item())


def test_bike_does_not_hold_the_answer():
    """With casual and registered riders the count would follow almost exactly; without them much of its variance stays."""
    if not (DATA / FILES["bike"]).is_file():
        pytest.skip("no bike data")
    assert load("bike").likelihood.noise > 0.4


@pytest.mark.parametrize("name", FILES)
def test_missing_and_damaged_files_are_said_in_one_line(name, tmp_path):
    with pytest.raises(UserError, match=f"data set '{name}' not found: put .* from .* at "):
        load(name, tmp_path)
    path = tmp_path / FILES[name]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1 2\n3 4\n")
    with pytest.raises(UserError, match="is damaged") as error:
        load(name, tmp_path)
    assert "\n" not in str(error.value)


def test_poisson_counts_have_the_mean_of_their_predictor():
    model = poisson_regression("", [0], n=50_000, dim=3)
    best = model.optimum()
    fitted = (model.x[0] @ best.mean[0]).exp()
    assert model.y[0].mean() == pytest.approx(fitted.mean().item(), rel=0.01)
    assert ((model.y[0] - fitted).square() / fitted).mean() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("kind", ["bernoulli", "poisson", "normal"])
def test_copies_multiply_the_likelihood(kind):
    one, five = (repeated_datum("", [0], likelihood=kind, copies=n, y=1.0) for n in (1, 5))
    a = torch.linspace(-2, 2, 5, dtype=torch.float64)
    np.testing.assert_allclose(five.likelihood.nll(a, five.y[0]), 5 * one.likelihood.nll(a, one.y[0]))
    for more, single in zip(five.likelihood.derivatives(a, five.y[0]), one.likelihood.derivatives(a, one.y[0])):
        np.testing.assert_allclose(more, 5 * single)
