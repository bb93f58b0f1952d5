"""Samples of a model's coefficients: credible intervals and errors against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

LEVEL = 0.95


@dataclass(frozen=True)
class Coefficients:
    """What is known of the coordinates.

    Attributes:
        names: of all d of them.
        truth: [d].
        derived: named linear combinations that matter, rows [m, d].
    """

    names: list[str]
    truth: Tensor
    derived: dict[str, Tensor]


def summaries(samples: Tensor, known: Coefficients) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Of samples [K, d]: a row a coefficient (`coefficient`, `mean`, `low`, `high`, `truth`), and final metrics.

    Final: `max_error` and `rms_error` of the means; for each derived one `<name>` its mean, `<name>_error` its distance from the truth,
    `<name>_low` and `<name>_high` the ends of its 95 % interval; `covered`, the share of coefficients whose interval holds the truth.
    """
    raise NotImplementedError
