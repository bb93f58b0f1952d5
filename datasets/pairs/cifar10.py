"""CIFAR-10 as a private set, beside CIFAR-100 or Tiny ImageNet."""

from __future__ import annotations

from typing import Literal

from bench.tasks.generation.pair import Pair
from bench.types import NonNegativeInt, PositiveInt
from datasets.images.cifar import cifar10
from datasets.pairs.making import PUBLIC, Part, every, made


def private_cifar10(
    root: str,
    seed: int,
    *,
    public: Literal["cifar100", "tiny_imagenet"] = "cifar100",
    public_size: PositiveInt | None = None,
    private_size: PositiveInt | None = None,
    held_size: PositiveInt | None = None,
    image_size: PositiveInt = 32,
    split_seed: NonNegativeInt = 0,
) -> Pair:
    """Private CIFAR-10 images of the training set, held-out ones of the test set; public images of other classes.

    The privacy unit is one private image with its label, neighbours differ in one image that is added or removed.

    Args:
        root: data_root.
        seed: not used: all seeds of a run share the images.
        public: training and test images of it; the paper's is ImageNet at 32 pixels.
        public_size, private_size, held_size: with the classes' shares; None: all.
        image_size: side in pixels.

    Raises:
        UserError: files that are not there or not so, or a size beyond what there is.
    """
    of_public, images = PUBLIC[public](root, seed), cifar10(root, seed)
    classes = len(images.class_names)
    parts = {
        "public": Part(*every(of_public), len(of_public.class_names), public_size),
        "private": Part(images.train_x, images.train_y, classes, private_size),
        "held": Part(images.test_x, images.test_y, classes, held_size),
    }
    about = f"{public} is public, CIFAR-10 private"
    return made(parts, image_size, split_seed, conditional=True, class_names=tuple(images.class_names), about=about)
