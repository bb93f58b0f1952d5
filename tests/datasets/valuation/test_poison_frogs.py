"""Collisions in feature space: on a linear embedder against the closed form, on trained ones by what they claim."""

from __future__ import annotations

import pytest
import torch
from conftest import DATA

import datasets.valuation.poison_frogs as module
from bench.tasks.valuation.embedders import PublishedResNet20
from bench.tasks.valuation.trained_embedders import MLP
from datasets.valuation.corruptions import Corrupted
from datasets.valuation.noisy_images import noisy_images
from datasets.valuation.poison_frogs import Collision, collide, poison_frogs

with_weights = pytest.mark.skipif(
    not (DATA / "resnet_cifar10").is_dir() or not (DATA / "cifar-10-batches-bin").is_dir(),
    reason=f"no CIFAR-10 and weights in {DATA.name}",
)


@pytest.fixture
def linear():
    """phi(x) = A x of pixels in [0, 1], 48 -> 5."""
    matrix = 3 * torch.randn(5, 48, generator=torch.Generator().manual_seed(0))

    def embed(x: torch.Tensor) -> torch.Tensor:
        return (x / 255).flatten(1) @ matrix.T

    embed.matrix = matrix
    return embed


def images(n: int, seed: int) -> torch.Tensor:
    return torch.randint(100, 156, (n, 3, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_the_end_is_the_minimum_of_features_and_look(linear):
    """Of |A x - c|^2 / d + beta |x - b|^2 / 2 the minimum solves (2 A'A / d + beta) x = 2 A'c / d + beta b; the base image pulls, not the last step."""
    bases, target = images(4, 1), images(1, 2)[0]
    how = Collision(steps=4000, near=0.0, beta=0.5)
    x, distance = collide(bases, target, linear, how)
    a = linear.matrix.double()
    c, b = a @ target.double().flatten() / 255, bases.double().flatten(1) / 255
    wanted = torch.linalg.solve(2 * a.T @ a / 5 + 0.5 * torch.eye(48), (2 / 5 * a.T @ c + 0.5 * b).T).T
    assert ((wanted > 0) & (wanted < 1)).all()  # no pixel is held back
    torch.testing.assert_close(x.double().flatten(1) / 255, wanted, atol=2e-4, rtol=0)
    torch.testing.assert_close(distance, (linear(x) - linear(target[None])).norm(dim=1))


def test_rejected_images_stay_clean_unflagged_and_in_their_place(linear):
    """A base whose features cannot come near is between those that can; what follows it keeps its index."""
    x = images(30, 3)
    y = torch.arange(30) % 2
    far = 7
    x[far] = 255

    def embed(z: torch.Tensor) -> torch.Tensor:  # white images alone go nowhere
        return torch.where((z.flatten(1).mean(1) > 250)[:, None], 100 + 0 * linear(z), linear(z))

    made = poison_frogs(Corrupted.none(x, y), 10, 1, images(1, 4)[0], embed, Collision(near=0.05, accepted=0.1))
    assert not made.flags[far]
    assert torch.equal(made.x[~made.flags], x[~made.flags].float())
    assert made.flags.nonzero()[:, 0].tolist() == [1, 3, 5, 9, 11, 13, 15, 17, 19, 21]
    assert torch.equal(made.y, y)
    assert ((embed(made.x[made.flags]) - embed(images(1, 4).float())).norm(dim=1) < 0.1).all()


def test_as_released_rejected_images_are_gone_and_the_flags_stay_where_they_were(linear):
    """Images 3 and 9 of the base class are rejected: what stood behind them moves up by one and by two, and the flags do not."""
    x = images(30, 3)
    y = torch.arange(30) % 2
    x[[3, 9, 25]] = 255

    def embed(z: torch.Tensor) -> torch.Tensor:
        return torch.where((z.flatten(1).mean(1) > 250)[:, None], 100 + 0 * linear(z), linear(z))

    given = Corrupted.none(x, y), 6, 1, images(1, 4)[0], embed, Collision(near=0.05, accepted=0.1)
    right, made = poison_frogs(*given), poison_frogs(*given, released=True)
    assert right.flags.nonzero()[:, 0].tolist() == [1, 5, 7, 11, 13, 15]
    left = [k for k in range(30) if k not in (3, 9)]  # image 25 is never tried
    assert torch.equal(made.x, right.x[left])
    assert torch.equal(made.y, y[left])
    assert torch.equal(made.flags, right.flags[:28])
    moved = [left[int(k)] for k in made.flags.nonzero()[:, 0]]
    assert moved == [1, 6, 8, 13, 15, 17], "the images that are flagged now: three of the six are no poisons"


def test_as_released_nothing_shifts_where_nothing_is_rejected(linear):
    given = Corrupted.none(images(20, 3), torch.arange(20) % 2), 5, 1, images(1, 4)[0], linear
    how = Collision(near=0.05, accepted=0.1)
    right, made = poison_frogs(*given, how), poison_frogs(*given, how, released=True)
    assert all(torch.equal(getattr(right, name), getattr(made, name)) for name in ("x", "y", "flags"))


def test_a_set_of_digits_as_released_is_shorter_by_what_was_rejected():
    keys = {"source": "digits", "train_size": 400, "reference_size": 150, "rate": 0.05, "collision_steps": 30}
    right, made = (noisy_images("", 0, corruption=f"poison_frogs{end}", **keys) for end in ("", "_released"))
    gone = 400 - len(made.train_y)
    assert gone > 0
    assert 0 < int(right.corrupted.sum()) <= 20
    assert len(made.train_x) == len(made.corrupted) == len(made.true_y) == 400 - gone
    assert torch.equal(made.corrupted, right.corrupted[: 400 - gone])
    assert torch.equal(made.train_y, made.true_y)
    assert torch.bincount(right.train_y, minlength=10)[6] - torch.bincount(made.train_y, minlength=10)[6] == gone


def test_fewer_are_flagged_where_fewer_can_collide(linear):
    x, y = images(10, 5), torch.ones(10, dtype=torch.long)
    made = poison_frogs(Corrupted.none(x, y), 8, 1, images(1, 6)[0], linear, Collision(steps=0, accepted=1e-6))
    assert not made.flags.any()
    assert torch.equal(made.x, x.float())


def test_poisons_of_digits_collide_with_the_target_that_is_in_no_part():
    keys = {"source": "digits", "corruption": "poison_frogs", "train_size": 400, "reference_size": 150}
    points, clean = (noisy_images("", 0, rate=rate, **keys) for rate in (0.05, 0.0))
    assert int(points.corrupted.sum()) == 20
    assert (points.train_y[points.corrupted] == 6).all()
    assert torch.equal(points.train_y, points.true_y)
    embedder = MLP()
    embedder.prepare(clean, 0)  # trained on the reference: the one that the data set used
    features, before = embedder(points.train_x[points.corrupted]), embedder(clean.train_x[points.corrupted].float())
    threes = embedder(noisy_images("", 0, source="digits", reference_size=1).test_x)
    near = torch.cdist(features, threes).min(1).values, torch.cdist(before, threes).min(1).values
    assert (features.argmax(1) == 3).float().mean() > 0.9  # they are taken for threes
    assert (before.argmax(1) == 6).float().mean() > 0.9
    assert float(torch.cdist(features, features).max()) < 2 * 3.5  # all within 3.5 of one point
    assert float(near[0].max()) < 3.5
    assert len(points.test_y) == 359
    moved = (points.train_x - clean.train_x).flatten(1).norm(dim=1)[points.corrupted] / 255
    assert float(moved.max()) < float((clean.train_x.float() / 255).flatten(1).norm(dim=1).mean())
    assert 0 <= float(points.train_x.min()) <= float(points.train_x.max()) <= 255


@pytest.mark.data
@with_weights
def test_poisons_of_cifar_10_look_like_frogs_and_are_a_cat_to_the_published_network():
    keys = {"source": "cifar10", "corruption": "poison_frogs", "train_size": 100, "reference_size": 50}
    points, clean = (noisy_images(str(DATA), 0, rate=rate, **keys) for rate in (0.1, 0.0))
    assert int(points.corrupted.sum()) == 10
    embedder = PublishedResNet20(str(DATA))
    embedder.prepare(points, 0)
    features = embedder(points.train_x[points.corrupted])
    assert float(torch.cdist(features, features).max()) < 2 * 3.5
    moved = (points.train_x - clean.train_x)[points.corrupted] / 255
    assert float(moved.square().mean().sqrt()) < 0.02  # 5 of 255 levels
    assert (embedder(clean.train_x[points.corrupted]) - features).norm(dim=1).min() > 5


def test_collisions_are_searched_once_for_the_same_images_and_embedder(monkeypatch):
    """A sweep's methods share their poisons; another embedder, target or number has others."""
    calls = []

    class Embedder:
        def __init__(self, name: str) -> None:
            self.name = name

        def identity(self) -> str:
            return self.name

        def __call__(self, x):
            return x.flatten(1) / 255

    def counted(bases, target, embed, how):
        calls.append(len(bases))
        return bases.float(), torch.zeros(len(bases))

    monkeypatch.setattr(module, "collide", counted)
    monkeypatch.setattr(module, "_known", {})
    bases, target = torch.zeros(3, 1, 2, 2), torch.ones(1, 2, 2)
    for embed, goal, steps in [("a", 1, 5), ("a", 1, 5), ("b", 1, 5), ("a", 2, 5), ("a", 1, 6)]:
        module._remembered(bases, goal * target, Embedder(embed), module.Collision(steps=steps))
    assert len(calls) == 4
    module._remembered(bases, target, lambda x: x, module.Collision())
    module._remembered(bases, target, lambda x: x, module.Collision())
    assert len(calls) == 6, "an embedder that does not say what it depends on is asked each time"
