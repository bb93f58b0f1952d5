"""A person's own features: what is read, what is said of it, and one line for each bad file."""

from __future__ import annotations

import tokenize
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import final

from bench.errors import UserError
from datasets.valuation.own_features import from_npz

RNG = np.random.default_rng(0)
GOOD = {
    "features": RNG.normal(size=(6, 3)),
    "labels": np.array([0, 1, 2, 0, 1, 1]),
    "reference_features": RNG.normal(size=(4, 3)).astype(np.float32),
    "reference_labels": np.array([2, 1, 0, 0]),
}


@pytest.fixture
def written(tmp_path):
    def write(**arrays) -> str:
        path = tmp_path / "x.npz"
        np.savez(path, **{name: array for name, array in (GOOD | arrays).items() if array is not None})
        return str(path)

    return write


def test_arrays_are_taken_as_they_stand(written):
    path = written(
        corrupted=np.array([0, 1, 0, 0, 0, 1]), ids=np.array(["a", "b", "c", "d", "e", "f"]), other=RNG.normal(size=3)
    )
    points = from_npz("", 0, path=path)
    torch.testing.assert_close(points.train_x, torch.tensor(GOOD["features"], dtype=torch.float32), rtol=0, atol=0)
    assert points.train_y.tolist() == [0, 1, 2, 0, 1, 1]
    assert points.reference_y.tolist() == [2, 1, 0, 0]
    assert points.corrupted.tolist() == [False, True, False, False, False, True]
    assert points.ids == ("a", "b", "c", "d", "e", "f")
    assert (points.num_classes, points.images, points.class_names) == (3, False, ())
    assert points.about == f"{path}: 6 points and 4 reference points of 3 features, 3 classes; left out: other"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([1, 2, 3], "3 classes (1, 2, 3 become 0 to 2)"),
        ([1.0, 2.0, 3.0], "3 classes (1, 2, 3 become 0 to 2)"),
        ([-5, 7, 100], "3 classes (-5, 7, 100 become 0 to 2)"),
        (["cat", "dog", "frog"], "3 classes (cat, dog, frog become 0 to 2)"),
        ([b"cat", b"dog", b"frog"], "3 classes (cat, dog, frog become 0 to 2)"),
    ],
)
def test_other_labels_become_numbers_and_that_is_said(names, said, written):
    named = np.array(names)
    points = from_npz(
        "", 0, path=written(labels=named[GOOD["labels"]], reference_labels=named[GOOD["reference_labels"]])
    )
    assert points.train_y.tolist() == GOOD["labels"].tolist()
    assert points.reference_y.tolist() == GOOD["reference_labels"].tolist()
    assert points.about.endswith(said)
    assert points.class_names[1] in ("2", "7", "dog")
    assert points.corrupted is None
    assert points.ids is None


NAN = GOOD["features"].copy()
NAN[4, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"labels": None}, "no array 'labels', found features, reference_features, reference_labels; needed"),
        ({"labels": None, "label": GOOD["labels"]}, "no array 'labels', .*did you mean 'label'"),
        ({"features": NAN}, r"features\[4, 1\] = nan: 1 numbers are not finite"),
        ({"features": np.full((6, 3), 1e16) * np.arange(6)[:, None]}, r"features\[1, 0\] = 1e\+16: beyond 1e\+15"),
        ({"reference_features": GOOD["features"][:4] * 1e39}, "reference_features.*not finite in single precision"),
        ({"features": GOOD["features"] * [1, 1e-60, 1]}, r"features\[:, 1\] varies by less than single precision"),
        ({"features": GOOD["features"] + [0, 0, 1e12]}, r"features\[:, 2\] varies by less than single precision"),
        ({"labels": np.array([0, 1, 2, 0, 1, 1e30])}, r"labels\[5\] = 1e\+30: beyond 64 bits"),
        ({"labels": np.array([0, 1, 2, 0, 1, 2**63], np.uint64)}, r"labels\[5\] = 9223372036854775808: beyond 64 bits"),
        ({"reference_labels": np.array([b"\xe9", b"\xe8", b"a", b"b"])}, r"reference_labels: b'\\xe9' is no UTF-8"),
        ({"features": GOOD["features"] * 1e300}, "numbers are not finite in single precision"),
        ({"features": GOOD["features"][:, 0]}, r"features has shape \[6\]; a row a point"),
        ({"features": np.zeros((6, 2, 2))}, r"features.reshape\(len\(features\), -1\)"),
        ({"features": GOOD["features"].astype(str)}, "features holds <U.*numbers are expected"),
        ({"features": GOOD["features"][:, :2]}, "features have 2 columns, reference_features 3"),
        ({"features": GOOD["features"].astype(object)}, "features holds Python objects, which may be code"),
        ({"labels": GOOD["labels"][:5]}, r"labels has shape \[5\]; one label a row, \[6\]"),
        ({"labels": np.eye(3)[GOOD["labels"]]}, r"labels.argmax\(1\) if they are one-hot"),
        ({"labels": GOOD["labels"] + 0.5}, r"labels\[0\] = 0.5: not a whole number"),
        ({"labels": GOOD["labels"] > 0}, "labels holds bool; labels are whole numbers or texts"),
        ({"labels": np.array([0, 1, 9, 0, 9, 1])}, r"labels\[2\] = 9: no reference label is that, and 2 points"),
        ({"labels": np.array([0, 1, -1, 0, 1, 1])}, r"labels\[2\] = -1: no reference label is that"),
        ({"labels": np.array(list("abcabc"))}, "labels are texts, reference_labels numbers"),
        ({"reference_labels": np.zeros(4, int)}, "all reference_labels are 0; at least two classes"),
        ({"ids": np.array(list("abcbbc"))}, r"ids\[1\] = b occurs 3 times"),
        ({"ids": np.arange(5)}, r"ids: int64 of shape \[5\]"),
        ({"corrupted": np.arange(6)}, "true or false"),
        ({"reference_features": np.zeros((0, 3)), "reference_labels": np.zeros(0, int)}, r"shape \[0, 3\]"),
        ({"test_features": np.zeros((2, 3))}, "test_features alone"),
        ({"test_features": np.zeros((2, 4)), "test_labels": np.zeros(2, int)}, "test_features have 4 columns, features 3"),
        ({"test_features": np.zeros((2, 3)), "test_labels": np.array([0, 7])}, r"test_labels\[1\] = 7: no reference label"),
    ],
)  # fmt: skip
def test_a_bad_array_is_one_line_that_names_file_and_array(arrays, wanted, written):
    with pytest.raises(UserError, match=wanted) as caught:
        from_npz("", 0, path=written(**arrays))
    assert "x.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_an_offset_is_subtracted_before_it_rounds(kind, written):
    """Seconds of 2023: single precision has one number in 128; a column without an offset stays as it is."""
    seconds = 1.7e9 + np.arange(10) * 3
    features = np.stack([seconds, np.arange(10) % 4], 1).astype(kind)
    path = written(
        features=features[:6], reference_features=features[6:], test_features=features[:2], test_labels=np.array([0, 1])
    )
    points = from_npz("", 0, path=path)
    mean = 1.7e9 + 3 * 7.5
    for found, wanted in (
        (points.train_x, features[:6]),
        (points.reference_x, features[6:]),
        (points.test_x, features[:2]),
    ):
        assert found[:, 0].tolist() == (wanted[:, 0] - mean).tolist()
        assert found[:, 1].tolist() == wanted[:, 1].tolist()


def test_an_offset_beyond_the_largest_feature_is_subtracted(written):
    features = np.arange(30.0).reshape(10, 3) * 2.0**42 + 2.0**54
    points = from_npz("", 0, path=written(features=features[:6], reference_features=features[6:]))
    torch.testing.assert_close(points.train_x.double(), torch.from_numpy(features[:6] - features[6:].mean(0)))


def said_of(path: str) -> str:
    """The line of a refusal; nothing where there is none."""
    try:
        from_npz("", 0, path=path)
    except UserError as error:
        return str(error)
    return ""


def test_whatever_a_damaged_file_raises_is_one_line(written, tmp_path):
    """Bytes of the headers, changed in turn to others."""
    content, other = Path(written()).read_bytes(), tmp_path / "other.npz"
    lines = []
    for k, place in enumerate((*range(0, 140, 2), *range(len(content) - 300, len(content), 3))):
        changed = bytes([(0, 9, 40, 255)[k % 4]])
        other.write_bytes(content[:place] + changed + content[place + 1 :])
        lines.append(said_of(str(other)))
    assert len(set(lines)) > 5
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError,
        RuntimeError,
        OverflowError,
        TypeError,
        SyntaxError,
        tokenize.TokenError,
        MemoryError,
        KeyError,
    ],
)
def test_what_numpy_and_zipfile_raise_is_damage(error, written, monkeypatch):
    def broken(*_, **__):
        raise error("odd\nbytes")

    path = written()
    with monkeypatch.context() as patched:
        patched.setattr(np.lib.format, "read_array", broken)
        with pytest.raises(UserError, match=r"array 'features' is damaged: .*odd"):
            from_npz("", 0, path=path)
    monkeypatch.setattr(np, "load", broken)
    with pytest.raises(UserError, match=r"not an \.npz file"):
        from_npz("", 0, path=path)


def test_a_misspelt_text_finds_its_class(written):
    named = np.array(["cat", "horse", "frog"])
    labels = named[GOOD["labels"]]
    labels[3] = "hors"
    with pytest.raises(
        UserError, match=r"labels\[3\] = hors: .*did you mean 'horse'\?; the classes are cat, frog, horse"
    ):
        from_npz("", 0, path=written(labels=labels, reference_labels=named[GOOD["reference_labels"]]))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"plain text", b"\x80\x04pickle"])
def test_what_is_no_npz_is_one_line(content, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"dataset.path = '.*x.npz': not an .npz file; np.savez"):
        from_npz("", 0, path=str(path))


def test_no_file_an_absent_one_one_array_and_a_damaged_one_are_one_line(tmp_path, written):
    with pytest.raises(UserError, match=r"dataset\.path=x\.npz"):
        from_npz("", 0)
    with pytest.raises(UserError, match=r"absent.npz': No such file"):
        from_npz("", 0, path=str(tmp_path / "absent.npz"))
    with pytest.raises(UserError, match="Is a directory"):
        from_npz("", 0, path=str(tmp_path))
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UserError, match="one array alone"):
        from_npz("", 0, path=str(tmp_path / "one.npy"))
    path = written()
    content = bytearray(Path(path).read_bytes())
    content[200] ^= 255
    Path(path).write_bytes(content)
    with pytest.raises(UserError, match=r"damaged"):
        from_npz("", 0, path=path)


def test_a_network_is_tested_on_the_file_s_test_points(written, go):
    """Two classes that a line divides, a tenth of the labels wrong; what is kept is learnt."""
    x = RNG.normal(size=(320, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    wrong = np.arange(200) % 10 == 0
    path = written(
        features=4 * x[:200],
        labels=y[:200] ^ wrong,
        reference_features=4 * x[200:260],
        reference_labels=y[200:260],
        corrupted=wrong,
        test_features=4 * x[260:],
        test_labels=y[260:],
    )
    words = ["method=lava", "dataset=features", f"dataset.path={path}", "task.prune=[0.0,0.1]", "task.network=mlp"]
    (folder,) = go(*words, "task.retrain_epochs=20", "task.retrain_batch_size=16", "seeds=[0]", "hardware=cpu")
    (found,) = final([folder])
    assert found["pruned_accuracy"] > 0.85
