"""A person's own images: classes from folders, all bad files in one line, and nothing public and private at once."""

from __future__ import annotations

import shutil

import pytest
import torch
from PIL import Image

from bench.errors import UserError
from datasets.pairs.folder import private_folder


def save(path, colour, size=(20, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    """30 public images without classes, 20 private ones of two classes; red tells the class, green the number."""
    for k in range(30):
        save(tmp_path / f"own/public/{k:02}.png", (0, 8 * k, 255))
    for name, red in (("cat", 10), ("dog", 200)):
        for k in range(10):
            save(tmp_path / f"own/private/{name}/{k}.png", (red, 8 * k, 0))
    return tmp_path / "own"


def test_folders_are_classes_and_a_fifth_is_held_out(folder):
    pair = private_folder("", 0, path=str(folder), image_size=8)
    assert (len(pair.public_y), len(pair.private_y), len(pair.held_y), pair.shape) == (30, 16, 4, (3, 8, 8))
    assert (pair.public_classes, pair.num_classes, pair.conditional, pair.class_names) == (1, 2, True, ("cat", "dog"))
    for x, y in ((pair.private_x, pair.private_y), (pair.held_x, pair.held_y)):
        assert ((x[:, 0, 0, 0] == 200) == (y == 1)).all()
    seen = torch.cat([pair.private_x, pair.held_x])[:, :2, 4, 4]
    assert len(seen.unique(dim=0)) == 20
    assert set(pair.public_x[:, 2].unique().tolist()) == {255}
    assert (
        pair.about
        == f"{folder}/public: 30 images; {folder}/private: 20 images of 2 classes (cat, dog), 4 of them held out"
    )
    again, other = (private_folder("", 3, path=str(folder), image_size=8, split_seed=split) for split in (0, 1))
    assert pair.digest("held") == again.digest("held") != other.digest("held")


def test_two_paths_and_grey(folder, tmp_path):
    (folder / "private/cat/.DS_Store").write_bytes(b"x")
    (folder / "private/cat/notes.txt").write_text("x")
    pair = private_folder(
        "", 0, public_path=str(folder / "public"), private_path=str(folder / "private/cat"), channels=1, image_size=4
    )
    assert (pair.shape, pair.conditional, pair.num_classes, pair.class_names) == ((1, 4, 4), False, 1, ())
    assert "cat: 10 images, 1 other files passed over, 2 of them held out" in pair.about


def test_every_bad_file_is_in_one_line(folder):
    (folder / "private/cat/3.png").write_bytes(b"")
    (folder / "private/dog/bad.jpg").write_bytes(b"no image")
    whole = (folder / "private/dog/4.png").read_bytes()
    (folder / "private/dog/4.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError) as told:
        private_folder("", 0, path=str(folder))
    line = str(told.value)
    assert line.startswith("3 of 21 private images cannot be used; ")
    assert "\n" not in line
    for name in ("cat/3.png", "dog/bad.jpg", "dog/4.png"):
        assert f"{folder}/private/{name}: no image that can be read" in line


def test_folders_that_are_no_pair(folder, tmp_path):
    def told(**keys) -> str:
        with pytest.raises(UserError) as error:
            private_folder("", 0, **keys)
        return str(error.value)

    assert "dataset.path = None: name your folder" in told()
    assert f"dataset.path = '{tmp_path}': no folder {tmp_path}/public" in told(path=str(tmp_path))
    assert "dataset.private_path = 'nowhere'" in told(path=str(folder), private_path="nowhere")
    assert "public and private at once" in told(path=str(folder), private_path=str(folder / "public"))
    (tmp_path / "empty/cat").mkdir(parents=True)
    assert "empty: no images (.bmp" in told(path=str(folder), private_path=str(tmp_path / "empty"))
    shutil.copy(folder / "public/00.png", folder / "private/a.png")
    assert "images beside the folder 'cat' of images" in told(path=str(folder))
    save(tmp_path / "one/a.png", (1, 2, 3))
    assert "of 1 private images 0 would be held out" in told(path=str(folder), private_path=str(tmp_path / "one"))


def test_private_images_that_are_public_in_other_files_are_counted(folder):
    about = private_folder("", 0, path=str(folder), image_size=8).about
    assert "among the public ones" not in about
    for k, file in enumerate(sorted((folder / "private").rglob("*.png"))[:2]):
        shutil.copy(file, next((folder / "public").rglob("*.png")).with_name(f"copy{k}.png"))
    assert (
        "; 2 private images are among the public ones as well"
        in private_folder("", 0, path=str(folder), image_size=8).about
    )
