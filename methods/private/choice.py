"""Which epoch of a classifier that was trained on synthetic images is reported."""

from __future__ import annotations

from collections.abc import Sequence


class LastEpoch:
    """The last one."""

    def choose(self, validation: Sequence[float], test: Sequence[float]) -> int:
        """Its place, from 0."""
        return len(test) - 1


class ValidatedEpoch:
    """The first of those that find most validation images."""

    def choose(self, validation: Sequence[float], test: Sequence[float]) -> int:
        """Its place, from 0."""
        return validation.index(max(validation))


class TestedEpoch:
    """The first of those that find most test images, as the paper's released code reports a maximum over epochs on the test set."""

    __test__ = False  # of pytest

    def choose(self, validation: Sequence[float], test: Sequence[float]) -> int:
        """Its place, from 0."""
        return test.index(max(test))
