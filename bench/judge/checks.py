"""How a claim is decided: the six kinds of checks, typed. bench.judge.claims carries them out."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, model_validator

from bench.run.schema import Strict

VERDICTS = ("reproduced", "not reproduced", "inconclusive", "not comparable", "not run")
ALPHA = 0.05  # of every test
OPTIONS = ("method", "dataset", "model", "task")  # config groups, by whose options runs are selected
Where = dict[str, str | int | float | bool | None]  # {method: ssvr, dataset.num_components: 256}


class Run(Protocol):
    """A run or a planned job: option names and config values by their dotted path."""

    def get(self, path: str) -> Any: ...


def matches(run: Run, where: Where) -> bool:
    """Is the run among those that `where` selects?"""
    return all(run.get(key) == value for key, value in where.items())


class _Check(Strict):
    """`of` selects runs; `at` a row of their curve (default: the final metrics).

    budget: the metric that the compared runs have in common, as gradient_evaluations, epoch or iterations.
    """

    metric: str
    of: Where
    at: dict[str, int | float] | None = None
    budget: str = "gradient_evaluations"

    def groups(self) -> list[Where]:
        """The groups of runs that the check looks at."""
        return [self.of]


class Value(_Check):
    """The mean equals `target`, a number or another group's mean, within a margin (two one-sided tests, paired over seeds).

    targets: a number for each option of `over`, as {nyse_o: 14.5, tse: 1.61} over dataset, or for each value of a config key or of a
        column of the curve, as {1: 1.97, 2: 1.10} over batch_size; all of them must hold.
    margin, relative: half the width of what is accepted, in the metric's units or as a part of the number.
    """

    kind: Literal["value"]
    target: float | Where | None = None
    targets: dict[str | int | float, float] | None = None
    over: str = "dataset"
    margin: Annotated[float, Field(gt=0)] | None = None
    relative: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Value:
        if (self.target is None) == (self.targets is None):
            raise ValueError("exactly one of target and targets")
        if (self.margin is None) == (self.relative is None):
            raise ValueError("exactly one of margin and relative")
        if self.relative is not None and isinstance(self.target, dict):
            raise ValueError("relative: to a number, not to another group; set margin")
        return self

    def numbers(self) -> list[tuple[Where, dict[str, int | float] | None, float, float]]:
        """(group, row, number, margin) of each number to be met; empty where the target is another group."""
        if isinstance(self.target, dict):
            return []
        wanted = [(self.of, self.at, self.target)] if self.targets is None else []
        for option, number in (self.targets or {}).items():
            column = "." not in self.over and self.over not in OPTIONS
            where, row = ({}, {self.over: option}) if column else ({self.over: option}, {})
            wanted.append((self.of | where, {**(self.at or {}), **row} or None, number))
        return [(where, at, n, self.margin or self.relative * abs(n)) for where, at, n in wanted]

    def groups(self) -> list[Where]:
        return [self.of, self.target] if isinstance(self.target, dict) else [where for where, *_ in self.numbers()]


class Bound(_Check):
    """The mean is at most or at least a number. curve: the smallest or largest entry of each seed's curve instead of one row."""

    kind: Literal["bound"]
    at_most: float | None = None
    at_least: float | None = None
    curve: Literal["min", "max"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Bound:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("exactly one of at_most and at_least")
        return self


class Slope(_Check):
    """The log-log slope of the metric over `over` (a column of the curve or a config key) lies within an interval, for the mean over seeds.

    below: another group whose slope, seed by seed, is to be larger.
    """

    kind: Literal["slope"]
    over: str
    within: tuple[float, float] = Field(strict=False)
    below: Where | None = None

    @model_validator(mode="after")
    def _order(self) -> Slope:
        if not self.within[0] < self.within[1]:
            raise ValueError("within: two increasing numbers")
        return self

    def groups(self) -> list[Where]:
        return [self.of] if self.below is None else [self.of, self.below]


class Better(_Check):
    """Paired over seeds: `of` is better than `than` by more than `by`, or better than `factor` times the other's number.

    tune: a config key; the first half of the seeds chooses its value for each group, the other half is judged.
    """

    kind: Literal["better"]
    than: Where
    by: Annotated[float, Field(ge=0)] = 0.0
    factor: Annotated[float, Field(gt=0)] | None = None
    tune: str | None = None

    def groups(self) -> list[Where]:
        return [self.of, self.than]

    @model_validator(mode="after")
    def _one(self) -> Better:
        if self.by and self.factor is not None:
            raise ValueError("by or factor, not both")
        return self


class Ordering(Strict):
    """Every group of a tier is better than every group of the tiers after it: all pairs, paired over seeds, Holm."""

    kind: Literal["ordering"]
    metric: str
    tiers: Annotated[list[Annotated[list[Where], Field(min_length=1)]], Field(min_length=2)]
    at: dict[str, int | float] | None = None
    budget: str = "gradient_evaluations"
    tune: str | None = None

    def groups(self) -> list[Where]:
        return [group for tier in self.tiers for group in tier]


class Identity(_Check):
    """Each seed's value equals a number, or that of another group, up to rounding."""

    kind: Literal["identity"]
    equals: float | Where
    tolerance: Annotated[float, Field(gt=0)]

    def groups(self) -> list[Where]:
        return [self.of, self.equals] if isinstance(self.equals, dict) else [self.of]


Check = Annotated[Value | Bound | Slope | Better | Ordering | Identity, Field(discriminator="kind")]


def narrowed(check: Check, to: Where) -> Check:
    """The check with every group narrowed by `to`, as {dataset: msci}; what a group says itself comes first."""
    changed = {
        name: {**to, **where}
        for name in ("of", "than", "target", "below", "equals")
        if isinstance(where := getattr(check, name, None), dict)
    }
    if isinstance(check, Ordering):
        changed["tiers"] = [[{**to, **where} for where in tier] for tier in check.tiers]
    return check.model_copy(update=changed)
