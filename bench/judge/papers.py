"""conf/paper/<paper>.yaml: a paper's identity, its claims and audits, typed and validated. No number without a source."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from bench.errors import UserError, allowed_list, in_one_line, nearest
from bench.judge.checks import KINDS, Check, narrowed
from bench.judge.groups import label
from bench.judge.known import problems
from bench.judge.reach import check_decidable
from bench.judge.shown import HOW, Figure, Pivot, Source
from bench.judge.words import (
    OPTIONS,
    Each,
    Entry,
    Group,
    Name,
    Text,
    Where,
    Year,
    alike,
    check_metric,
    not_a_name,
    place_problem,
    short,
    unprintable,
)
from bench.run import yaml_files
from bench.run.notes import note
from bench.run.options import options, task_of_experiment
from bench.run.paths import CONF

__all__ = ["HOW", "Claim", "Figure", "Paper", "Pivot", "check_decidable", "choose", "load_paper", "load_papers"]


class Swap(Entry):
    """Runs of the experiment (a baseline, an ablation) that are put in the place of others."""

    put: Group
    in_place_of: Group

    @property
    def name(self) -> str:
        return f"{label(self.put)} in place of {label(self.in_place_of)}"

    def ties(self, mine: Where, other: Where) -> bool:
        """Would the runs of `mine` become those of `other`, with which they are compared? A key that one does not name decides nothing."""
        replaced = all(mine.get(key, value) == value for key, value in self.in_place_of.items())
        by_other = all(other.get(key, value) == value for key, value in self.put.items())
        return replaced and by_other and all(k in self.put or mine.get(k, v) == v for k, v in other.items())


class Claim(Entry):
    """What is said, where, and how it is decided.

    scales: those at which the experiment can decide it. each: options, as {dataset: [msci, tse]}, for all of which the check must hold.
    deterministic: the numbers involve no randomness: seeds have to agree. published: what the source says; theory: what we derive.
    refuted_by: names of mistakes/<paper>.py, or runs put in the place of others, that turn it to "not reproduced".
    """

    says: Text
    source: Source
    experiment: str
    check: Check
    scales: tuple[Literal["smoke", "mini", "paper"], ...] = Field(("mini", "paper"), strict=False, min_length=1)
    each: Each = Field(default_factory=dict)
    deterministic: bool = False
    published: Text | None = None
    theory: Text | None = None
    refuted_by: list[Text | Swap] = Field(default_factory=list)
    note: Text | None = None

    def checks(self) -> list[Check]:
        """The check, once for each combination of the options of `each`."""
        return [narrowed(self.check, dict(zip(self.each, chosen))) for chosen in itertools.product(*self.each.values())]

    @property
    def stated(self) -> str:
        """What was published, in words or as the check's own numbers."""
        targets = getattr(self.check, "targets", None) or {}
        return (
            self.published or self.theory or ", ".join(f"{k} {v}" for k, v in targets.items()) or "the statement above"
        )

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
        if self.published is not None and self.source.tier == "ours":
            raise ValueError("published: holds what is published; what we derive goes to theory")
        for field in ("budget", "metric"):
            metric = check_metric(self.experiment, getattr(self.check, field), f"check.{field}")
        if self.check.kind in ("better", "ordering") and metric.better is None:
            raise ValueError(f"check.metric '{self.check.metric}' is neither better high nor low: nothing to order by")
        if len(set(self.scales)) < len(self.scales):
            raise ValueError(f"scales: {', '.join(self.scales)}: one is repeated")
        for key in self.each:
            if all(key in group for group in self.check.groups()):
                raise ValueError(f"each: {short(key)} is chosen by every group of the check already")
        tune = getattr(self.check, "tune", None)
        if tune is not None and (place_problem(tune) or tune in OPTIONS):
            raise ValueError(f"check.tune {short(tune)} is no key of the config; expected one as method.lr")
        return self


class Code(Entry):
    """Released code, or the statement that there is none."""

    url: str | None
    commit: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _address(self) -> Code:
        if self.url is not None and not re.fullmatch(r"https?://[^\s\"'<>]+", self.url):
            raise ValueError(
                f"url {short(self.url)} is no address; expected https://..., or null where there is no code"
            )
        return self


class Paper(Entry):
    """One paper.

    arxiv: its identifier, where it has one.
    """

    title: Text
    authors: Text
    year: Year
    venue: Text
    arxiv: str | None = Field(None, pattern=r"^[A-Za-z0-9./-]{1,40}$")
    code: Code
    question: Text | None = (
        None  # what it asks, in words that need no knowledge of it: the heading of its page and card
    )
    summary: Text
    unread: Text | None = None  # what of the paper could not be read
    claims: dict[Name, Claim]
    audits: dict[Name, Claim] = Field(default_factory=dict)
    figures: dict[Name, Figure] = Field(default_factory=dict)
    tables: dict[Name, Pivot] = Field(default_factory=dict)
    notes: list[Text] = Field(default_factory=list)

    def drawn(self) -> Iterator[tuple[str, Figure]]:
        """Every figure by its name."""
        for name, figure in self.figures.items():
            yield from figure.drawn(name)

    def judged(self) -> Iterator[tuple[str, Claim, bool]]:
        """(name, claim, is an audit) of every claim and audit."""
        yield from ((name, claim, False) for name, claim in self.claims.items())
        yield from ((name, claim, True) for name, claim in self.audits.items())


def idle(papers: Iterable[Paper]) -> set[tuple[str, str]]:
    """(experiment, scale) of which nothing is judged although claims name the experiment: no claim has the scale, and no figure or table reads it."""
    found: set[tuple[str, str]] = set()
    for paper in papers:
        read = {drawn.experiment for drawn in (*paper.figures.values(), *paper.tables.values())}
        scales: dict[str, set[str]] = {}
        for _, claim, _ in paper.judged():
            scales.setdefault(claim.experiment, set()).update(claim.scales)
        found |= {(e, s) for e, own in scales.items() if e not in read for s in {"mini", "paper"} - own}
    return found


def load_paper(path: Path) -> Paper:
    """Read and validate one file.

    Raises:
        UserError: the file, the field and what is wrong with it, in one line.
    """
    content: Any = yaml_files.load(path, _file(path))
    try:
        for where, character in unprintable(content):
            raise UserError(
                f"{_file(path)}: {_field(where)}: character U+{ord(character):04X} is not printed; remove it"
            )
        paper = Paper.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{_file(path)}: {line_of_error(error)}") from None
    for problem in problems(paper):
        raise UserError(f"{_file(path)}: {problem}")
    return paper


def _file(path: Path) -> str:
    return f"conf/paper/{path.name}"


def _field(where: Iterable[object]) -> str:
    """claims.better.check.of"""
    parts = [str(part) if not isinstance(part, str) or part.isprintable() else short(part) for part in where]
    kept = [p for k, p in enumerate(parts) if p != "[key]" and not (k and parts[k - 1] == "check" and p in KINDS)]
    return ".".join(p if len(p) <= 100 else f"{p[:97]}..." for p in kept) or "the file"


def line_of_error(error: ValidationError) -> str:
    """The first error: field and what is wrong, with the value and the nearest spelling of a word."""
    first = error.errors()[0]
    ours = first["type"] == "value_error"
    message = first["msg"].removeprefix("Value error, ") if ours else first["msg"][0].lower() + first["msg"][1:]
    if first["type"] == "literal_error":
        words = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        message += f"; not {short(first['input'])}{nearest(first['input'], words)}"
    elif first["type"] == "union_tag_invalid":
        tag = first["ctx"]["tag"]
        message = f"kind {short(tag)} is none of {', '.join(KINDS)}{nearest(tag, KINDS)}"
    elif first["type"] == "union_tag_not_found":
        message = f"kind: field required; one of {', '.join(KINDS)}"
    elif first["type"] == "missing":  # all that its mapping lacks
        lacking = [
            e["loc"][-1] for e in error.errors() if e["type"] == "missing" and e["loc"][:-1] == first["loc"][:-1]
        ]
        message += f"; so are {', '.join(map(str, lacking[1:]))}" if len(lacking) > 1 else ""
    elif not ours:
        message += f"; not {short(first['input'])}"
    return f"{_field(first['loc'])}: {in_one_line(message)}"


def load_papers(name: str | None = None) -> dict[str, Paper]:
    """All papers, or the one named, by file name.

    Raises:
        UserError: as load_paper; a file's name is no name, or two differ in case alone.
    """
    known = options("paper")
    for key in known:
        if problem := not_a_name(key):
            raise UserError(f"conf/paper/{key}.yaml: a paper's file is named as the paper: {problem}")
    if pair := alike(known):
        raise UserError(f"conf/paper: {pair[0]}.yaml and {pair[1]}.yaml are the same name; rename one")
    return {key: load_paper(CONF / "paper" / f"{key}.yaml") for key in choose(known, name)}


def choose(papers: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    """The paper named, or all of them.

    Raises:
        UserError: there is no such paper.
    """
    if name is not None and name not in papers:
        raise UserError(f"paper = '{name}': unknown; allowed: {allowed_list(papers)}{nearest(name, papers)}")
    return {key: value for key, value in papers.items() if name in (None, key)}
