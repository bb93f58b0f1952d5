"""What is corrupted, and what is not: counts, flags, labels, pixels; disjoint parts; what seeds share."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import DATA
from data_layouts import cifar10_binary

from bench.errors import UserError
from datasets.valuation.corruptions import Corrupted, add_noise, flip_labels, flip_to_similar, how_many, square, trojan
from datasets.valuation.noisy_images import noisy_images
from datasets.valuation.similar_classes import CIFAR10, DIGITS, SIMILAR, SUPERCLASSES

SIZES = {"source": "digits", "train_size": 400, "reference_size": 150}
CORRUPTIONS = ["labels", "asymmetric", "features", "trojan", "trojan_released", "poison_frogs", "poison_frogs_released"]
with_cifar100 = pytest.mark.skipif(
    not (DATA / "cifar-100-binary").is_dir(), reason=f"no CIFAR-100 in {DATA.name}/cifar-100-binary"
)


def digits(seed: int = 0, **keys):
    return noisy_images("", seed, **(SIZES | keys))


def clean_of(points, **keys):
    """The same points before they were corrupted."""
    clean = digits(rate=0.0, **keys)
    assert not clean.corrupted.any()
    return clean


@pytest.fixture
def grey() -> Corrupted:
    """600 images of one grey, 60 of each of ten classes."""
    return Corrupted.none(torch.full((600, 3, 32, 32), 128, dtype=torch.uint8), torch.arange(600) % 10)


@pytest.mark.parametrize(("rate", "wanted"), [(None, 120), (0.25, 100), (0.2999, 119), (0.0, 0), (1.0, 400)])
def test_exactly_floor_rho_n_labels_become_another_class_and_are_flagged(rate, wanted):
    points = digits(rate=rate)
    assert int(points.corrupted.sum()) == wanted
    assert torch.equal(points.corrupted, points.train_y != points.true_y)
    assert torch.equal(points.train_x, clean_of(points).train_x)
    assert points.train_x.dtype == torch.uint8


def test_floor_is_of_the_decimal_product():
    assert [how_many(rate, n) for rate, n in ((0.57, 100), (0.29, 100), (0.3, 10), (0.299, 10))] == [57, 29, 3, 2]


def test_new_labels_are_uniform_over_the_other_classes():
    clean = Corrupted.none(torch.zeros(9000, 1, 8, 8, dtype=torch.uint8), torch.full((9000,), 4))
    counts = torch.bincount(flip_labels(clean, 9000, 10, 0).y, minlength=10)
    assert counts[4] == 0
    others = counts[torch.arange(10) != 4].double()
    assert float(((others - 1000) ** 2 / 1000).sum()) < 26.1  # chi^2 of 8 degrees, 99.9 %


@pytest.mark.parametrize("similar", [DIGITS, CIFAR10])
def test_asymmetric_labels_become_the_similar_class(grey, similar):
    made = flip_to_similar(grey, 90, similar, 3)
    assert int(made.flags.sum()) == 90
    assert torch.equal(made.flags, made.y != grey.y)
    assert all(similar[int(y)] == int(new) for y, new in zip(grey.y[made.flags], made.y[made.flags]))
    with pytest.raises(UserError, match="301 points to corrupt, and the classes that are mistaken"):
        flip_to_similar(grey, 301, similar, 3)


def test_a_hundred_classes_move_within_their_superclass():
    assert [SUPERCLASSES.count(k) for k in range(20)] == [5] * 20
    to = SIMILAR["cifar100"]
    assert sorted(to) == sorted(to.values()) == list(range(100))
    assert all(SUPERCLASSES[a] == SUPERCLASSES[b] and a != b for a, b in to.items())


GROUPS = """beaver dolphin otter seal whale; aquarium_fish flatfish ray shark trout; orchid poppy rose sunflower tulip; bottle bowl can cup plate;
apple mushroom orange pear sweet_pepper; clock keyboard lamp telephone television; bed chair couch table wardrobe;
bee beetle butterfly caterpillar cockroach; bear leopard lion tiger wolf; bridge castle house road skyscraper; cloud forest mountain plain sea;
camel cattle chimpanzee elephant kangaroo; fox porcupine possum raccoon skunk; crab lobster snail spider worm; baby boy girl man woman;
crocodile dinosaur lizard snake turtle; hamster mouse rabbit shrew squirrel; maple_tree oak_tree palm_tree pine_tree willow_tree;
bicycle bus motorcycle pickup_truck train; lawn_mower rocket streetcar tank tractor"""  # as the data set's page lists them


@pytest.mark.data
@with_cifar100
def test_the_superclasses_are_those_of_the_data_set_s_page():
    names = (DATA / "cifar-100-binary/fine_label_names.txt").read_text().split()
    found = [" ".join(names[k] for k in range(100) if SUPERCLASSES[k] == group) for group in range(20)]
    assert found == [" ".join(group.split()) for group in GROUPS.split(";")]


def test_noise_has_its_size_and_is_not_clipped(grey):
    made = add_noise(Corrupted.none(torch.full_like(grey.x, 255), grey.y), 180, 0.2 * 255, 0)
    moved = (made.x - 255).flatten(1)
    assert made.x.dtype == torch.float32
    assert torch.equal(moved.abs().amax(1) > 0, made.flags)
    assert int(made.flags.sum()) == 180
    numbers = moved[made.flags].double()
    assert abs(float(numbers.mean())) < 5 * 51 / math.sqrt(numbers.numel())
    assert float(numbers.std()) == pytest.approx(51, rel=0.01)
    assert float(made.x.max()) > 300  # half of the white pixels, and more so without clipping
    assert torch.equal(made.y, grey.y)


def test_a_trojan_is_one_square_on_all_and_of_other_classes(grey):
    made = trojan(grey, 60, 2, 51.0, 0, released=False)
    moved = made.x - 128
    assert int(made.flags.sum()) == 60
    assert (made.y[made.flags] == 2).all()
    assert (grey.y[made.flags] != 2).all()
    assert torch.equal(made.y[~made.flags], grey.y[~made.flags])
    assert (moved[made.flags] == moved[made.flags][0]).all()
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[18:28, 18:28] = True
    assert (moved[made.flags][:, :, ~inside] == 0).all()
    assert (moved[made.flags][:, :, inside] != 0).all()
    assert (moved[~made.flags] == 0).all()


def test_the_released_trojan_is_drawn_for_each_image_of_any_class(grey):
    made = trojan(grey, 300, 0, 51.0, 0, released=True)
    moved = (made.x - 128)[made.flags][:, :, 18:28, 18:28].flatten(1).double()
    assert float(moved.std()) == pytest.approx(51, rel=0.01)
    assert float(torch.corrcoef(moved).fill_diagonal_(0).abs().max()) < 0.4
    assert (made.y[made.flags] == 0).all()
    right = int((grey.y[made.flags] == 0).sum())
    assert 15 <= right <= 45  # a tenth keep a right label, and are flagged


def test_the_square_shrinks_with_the_image():
    assert square(8, 28) == (slice(4, 7), slice(15, 24))


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_flags_say_which_points_are_not_what_they_were(corruption):
    points, clean = digits(corruption=corruption), digits(corruption=corruption, rate=0.0)
    moved = (points.train_x.float() - clean.train_x.float()).flatten(1).abs().amax(1) > 0
    changed = moved | (points.train_y != points.true_y)
    assert torch.equal(points.true_y, clean.train_y)
    assert torch.equal(changed, points.corrupted)
    assert int(points.corrupted.sum()) == {"labels": 120, "asymmetric": 80, "features": 120}.get(corruption, 40)
    for name in ("reference_x", "reference_y", "test_x", "test_y"):
        assert torch.equal(getattr(points, name), getattr(clean, name))
        assert not getattr(points, name).is_floating_point()


def keys_of(x: torch.Tensor) -> list[bytes]:
    return [bytes(image.to(torch.uint8).flatten().tolist()) for image in x]


@pytest.mark.parametrize("reference_from", ["train_rest", "test"])
def test_train_reference_and_test_are_disjoint_and_keep_the_shares(reference_from):
    sizes = {"reference_size": 100, "test_size": 150, "train_size": 900}
    points = digits(reference_from=reference_from, **sizes)
    parts = [keys_of(part) for part in (points.train_x, points.reference_x, points.test_x)]
    assert list(map(len, parts)) == [900, 100, 150]
    assert len(set().union(*parts)) == 1150  # no digit occurs twice
    for labels in (points.true_y, points.reference_y, points.test_y):
        assert torch.bincount(labels, minlength=10).min() >= 0.09 * len(labels)


def test_all_images_are_used_and_a_set_of_all_test_images_leaves_none_to_test_on():
    points = noisy_images("", 0, source="digits", reference_size=100)
    assert (len(points.train_y), len(points.reference_y), len(points.test_y)) == (1337, 100, 360)
    points = noisy_images("", 0, source="digits", reference_size=360, reference_from="test")
    assert len(points.train_y) == 1437
    assert points.test_x is None
    assert points.test_y is None


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_seed_gives_one_set_and_another_seed_another(corruption):
    one, again, other = (digits(seed, corruption=corruption) for seed in (1, 1, 2))
    for name in ("train_x", "train_y", "corrupted", "reference_x"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(one.corrupted, other.corrupted)
    assert not torch.equal(one.reference_x, other.reference_x)


def test_the_same_images_are_chosen_whatever_the_corruption():
    assert torch.equal(digits(corruption="labels").corrupted, digits(corruption="features").corrupted)
    assert torch.equal(digits(corruption="labels").true_y, digits(corruption="trojan").true_y)


def test_by_class_sorts_by_the_labels_as_given_and_keeps_all_together():
    random, sorted_ = digits(), digits(order="by_class")
    assert (sorted_.train_y.diff() >= 0).all()
    assert not (random.train_y.diff() >= 0).all()
    rows = [
        set(zip(keys_of(p.train_x), p.train_y.tolist(), p.true_y.tolist(), p.corrupted.tolist()))
        for p in (random, sorted_)
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"train_size": 1400}, "dataset.train_size = 1400: 1,287 images are left of 1,437"),
        ({"reference_size": 2000}, "dataset.reference_size = 2000: 1,437 images are left"),
        ({"test_size": 361}, "dataset.test_size = 361: 360 images are left"),
        ({"corruption": "trojan", "target_class": 10}, "dataset.target_class = 10: digits has classes 0 to 9"),
        ({"corruption": "trojan", "rate": 1.0}, "400 points to corrupt, and the other classes has|have"),
        ({"corruption": "poison_frogs", "base_class": 3}, "the same as target_class"),
    ],
)
def test_what_cannot_be_is_one_line(keys, wanted):
    with pytest.raises(UserError, match=wanted):
        digits(**keys)


def test_an_image_set_of_files_is_read_and_its_moments_are_the_clean_images_own(tmp_path):
    cifar10_binary(tmp_path)
    points = noisy_images(
        str(tmp_path), 0, source="cifar10", corruption="features", reference_size=20, train_size=60, target_class=9
    )
    assert points.train_x.shape == (60, 3, 32, 32)
    assert points.mirror
    assert points.class_names[3] == "class3"
    again = noisy_images(str(tmp_path), 0, source="cifar10", reference_size=20, train_size=60)
    assert points.mean == again.mean
    assert len(points.mean) == len(points.std) == 3
