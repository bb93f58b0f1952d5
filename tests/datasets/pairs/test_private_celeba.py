"""CelebA's layout, on generated faces: no person is private and held out, pixels are the files', and only decoded ones are read."""

from __future__ import annotations

import os

import data_layouts
import numpy as np
import pytest
import torch
from PIL import Image

from bench.errors import UserError
from bench.run.datafiles import noted, recorded
from datasets.images import celeba as module
from datasets.pairs.celeba import private_celeba

PEOPLE = [1, 2, 3, 3, 4, 5, 5, 5, 6, 7, 8, 9, 9, 10, 11, 12, 13, 14, 15, 15]  # of the images
NAMES = [f"{k + 1:06d}.jpg" for k in range(len(PEOPLE))]


@pytest.fixture
def folder(tmp_path):
    """Images of one colour (10 x person, 100, index); lists as the authors write them, with rows for images that are not there."""
    data_layouts.cifar100_binary(tmp_path)
    top = tmp_path / "celeba"
    (top / "img_align_celeba").mkdir(parents=True)
    for k, (name, person) in enumerate(zip(NAMES, PEOPLE)):
        Image.new("RGB", (44, 54), (10 * person, 100, 10 * k)).save(top / "img_align_celeba" / name, quality=95)
    rows = [*zip(NAMES, PEOPLE), ("999999.jpg", 77)]
    (top / "identity_CelebA.txt").write_text("image identity\r\n" + "".join(f"{name} {who}\r\n" for name, who in rows))
    signs = "".join(f"{name}  {1 if who % 2 else -1} -1\n" for name, who in rows)
    (top / "list_attr_celeba.txt").write_text(f"{len(rows)}\nMale Young \n{signs}")
    (top / "list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in NAMES) + "999999.jpg 2\n")
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

        map = staticmethod(map)

    monkeypatch.setattr(module, "ProcessPoolExecutor", Pool)


def people(x: torch.Tensor) -> set[int]:
    return set((x[:, 0].float().mean((1, 2)) / 10).round().long().tolist())


def indices(x: torch.Tensor) -> list[int]:
    return (x[:, 2].float().mean((1, 2)) / 10).round().long().tolist()


def test_decoded_in_other_processes_and_read_from_there(folder):
    root = str(folder.parent)
    for _ in range(2):  # decoded first, then kept
        with noted() as opened, recorded():
            pair = private_celeba(root, 0, image_size=16)
        of_faces = {os.path.basename(path) for path in opened if path.startswith(str(folder)) and os.path.isfile(path)}
        assert sorted(of_faces)[1:] == ["identity_CelebA.txt", "list_eval_partition.txt"]
        assert sorted(of_faces)[0].startswith("decoded-16-")
    assert sorted(indices(torch.cat([pair.private_x, pair.held_x]))) == list(range(20))
    assert (pair.shape, pair.conditional, pair.num_classes, pair.public_classes) == ((3, 16, 16), False, 1, 10)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("split", range(4))
def test_people_are_on_one_side_alone(folder, split):
    pair = private_celeba(str(folder.parent), 0, public="celeba", image_size=8, split_seed=split, held_share=0.3)
    sides = [people(x) for x in (pair.public_x, pair.private_x, pair.held_x)]
    assert sum(map(len, sides)) == len(set(PEOPLE)) == len(set.union(*sides))
    assert 6 <= len(pair.held_y) <= 8  # .3 of 20, and the rest of the last person's
    assert pair.public_classes == pair.num_classes == 1


@pytest.mark.usefixtures("in_this_process")
def test_the_official_partition_decides_where_its_other_parts_are_there(folder):
    parts = [0 if person < 9 else person % 2 + 1 for person in PEOPLE]
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} {part}\n" for name, part in zip(NAMES, parts)))
    pair = private_celeba(str(folder.parent), 0, image_size=8, attribute="Male")
    assert people(pair.private_x) == set(range(1, 9))
    assert people(pair.held_x) == set(range(9, 16))
    assert pair.class_names == ("not Male", "Male")
    assert pair.conditional
    for x, y in ((pair.private_x, pair.private_y), (pair.held_x, pair.held_y)):
        assert [PEOPLE[k] % 2 for k in indices(x)] == y.tolist()
    with pytest.raises(UserError, match=r"dataset.private_size = 12: there are 11 images"):
        private_celeba(str(folder.parent), 0, image_size=8, private_size=12)


@pytest.mark.usefixtures("in_this_process")
def test_it_is_decoded_again_where_an_image_is_another_and_the_old_file_goes(folder):
    root = str(folder.parent)
    private_celeba(root, 0, image_size=8)
    (first,) = folder.glob("decoded-*")
    first.write_bytes(first.read_bytes()[:500])
    whole = private_celeba(root, 0, image_size=8)
    assert len(whole.private_y) + len(whole.held_y) == 20
    assert first.stat().st_size > 500
    noise = np.random.default_rng(0).integers(0, 256, (54, 44, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "img_align_celeba" / NAMES[0])
    other = private_celeba(root, 0, image_size=8)
    assert [path.name for path in folder.glob("decoded-*")] != [first.name]
    assert len(list(folder.glob("*decoded-*"))) == 1
    assert {whole.digest("private"), whole.digest("held")} != {other.digest("private"), other.digest("held")}


@pytest.mark.usefixtures("in_this_process")
def test_what_is_missing_is_one_line(folder):
    root = str(folder.parent)
    (folder / "img_align_celeba" / NAMES[4]).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"000005.jpg: no image that can be read"):
        private_celeba(root, 0, image_size=8)
    with pytest.raises(UserError, match=r"dataset.attribute = 'Mole': .* has Male, Young; did you mean 'Male'"):
        private_celeba(root, 0, attribute="Mole")
    identities = folder / "identity_CelebA.txt"
    kept = identities.read_text()
    identities.write_text(kept.replace(f"{NAMES[2]} 3", ""))
    with pytest.raises(UserError, match=r"identity_CelebA.txt: no row for 000003.jpg and 0 more of 20 images"):
        private_celeba(root, 0)
    identities.unlink()
    with pytest.raises(UserError, match=r"data set 'celeba' not found: looked for .*identity_CelebA.txt"):
        private_celeba(root, 0)
    identities.write_text(kept)
    (folder / "list_attr_celeba.txt").unlink()
    with pytest.raises(UserError, match=r"list_attr_celeba.txt not found; put it there, or dataset.attribute=null"):
        private_celeba(root, 0, attribute="Male")
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} 3\n" for name in NAMES))
    with pytest.raises(UserError, match=r"parts are 0, 1 and 2, found \[3\]"):
        private_celeba(root, 0)
