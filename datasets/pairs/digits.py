"""scikit-learn's digits, embedded: 5 to 9 are public, 0 to 4 are private."""

from __future__ import annotations

from bench.tasks.generation.pair import Pair
from bench.types import NonNegativeInt, PositiveInt
from datasets.images.digits import digits
from datasets.pairs.making import Part, every, made

PUBLIC, PRIVATE = [5, 6, 7, 8, 9], [0, 1, 2, 3, 4]


def private_digits(
    root: str,
    seed: int,
    *,
    public_size: PositiveInt | None = None,
    private_size: PositiveInt | None = None,
    held_size: PositiveInt | None = None,
    split_seed: NonNegativeInt = 0,
) -> Pair:
    """8 x 8 digits: 896 public images of 5 to 9, 720 private ones of 0 to 4 and 181 held out, of the data set's fixed training and test parts.

    The privacy unit is one private image with its label, neighbours differ in one image that is added or removed.

    Args:
        root, seed: not used: the images are embedded, and all seeds of a run share them.
        public_size, private_size, held_size: with the classes' shares; None: all.

    Raises:
        UserError: a size beyond what there is.
    """
    public = every(digits(root, seed, classes=PUBLIC))
    private = digits(root, seed, classes=PRIVATE)
    parts = {
        "public": Part(*public, len(PUBLIC), public_size),
        "private": Part(private.train_x, private.train_y, len(PRIVATE), private_size),
        "held": Part(private.test_x, private.test_y, len(PRIVATE), held_size),
    }
    about = "digits: 5 to 9 are public, 0 to 4 private"
    return made(parts, 8, split_seed, conditional=True, class_names=tuple(private.class_names), about=about)
