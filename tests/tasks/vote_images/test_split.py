"""Images of workers: a partition whatever the law, sizes and classes that the law says, and nothing but its arguments decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.errors import UserError
from bench.tasks.vote_images.split import split

LABELS = torch.arange(1003) % 10  # some classes have one image more


@pytest.mark.parametrize("law", ["iid", "dirichlet", "shards"])
@pytest.mark.parametrize("workers", [1, 4, 7])
def test_every_image_belongs_to_one_worker(law, workers):
    parts = split(LABELS, workers, law, 3)
    assert len(parts) == workers
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(len(LABELS)))
    assert all(len(part) and torch.equal(part, part.sort().values) for part in parts)


@pytest.mark.parametrize("law", ["iid", "dirichlet", "shards"])
def test_it_is_a_function_of_its_arguments_alone(law):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  the global generator must not matter
    once = split(LABELS, 4, law, 0)
    torch.rand(5)
    np.random.rand(5)  # noqa: NPY002
    again, other = split(LABELS.clone(), 4, law, 0), split(LABELS, 4, law, 1)
    assert all(torch.equal(a, b) for a, b in zip(once, again))
    assert not all(torch.equal(a, b) for a, b in zip(once, other))


def shares_of(parts: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Of each worker's images the share of each class [workers, classes]."""
    counts = torch.stack([torch.bincount(labels[part], minlength=10) for part in parts]).double()
    return counts / counts.sum(1, keepdim=True)


def test_iid_parts_are_of_one_size_and_have_all_classes_alike():
    labels = torch.arange(20_000) % 10
    parts = split(labels, 7, "iid", 0)
    assert {len(part) for part in parts} == {20_000 // 7, 20_000 // 7 + 1}
    torch.testing.assert_close(shares_of(parts, labels), torch.full((7, 10), 0.1).double(), rtol=0, atol=0.02)


def test_shards_are_runs_of_labels():
    """1,000 images of ten classes in 4 * 5 pieces: half a class each, so a worker has five classes at most."""
    labels = torch.arange(1000) % 10
    parts = split(labels, 4, "shards", 0, shards=5)
    assert [len(part) for part in parts] == [250] * 4
    for part in parts:
        counts = torch.bincount(labels[part], minlength=10)
        assert set(counts.tolist()) <= {0, 50, 100}
    one = split(labels, 10, "shards", 0, shards=1)
    assert sorted(labels[part].unique().tolist() for part in one) == [[c] for c in range(10)]


def test_the_dirichlet_law_has_its_mean_and_its_variance():
    """Over workers and classes the share of a class has mean 1 / n and variance (n - 1) / (n^2 (n alpha + 1))."""
    n, labels = 5, torch.arange(4000) % 200
    for alpha in (0.3, 1.0, 10.0):
        parts = split(labels, n, "dirichlet", 0, alpha=alpha)
        counts = torch.stack([torch.bincount(labels[part], minlength=200) for part in parts])
        rounding = 1 / 20**2 / 6  # of both ends of a part to whole images
        wanted = (n - 1) / (n**2 * (n * alpha + 1)) + rounding
        assert float((counts / 20).double().var(unbiased=False)) == pytest.approx(wanted, rel=0.15)


def test_small_alphas_concentrate_and_large_ones_spread():
    labels = torch.arange(20_000) % 10
    few, many = (shares_of(split(labels, 4, "dirichlet", 0, alpha=a), labels).amax(1).mean() for a in (0.05, 1000.0))
    assert few > 0.3
    assert many < 0.12


def test_every_worker_has_what_is_asked_for():
    parts = split(LABELS, 8, "dirichlet", 0, alpha=0.05, smallest=10)
    assert min(map(len, parts)) >= 10
    assert min(len(part) for seed in range(20) for part in split(LABELS, 8, "dirichlet", seed, alpha=0.05)) < 10


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"workers": 0, "law": "iid"}, "workers = 0"),
        ({"workers": 2000, "law": "iid"}, "workers = 2000"),
        ({"workers": 600, "law": "shards"}, "1200 parts of 1003 images"),
        ({"workers": 4, "law": "dirichlet", "alpha": 0.0}, "alpha = 0.0"),
        ({"workers": 4, "law": "dirichlet", "alpha": float("inf")}, "alpha = inf"),
        ({"workers": 4, "law": "dirichlet", "smallest": 300}, "smallest = 300"),
        ({"workers": 50, "law": "dirichlet", "alpha": 1e-4, "smallest": 2}, "alpha = 0.0001: none of"),
    ],
)
def test_what_cannot_be_split_is_one_line(more, said):
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        split(LABELS, seed=0, **more)


def test_a_split_of_today_is_that_of_tomorrow():
    """Images by worker of twelve, recorded once: results of old runs keep their data."""
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    wanted = {
        "iid": [[5, 7, 8, 11], [1, 2, 6, 9], [0, 3, 4, 10]],
        "dirichlet": [[0, 1, 2, 3], [5, 6, 7, 11], [4, 8, 9, 10]],
        "shards": [[5, 7, 8, 11], [4, 6, 9, 10], [0, 1, 2, 3]],
    }
    assert {law: [part.tolist() for part in split(labels, 3, law, 8, alpha=0.5)] for law in wanted} == wanted
