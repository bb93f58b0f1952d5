"""Tiny ImageNet's folder, made small: pixels and labels, what is kept and what a run is known to have read, and the lines for half a tree."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from bench.errors import UserError
from bench.run.datafiles import noted, recorded
from datasets.images import tiny_imagenet as module
from datasets.images.jpeg_tree import decoded, read_tree
from datasets.images.tiny_imagenet import tiny_imagenet

WNIDS = ("n02", "n01", "n03")
EACH, TESTED = 6, 9


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three classes, the rows of wnids.txt not in order; one image is grey."""
    top, rng = tmp_path / "tiny-imagenet-200", np.random.default_rng(0)

    def save(path: Path, grey: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = gaussian_filter(rng.normal(size=(64, 64, 3)), (4, 4, 0))
        image = Image.fromarray(np.uint8(np.clip(128 + 900 * values, 0, 255)))
        (image.convert("L") if grey else image).save(path, "JPEG", quality=95)

    for wnid in WNIDS:
        names = [f"{wnid}_{k}.JPEG" for k in range(EACH)]
        for name in names:
            save(top / "train" / wnid / "images" / name, grey=name == "n03_2.JPEG")
        (top / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(f"{name}\t0\t0\t62\t62\n" for name in names))
    for k in range(TESTED):
        save(top / f"val/images/val_{k}.JPEG")
    rows = [f"val_{k}.JPEG\t{WNIDS[k % 3]}\t0\t0\t62\t62\n" for k in range(TESTED)]
    (top / "val/val_annotations.txt").write_text("".join(rows))
    (top / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (top / "words.txt").write_text("n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\ttree frog\nn03\tbullfrog\n")
    return top


@pytest.fixture
def in_this_process(monkeypatch):
    """Decoding without processes of its own, for what does not depend on them."""

    class Pool:
        def __init__(self, *_, **__) -> None:
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            pass

        def submit(self, function, *arguments):
            return type("Done", (), {"result": staticmethod(lambda: function(*arguments))})

        map = staticmethod(map)

    monkeypatch.setattr(module, "ProcessPoolExecutor", Pool)


def test_pixels_and_labels_are_the_files_and_only_the_decoded_ones_are_read(folder):
    root = str(folder.parent)
    for _ in range(2):  # decoded first, then kept
        with noted() as opened, recorded():
            data = tiny_imagenet(root, 0)
        assert {path for path in opened if path.startswith(root) and os.path.isfile(path)} == {
            str(folder / "decoded.npz")
        }
    assert data.class_names == ["goldfish", "tree frog", "bullfrog"]
    assert (len(data.train_y), len(data.test_y), data.mirror) == (18, 9, True)
    for part, name, label in (
        ("train", "train/n01/images/n01_3.JPEG", 0),
        ("train", "train/n03/images/n03_2.JPEG", 2),
        ("test", "val/images/val_0.JPEG", 1),
        ("test", "val/images/val_7.JPEG", 0),
    ):
        wanted = torch.tensor(np.asarray(Image.open(folder / name).convert("RGB"))).permute(2, 0, 1)
        at = (getattr(data, f"{part}_x") == wanted).flatten(1).all(1).nonzero().item()
        assert getattr(data, f"{part}_y")[at] == label


@pytest.mark.usefixtures("in_this_process")
def test_it_is_decoded_once_and_again_where_a_file_is_another(folder, monkeypatch):
    root, looks = str(folder.parent), []
    monkeypatch.setattr(module, "decoded", lambda *a: looks.append(1) or decoded(*a))
    first = tiny_imagenet(root, 0)
    kept = (folder / "decoded.npz").read_bytes()
    count = len(looks)
    assert count == 2
    assert tiny_imagenet(root, 5).fingerprint() == first.fingerprint()
    assert len(looks) == count
    (folder / "decoded.npz").write_bytes(kept[:1000])
    assert tiny_imagenet(root, 0).fingerprint() == first.fingerprint()
    assert len(looks) == 2 * count
    assert (folder / "decoded.npz").read_bytes() == kept, "the same files are kept as the same bytes"
    Image.new("RGB", (64, 64)).save(folder / "val/images/val_4.JPEG", "JPEG")
    assert tiny_imagenet(root, 0).fingerprint() != first.fingerprint()
    assert sorted(p.name for p in folder.iterdir()) == ["decoded.npz", "train", "val", "wnids.txt", "words.txt"]


@pytest.mark.usefixtures("in_this_process")
def test_the_decoded_images_alone_are_enough(folder, tmp_path):
    first = tiny_imagenet(str(tmp_path), 0)
    other = tmp_path / "other" / "tiny-imagenet-200"
    other.mkdir(parents=True)
    (folder / "decoded.npz").rename(other / "decoded.npz")
    assert tiny_imagenet(str(other.parent), 0).fingerprint() == first.fingerprint()
    (other / "decoded.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"decoded.npz is damaged"):
        tiny_imagenet(str(other.parent), 0)


def test_no_folder_is_one_line_that_says_where_it_is_from(tmp_path):
    with pytest.raises(UserError, match=r"'tiny_imagenet' not found: looked for .*; unpack tiny-imagenet-200.zip"):
        tiny_imagenet(str(tmp_path), 0)


DAMAGES = [
    (lambda top: (top / "wnids.txt").unlink(), r"incomplete: wnids.txt not found"),
    (lambda top: (top / "wnids.txt").write_text("n01\n"), r"wnids.txt is damaged: expected at least two"),
    (lambda top: (top / "words.txt").unlink(), r"incomplete: words.txt not found"),
    (lambda top: (top / "train/n03/n03_boxes.txt").unlink(), r"n03 is incomplete: n03_boxes.txt not found"),
    (lambda top: (top / "train/n01/images/n01_4.JPEG").unlink(), r"1 of 6 images not found, n01_4.JPEG first"),
    (lambda top: (top / "val/images").rename(top / "val/pictures"), r"9 of 9 images not found, val_0.JPEG first"),
    (lambda top: (top / "val/val_annotations.txt").write_text("val_0.JPEG\tn09\n"), r"no class of wnids.txt in"),
    (lambda top: (top / "val/val_annotations.txt").write_text("../x.JPEG\tn01\n"), r"'../x.JPEG' is no name of"),
]


@pytest.mark.parametrize(("damage", "line"), DAMAGES)
def test_half_a_tree_is_one_line(folder, damage, line):
    damage(folder)
    with pytest.raises(UserError, match=line):
        read_tree(folder)


@pytest.mark.usefixtures("in_this_process")
def test_files_that_are_no_such_images_are_one_line(folder):
    victim = folder / "train/n02/images/n02_0.JPEG"
    victim.write_bytes(victim.read_bytes()[:300])
    with pytest.raises(UserError, match=r"n02_0.JPEG: no image that can be read .*unpack"):
        tiny_imagenet(str(folder.parent), 0)
    Image.new("RGB", (32, 64)).save(victim, "JPEG")
    with pytest.raises(UserError, match=r"n02_0.JPEG: an image of 32 x 64, and Tiny ImageNet's are 64 x 64"):
        tiny_imagenet(str(folder.parent), 0)
    assert not (folder / "decoded.npz").exists()
