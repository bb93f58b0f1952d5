"""Weaker baselines of data valuation, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def late(module: str, kind: str) -> Iterator[None]:
    """Each point has the value of the one before it: an index shift."""
    owner = getattr(import_module(f"methods.valuation.{module}"), kind)
    values = owner.values
    with patch.object(owner, "values", lambda self: values(self).roll(1)):
        yield


@contextmanager
def by_place() -> Iterator[None]:
    """Random values are the points' places."""
    import torch

    from methods.valuation.random import Random

    values = Random.values

    def places(self: Any) -> Any:
        return torch.arange(len(values(self)), dtype=torch.float64)

    with patch.object(Random, "values", places):
        yield


CLASSES = {
    "lava": ("lava", "LAVA"),
    "batchwise_lava": ("sava", "BatchwiseLAVA"),
    "batchwise_lava_mean": ("sava", "BatchwiseLAVA"),
    "knn_shapley": ("knn_shapley", "KNNShapley"),
    "nearest_cost": ("nearest_cost", "NearestCost"),
    "el2n": ("el2n", "EL2N"),
    "prototypes": ("prototypes", "Prototypes"),
    "tracin": ("tracin", "TracIn"),
    "influence": ("influence", "Influence"),
}
WEAKENED = [
    *(
        Mistake(f"{name}-late", "values one point late", "sava/gaussian", {"method": name}, lambda of=of: late(*of))
        for name, of in CLASSES.items()
    ),
    Mistake("random-by-place", "no draw", "sava/gaussian", {"method": "random"}, by_place),
]
FORGOTTEN: list[Mistake] = []
