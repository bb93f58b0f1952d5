"""What a valuation method and an embedder are. Shapes: N training points, M reference points, K classes, d features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from bench.tasks.valuation.points import Points


@dataclass(frozen=True)
class Problem:
    """What a method sees: features of all points, and nothing of which are corrupted.

    Attributes:
        x, y: features [N, d], float32 or float64, and labels [N] of the training points.
        reference_x, reference_y: [M, d] and [M] of the reference points.
        num_classes: K.
        seed: of whatever the method draws, by named streams (bench.seeding).
        raw_x, reference_raw_x: views [N, C H W] and [M, C H W] of the images, in pixel units, uint8 or float; None where points are features.
    """

    x: Tensor
    y: Tensor
    reference_x: Tensor
    reference_y: Tensor
    num_classes: int
    seed: int = 0
    raw_x: Tensor | None = None
    reference_raw_x: Tensor | None = None


class Method(Protocol):
    """Gives each training point a value: high is worth having, low is suspect. The task measures; a method never sees what is corrupted.

    Work comes in units (a batch of training points, a model, or all at once), between which a run can be stopped and resumed.
    """

    def begin(self, problem: Problem) -> int:
        """Before the first unit, of a fresh run and of a resumed one alike: the number of units.

        Raises:
            ValueError: "key = value: ...", a key that does not fit the problem.
        """

    def advance(self, unit: int) -> None:
        """One unit; they come in order, 0, 1, ..."""

    def values(self) -> Tensor:
        """[N], float64, after the last unit, in the order of the training points."""

    def state_dict(self) -> dict[str, Any]:
        """What the units so far have found; what `begin` computes is no part of it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`, after `begin`."""


class Embedder(Protocol):
    """From points to features. The task embeds once, in batches, and keeps the result on disk by the content of points and embedder."""

    def prepare(self, points: Points, seed: int) -> None:
        """Train or load what the embedding needs, on the device of the points; called once, before the first batch."""

    def identity(self) -> str:
        """What, beside the points, the features depend on: after `prepare`, a digest of the weights and settings."""

    def __call__(self, x: Tensor) -> Tensor:
        """Features [B, d], float32, of points [B, C, H, W] in pixel units, or [B, d]."""
