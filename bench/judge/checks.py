"""How a claim is decided: the seven kinds of checks, typed. bench.judge.claims carries them out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, model_validator

from bench.judge.words import OPTIONS, Entry, Group, Named, Number, Positive, Row, Target, Targets, Text, Where, differ

VERDICTS = ("reproduced", "not reproduced", "inconclusive", "not comparable", "not run")
KINDS = ("value", "bound", "slope", "better", "ordering", "share", "identity")


class Run(Protocol):
    """A run or a planned job: option names and config values by their dotted path."""

    def get(self, path: str) -> Any: ...


def matches(run: Run, where: Mapping[str, Any]) -> bool:
    """Is the run among those that `where` selects?"""
    return all(run.get(key) == value for key, value in where.items())


class _Law(Entry):
    """What the check is about, over runs.

    estimand: the median; the mean of a quantity that cannot leave `range`; log_mean, the geometric mean, likewise. symmetric: in place of
    the range, why the law of the quantity is symmetric about its centre, as that of a paired difference is where the two sides may be swapped.
    """

    estimand: Literal["median", "mean", "log_mean"] = "median"
    range: tuple[Number, Number] | None = Field(None, strict=False)
    symmetric: Text | None = None

    def parts(self) -> int:
        """How many quantities are tested."""
        return 1

    def _positive(self) -> bool:
        """Is what is tested a number of the metric, or a ratio of two?"""
        return False

    @model_validator(mode="after")
    def _bounded(self) -> _Law:
        if self.estimand != "median" and (kind := getattr(self, "kind", "")) in ("share", "identity"):
            raise ValueError(f"estimand: a check of kind {kind} is about a share of the runs; leave it out")
        if self.estimand == "median":
            if self.range or self.symmetric:
                raise ValueError("range, symmetric: a median needs neither; with estimand mean or log_mean")
            return self
        if (self.range is None) == (self.symmetric is None):
            raise ValueError(
                f"estimand {self.estimand}: needs the range that the metric cannot leave, or why its law is symmetric"
            )
        if self.estimand == "log_mean" and not self._positive():
            raise ValueError(
                "estimand log_mean: is of what is positive; a difference or a slope is not, say factor or relative"
            )
        if self.range and not (self.range[0] < self.range[1] and (self.estimand == "mean" or self.range[0] > 0)):
            raise ValueError("range: two increasing numbers, positive ones for log_mean")
        return self


class _Check(_Law):
    """`of` selects runs; `at` a row of their curve (default: the final metrics).

    budget: the metric that the compared runs have in common, as gradient_evaluations, epoch or iterations; None, of tables alone: any.
    """

    metric: str
    of: Group
    at: Row | None = None
    budget: str | None = "gradient_evaluations"

    def groups(self) -> list[Where]:
        """The groups of runs that the check looks at."""
        return [self.of]

    def pairs(self) -> list[tuple[Where, Where]]:
        """Pairs of groups whose difference is what the check is about."""
        return []

    def rows(self) -> list[tuple[Where, Where | None]]:
        """(group, row of the curve) of all that the check looks at."""
        return [(where, self.at) for where in self.groups()]


class Value(_Check):
    """It equals `target`, a number or, paired over seeds, another group's, within a margin.

    targets: a number for each option of `over`, as {nyse_o: 14.5, tse: 1.61} over dataset, or for each value of a config key or of a
        column of the curve, as {1: 1.97, 2: 1.10} over batch_size; all of them must hold.
    margin, relative: half the width of what is accepted, in the metric's units or as a part of the number; of another group's number the
        ratio lies between 1 / (1 + relative) and 1 + relative.
    """

    kind: Literal["value"]
    target: Target | None = None
    targets: Targets | None = None
    over: str = "dataset"
    margin: Positive | None = None
    relative: Positive | None = None

    @model_validator(mode="after")
    def _one(self) -> Value:
        if (self.target is None) == (self.targets is None):
            raise ValueError("exactly one of target and targets")
        if (self.margin is None) == (self.relative is None):
            raise ValueError("exactly one of margin and relative")
        if self.relative is not None and 0.0 in (self.target, *(self.targets or {}).values()):
            raise ValueError("relative: a part of 0 is 0, which accepts nothing; set margin")
        if self.targets is None and "over" in self.model_fields_set:
            raise ValueError("over: only with targets")
        differ("target", [self.of, self.target])
        return self

    def numbers(self) -> list[tuple[Where, Where | None, float, float]]:
        """(group, row, number, margin) of each number to be met; empty where the target is another group."""
        if isinstance(self.target, dict):
            return []
        wanted: list[tuple[Where, Where | None, float]] = []
        if self.target is not None:
            wanted.append((self.of, self.at, self.target))
        for option, number in (self.targets or {}).items():
            column = "." not in self.over and self.over not in OPTIONS
            at = {**(self.at or {}), **({self.over: option} if column else {})}
            wanted.append((self.of | ({} if column else {self.over: option}), at or None, number))
        return [(where, at, n, self._half(n)) for where, at, n in wanted]

    def _half(self, number: float) -> float:
        """Half the width of what is accepted about a number."""
        if self.margin is not None:
            return self.margin
        assert self.relative is not None
        return self.relative * abs(number)

    def groups(self) -> list[Where]:
        return [self.of, self.target] if isinstance(self.target, dict) else [where for where, *_ in self.numbers()]

    def pairs(self) -> list[tuple[Where, Where]]:
        return [(self.of, self.target)] if isinstance(self.target, dict) else []

    def _positive(self) -> bool:
        return not isinstance(self.target, dict) or self.relative is not None

    def parts(self) -> int:
        return max(1, len(self.numbers()))

    def rows(self) -> list[tuple[Where, Where | None]]:
        return [(where, at) for where, at, *_ in self.numbers()] or super().rows()


class Bound(_Check):
    """It is at most or at least a number. curve: the smallest or largest entry of each seed's curve instead of one row."""

    kind: Literal["bound"]
    at_most: Number | None = None
    at_least: Number | None = None
    curve: Literal["min", "max"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Bound:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("exactly one of at_most and at_least")
        if self.curve is not None and self.at is not None:
            raise ValueError("at or curve, not both: one row, or the extreme of all")
        return self

    def _positive(self) -> bool:
        return True


class Slope(_Check):
    """The log-log slope of the metric over `over` (a column of the curve or a config key), one a seed, lies within an interval.

    below: another group whose slope, seed by seed, is to be larger.
    """

    kind: Literal["slope"]
    over: str
    within: tuple[Number, Number] = Field(strict=False)
    below: Named | None = None

    @model_validator(mode="after")
    def _order(self) -> Slope:
        if not self.within[0] < self.within[1]:
            raise ValueError("within: two increasing numbers")
        if self.over == self.metric:
            raise ValueError(f"over: '{self.over}' is the metric itself, the slope is 1")
        if self.over in (self.at or {}):
            raise ValueError(f"at: '{self.over}' is what the slope is over; a point has no slope")
        differ("below", [self.of, self.below])
        return self

    def groups(self) -> list[Where]:
        return [self.of] if self.below is None else [self.of, self.below]

    def parts(self) -> int:
        return len(self.groups())


class Better(_Check):
    """Paired over seeds: `of` is better than `than` by more than `by`, or better than `factor` times the other's number.

    A factor that lets `of` be worse ("no worse than") is tested the other way round as well: what holds both ways is equality, a `value`.

    tune: a config key; the first half of the seeds chooses its value for each group, the other half is judged.
    """

    kind: Literal["better"]
    than: Group
    by: Annotated[Number, Field(ge=0)] = 0.0
    factor: Positive | None = None
    tune: str | None = None

    def groups(self) -> list[Where]:
        return [self.of, self.than]

    def pairs(self) -> list[tuple[Where, Where]]:
        return [(self.of, self.than)]

    def _positive(self) -> bool:
        return self.factor is not None

    @model_validator(mode="after")
    def _one(self) -> Better:
        if self.by and self.factor is not None:
            raise ValueError("by or factor, not both")
        differ("than", [self.of, self.than])
        return self


class Ordering(_Law):
    """Every group of a tier is better than every group of the tiers after it: all pairs, paired over seeds."""

    kind: Literal["ordering"]
    metric: str
    tiers: Annotated[list[Annotated[list[Named], Field(min_length=1)]], Field(min_length=2)]
    at: Row | None = None
    budget: str | None = "gradient_evaluations"
    tune: str | None = None

    def groups(self) -> list[Where]:
        return [group for tier in self.tiers for group in tier]

    def pairs(self) -> list[tuple[Where, Where]]:
        """Each group with every one of a later tier."""
        return [(a, b) for one, later in itertools.combinations(self.tiers, 2) for a in one for b in later]

    def parts(self) -> int:
        return len(self.pairs())

    def rows(self) -> list[tuple[Where, Where | None]]:
        """As of the other checks."""
        return [(where, self.at) for where in self.groups()]

    @model_validator(mode="after")
    def _order(self) -> Ordering:
        differ("tiers", self.groups())
        return self


class Share(_Check):
    """The share of runs whose number is at least `above`, or at most `below`, is at least or at most a number: how "always" and "never" are said."""

    kind: Literal["share"]
    above: Number | None = None
    below: Number | None = None
    at_least: Annotated[Number, Field(gt=0, lt=1)] | None = None
    at_most: Annotated[Number, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Share:
        if (self.above is None) == (self.below is None):
            raise ValueError("exactly one of above and below: what is counted")
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("exactly one of at_least and at_most: how large the share is, between 0 and 1")
        return self


class Identity(_Check):
    """Each run's value equals a number, or that of another group, up to rounding; one that does not refutes it.

    share: of the runs at large, for which it has to be shown.
    """

    kind: Literal["identity"]
    equals: Target
    tolerance: Positive
    share: Annotated[Number, Field(gt=0, lt=1)] = 0.5

    @model_validator(mode="after")
    def _other(self) -> Identity:
        differ("equals", [self.of, self.equals])
        return self

    def groups(self) -> list[Where]:
        return [self.of, self.equals] if isinstance(self.equals, dict) else [self.of]

    def pairs(self) -> list[tuple[Where, Where]]:
        return [(self.of, self.equals)] if isinstance(self.equals, dict) else []


Check = Annotated[Value | Bound | Slope | Better | Ordering | Share | Identity, Field(discriminator="kind")]


def narrowed(check: Check, to: Where) -> Check:
    """The check with every group narrowed by `to`, as {dataset: msci}; what a group says itself comes first."""
    changed: dict[str, Any] = {
        name: {**to, **where}
        for name in ("of", "than", "target", "below", "equals")
        if isinstance(where := getattr(check, name, None), dict)
    }
    if isinstance(check, Ordering):
        changed["tiers"] = [[{**to, **where} for where in tier] for tier in check.tiers]
    return check.model_copy(update=changed)
