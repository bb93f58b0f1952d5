"""A person's own features: dataset=features dataset.path=x.npz."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np
import torch

from bench.errors import UserError, allowed_list, in_one_line, nearest
from bench.tasks.valuation.points import Points

NEEDED = ("features", "labels", "reference_features", "reference_labels")
OPTIONAL = ("ids", "corrupted", "test_features", "test_labels")
DAMAGE = (  # what numpy and zipfile raise for bytes that are no array
    OSError, EOFError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError, SyntaxError, LookupError, tokenize.TokenError,
    zlib.error, zipfile.BadZipFile,
)  # fmt: skip
LARGEST = 1e15  # of a feature: the squares of larger ones overflow in single precision
COARSE = 2**-10  # of a column's range: a shift is subtracted where single precision would round by more
SHOWN = 6  # class names that the terminal is told
SAVE = "np.savez('x.npz', features=..., labels=..., reference_features=..., reference_labels=...)"


def from_npz(root: str, seed: int, *, path: str | None = None) -> Points:
    """An .npz file of `features` [N, d], `labels` [N], `reference_features` [M, d], `reference_labels` [M], and where there are any `ids` [N],
    `corrupted` [N] (true or 1: tampered with), `test_features` [T, d] and `test_labels` [T] (for networks trained on what is kept). The
    reference labels are the classes; whole numbers or texts, sorted, become 0, 1, ...

    Features become float32. From a column that this would round too much, or that is beyond 1e15, the mean of the reference features is
    subtracted first, on all sides alike.

    Args:
        root, seed: not used; `path` is relative to the current directory.

    Raises:
        UserError: one line that names the file and the array, what was found in it and what to type.
    """
    if path is None:
        raise UserError(f"dataset.path = None: name your file of features, dataset.path=x.npz, as {SAVE} writes it")
    arrays, left_out = _arrays(path)
    sides = [name for name in ("features", "reference_features", "test_features") if name in arrays]
    for name in sides:
        _numbers(path, name, arrays[name])
    x, reference_x = (arrays[name] for name in sides[:2])
    if x.shape[1] != reference_x.shape[1]:
        raise UserError(
            f"{path}: features have {x.shape[1]:,} columns, reference_features {reference_x.shape[1]:,}; the same embedding gives as many"
        )
    if "test_features" in sides and arrays["test_features"].shape[1] != x.shape[1]:
        columns = arrays["test_features"].shape[1]
        raise UserError(
            f"{path}: test_features have {columns:,} columns, features {x.shape[1]:,}; the same embedding gives as many"
        )
    shift = _shift([arrays[name] for name in sides])
    arrays |= {name: _single(path, name, arrays[name], shift) for name in sides}
    x, reference_x = (arrays[name] for name in sides[:2])
    labels = _labels(path, "labels", arrays["labels"], len(x))
    reference_labels = _labels(path, "reference_labels", arrays["reference_labels"], len(reference_x))
    classes, y, reference_y = _classes(path, labels, reference_labels)
    test_x, test_y = _tested(path, arrays, classes)
    plain = classes.dtype.kind != "U" and bool((classes == np.arange(len(classes))).all())
    corrupted = _corrupted(path, arrays["corrupted"], len(x)) if "corrupted" in arrays else None
    return Points(
        train_x=torch.from_numpy(x),
        train_y=torch.from_numpy(y),
        reference_x=torch.from_numpy(reference_x),
        reference_y=torch.from_numpy(reference_y),
        num_classes=len(classes),
        corrupted=corrupted,
        test_x=test_x,
        test_y=test_y,
        ids=_ids(path, arrays["ids"], len(x)) if "ids" in arrays else None,
        class_names=() if plain else tuple(map(str, classes)),
        about=_about(path, x, reference_x, classes, plain, left_out),
    )


def _arrays(path: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """The known arrays of the file, and the names of others."""
    try:
        with open(path, "rb") as handle:
            file = np.load(handle, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise UserError(f"dataset.path = '{path}': one array alone, no .npz file of several; {SAVE} writes one")
            names = list(file.files)
            missing = [name for name in NEEDED if name not in names]
            if missing:
                hint = nearest(missing[0], [name for name in names if name not in (*NEEDED, *OPTIONAL)])
                raise UserError(
                    f"{path}: no array '{missing[0]}', found {allowed_list(names) or 'none'}{hint}; needed: {', '.join(NEEDED)}"
                )
            arrays = {name: _read(path, file, name) for name in (*NEEDED, *OPTIONAL) if name in names}
    except OSError as error:
        raise UserError(f"dataset.path = '{path}': {error.strerror or in_one_line(error)}") from None
    except DAMAGE:
        raise UserError(f"dataset.path = '{path}': not an .npz file; {SAVE} writes one") from None
    return arrays, sorted(set(names) - set(arrays))


def _read(path: str, file: Any, name: str) -> np.ndarray:
    try:
        return file[name]
    except DAMAGE as error:
        if not isinstance(error, ValueError) or "allow_pickle" not in str(error):
            said = in_one_line(error) or type(error).__name__
            raise UserError(f"{path}: array '{name}' is damaged: {said}") from None
        cure = "astype(str) for texts, astype('float32') for numbers"
        raise UserError(f"{path}: {name} holds Python objects, which may be code and are not read; {cure}") from None


def _numbers(path: str, name: str, array: np.ndarray) -> None:
    """Refuses what is no [N, d] of finite numbers."""
    if array.ndim != 2 or 0 in array.shape:
        hint = f"; {name}.reshape(len({name}), -1)" if array.ndim > 2 else ""
        raise UserError(f"{path}: {name} has shape {list(array.shape)}; a row a point, [N, d], is expected{hint}")
    if array.dtype.kind not in "fiu":
        raise UserError(f"{path}: {name} holds {array.dtype}; numbers are expected, {name}.astype('float32')")
    _finite(path, name, array, array, "")


def _finite(path: str, name: str, found: np.ndarray, array: np.ndarray, where: str) -> None:
    if not (finite := np.isfinite(found)).all():
        row, column = np.argwhere(~finite)[0]
        raise UserError(
            f"{path}: {name}[{row}, {column}] = {array[row, column]}: {int((~finite).sum()):,} numbers are not finite{where}; "
            "fill them or remove those rows"
        )


def _shift(sides: list[np.ndarray]) -> np.ndarray:
    """[d], float64: of a column that single precision would spoil the mean of the reference features, the second of the sides; else 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        low = np.min([side.min(0).astype(np.float64) for side in sides], axis=0)
        high = np.max([side.max(0).astype(np.float64) for side in sides], axis=0)
        largest = np.maximum(abs(low), abs(high))
        rounded = largest * np.finfo(np.float32).eps > COARSE * (high - low)
        shift = sides[1].mean(0, dtype=np.float64)
        spread = high - low
    return np.where((rounded & (spread > 0)) | ((largest > LARGEST) & (spread <= LARGEST)), shift, 0.0)


def _single(path: str, name: str, array: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """float32 [N, d] less the shift, finite, of magnitudes whose squares are finite too, and constant where it was."""
    with np.errstate(over="ignore", invalid="ignore"):
        if shift.any():
            found = np.empty(array.shape, np.float32)
            np.subtract(array, shift, out=found, dtype=np.float64, casting="unsafe")
        else:
            found = np.require(array, np.float32, ["C", "W"])
    _finite(path, name, found, array, " in single precision")
    low, high = found.min(0), found.max(0)
    if max(-low.min(), high.max()) > LARGEST:
        row, column = np.argwhere(abs(found) > LARGEST)[0]
        raise UserError(
            f"{path}: {name}[{row}, {column}] = {array[row, column]}: beyond {LARGEST:g}, the squares of such numbers overflow; "
            "scale that column"
        )
    lost = np.flatnonzero((low == high) & (array.min(0) != array.max(0)))
    if len(lost):
        raise UserError(
            f"{path}: {name}[:, {lost[0]}] varies by less than single precision tells apart; "
            "subtract its mean or scale it"
        )
    return found


def _labels(path: str, name: str, array: np.ndarray, points: int) -> np.ndarray:
    """int64 [N], or texts [N]."""
    if array.shape != (points,):
        hint = f"; {name}.argmax(1) if they are one-hot" if array.ndim == 2 and len(array) == points else ""
        raise UserError(f"{path}: {name} has shape {list(array.shape)}; one label a row, [{points}], is expected{hint}")
    if array.dtype.kind == "S":
        return _decoded(path, name, array)
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(array) | (array != np.floor(array)))
        if len(odd):
            raise UserError(
                f"{path}: {name}[{odd[0]}] = {array[odd[0]]}: not a whole number; labels are classes, whole numbers or texts"
            )
    elif array.dtype.kind not in "iu":
        raise UserError(f"{path}: {name} holds {array.dtype}; labels are whole numbers or texts, {name}.astype(int)")
    large = np.flatnonzero((array >= 2.0**63) | (array < -(2.0**63))) if array.dtype.kind in "fu" else ()
    if len(large):
        raise UserError(f"{path}: {name}[{large[0]}] = {array[large[0]]}: beyond 64 bits; number the classes anew")
    return array.astype(np.int64)


def _decoded(path: str, name: str, array: np.ndarray) -> np.ndarray:
    """Texts of bytes in UTF-8."""
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: {name}: {error.object!r} is no UTF-8; np.char.decode({name}, 'latin-1') makes texts of bytes"
        ) from None


def _tested(
    path: str, arrays: dict[str, np.ndarray], classes: np.ndarray
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Test points and their classes, where the file has any."""
    given = [name for name in ("test_features", "test_labels") if name in arrays]
    if not given:
        return None, None
    if len(given) == 1:
        raise UserError(f"{path}: {given[0]} alone; test_features and test_labels come together")
    x = arrays["test_features"]
    y = _numbered(path, "test_labels", _labels(path, "test_labels", arrays["test_labels"], len(x)), classes)
    return torch.from_numpy(x), torch.from_numpy(y)


def _classes(path: str, labels: np.ndarray, reference_labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes, sorted, and labels as numbers 0, 1, ... of them."""
    classes, reference_y = np.unique(reference_labels, return_inverse=True)
    if len(classes) < 2:
        raise UserError(f"{path}: all reference_labels are {classes[0]}; at least two classes must occur")
    return classes, _numbered(path, "labels", labels, classes), reference_y.astype(np.int64)


def _numbered(path: str, name: str, labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Labels as numbers 0, 1, ... of the classes, int64."""
    if (labels.dtype.kind == "U") != (classes.dtype.kind == "U"):
        kinds = ["texts" if part.dtype.kind == "U" else "numbers" for part in (labels, classes)]
        raise UserError(f"{path}: {name} are {kinds[0]}, reference_labels {kinds[1]}; name classes alike in both")
    y = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    unknown = classes[y] != labels
    if unknown.any():
        row = int(unknown.argmax())
        hint = nearest(labels[row], map(str, classes)) if labels.dtype.kind == "U" else ""
        raise UserError(
            f"{path}: {name}[{row}] = {labels[row]}: no reference label is that, and {int(unknown.sum()):,} points have none{hint}; "
            f"the classes are {allowed_list(map(str, classes))}"
        )
    return y.astype(np.int64)


def _ids(path: str, array: np.ndarray, points: int) -> tuple[str, ...]:
    if array.shape != (points,) or array.dtype.kind not in "iuUS":
        raise UserError(
            f"{path}: ids: {array.dtype} of shape {list(array.shape)}; a text or whole number a point, [{points}]"
        )
    texts = _decoded(path, "ids", array) if array.dtype.kind == "S" else array
    found, first, counts = np.unique(texts, return_index=True, return_counts=True)
    if (counts > 1).any():
        k = int(np.flatnonzero(counts > 1)[np.argmin(first[counts > 1])])
        raise UserError(
            f"{path}: ids[{first[k]}] = {found[k]} occurs {counts[k]} times; each point has a name of its own"
        )
    return tuple(map(str, texts.tolist()))


def _corrupted(path: str, array: np.ndarray, points: int) -> torch.Tensor:
    if array.shape != (points,) or array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise UserError(
            f"{path}: corrupted: {array.dtype} of shape {list(array.shape)}; true or false (1 or 0) a point, [{points}]"
        )
    return torch.from_numpy(array.astype(bool))


def _about(
    path: str, x: np.ndarray, reference_x: np.ndarray, classes: np.ndarray, plain: bool, left_out: list[str]
) -> str:
    """`x.npz: 1,000 points and 200 reference points of 10 features, 3 classes (cat, dog, frog become 0 to 2)`."""
    text = f"{path}: {len(x):,} points and {len(reference_x):,} reference points of {x.shape[1]:,} features, "
    text += f"{len(classes)} classes"
    if not plain:
        names = list(map(str, classes))
        shown = ", ".join(names if len(names) <= SHOWN else [*names[:3], "...", names[-1]])
        text += f" ({shown} become 0 to {len(names) - 1})"
    return text + (f"; left out: {', '.join(left_out)}" if left_out else "")
