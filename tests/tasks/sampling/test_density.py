"""Divergences and mode masses against rejection sampling, scipy and counts by hand; effective sample sizes against a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from bench.tasks.sampling.density import CELLS, Counts, Reference, grid_divergence, smoothed_divergence
from bench.tasks.sampling.protocol import effective_sample_size
from datasets.energies.multimodal import Multimodal

CPU = torch.device("cpu")
MASSES = {  # of the flower, by fine quadrature made elsewhere
    (0, 0): 0.145, (0, 1): 0.119, (1, 0): 0.118, (-1, 0): 0.118, (0, -1): 0.110, (1, -1): 0.096, (-1, -1): 0.096, (0, 2): 0.063,
    (1, 1): 0.034, (-1, 1): 0.034, (2, 1): 0.014, (-2, 1): 0.014, (1, -2): 0.011, (-1, -2): 0.011, (2, 0): 0.0075, (-2, 0): 0.0075,
}  # fmt: skip


def reference(target: Multimodal, temperature: float = 1.0) -> Reference:
    return Reference.of(target.energy, target.domain, target.window, target.modes, temperature)


def drawn(target: Multimodal, count: int, temperature: float = 1.0) -> torch.Tensor:
    """Rejection sampling: uniform points of the domain, kept with probability exp(-(U - U(0)) / T), U(0) = -4 the least energy."""
    g = torch.Generator().manual_seed(0)
    x = target.domain.uniform(count, g)
    kept = torch.rand(count, generator=g) < (-(target.energy(x) + 4) / temperature).exp()
    return x[kept]


def test_mode_masses_are_those_of_a_fine_quadrature():
    target = Multimodal()
    found = reference(target)
    assert float(found.near.sum()) == pytest.approx(1)
    for mode, mass in MASSES.items():
        place = int((target.modes == torch.tensor(mode, dtype=torch.float64)).all(1).nonzero())
        assert float(found.near[place]) == pytest.approx(mass, abs=0.0006)
    assert int((found.near > 0.03).sum()) == 10


@pytest.mark.parametrize(("domain", "temperature"), [("flower", 1.0), ("heart", 1.0), ("cross", 2.0)])
def test_the_law_by_quadrature_is_that_of_rejection_sampling(domain, temperature):
    target = Multimodal(domain=domain)
    found, x = reference(target, temperature), drawn(target, 1_000_000, temperature)
    place = ((x - found.low) / found.width * 25).floor().long()
    seen = ((place >= 0) & (place < 25)).all(1)
    counts = torch.bincount((place[:, 0] * 25 + place[:, 1])[seen], minlength=625).numpy()
    p = found.coarse.flatten().numpy()
    cells = p > 5 / len(x)
    assert counts[~(p > 0)].sum() == 0
    assert stats.chisquare(counts[cells], p[cells] / p[cells].sum() * counts[cells].sum()).pvalue > 1e-4
    assert found.mean.tolist() == pytest.approx(x.mean(0).tolist(), abs=0.01)
    assert found.variance.tolist() == pytest.approx(x.var(0).tolist(), rel=0.01)
    assert float(found.square) == pytest.approx(float(x.square().sum(1).mean()), rel=0.01)


def test_divergences_are_scipy_s():
    g = np.random.default_rng(0)
    p, counts = g.dirichlet(np.ones(50)), g.integers(0, 20, 50)
    p[:10] = 0
    p /= p.sum()
    total = counts.sum()
    cells = p > 0
    q = (counts + 0.5)[cells] / (total + cells.sum() / 2)
    ours = smoothed_divergence(torch.tensor(p), torch.tensor(counts)[None].double(), torch.tensor([total]).double())
    assert float(ours) == pytest.approx(special.rel_entr(p[cells], q).sum(), rel=1e-12)
    inside = special.rel_entr(p[cells], q / q.sum()).sum()
    assert float(ours) > inside, "points outside take probability away"
    shares = (counts / total)[None]
    ours = grid_divergence(torch.tensor(p), torch.tensor(shares), 0.5)
    eps = 2.2e-16
    assert float(ours) == pytest.approx(0.5 * (p * np.log((p + eps) / (shares[0] + eps))).sum(), rel=1e-12)


def test_counts_by_hand():
    """Two seeds of three points: cells, outside points, modes, each seed by itself."""
    target = Multimodal()
    counts = Counts(reference(target), target.domain, 2, CPU)
    x = torch.tensor(
        [[[0.01, 0.01], [0.0, 1.0]], [[1.0, 0.0], [0.01, 0.02]], [[2.4, 2.4], [0.02, 0.02]]], dtype=torch.float64
    )
    counts.add(x[:, :, None])  # [K, S, R, d]
    assert counts.total.tolist() == [3, 3]
    assert counts.outside.tolist() == [1, 0]
    assert counts.cells.sum(1).tolist() == [2, 3], "what is outside the domain is in no cell"
    middle = CELLS // 2 * CELLS + CELLS // 2
    assert counts.cells[:, middle].tolist() == [1, 2]
    origin = int((target.modes == 0).all(1).nonzero())
    assert counts.modes[:, origin].tolist() == [1, 2]
    found = counts.metrics()
    near = counts.reference.near
    shares = torch.zeros(2, len(near), dtype=torch.float64)
    shares[0, origin], shares[1, origin] = 1 / 3, 2 / 3
    shares[0, int((target.modes == torch.tensor([1.0, 0.0])).all(1).nonzero())] = 1 / 3
    shares[1, int((target.modes == torch.tensor([0.0, 1.0])).all(1).nonzero())] = 1 / 3
    expected = ((shares - near).abs().sum(1) + torch.tensor([1 / 3, 0.0], dtype=torch.float64)) / 2
    assert found["mode_tv"].tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    assert found["modes_covered"].tolist() == [2, 2]
    assert found["share_outside"].tolist() == pytest.approx([1 / 3, 0])


def test_a_perfect_sample_has_almost_no_divergence():
    target = Multimodal()
    x = drawn(target, 2_000_000)
    counts = Counts(reference(target), target.domain, 1, CPU)
    counts.add(x[:, None, None])
    found = counts.metrics()
    cells = int((counts.reference.coarse > 0).sum())
    assert float(found["kl_coarse"]) == pytest.approx(cells / 2 / len(x), rel=0.5), "half a cell's worth a point"
    assert float(found["mode_tv"]) < 0.01
    assert found["modes_covered"].tolist() == [10]


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_effective_sample_size_of_an_autoregression(rho):
    n, chains = 4000, 20
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(n, chains, generator=g, dtype=torch.float64)
    x = torch.zeros(n, chains, dtype=torch.float64)
    x[0] = noise[0]
    for t in range(1, n):
        x[t] = rho * x[t - 1] + math.sqrt(1 - rho**2) * noise[t]
    found = effective_sample_size(x, 0.0, 1.0)
    assert float(found.mean()) == pytest.approx(n * (1 - rho) / (1 + rho), rel=0.1)


def test_a_chain_that_stays_at_the_mean_is_worth_little():
    """In a mode where the law's mean is, a tenth as wide: independent of each other, and hardly samples of the law; or standing still."""
    g = torch.Generator().manual_seed(0)
    inside = 0.1 * torch.randn(1000, 4, generator=g, dtype=torch.float64)
    assert float(effective_sample_size(inside, 0.0, 1.0).max()) < 100
    creeping = 1e-4 * torch.randn(1000, 4, generator=g, dtype=torch.float64).cumsum(0)
    assert float(effective_sample_size(creeping, 0.0, 1.0).max()) < 1
    assert float(effective_sample_size(torch.zeros(1000, 4, dtype=torch.float64), 0.0, 1.0).max()) == 0
    alternating = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(500)[:, None]
    assert float(effective_sample_size(alternating, 0.0, 1.0)) <= 3000


def test_a_chain_in_one_mode_is_worth_one_sample_at_most():
    g = torch.Generator().manual_seed(0)
    stuck = 3 + 0.1 * torch.randn(1000, 4, generator=g, dtype=torch.float64)
    assert float(effective_sample_size(stuck, 0.0, 9.0).max()) < 1.1
    assert float(effective_sample_size(stuck, stuck.mean(0), stuck.var(0)).min()) > 500, (
        "about itself it would be worth all"
    )
