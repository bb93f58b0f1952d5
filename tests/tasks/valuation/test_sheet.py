"""The sheet of images in a run's folder, and small images as rows: which, where, with what marks."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
import valuation_points
from PIL import Image
from test_valuation import ran, table
from valuation_points import gaussian, images

from bench.tasks.valuation.loop_sheet import (
    COLUMNS,
    GAP,
    LINE,
    MARK,
    SIDE,
    ends,
    picture,
    scaled,
    shown,
    text_of,
    write_sheet,
)

CELL = SIDE + GAP, SIDE + 3 * LINE + GAP


def corner(block: int, k: int, rows: int) -> tuple[int, int]:
    return GAP + k % COLUMNS * CELL[0], GAP + block * (2 * LINE + rows * CELL[1]) + 2 * LINE + k // COLUMNS * CELL[1]


def test_lowest_and_highest_images_stand_in_their_blocks_and_corrupted_ones_are_framed(tmp_path):
    points = images("", 0)
    order = np.random.default_rng(0).permutation(96)
    path = write_sheet(tmp_path, points, order, 10)
    assert os.listdir(tmp_path) == ["sheet.png"]
    sheet = np.asarray(Image.open(path))
    for block, places in enumerate((order[:10], order[::-1][:10])):
        for k, place in enumerate(places):
            x, y = corner(block, k, 2)
            grey = points.train_x[place, 0].numpy()
            assert (sheet[y : y + SIDE : 8, x : x + SIDE : 8] == grey[:, :, None]).all()
            framed = (sheet[y - 3, x : x + SIDE] == MARK).all()
            assert framed == bool(points.corrupted[place])


def test_no_mark_where_nobody_knows_and_no_sheet_of_features(tmp_path):
    points = replace(images("", 0), corrupted=None, true_y=None, class_names=("a\nb", "ü" * 40))
    sheet = np.asarray(Image.open(write_sheet(tmp_path, points, np.arange(96), 4)))
    assert not (sheet == MARK).all(-1).any()
    assert write_sheet(tmp_path / "none", gaussian("", 0), np.arange(300), 4) is None
    assert write_sheet(tmp_path / "none", points, np.arange(96), 0) is None


def test_no_image_is_in_both_blocks():
    low, high = ends(np.arange(7), 12)
    assert (low.tolist(), high.tolist()) == ([0, 1, 2], [6, 5, 4])


def test_pixels_beyond_the_grid_are_cut_and_odd_channels_become_grey():
    wild = torch.tensor([[-20.0, 300.0], [float("nan"), 100.4]]).expand(3, 2, 2)
    assert np.asarray(picture(wild))[:, :, 1].tolist() == [[0, 255], [0, 100]]
    two = torch.stack([torch.full((2, 2), 10.0), torch.full((2, 2), 30.0)])
    assert np.asarray(picture(two)).tolist() == [[20, 20], [20, 20]]
    assert scaled(Image.new("RGB", (300, 150)), 64).size == (64, 32)
    assert scaled(Image.new("L", (28, 28)), 64).size == (56, 56)
    assert [shown(t) for t in ("cat", "a\x00\té", "automobiles and trucks")] == ["cat", "a???", "automobile.."]


@pytest.mark.parametrize("size", [(3, 32, 32), (3, 224, 150), (1, 28, 28)])
def test_a_small_image_is_short_and_close_to_the_image(size):
    noise = torch.randint(256, size, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    text = text_of(picture(noise))
    small = Image.open(io.BytesIO(base64.b64decode(text)))
    assert small.format == "PNG"
    assert max(small.size) <= 32
    assert len(text) < 2100
    flat = Image.open(io.BytesIO(base64.b64decode(text_of(picture(torch.full(size, 77.0)))))).convert("L")
    assert (np.asarray(flat) == 77).all()


def test_rows_hold_the_small_images_where_they_are_asked_for(tmp_path):
    keys = {"points": "images", "sheet": 3, "curve": 0}
    _, rows, said, run = ran(tmp_path / "a", "knn_shapley", thumbnails=True, **keys)
    small = [row for row in rows if "thumbnail" in row]
    assert [row["place"] for row in small] == [1, 2, 3, -1, -2, -3]
    by_rank = sorted(table(run), key=lambda line: int(line["rank"]))
    for row, line in zip(small, [*by_rank[:3], *by_rank[:-4:-1]]):
        assert (row["point"], row["given_label"]) == (line["id"], line["label"])
        assert (row["value"], row["known_corrupted"]) == (float(line["value"]), int(line["corrupted"]))
        pixels = Image.open(io.BytesIO(base64.b64decode(row["thumbnail"])))
        np.testing.assert_array_equal(np.asarray(pixels), images("", 0).train_x[int(line["id"]), 0])
    assert said[-1] == f"images of the lowest and highest values: {run.folder / 'sheet.png'}"
    assert (run.folder / "sheet.png").is_file()
    assert not [row for row in ran(tmp_path / "b", "knn_shapley", **keys)[1] if "thumbnail" in row]
    _, rows, _, run = ran(tmp_path / "c", "knn_shapley", thumbnails=True, sheet=3)
    assert not [row for row in rows if "thumbnail" in row]
    assert not (run.folder / "sheet.png").exists()


def test_nothing_is_marked_where_nobody_knows(tmp_path, monkeypatch):
    plain = replace(images("", 0), corrupted=None, true_y=None)
    monkeypatch.setattr(valuation_points, "images", lambda root, seed: plain)
    rows = ran(tmp_path, "random", points="images", sheet=2, thumbnails=True)[1]
    assert {row["known_corrupted"] for row in rows if "thumbnail" in row} == {-1}
