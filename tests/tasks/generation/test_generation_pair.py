"""The container of public and private images: what it refuses, pixels to floats and back, digests."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.errors import UserError
from bench.tasks.generation.pair import Pair, as_bytes, as_float


def small(**changes) -> Pair:
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(256, (9, 1, 4, 4), generator=draw, dtype=torch.uint8)
    y = torch.arange(9) % 3
    images = {"public_x": x[:4], "private_x": x[4:7], "held_x": x[7:]}
    labels = {"public_y": y[:4], "private_y": y[4:7], "held_y": y[7:]}
    return Pair(**(images | labels | {"public_classes": 3, "num_classes": 3, "conditional": True} | changes))


def test_every_byte_comes_back_and_floats_lie_between_minus_one_and_one():
    every = torch.arange(256, dtype=torch.uint8)
    floats = as_float(every)
    assert (float(floats[0]), float(floats[-1])) == (-1.0, 1.0)
    assert torch.equal(as_bytes(floats), every)
    assert as_bytes(torch.tensor([-3.0, 0.0, 2.0])).tolist() == [0, 128, 255]
    with pytest.raises(ValueError, match="2 pixels are not finite"):
        as_bytes(torch.tensor([0.0, float("nan"), float("inf")]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"private_x": torch.zeros(3, 1, 4, 4)}, "private_x: expected uint8"),
        ({"held_y": torch.tensor([0, 3])}, "held_y: expected labels 0 to 2"),
        ({"public_y": torch.tensor([0, 1, 2])}, "public_y: 3 labels for 4 images"),
        ({"held_x": torch.zeros(2, 1, 5, 5, dtype=torch.uint8)}, "held_x: images of 1 x 5 x 5"),
        ({"class_names": ("a", "b")}, "class_names: 2 names for 3 classes"),
        ({name: torch.zeros(2, 1, 4, 5, dtype=torch.uint8) for name in ("public_x", "private_x", "held_x")}, None),
    ],
)
def test_what_is_no_pair_is_refused_in_one_line(changes, said):
    if said is None:
        changes = changes | {f"{part}_y": torch.zeros(2, dtype=torch.long) for part in ("public", "private", "held")}
        said = "square ones are expected"
    with pytest.raises(UserError, match=said):
        small(**changes)


def test_a_digest_is_of_one_part_s_images_and_labels():
    pair = small()
    other = replace(pair, public_y=pair.public_y.flip(0))
    assert pair.digest("public") != other.digest("public")
    assert pair.digest("private") == other.digest("private") != pair.digest("held")
    assert pair.shape == (1, 4, 4)
    moved = replace(pair, about="known").to("cpu")
    assert (moved.digest("held"), moved.about, moved.conditional) == (pair.digest("held"), "known", True)
