"""Real tables as Bayesian regressions: diabetes, energy and bike are linear, breast_cancer and mushrooms logistic.

All rows are data of the posterior: nothing is held out, and nothing is drawn, so that all seeds share one model. Columns are standardised.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bench.tasks.inference.bayes import BayesianModel
from bench.tasks.inference.likelihoods import Bernoulli, Normal
from bench.types import PositiveFloat, PositiveInt
from datasets import tables


def linear(
    root: str, seeds: Sequence[int], *, name: Literal["diabetes", "energy", "bike"], prior_variance: PositiveFloat = 1.0
) -> BayesianModel:
    """Linear regression of the standardised target; the noise variance is the mean squared residual of a ridge fit (penalty 1).

    Args:
        root: data_root; `datasets.tables` says where the files lie.
        seeds: they share the data.

    Raises:
        UserError: the file is not there (what to put where), or it is not the one expected.
    """
    from sklearn.linear_model import Ridge

    features, target = {"diabetes": tables.diabetes, "energy": tables.energy, "bike": tables.bike}[name](Path(root))
    x, y = tables.standardised(features), tables.standardised(target[:, None])[:, 0]
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
        root: data_root, as `linear`.
        seeds: they share the data.
        components: so many principal components of the standardised columns, each of unit variance, in their place; null: the columns.

    Raises:
        UserError: as `linear`.
        ValueError: more components than columns.
    """
    from sklearn.decomposition import PCA

    features, target = {"breast_cancer": tables.breast_cancer, "mushrooms": tables.mushrooms}[name](Path(root))
    x = tables.standardised(features)
    if components is not None:
        if components > x.shape[1]:
            raise ValueError(f"components = {components}: {name} has {x.shape[1]} columns that vary")
        x = PCA(components, whiten=True, svd_solver="full").fit_transform(x)
    return _model(np.column_stack([x, np.ones(len(x))]), target, Bernoulli(), prior_variance)


def _model(x: np.ndarray, y: np.ndarray, likelihood: Normal | Bernoulli, prior_variance: float) -> BayesianModel:
    tensors = (torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64))[None] for v in (x, y))
    return BayesianModel.with_variance(*tensors, likelihood, prior_variance)
