"""What a paper's file says of its figures and tables, typed and validated; sources of numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from bench.errors import nearest
from bench.judge.words import (
    OPTIONS,
    Each,
    Entry,
    Named,
    Number,
    Rows,
    Runs,
    Text,
    check_metric,
    is_number,
    metrics_of,
    not_a_name,
    short,
)

Kind = Literal["read", "repository", "secondary", "derived", "recalled"]
Shape = Literal["lines", "map", "scatter", "cloud", "sheet"]
HOW = {
    "read": "read in the source",
    "repository": "from released code or its logs",
    "secondary": "from a summary of the paper",
    "derived": "derived here",
    "recalled": "recalled, unverified",
}


TIERS = {
    "paper": "the paper",  # read in the paper that is reproduced
    "published": "published elsewhere",  # released code, manuals, follow-ups, surveys
    "ours": "ours",  # derived here, or an extension
}
KNOWN = {"paper": ("read", "secondary"), "published": ("read", "repository", "secondary"), "ours": ("derived",)}


class Source(Entry):
    """Where a statement stands, whose it is (`tier`), how it is known, and in which paper, page or repository."""

    tier: Literal["paper", "published", "ours"]
    where: Text
    how: Kind
    reference: Text

    @model_validator(mode="after")
    def _fits(self) -> Source:
        if self.how != "recalled" and self.how not in KNOWN[self.tier]:
            raise ValueError(
                f"tier {self.tier}: what is known of it is {' or '.join(KNOWN[self.tier])}; not how = '{self.how}'"
            )
        return self


class Theory(Entry):
    """A log-log slope to compare a line with; `of` is the line's label.

    bound: an upper one, which faster decay does not contradict: drawn above the line and called so. over: the x from and to which it is said.
    """

    slope: Number
    of: Text
    bound: bool = False
    over: tuple[Number, Number] | None = Field(None, strict=False)


def _points(content: Any) -> dict[str, list[tuple[float, float]]]:
    """Pairs of numbers by the label of a line; each line has some."""
    if not isinstance(content, dict):
        raise ValueError(f"{short(content)}: expected pairs by the label of a line, as {{ssvr: [[1, 0.5], [2, 0.3]]}}")
    for name, pairs in content.items():
        if not isinstance(pairs, list) or not pairs:
            raise ValueError(f"{short(name)}: expected a list of pairs, as [[1, 0.5], [2, 0.3]]")
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2 or not all(map(is_number, pair)):
                raise ValueError(f"{short(name)}: {short(pair)} is no pair of finite numbers")
    return {str(name): [(float(x), float(y)) for x, y in pairs] for name, pairs in content.items()}


class Published(Entry):
    """Points of a published figure, by the label of the line that they belong to: open squares behind ours, named in the caption."""

    source: Source
    points: Annotated[dict[str, list[tuple[float, float]]], PlainValidator(_points)]

    @model_validator(mode="after")
    def _known(self) -> Published:
        if self.source.how == "recalled":
            raise ValueError("source.how = 'recalled': points from memory are not drawn")
        return self


def numbers(pattern: str, metrics: Iterable[str]) -> dict[int, str]:
    """The metrics that a pattern speaks of, in the order of the numbers that stand at its star."""
    before, after = map(re.escape, pattern.split("*"))
    found = ((re.fullmatch(rf"{before}([0-9]+){after}", name), name) for name in metrics)
    return dict(sorted((int(match[1]), name) for match, name in found if match))


def _pattern(text: str) -> str:
    if text.count("*") != 1:
        raise ValueError(f"{short(text)}: expected a metric's name with one star for its number, as variance_k*")
    return text


class Numbered(Entry):
    """How final metrics with a number in their names make lines: the figure's `y` has a star for the number n, as variance_k*; its `x` are the
    words at the axis on which n stands.

    label: the words at the other axis.
    beside: more metrics by a name, as {predicted: predicted_k*}: dashed, in the colour of their line.
    bins: n counts so many equal bins of [0, 1], and what is drawn stands at the middle of its bin; where fewer than half of a line's runs
        have the number it is left out. diagonal: the name of the line from (0, 0) to (1, 1) of such a figure.
    """

    label: Text
    beside: dict[Text, Annotated[str, AfterValidator(_pattern)]] = Field(default_factory=dict, max_length=2)
    bins: Annotated[int, Field(ge=2)] | None = None
    diagonal: Text | None = None

    @model_validator(mode="after")
    def _fits(self) -> Numbered:
        if self.diagonal is not None and self.bins is None:
            raise ValueError("diagonal: only with bins")
        return self

    def check(self, experiment: str, y: str) -> None:
        """ValueError where the experiment's task has no two such metrics, or more than there are bins."""
        metrics = metrics_of(experiment)
        patterns = {"y": _pattern(y)} | {f"numbered.beside.{name}": pattern for name, pattern in self.beside.items()}
        for field, pattern in patterns.items():
            found = numbers(pattern, metrics)
            if len(found) < 2:
                known = [re.sub("[0-9]+$", "*", name) for name in metrics]
                hint = nearest(pattern, dict.fromkeys(name for name in known if known.count(name) > 1))
                raise ValueError(f"{field}: the task of {experiment} computes no two metrics {short(pattern)}{hint}")
            if self.bins is not None and (min(found) < 1 or max(found) > self.bins):
                raise ValueError(f"numbered.bins: {self.bins}, but {field} counts from {min(found)} to {max(found)}")


class Figure(Entry):
    """A figure of an experiment.

    Lines: metric `y` over a column of the curve or a config key, a line for each value of `by`.
    Lines of final metrics, where there is `numbered`: `y` against the number in its name.
    Heat map, where there is a `value`: that metric over the columns `x` and `y`, a panel for each value of `by`, an option, key or column.
    Scatter, where there is a `size`: points at the columns `x` and `y` on the unit disc, area and colour by that signed column, panels as
    above; rays through the rows that have the column `marks`.
    Sheet, where there is a `thumbnail`, the column of small images: those of one seed by their place `x` (1, 2, ... in a left block, -1, -2, ... in a
    right one), above their texts at `titles`, framed where the column `marks` is 1; panels as above. With `rows` a row for each value of that
    column, its images by their place.
    Cloud, where there is an `outline`: points at the columns `x` and `y`, panels as above; the two columns of `outline` are the line around.

    only: runs, by option or config key (a value or a list of them). at: rows of the curve, likewise, as {cost: 0.005}.
    each: options, as {dataset: [msci, tse]}: a figure for each combination, its caption's "{dataset}" filled in.
    relative_to: runs, as {method: sgd}: lines show `y` over theirs, seed by seed, of the run that is alike but for these keys.
    """

    experiment: str
    caption: str
    x: str
    y: str
    value: str | None = None
    size: str | None = None
    marks: str | None = None
    outline: tuple[str, str] | None = Field(None, strict=False)
    thumbnail: str | None = None
    rows: str | None = None
    titles: tuple[str, ...] = Field((), strict=False, max_length=2)
    numbered: Numbered | None = None
    by: str = "method"
    log: Literal["", "x", "y", "xy"] = ""
    only: Runs = Field(default_factory=dict)
    at: Rows = Field(default_factory=dict)
    each: Each = Field(default_factory=dict)
    theory: dict[Annotated[str, Field(min_length=1, max_length=40)], Theory] = Field(
        default_factory=dict
    )  # dashed reference lines by name, as T^-1/2
    published: Published | None = None
    relative_to: Named = Field(default_factory=dict)

    @property
    def kind(self) -> Shape:
        kinds: dict[Shape, object] = {
            "scatter": self.size,
            "map": self.value,
            "cloud": self.outline,
            "sheet": self.thumbnail,
        }
        return next((kind for kind, given in kinds.items() if given), "lines")

    @property
    def legend(self) -> str:
        """The caption, what is left out, and where the published points come from."""
        said = [self.caption]
        if self.numbered is not None and self.numbered.bins is not None:
            said.append("Bins that are empty in more than half of the runs are left out.")
        if self.published is not None:
            source = self.published.source
            said.append(f"Open squares: published ({source.where}; {HOW[source.how]}).")
        return " ".join(said)

    @model_validator(mode="after")
    def _known(self) -> Figure:
        if self.numbered is None:
            check_metric(self.experiment, self.size or self.value or self.y, "metric")
        else:
            self._of_final_metrics()
            self.numbered.check(self.experiment, self.y)
        marked = self.size or self.thumbnail
        kinds = self.size, self.value, self.outline, self.thumbnail
        if (
            sum(map(bool, kinds)) > 1
            or (self.marks and not marked)
            or ((self.titles or self.rows) and not self.thumbnail)
        ):
            raise ValueError(
                "value makes a heat map, size (and marks) a scatter, outline a cloud, "
                "thumbnail (and titles, marks, rows) a sheet: one of them"
            )
        self._named()
        return self

    def _of_final_metrics(self) -> None:
        """ValueError where a figure of final metrics is told to be one of curves, or another kind."""
        other = ("value", "size", "outline", "thumbnail", "at", "relative_to")
        if given := next((name for name in other if getattr(self, name)), None):
            raise ValueError(f"numbered: shows final metrics as lines; leave out {given}")
        if self.by not in OPTIONS and "." not in self.by:
            raise ValueError(f"by {short(self.by)}: of final metrics lines are by an option or a key, as method.alpha")

    def _named(self) -> None:
        """The caption's braces and the names of the files of `each`."""
        for text in itertools.chain.from_iterable(self.each.values()):
            if problem := not_a_name(str(text)):
                raise ValueError(f"each: it names a file: {problem}")
        if set(self.each) & set(self.only):
            raise ValueError(f"each: only says {short(min(set(self.each) & set(self.only)))} already")
        try:
            filled(self.caption, dict.fromkeys(self.each, ""))
        except (KeyError, ValueError):
            raise ValueError(f"caption {short(self.caption)}: braces hold names of 'each' alone") from None

    def drawn(self, name: str) -> Iterator[tuple[str, Figure]]:
        """The figures to draw and their names: this one, or one for each combination of `each`."""
        for values in itertools.product(*self.each.values()):
            chosen = dict(zip(self.each, values))
            more = {"only": self.only | chosen, "caption": filled(self.caption, chosen), "each": {}}
            yield "_".join([name, *map(str, values)]), self.model_copy(update=more)


def filled(caption: str, values: Mapping[str, Any]) -> str:
    """The caption with values in the place of their names in braces, which may have dots; double braces are braces.

    Raises:
        KeyError, ValueError: braces that hold anything else.
    """
    found = ""
    for text, name, spec, conversion in Formatter().parse(caption):
        if spec or conversion:
            raise ValueError(name)
        found += text + ("" if name is None else str(values[name]))
    return found


class Pivot(Entry):
    """A table of one metric: a row for each value of `split` (a column of the curve) and option of `rows`, a column for each of `columns`."""

    experiment: str
    caption: str
    value: str
    split: str
    rows: str = "method"
    columns: str = "dataset"

    @model_validator(mode="after")
    def _known(self) -> Pivot:
        check_metric(self.experiment, self.value, "metric")
        if self.rows == self.columns:
            raise ValueError(f"rows and columns are both {short(self.rows)}")
        return self
