"""Classic mistakes in the image samplers, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def reversed_image_swap() -> Iterator[None]:
    """Exchanges by the energy difference of the other sign."""
    from methods.sampling import replicas

    right = replicas.metropolis

    def reversed_(cold: Any, hot: Any, *rest: Any) -> bool:
        return right(hot, cold, *rest)

    with patch.object(replicas, "metropolis", reversed_):
        yield


@contextmanager
def probabilities_for_logits() -> Iterator[None]:
    """The released Brier score as if it had been of probabilities."""
    from bench.tasks.classification import probes

    logits = probes.test_logits
    with patch.object(probes, "test_logits", lambda trained: logits(trained).softmax(1)):
        yield


@contextmanager
def averaged_logits() -> Iterator[None]:
    """The average is of logits, which its metrics take for probabilities."""
    from bench.tasks.classification.averaging import Average

    def logits(self: Any, model: Any) -> Any:
        model.eval()
        found = {name: model(self._normalise(x)).double().detach() for name, x in self._images.items()}
        model.train()
        return found

    with patch.object(Average, "_probabilities", logits):
        yield


@contextmanager
def one_average() -> Iterator[None]:
    """The average of logits is taken to be the average of probabilities."""
    from bench.tasks.classification.averaging import Average

    call = Average.__call__

    def same(self: Any, model: Any, collects: bool) -> Any:
        found = call(self, model, collects)
        return found | {"logit_average_excess": 0.0} if self.models else found

    with patch.object(Average, "__call__", same):
        yield


SWAPS = ("r2sgld/image_swaps", {"method.swap": "metropolis"})
IMAGES = "r2sgld/cifar100"
MISTAKES = [
    Mistake("reversed-image-swap", "exchanges by an energy difference of the other sign", *SWAPS, reversed_image_swap),
    Mistake("averaged-logits", "an average of logits", *SWAPS, averaged_logits),
    Mistake(
        "narrow-box", "a box of a tenth of the side", IMAGES, {"method": "r_sghmc"}, overrides=("method.bound=0.1",)
    ),
    Mistake(
        "narrow-cyclical-box",
        "the same around cyclical SGHMC",
        IMAGES,
        {"method": "r_cycsghmc"},
        overrides=("method.bound=0.1",),
    ),
    Mistake(
        "narrow-replica-box",
        "the same around replica exchange",
        IMAGES,
        {"method": "r2sghmc"},
        overrides=("method.bound=0.1",),
    ),
    Mistake("one-average", "averages of logits and of probabilities are one", *SWAPS, one_average),
    Mistake("probabilities-for-logits", "a Brier score of probabilities", *SWAPS, probabilities_for_logits),
]
