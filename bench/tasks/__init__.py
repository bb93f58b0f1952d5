"""The protocols. Each task's module holds its loop and computes every metric; a method never grades itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskNote:
    """How error lines speak of a task: what its methods do, what its data sets are."""

    method: str
    data: str


TASKS = {
    "classification": TaskNote("trains a classifier", "is a set of labelled images"),
    "finite_sum": TaskNote("minimises a sum of components", "is a stochastic or finite-sum objective"),
}
