"""Sheets of small images: which are shown, where, with what texts and marks; what is no image is left out."""

from __future__ import annotations

import base64
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from made import run
from PIL import Image

from bench.judge.papers import Figure
from bench.judge.readers import _of_figure, kept
from bench.report import drawing, sheets

FIGURE = {
    "experiment": "sava/sheet",
    "caption": "",
    "x": "place",
    "y": "value",
    "thumbnail": "thumbnail",
    "titles": ["given_label", "point"],
    "marks": "known_corrupted",
}
SVG = "{http://www.w3.org/2000/svg}"


def png(level: int, side: int = 8) -> str:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (level, 0, 255 - level)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def row(place: int, **more) -> dict:
    given = {"given_label": "cat", "point": str(place), "known_corrupted": int(place in (1, 2, -3))}
    return {"place": place, "value": -float(place), "thumbnail": png(100 + place), **given, **more}


def runs(*, seeds=(0, 1), **more) -> list:
    rows = [row(place, **more) for place in (3, 1, 2, -1, -2, -3)]
    own = {"task": "valuation"}
    return [run(m, s, {}, curve=[*rows, {"inspected": 0.5}], **own) for m in ("sava", "lava") for s in seeds[::-1]]


def test_the_lowest_seed_is_shown_and_places_say_the_block():
    first, second = sheets.panels(Figure(**FIGURE), runs())
    assert (first.label, second.label, first.seeds) == ("sava", "lava", 1)
    assert [one.place for one in first.low] == [1, 2, 3]
    assert [one.place for one in first.high] == [-1, -2, -3]
    assert [one.marked for one in (*first.low, *first.high)] == [True, True, False, False, False, True]
    assert [int(one.image[0, 0, 0]) for one in first.low] == [101, 102, 103]
    assert first.low[0].titles == ("cat", "1")


def test_the_drawing_is_the_same_every_time_and_frames_what_is_marked():
    figure = Figure(**FIGURE)
    found = sheets.panels(figure, runs())
    svg = drawing.draw(figure, found, "valuation")
    assert svg == drawing.draw(figure, found, "valuation")
    root = ElementTree.fromstring(svg)
    assert len(list(root.iter(f"{SVG}image"))) == 12
    frames = [p for p in root.iter(f"{SVG}path") if "stroke: #cc3311" in p.get("style", "")]
    assert len(frames) == 6, "three a panel"


def test_texts_are_shown_letter_by_letter():
    figure = Figure(**FIGURE)
    odd = {"given_label": "<b>&$x$", "point": "a\x00\nverylongname"}
    svg = drawing.draw(figure, sheets.panels(figure, runs(seeds=[0], **odd)), "valuation")
    words = {"".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert {"<b>&$x$", "a??verylon…"} <= words


@pytest.mark.parametrize("bad", [None, 3, "", "no base64!", base64.b64encode(b"no image").decode(), png(1, 65)])
def test_what_is_no_small_image_is_left_out(bad):
    assert sheets.panels(Figure(**FIGURE), runs(thumbnail=bad)) == []


def test_a_jpeg_is_none():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    assert sheets.decoded(base64.b64encode(file.getvalue()).decode()) is None
    np.testing.assert_array_equal(sheets.decoded(png(7)), np.full((8, 8, 3), (7, 0, 248)))


def test_the_archive_keeps_what_the_figure_reads_and_no_more():
    rows = [{"step": 1, **row(1), "other": 2}, {"step": 1, "inspected": 0.5, "detected": 0.1}]
    assert kept(rows, list(_of_figure(Figure(**FIGURE)))) == [{"step": 1, **row(1)}]


PAIRS = FIGURE | {"experiment": "multimix/sheet", "y": "weight", "rows": "pair", "titles": ["label"]}
del PAIRS["marks"]


def pairs(methods=("multimix", "cutmix"), columns: int = 4) -> list:
    places = [(pair, place) for pair in (2, 1) for place in (2, 0, 1, *range(3, columns))]
    rows = [
        row(10 * pair + place, pair=pair, weight=0.5, label=f"{pair}.{place}") | {"place": place}
        for pair, place in places
    ]
    return [run(m, s, {}, curve=rows, task="mixed_images") for m in methods for s in (1, 0)]


def test_rows_are_the_values_of_a_column_and_images_stand_by_place():
    figure = Figure(**PAIRS)
    first, second = sheets.panels(figure, pairs())
    assert (first.label, second.label, first.seeds) == ("multimix", "cutmix", 1)
    assert [[one.titles for one in own] for own in first.rows] == [[(f"{r}.{k}",) for k in range(4)] for r in (2, 1)]
    assert [int(own[2].image[0, 0, 0]) for own in first.rows] == [122, 112]
    assert first.low == first.high == []
    svg = drawing.draw(figure, [first, second], "mixed_images")
    assert svg == drawing.draw(figure, [first, second], "mixed_images")
    root = ElementTree.fromstring(svg)
    assert len(list(root.iter(f"{SVG}image"))) == 16
    words = ["".join(e.itertext()).strip() for e in root.iter(f"{SVG}text")]
    assert {"multimix", "cutmix", "1.0", "2.3"} <= set(words)
    assert not any("lowest" in word for word in words)


def test_as_many_blocks_stand_beside_each_other_as_there_is_room_for():
    figure = Figure(**PAIRS)
    for columns, across in ((3, 4), (7, 2), (16, 1)):
        found = sheets.panels(figure, pairs([f"m{k}" for k in range(4)], columns))
        root = ElementTree.fromstring(drawing.draw(figure, found, "mixed_images"))
        names = [e for e in root.iter(f"{SVG}text") if "".join(e.itertext()).strip() in {"m0", "m1", "m2", "m3"}]
        assert len({name.get("y") for name in names}) == 4 // across


def test_rows_are_kept_and_are_of_a_sheet_alone():
    rows = [{"step": 1, **row(1, pair=1, weight=0.5, label="a"), "other": 2}]
    (found,) = kept(rows, list(_of_figure(Figure(**PAIRS))))
    assert set(found) == {"step", "place", "pair", "weight", "label", "thumbnail"}
    with pytest.raises(ValueError, match="one of them"):
        Figure(**{k: v for k, v in PAIRS.items() if k not in ("thumbnail", "titles")})


@pytest.mark.parametrize("more", [{"outline": ["place", "value"]}, {"thumbnail": None}])
def test_a_figure_is_of_one_kind(more):
    with pytest.raises(ValueError, match="one of them"):
        Figure(**(FIGURE | more))
