"""Annotations for config values: read statically from a constructor's signature, checked by pydantic before torch is imported."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

LARGEST = 2**63 - 1  # that a tensor's size or index can be
PositiveInt = Annotated[int, Field(gt=0, le=LARGEST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=LARGEST)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Inner = Annotated[float, Field(gt=0, lt=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
AtLeastOne = Annotated[float, Field(ge=1)]
Severity = Annotated[float, Field(ge=0.1, le=10)]  # of an operation on images, as AugMix counts it
AtLeastTwo = Annotated[int, Field(ge=2)]
UpTo1000 = Annotated[int, Field(ge=1, le=1000)]
Levels = Annotated[int, Field(ge=2, le=32)]  # shares of a block
DottedName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]  # of a function, as package.module.name
ADDED = "added"
BUILT = "built"
Built = Annotated[
    Any, BUILT
]  # of a key that holds another method with keys of its own; the constructor is given a function that makes it
Kind = TypeVar("Kind")
Added = Annotated[
    Kind, ADDED
]  # of a key that came later: at its default it is no part of a job, so that older jobs keep their keys

__all__ = [
    "ADDED", "BUILT", "Added", "AtLeastOne", "AtLeastTwo", "Built", "Correlation", "Decay", "DottedName", "Fraction", "Inner", "Levels", "Literal",
    "NonNegativeFloat", "NonNegativeInt", "PositiveFloat", "PositiveInt", "Probability", "Severity", "UpTo1000",
]  # fmt: skip
