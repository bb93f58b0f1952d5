"""A person's own arrays as a problem of valuation; what does not fit is one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from bench.errors import UserError, in_one_line, nearest
from bench.tasks.valuation.protocol import Method, Problem
from bench.types import NonNegativeInt

LARGEST = 1e15  # of a feature less the mean of the reference: the squares of larger ones overflow in single precision


def values_of(kind: type, name: str, arrays: tuple[Any, Any, Any, Any], keys: Mapping[str, Any]) -> Tensor:
    """The values [N], finite, of a method of this kind for the arrays of `problem_of`.

    Args:
        kind: its constructor's annotations say which keys there are and what fits them.
        name: of the function that a person called.
        keys: of the constructor, and `seed` where the method draws.

    Raises:
        ValueError: of an array as `problem_of`; "<name>: <key> = <value>: ..." of a key.
    """
    hints: dict[str, Any] = {"seed": NonNegativeInt}
    for one in reversed(kind.__mro__[:-1]):
        hints |= get_type_hints(one.__init__, include_extras=True)  # type: ignore[misc]
    given = {key: plain(value) for key, value in keys.items()}
    known = hints.keys() - {"return", "shared"}
    for key, value in given.items():
        if key not in known:
            raise ValueError(
                f"{name}: {key} = {value!r}: no such key{nearest(key, known)}; keys: {', '.join(sorted(known))}"
            )
        try:
            TypeAdapter(hints[key], config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            said = " or ".join(dict.fromkeys(each["msg"] for each in error.errors()))
            raise ValueError(in_one_line(f"{name}: {key} = {value!r}: {said}")) from None
    problem = problem_of(*arrays, given.pop("seed", 0))
    try:
        method: Method = kind(**given)
        units = method.begin(problem)
    except (ValueError, UserError) as error:
        raise ValueError(in_one_line(f"{name}: {str(error).removeprefix('method.')}")) from None
    for unit in range(units):
        method.advance(unit)
    values = method.values()
    if not values.isfinite().all():
        count = int((~values.isfinite()).sum())
        raise ValueError(
            f"{name}: {count} values are NaN or infinite; scale the features, or choose other weights or epsilon"
        )
    return values


def plain(value: Any) -> Any:
    """Numbers of numpy as Python's, tuples as lists."""
    if isinstance(value, np.generic):
        return value.item()
    return [plain(each) for each in value] if isinstance(value, tuple | list) else value


def problem_of(features: Any, labels: Any, reference_features: Any, reference_labels: Any, seed: int = 0) -> Problem:
    """Arrays or tensors [N, d], [N], [M, d], [M]; labels are integers or words and are numbered from 0 in their order.

    Raises:
        ValueError: "<array>: ...".
    """
    x, other = _features(features, "features"), _features(reference_features, "reference_features")
    if x.shape[1] != other.shape[1]:
        raise ValueError(f"reference_features: {other.shape[1]} columns, features have {x.shape[1]}")
    _magnitude(x, other)
    other = _like(other, x)
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
    """[n, d], finite; float32, or float64 of what is wider and of integers."""
    try:
        x = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: no array of numbers ({error})") from None
    if x.layout != torch.strided or x.is_quantized or x.is_meta:
        raise ValueError(f"{name}: a dense tensor is wanted, {name}.to_dense()")
    if x.is_complex() or x.dtype == torch.bool:
        raise ValueError(f"{name}: {x.dtype} is no type of a feature")
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name}: shape {list(x.shape)}, wanted [points, features]")
    x = x.detach().to(torch.promote_types(x.dtype, torch.float32) if x.is_floating_point() else torch.float64)
    if not x.isfinite().all():
        row = int((~x.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"{name}: NaN or infinite in row {row}")
    return x


def _magnitude(x: Tensor, other: Tensor) -> None:
    """Refuses features whose squares would overflow."""
    centre = other.mean(0, dtype=torch.float64)
    for name, side in (("features", x), ("reference_features", other)):
        far = torch.maximum(side.amax(0).to(centre) - centre, centre - side.amin(0).to(centre))
        if not (fits := far <= LARGEST).all():
            column = int((~fits).nonzero()[0])
            raise ValueError(
                f"{name}: column {column} goes {far[column]:.3g} from the mean of the reference; the squares of numbers beyond "
                f"{LARGEST:g} overflow, scale that column"
            )


def _like(other: Tensor, x: Tensor) -> Tensor:
    """The reference features in the type of the features and on their device."""
    found = other.to(x)
    lost = (found.amax(0) == found.amin(0)) & (other.amax(0) != other.amin(0)).to(x.device)
    if lost.any():
        raise ValueError(
            f"reference_features: column {int(lost.nonzero()[0])} varies by less than {x.dtype}, the type of features, tells apart; "
            "subtract the mean of that column from both"
        )
    return found


def _labels(given: Any, name: str, count: int) -> np.ndarray:
    """[n], integers or words."""
    try:
        y = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: no array of integers or words ({in_one_line(error)})") from None
    if y.shape != (count,):
        raise ValueError(f"{name}: shape {list(y.shape)}, wanted [{count}], one for each row of features")
    whole = y.dtype.kind != "f" or bool(np.isfinite(y).all() and (y == np.round(y)).all())
    if y.dtype.kind not in "iubfU" or not whole:
        raise ValueError(f"{name}: integers or words, not {y.dtype}")
    if y.dtype.kind in "fu" and ((y >= 2.0**63) | (y < -(2.0**63))).any():
        raise ValueError(f"{name}: numbers beyond 64 bits")
    return y if y.dtype.kind == "U" else y.astype(np.int64)
