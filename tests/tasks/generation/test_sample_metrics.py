"""Frechet distance, precision, recall, density, coverage, and the loss attack: closed forms, scipy, scikit-learn, brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import NearestNeighbors

from bench.tasks.generation.coverage import density_coverage, precision_recall
from bench.tasks.generation.frechet import frechet_distance, frechet_of, moments
from bench.tasks.generation.membership import loss_attack, true_rate

DRAW = torch.Generator()


@pytest.fixture(autouse=True)
def seeded():
    """Each test has draws of its own, whatever ran before it."""
    DRAW.manual_seed(1)


def normal(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=DRAW, dtype=torch.float64)


def test_moments_are_numpy_s_in_double_precision():
    x = (1e4 + normal(50, 6)).float()  # in single precision the covariance would be lost
    mean, covariance = moments(x)
    np.testing.assert_allclose(mean, x.double().numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(covariance, np.cov(x.double().numpy(), rowvar=False), rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="needs two"):
        moments(x[:1])


@pytest.mark.parametrize("rows", [200, 12])
def test_the_distance_is_scipy_s(rows):
    """12 rows of 8 features are nearly singular."""
    (m1, c1), (m2, c2) = moments(normal(rows, 8) @ normal(8, 8)), moments(1 + normal(rows, 8) @ normal(8, 8))
    root = np.real(sqrtm((c1 @ c2).numpy()))
    wanted = float((m1 - m2).square().sum() + c1.trace() + c2.trace()) - 2 * np.trace(root)
    assert frechet_distance(m1, c1, m2, c2) == pytest.approx(wanted, rel=1e-7)


def test_the_distance_of_commuting_normals_and_of_singular_ones():
    """Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2; with fewer rows than features too, where a product's root is of no use."""
    s1, s2 = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3.0, 0.0, 0.0])
    m1, m2 = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 1.0, 4.0])
    turn = torch.linalg.qr(normal(3, 3)).Q
    c1, c2 = (turn @ torch.diag(s.double() ** 2) @ turn.T for s in (s1, s2))
    assert frechet_distance(m1, c1, m2, c2) == pytest.approx(4.25 + 4 + 4, rel=1e-7)
    x = normal(5, 40)
    mean, covariance = moments(x)
    assert frechet_of(x, x + 3) == pytest.approx(9 * 40, rel=1e-6)
    assert frechet_distance(mean, covariance, mean, 4 * covariance) == pytest.approx(
        float(covariance.trace()), rel=1e-6
    )


def test_equal_samples_are_at_distance_zero_exactly_and_none_is_negative():
    x = normal(30, 10)
    assert frechet_of(x, x.clone()) == 0.0
    assert 0 <= frechet_of(x, x.flip(0)) < 1e-9


def by_hand(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """With scikit-learn's neighbours and loops over points."""

    def radii(x):
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, k]

    of_real, of_fake = radii(real), radii(fake)
    inside = np.array([[np.linalg.norm(f - r) <= radius for r, radius in zip(real, of_real)] for f in fake])
    back = np.array([[np.linalg.norm(r - f) <= radius for f, radius in zip(fake, of_fake)] for r in real])
    return {
        "precision": inside.any(1).mean(),
        "recall": back.any(1).mean(),
        "density": inside.sum() / (k * len(fake)),
        "coverage": inside.any(0).mean(),
    }


@pytest.mark.parametrize("k", [1, 5])
def test_shares_are_those_of_brute_force(k, monkeypatch):
    monkeypatch.setattr("bench.tasks.generation.coverage.ROWS", 7)
    real, fake = normal(40, 3), 0.5 + 1.5 * normal(25, 3)
    found = precision_recall(real, fake, k) | density_coverage(real, fake, k)
    assert found == pytest.approx(by_hand(real.numpy(), fake.numpy(), k), abs=1e-12)
    assert 0 < found["precision"] < 1
    with pytest.raises(ValueError, match="more than 25"):
        precision_recall(real, fake, 25)


def test_known_cases():
    real = normal(60, 4)
    copies = precision_recall(real, real.clone()) | density_coverage(real, real.clone())
    assert copies == {"precision": 1.0, "recall": 1.0, "density": pytest.approx(6 / 5), "coverage": 1.0}
    far = precision_recall(real, real + 1e3) | density_coverage(real, real + 1e3)
    assert set(far.values()) == {0.0}
    one = real[:1].expand(60, -1)  # a generator that has one image: it is real, and nothing else is
    collapsed = precision_recall(real, one) | density_coverage(real, one)
    assert collapsed["precision"] == 1.0
    assert collapsed["recall"] == pytest.approx(1 / 60)
    assert collapsed["coverage"] < 0.5


def test_density_and_coverage_of_one_distribution_are_the_lemmas_whatever_it_is():
    """Naeem et al., 2020, Lemmas 1 and 2: 1, and 1 - prod (N - j) / (N + M - j)."""
    n, m, k = 30, 20, 5
    wanted = 1 - np.prod([(n - j) / (n + m - j) for j in range(1, k + 1)])
    for shaped in (lambda x: x, lambda x: x.exp()):
        rows = [density_coverage(shaped(normal(n, 2)), shaped(normal(m, 2)), k) for _ in range(300)]
        for name, mean in (("density", 1.0), ("coverage", wanted)):
            values = np.array([row[name] for row in rows])
            assert abs(values.mean() - mean) < 4 * values.std() / np.sqrt(len(values)), name


def test_the_attack_is_scikit_learn_s_curve():
    """Losses with ties; at a false rate of 1 % the largest true rate that a threshold reaches."""
    members = (normal(2000) * 20).round() / 20 - 0.6
    others = (normal(3000) * 20).round() / 20
    found = loss_attack(members, others)
    flags, scores = np.r_[np.ones(2000), np.zeros(3000)], -torch.cat([members, others]).numpy()
    assert found["membership_auc"] == pytest.approx(roc_auc_score(flags, scores), abs=1e-12)
    false, true, _ = roc_curve(flags, scores, drop_intermediate=False)
    for name, rate in (("1", 0.01), ("0.1", 0.001)):
        assert found[f"membership_tpr_at_{name}_percent"] == pytest.approx(true[false <= rate].max(), abs=1e-12)
    assert found["membership_tpr_at_1_percent"] > 0.02


def test_an_attack_that_knows_all_or_nothing():
    others = torch.linspace(1, 2, 50)
    assert loss_attack(others - 5, others) == {
        "membership_auc": 1.0,
        "membership_tpr_at_1_percent": 1.0,
        "membership_tpr_at_0.1_percent": 1.0,
    }
    assert loss_attack(others, others)["membership_auc"] == 0.5
    assert true_rate(np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.5]), 0.5) == pytest.approx(2 / 3)
    assert true_rate(np.array([0.0, 1.0]), np.array([0.5]), 1.0) == 1.0
    with pytest.raises(ValueError, match="losses of 0 members"):
        loss_attack(others[:0], others)
    with pytest.raises(ValueError, match="held-out"):
        loss_attack(others, torch.tensor([float("nan")]))
