"""Image data sets of which some training points are corrupted, beside a clean reference set and a clean test set; all three disjoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator
from bench.tasks.classification.images import LabelledImages
from bench.tasks.valuation.embedders import PublishedResNet20
from bench.tasks.valuation.points import Points
from bench.tasks.valuation.trained_embedders import MLP, SmallCNN
from bench.types import Added, NonNegativeInt, PositiveFloat, PositiveInt, Probability
from datasets.images.cifar import cifar10, cifar100
from datasets.images.digits import digits
from datasets.images.mnist import mnist
from datasets.images.selection import stratified
from datasets.valuation.corruptions import Corrupted, add_noise, flip_labels, flip_to_similar, how_many, trojan
from datasets.valuation.poison_frogs import Collision, poison_frogs
from datasets.valuation.similar_classes import SIMILAR

SOURCES = {"digits": digits, "mnist": mnist, "cifar10": cifar10, "cifar100": cifar100}
EMBEDDERS = {"published_resnet20": PublishedResNet20, "small_cnn_embedder": SmallCNN, "digits_mlp_embedder": MLP}
COLLIDES = {"digits": "digits_mlp_embedder", "cifar10": "published_resnet20"}  # others: small_cnn_embedder
FROGS = ("poison_frogs", "poison_frogs_released")
RATES = {
    "labels": 0.3,
    "asymmetric": 0.2,
    "features": 0.3,
    "trojan": 0.1,
    "trojan_released": 0.1,
    **dict.fromkeys(FROGS, 0.1),
}
TARGETS = dict.fromkeys(FROGS, 3)  # cat; of trojans 0, airplane
REFERENCE, TRAIN, TEST, TARGET = 40, 41, 42, 43  # streams


@dataclass(frozen=True)
class Parts:
    """Clean images and labels by part, and the image that poisons collide with, which is in none of them."""

    train: tuple[Tensor, Tensor]
    reference: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    target: Tensor | None


def noisy_images(
    root: str,
    seed: int,
    *,
    source: Literal["digits", "mnist", "cifar10", "cifar100"],
    corruption: Literal[
        "labels", "asymmetric", "features", "trojan", "trojan_released", "poison_frogs", "poison_frogs_released"
    ] = "labels",
    rate: Probability | None = None,
    train_size: PositiveInt | None = None,
    reference_size: PositiveInt = 2000,
    test_size: PositiveInt | None = None,
    reference_from: Literal["train_rest", "test"] = "train_rest",
    order: Literal["random", "by_class"] = "random",
    noise: PositiveFloat = 0.19952623149688797,
    target_class: NonNegativeInt | None = None,
    base_class: NonNegativeInt = 6,
    collides_with: Literal["published_resnet20", "small_cnn_embedder", "digits_mlp_embedder"] | None = None,
    collision_steps: Added[PositiveInt] = 100,
) -> Points:
    """Points of an image data set, of which floor(rate N) are corrupted; which ones and how depends on the seed.

    Args:
        root: data_root.
        corruption: labels (another class, uniformly), asymmetric (a similar class), features (normal noise), trojan (a square of noise, one pattern for
            all, of other classes than the target), trojan_released (drawn afresh for each image, of all classes), poison_frogs (images of the base class
            that look like it and collide with a target image in feature space; fewer than floor(rate N) where fewer can), poison_frogs_released (images
            that cannot are dropped, and what is told to be corrupted stays at the places as if they had not been: of other images from there on).
        rate: None: .3, of asymmetric .2, of trojans and poison frogs .1.
        train_size: with the classes' shares; None: all that the reference set leaves.
        test_size: None: all that are left.
        reference_from: train_rest: training images that are not valued; test: test images, which are then not tested on.
        order: random, or by_class: sorted by the labels as given.
        noise: standard deviation of features and trojan, of white 1; nothing is clipped.
        target_class: label of trojans (None: 0), class of the image that poison frogs collide with (None: 3).
        base_class: of poison frogs.
        collides_with: embedder of poison frogs, trained where it is to be on the reference set; None: published_resnet20 for cifar10,
            digits_mlp_embedder for digits, else small_cnn_embedder.
        collision_steps: of a poison frog, before it is rejected.

    Raises:
        UserError: more points than there are, an unknown class.
    """
    images = SOURCES[source](root, seed)
    classes = len(images.class_names)
    target_class = TARGETS.get(corruption, 0) if target_class is None else target_class
    for name, value in (("target_class", target_class), ("base_class", base_class)):
        if value >= classes:
            raise UserError(f"dataset.{name} = {value}: {source} has classes 0 to {classes - 1}")
    held_out = target_class if corruption in FROGS else None
    parts = split(images, seed, train_size, reference_size, test_size, reference_from, held_out)
    clean = Corrupted.none(*parts.train)
    count = how_many(RATES[corruption] if rate is None else rate, len(clean.y))
    if corruption == "labels":
        made = flip_labels(clean, count, classes, seed)
    elif corruption == "asymmetric":
        made = flip_to_similar(clean, count, SIMILAR[source], seed)
    elif corruption == "features":
        made = add_noise(clean, count, 255 * noise, seed)
    elif corruption in FROGS:
        if target_class == base_class:
            raise UserError(
                f"dataset.base_class = {base_class}: the same as target_class; poisons are of another class"
            )
        embedder = EMBEDDERS[collides_with or COLLIDES.get(source, "small_cnn_embedder")](root)
        embedder.prepare(_points(images, parts, clean), seed)
        how, released = Collision(steps=collision_steps), corruption == "poison_frogs_released"
        made = poison_frogs(clean, count, base_class, parts.target, embedder, how, released)
        parts = replace(parts, train=(made.x, made.y))  # labels are right, of those that are left
    else:
        made = trojan(clean, count, target_class, 255 * noise, seed, corruption == "trojan_released")
    return _points(images, parts, made, by_class=order == "by_class")


def split(
    images: LabelledImages,
    seed: int,
    train_size: int | None,
    reference_size: int,
    test_size: int | None,
    reference_from: str,
    held_out: int | None,
) -> Parts:
    """Disjoint parts with the classes' shares. `held_out`: the class of one test image that is put aside.

    Raises:
        UserError: a size beyond what there is.
    """
    classes = len(images.class_names)
    train_pool, test_pool = torch.arange(len(images.train_y)), torch.arange(len(images.test_y))
    target = None
    if held_out is not None:
        of_class = (images.test_y == held_out).nonzero()[:, 0]
        pick = torch.randint(len(of_class), (1,), generator=generator(seed, "data", TARGET))
        target, test_pool = images.test_x[of_class[pick]][0], test_pool[test_pool != of_class[pick]]

    def draw(pool: Tensor, labels: Tensor, size: int | None, stream: int, key: str, most: int) -> tuple[Tensor, Tensor]:
        size = len(pool) if size is None else size
        if size > len(pool) or (size == 0 and key != "test_size"):
            raise UserError(f"dataset.{key} = {size or most}: {len(pool):,} images are left of {most:,}")
        chosen, rest = stratified(labels[pool], size, classes, seed, stream)
        return pool[chosen], pool[rest]

    of_train = images.train_x, images.train_y
    of_test = images.test_x, images.test_y
    most_train, most_test = len(train_pool), len(test_pool)
    if reference_from == "train_rest":
        of_reference = of_train
        reference, train_pool = draw(train_pool, of_train[1], reference_size, REFERENCE, "reference_size", most_train)
    else:
        of_reference = of_test
        reference, test_pool = draw(test_pool, of_test[1], reference_size, REFERENCE, "reference_size", most_test)
    train, _ = draw(train_pool, of_train[1], train_size, TRAIN, "train_size", most_train)
    test, _ = draw(test_pool, of_test[1], test_size, TEST, "test_size", most_test)
    return Parts(*(_taken(*pair) for pair in ((of_train, train), (of_reference, reference), (of_test, test))), target)


def _taken(pair: tuple[Tensor, Tensor], chosen: Tensor) -> tuple[Tensor, Tensor]:
    return pair[0][chosen], pair[1][chosen]


def _points(images: LabelledImages, parts: Parts, made: Corrupted, by_class: bool = False) -> Points:
    """The container; sorted by the labels as given where asked for."""
    x, y, true_y, flags = made.x, made.y, parts.train[1], made.flags
    if by_class:
        order = torch.argsort(y, stable=True)
        x, y, true_y, flags = x[order], y[order], true_y[order], flags[order]
    tested = len(parts.test[1]) > 0
    return Points(
        train_x=x,
        train_y=y,
        reference_x=parts.reference[0],
        reference_y=parts.reference[1],
        num_classes=len(images.class_names),
        corrupted=flags,
        true_y=true_y,
        test_x=parts.test[0] if tested else None,
        test_y=parts.test[1] if tested else None,
        mean=tuple(images.mean),
        std=tuple(images.std),
        mirror=images.mirror,
        class_names=tuple(images.class_names),
    )
