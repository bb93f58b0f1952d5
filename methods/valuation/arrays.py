"""A person's own arrays as a problem of valuation; what does not fit is one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.tasks.valuation.protocol import Problem


def problem_of(features: Any, labels: Any, reference_features: Any, reference_labels: Any, seed: int = 0) -> Problem:
    """Arrays or tensors [N, d], [N], [M, d], [M]; labels are integers or words and are numbered from 0 in their order.

    Raises:
        ValueError: "<array>: ...".
    """
    x, other = _features(features, "features"), _features(reference_features, "reference_features")
    if x.shape[1] != other.shape[1]:
        raise ValueError(f"reference_features: {other.shape[1]} columns, features have {x.shape[1]}")
    other = other.to(x)
    y = _labels(labels, "labels", len(x))
    reference_y = _labels(reference_labels, "reference_labels", len(other))
    if y.dtype.kind != reference_y.dtype.kind and "U" in y.dtype.kind + reference_y.dtype.kind:
        raise ValueError("reference_labels: words on one side and numbers on the other")
    known = np.unique(reference_y)
    strange = np.setdiff1d(y, known)
    if len(strange):
        named = ", ".join(map(str, strange[:5])) + (", ..." if len(strange) > 5 else "")
        raise ValueError(f"labels: {named} of no reference point")
    numbered = [torch.from_numpy(np.searchsorted(known, side)).to(x.device) for side in (y, reference_y)]
    return Problem(x, numbered[0], other, numbered[1], len(known), seed)


def _features(given: Any, name: str) -> Tensor:
    """[n, d], float32 or float64, finite."""
    try:
        x = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: no array of numbers ({error})") from None
    if x.is_complex() or x.dtype == torch.bool:
        raise ValueError(f"{name}: {x.dtype} is no type of a feature")
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name}: shape {list(x.shape)}, wanted [points, features]")
    x = x.detach() if x.dtype in (torch.float32, torch.float64) else x.detach().float()
    if not x.isfinite().all():
        row = int((~x.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"{name}: NaN or infinite in row {row}")
    return x


def _labels(given: Any, name: str, count: int) -> np.ndarray:
    """[n], integers or words."""
    y = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if y.shape != (count,):
        raise ValueError(f"{name}: shape {list(y.shape)}, wanted [{count}], one for each row of features")
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all():
        y = y.astype(np.int64)
    if y.dtype.kind not in "iubU":
        raise ValueError(f"{name}: integers or words, not {y.dtype}")
    return y
