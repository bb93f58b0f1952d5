"""MNIST as a private set, beside EMNIST's letters or beside the other half of its digits."""

from __future__ import annotations

from typing import Literal

from bench.tasks.generation.pair import Pair
from bench.types import NonNegativeInt, PositiveInt
from datasets.images.emnist import letters
from datasets.images.mnist import mnist
from datasets.pairs.digits import PRIVATE, PUBLIC
from datasets.pairs.making import Part, every, made


def private_mnist(
    root: str,
    seed: int,
    *,
    public: Literal["letters", "digits"] = "letters",
    public_size: PositiveInt | None = None,
    private_size: PositiveInt | None = None,
    held_size: PositiveInt | None = None,
    image_size: PositiveInt = 28,
    split_seed: NonNegativeInt = 0,
) -> Pair:
    """Private MNIST digits of the training set, held-out ones of the test set.

    The privacy unit is one private image with its label, neighbours differ in one image that is added or removed.

    Args:
        root: data_root.
        seed: not used: all seeds of a run share the images.
        public: letters: EMNIST's 26 letters beside all ten digits, as in the paper; digits: MNIST's 5 to 9, training and test images, beside 0 to 4 as
            the private ones: it needs no second data set, and is an easier pair, since public and private images come from the same writers.
        public_size, private_size, held_size: with the classes' shares; None: all.
        image_size: side in pixels.

    Raises:
        UserError: files that are not there or not so, or a size beyond what there is.
    """
    if public == "letters":
        of_public, images = letters(root, seed), mnist(root, seed)
        about = "EMNIST's letters are public, MNIST's digits private"
    else:
        of_public, images = mnist(root, seed, classes=PUBLIC), mnist(root, seed, classes=PRIVATE)
        about = "MNIST: digits 5 to 9 are public, 0 to 4 private"
    classes = len(images.class_names)
    parts = {
        "public": Part(*every(of_public), len(of_public.class_names), public_size),
        "private": Part(images.train_x, images.train_y, classes, private_size),
        "held": Part(images.test_x, images.test_y, classes, held_size),
    }
    return made(parts, image_size, split_seed, conditional=True, class_names=tuple(images.class_names), about=about)
