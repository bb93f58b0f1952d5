"""CelebA as a private set: whole people are private or held out, beside CIFAR-100, Tiny ImageNet or other people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator
from bench.tasks.generation.pair import Pair
from bench.types import Inner, NonNegativeInt, PositiveInt
from datasets.images.celeba import Faces, decoded, has_attribute, read_faces
from datasets.pairs.making import PUBLIC, Part, every, made

HELD, OTHERS = 93, 94  # streams


@dataclass(frozen=True)
class Rows:
    """Rows `at` [N] of decoded images, of which those that are asked for come to memory."""

    pixels: np.ndarray
    at: np.ndarray

    def __getitem__(self, chosen: Tensor) -> Tensor:
        return torch.from_numpy(self.pixels[self.at[chosen.numpy()]])


def private_celeba(
    root: str,
    seed: int,
    *,
    public: Literal["cifar100", "tiny_imagenet", "celeba"] = "cifar100",
    attribute: str | None = None,
    public_size: PositiveInt | None = None,
    private_size: PositiveInt | None = None,
    held_size: PositiveInt | None = None,
    held_share: Inner = 0.2,
    image_size: PositiveInt = 64,
    split_seed: NonNegativeInt = 0,
) -> Pair:
    """Private and held-out faces with no person in both.

    The official partition, which is one of people, where images of its training part and of another are there: training is private, validation and
    test are held out. Else people, in random order, are held out until they have `held_share` of the images.

    The privacy unit is one private image with its label, neighbours differ in one image that is added or removed: a person has about twenty images in the
    full set, and the guarantee for all of them together is weaker than the stated one.

    Args:
        root: data_root.
        seed: not used: all seeds of a run share the images.
        public: training and test images of it (the paper's is ImageNet at 64 pixels), or celeba: half of the people that are not held out.
        attribute: the class of a face is whether it has this attribute, such as Male; None: no classes, as in the paper.
        public_size, private_size, held_size: with the classes' shares; None: all.
        held_share: of the images, where the official partition does not say.
        image_size: side in pixels; the shorter side is resized to it, the centre cut out.

    Raises:
        UserError: files that are not there or not so, an unknown attribute, or a size beyond what there is.
    """
    faces = read_faces(root)
    labels = np.zeros(len(faces.names), np.int64) if attribute is None else has_attribute(faces, attribute)
    names = ("face",) if attribute is None else (f"not {attribute}", attribute)
    held, about = held_out(faces, held_share, split_seed)
    others = of_people(faces.people, ~held, 0.5, split_seed, OTHERS) if public == "celeba" else np.zeros_like(held)
    pixels = decoded(faces, image_size)

    def part(chosen: np.ndarray, name: str, size: int | None) -> Part:
        if not chosen.any():
            raise UserError(
                f"data set 'celeba': no {name} images among the {len(chosen):,} of {faces.folder}; put more there"
            )
        return Part(Rows(pixels, np.flatnonzero(chosen)), torch.from_numpy(labels[chosen]), len(names), size)

    if public == "celeba":
        of_public = part(others, "public", public_size)
    else:
        images = PUBLIC[public](root, seed)
        of_public = Part(*every(images), len(images.class_names), public_size)
    parts = {
        "public": of_public,
        "private": part(~held & ~others, "private", private_size),
        "held": part(held, "held-out", held_size),
    }
    told = f"{'other people' if public == 'celeba' else public} public; {about}"
    return made(
        parts, image_size, split_seed, conditional=attribute is not None, class_names=names, about=f"CelebA: {told}"
    )


def held_out(faces: Faces, share: float, seed: int) -> tuple[np.ndarray, str]:
    """Which images are held out, bool [M], and what decided."""
    if faces.partition is not None and 0 < (faces.partition > 0).sum() < len(faces.names):
        return faces.partition > 0, "the official partition's training part is private"
    everyone = np.ones(len(faces.names), bool)
    return of_people(faces.people, everyone, share, seed, HELD), f"people with {share:.0%} of the images are held out"


def of_people(people: np.ndarray, among: np.ndarray, share: float, seed: int, stream: int) -> np.ndarray:
    """All images of people drawn at random, one after another, until they have `share` of the images `among`: bool [M]."""
    who, counts = np.unique(people[among], return_counts=True)
    order: Tensor = torch.randperm(len(who), generator=generator(seed, "data", stream))
    before = np.cumsum(counts[order]) - counts[order]
    chosen = who[order][before < share * counts.sum()]
    return among & np.isin(people, chosen)
