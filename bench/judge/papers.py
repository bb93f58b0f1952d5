"""conf/paper/<paper>.yaml: a paper's identity, its claims and audits, typed and validated. No number without a source."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from bench.errors import UserError, allowed_list, nearest
from bench.judge.checks import ALPHA, Better, Check, Identity, Ordering, Where, matches, narrowed
from bench.run.job import Job
from bench.run.notes import Metric, note
from bench.run.options import options, read_yaml, task_of_experiment
from bench.run.paths import CONF
from bench.run.schema import Strict

Kind = Literal["read", "repository", "secondary", "derived", "recalled"]
HOW = {
    "read": "read in the paper",
    "repository": "from released code or its logs",
    "secondary": "from a summary of the paper",
    "derived": "derived here",
    "recalled": "recalled, unverified",
}


def _metrics(experiment: str, name: str, field: str = "metric") -> dict[str, Metric]:
    """The metrics of an experiment's task, `name` among them; ValueError where the experiment or the metric does not exist."""
    known = options("experiment")
    if experiment not in known:
        raise ValueError(f"experiment '{experiment}' does not exist{nearest(experiment, known)}")
    metrics = note(task_of_experiment(experiment)).metrics
    if name not in metrics:
        hint = f"allowed: {allowed_list(metrics)}{nearest(name, metrics)}"
        raise ValueError(f"{field} '{name}' is not computed by the task of {experiment}; {hint}")
    return metrics


class Source(Strict):
    """Where a statement stands, how it is known, and in which paper, page or repository."""

    where: str
    how: Kind
    reference: str


class Claim(Strict):
    """What is said, where, and how it is decided.

    scales: those at which the experiment can decide it. each: options, as {dataset: [msci, tse]}, for all of which the check must hold.
    deterministic: the numbers involve no randomness, so one run decides.
    """

    says: str
    source: Source
    experiment: str
    check: Check
    scales: tuple[Literal["smoke", "mini", "paper"], ...] = Field(("mini", "paper"), strict=False, min_length=1)
    each: dict[str, list[str | int | float]] = Field(default_factory=dict)
    deterministic: bool = False
    published: str | None = None
    note: str | None = None

    def checks(self) -> list[Check]:
        """The check, once for each combination of the options of `each`."""
        return [
            narrowed(self.check, dict(zip(self.each, options))) for options in itertools.product(*self.each.values())
        ]

    @property
    def stated(self) -> str:
        """What was published, in words or as the check's own numbers."""
        targets = getattr(self.check, "targets", None) or {}
        return self.published or ", ".join(f"{k} {v}" for k, v in targets.items()) or "the statement above"

    @property
    def measured(self) -> str:
        """What is compared: the metric's label, and where in the curve."""
        label = note(task_of_experiment(self.experiment)).metrics[self.check.metric].label
        at = "".join(f", at {name} {value}" for name, value in (self.check.at or {}).items())
        return label + at

    @model_validator(mode="after")
    def _known(self) -> Claim:
        if self.source.how == "recalled":
            raise ValueError("source.how = 'recalled': may be shown in a note, never checked against")
        for field in ("metric", "budget"):
            metrics = _metrics(self.experiment, getattr(self.check, field), f"check.{field}")
        if self.check.kind in ("better", "ordering") and metrics[self.check.metric].better is None:
            raise ValueError(f"check.metric '{self.check.metric}' is neither better high nor low: nothing to order by")
        return self


class Theory(Strict):
    """A log-log slope to compare a line with; `of` is the line's label."""

    slope: float
    of: str


class Published(Strict):
    """Points of a published figure, by the label of the line that they belong to: open squares behind ours, named in the caption."""

    source: Source
    points: dict[str, list[Annotated[tuple[float, float], Field(strict=False)]]]

    @model_validator(mode="after")
    def _known(self) -> Published:
        if self.source.how == "recalled":
            raise ValueError("source.how = 'recalled': points from memory are not drawn")
        return self


class Figure(Strict):
    """A figure of an experiment.

    Lines: metric `y` over a column of the curve or a config key, a line for each value of `by`.
    Heat map, where there is a `value`: that metric over the columns `x` and `y`, a panel for each value of `by`, an option, key or column.
    Scatter, where there is a `size`: points at the columns `x` and `y` on the unit disc, area and colour by that signed column, panels as
    above; rays through the rows that have the column `marks`.

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
    by: str = "method"
    log: Literal["", "x", "y", "xy"] = ""
    only: dict[str, str | int | float | bool | list[str | int | float]] = Field(default_factory=dict)
    at: dict[str, int | float | list[int | float]] = Field(default_factory=dict)
    each: dict[str, list[str]] = Field(default_factory=dict)
    theory: dict[str, Theory] = Field(default_factory=dict)  # dashed reference lines by name, as T^-1/2
    published: Published | None = None
    relative_to: Where = Field(default_factory=dict)

    @property
    def legend(self) -> str:
        """The caption, and where the published points come from."""
        if self.published is None:
            return self.caption
        source = self.published.source
        return f"{self.caption} Open squares: published ({source.where}; {HOW[source.how]})."

    @model_validator(mode="after")
    def _known(self) -> Figure:
        _metrics(self.experiment, self.size or self.value or self.y)
        if (self.size and self.value) or (self.marks and not self.size):
            raise ValueError("value makes a heat map, size (and marks) a scatter: one of them")
        try:
            self.caption.format_map(dict.fromkeys(self.each, ""))
        except (KeyError, ValueError, IndexError):
            raise ValueError(f"caption '{self.caption}': braces hold names of 'each' alone") from None
        return self

    def drawn(self, name: str) -> Iterator[tuple[str, Figure]]:
        """The figures to draw and their names: this one, or one for each combination of `each`."""
        for values in itertools.product(*self.each.values()):
            chosen = dict(zip(self.each, values))
            more = {"only": self.only | chosen, "caption": self.caption.format_map(chosen), "each": {}}
            yield "_".join([name, *values]), self.model_copy(update=more)


class Pivot(Strict):
    """A table of one metric: a row for each value of `split` (a column of the curve) and option of `rows`, a column for each of `columns`."""

    experiment: str
    caption: str
    value: str
    split: str
    rows: str = "method"
    columns: str = "dataset"

    @model_validator(mode="after")
    def _known(self) -> Pivot:
        _metrics(self.experiment, self.value)
        return self


class Code(Strict):
    """Released code, or the statement that there is none."""

    url: str | None
    commit: str | None = None
    note: str | None = None


class Paper(Strict):
    """One paper."""

    title: str
    authors: str
    year: int
    venue: str
    arxiv: str
    code: Code
    summary: str
    claims: dict[str, Claim]
    audits: dict[str, Claim] = Field(default_factory=dict)
    figures: dict[str, Figure] = Field(default_factory=dict)
    tables: dict[str, Pivot] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    def drawn(self) -> Iterator[tuple[str, Figure]]:
        """Every figure by its name."""
        for name, figure in self.figures.items():
            yield from figure.drawn(name)

    def judged(self) -> Iterator[tuple[str, Claim, bool]]:
        """(name, claim, is an audit) of every claim and audit."""
        yield from ((name, claim, False) for name, claim in self.claims.items())
        yield from ((name, claim, True) for name, claim in self.audits.items())


def load_paper(path: Path) -> Paper:
    """Read and validate one file.

    Raises:
        UserError: the file, the field and what is wrong with it, in one line.
    """
    try:
        content: Any = read_yaml(path)
        return Paper.model_validate(content)
    except yaml.YAMLError as error:
        raise UserError(f"conf/paper/{path.name}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"conf/paper/{path.name}: {where}: {message[0].lower()}{message[1:]}") from None


def load_papers(name: str | None = None) -> dict[str, Paper]:
    """All papers, or the one named, by file name."""
    return {key: load_paper(CONF / "paper" / f"{key}.yaml") for key in choose(options("paper"), name)}


def choose(papers: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    """The paper named, or all of them.

    Raises:
        UserError: there is no such paper.
    """
    if name is not None and name not in papers:
        raise UserError(f"paper = '{name}': unknown; allowed: {allowed_list(papers)}{nearest(name, papers)}")
    return {key: value for key, value in papers.items() if name in (None, key)}


def check_decidable(papers: Mapping[str, Paper], jobs: Callable[[str, str], Sequence[Job]]) -> None:
    """Each claim's check selects runs of its experiment, and has the seeds that its tests need to say yes or no.

    Args:
        jobs: the jobs of an experiment at a scale, as bench.judge.plan.jobs.

    Raises:
        UserError: file, field and what is wrong, in one line.
    """
    for name, paper in papers.items():
        for key, claim, audit in paper.judged():
            for scale in claim.scales:
                problem = _undecidable(claim, jobs(claim.experiment, scale))
                if problem:
                    field = f"{'audits' if audit else 'claims'}.{key}.check"
                    raise UserError(f"conf/paper/{name}.yaml: {field}: {problem} ({claim.experiment} at {scale} scale)")


def _undecidable(claim: Claim, jobs: Sequence[Job]) -> str | None:
    check = claim.check
    for where in itertools.chain.from_iterable(each.groups() for each in claim.checks()):
        if not any(matches(job, where) for job in jobs):
            return f"no run has {', '.join(f'{k} = {v}' for k, v in where.items())}"
    seeds = min(len(job.settings.seeds) for job in jobs)
    if isinstance(check, Identity) or claim.deterministic:
        return None
    if isinstance(check, Better | Ordering):
        judging = seeds - seeds // 2 if check.tune else seeds
        tests = 1
        if isinstance(check, Ordering):
            sizes = [len(tier) for tier in check.tiers]
            tests = sum(a * b for i, a in enumerate(sizes) for b in sizes[i + 1 :])
        if tests * 2.0**-judging > ALPHA:
            return f"{judging} seeds cannot decide {tests} paired tests at the 5 % level"
    return "one seed tells nothing of the spread" if seeds < 2 else None
