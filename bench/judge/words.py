"""The small types of a paper's file, each with one line for what it is not: names, texts, numbers, groups of runs, rows of a curve."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeGuard

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from bench.errors import allowed_list, nearest
from bench.run.job import PARTS
from bench.run.notes import Metric, note
from bench.run.options import options, task_of_experiment
from bench.run.schema import Strict

OPTIONS = ("method", "dataset", "model", "task")  # config groups, by whose options runs are selected
Where = dict[str, str | int | float | bool | None]  # {method: ssvr, dataset.num_components: 256}
LONGEST = 80  # characters of a name
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(10))}  # on Windows
BREAKS = "\n\t"  # the only control characters of a text


class Entry(Strict):
    """A mapping of a paper's file: unknown keys and what is no mapping are said in words."""

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            raise ValueError(
                f"{short(content)} is no mapping; expected keys with values: {allowed_list(cls.model_fields)}"
            )
        for key in content:
            if key not in cls.model_fields:
                hint = nearest(key, cls.model_fields)
                raise ValueError(f"unknown key {short(key)}; allowed: {allowed_list(cls.model_fields)}{hint}")
        return content


def short(value: object) -> str:
    """A value as an error line shows it, in at most 60 characters."""
    try:
        text = repr(value)
    except ValueError:  # thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def not_a_name(text: str) -> str | None:
    """What keeps a text from naming a file, an anchor and a row; None where nothing does."""
    if len(text) > LONGEST:
        return f"{short(text)} has {len(text)} characters; a name has at most {LONGEST}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", text):
        return f"{short(text)} is no name; expected letters, digits, '-' and '_', with a letter or digit first"
    if text.lower() in RESERVED:
        return f"{short(text)} names a device on Windows; choose another name"
    return None


def _name(text: str) -> str:
    if problem := not_a_name(text):
        raise ValueError(problem)
    return text


def alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that differ in case alone, or are the same: one file where case does not count."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            return seen[name.lower()], name
        seen[name.lower()] = name
    return None


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank; expected a text")
    return text


def unprintable(content: Any, at: tuple[object, ...] = ()) -> Iterator[tuple[tuple[object, ...], str]]:
    """(place, character) of texts that would act on a terminal or reorder a line: control characters, overrides of direction."""
    if isinstance(content, str):
        for c in content:
            if (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in BREAKS) or _turns(c):
                yield at, c
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from unprintable(key, at)
            yield from unprintable(value, (*at, key))
    elif isinstance(content, list):
        for k, value in enumerate(content):
            yield from unprintable(value, (*at, k))


def _turns(c: str) -> bool:
    return "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"


def is_number(value: object) -> TypeGuard[float]:
    """A finite number that is no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def finite(value: Any) -> float:
    """The value as a float; ValueError where it is no finite number."""
    if not is_number(value):
        hint = "; without quotes" if isinstance(value, str) and re.fullmatch(r"\s*[-+.\deE]+\s*", value) else ""
        raise ValueError(f"{short(value)} is no finite number{hint}")
    return float(value)


def _positive(value: Any) -> float:
    if not finite(value) > 0:
        raise ValueError(f"input should be greater than 0; not {short(value)}")
    return float(value)


def place_problem(key: object) -> str | None:
    """What keeps a key from selecting runs: it is neither an option's group nor a dotted path into one."""
    if key in OPTIONS or (isinstance(key, str) and re.fullmatch(rf"({'|'.join(PARTS)})(\.[^.\s]+)+", key)):
        return None
    return f"{short(key)} selects no runs; expected {', '.join(OPTIONS)} or a dotted key, as method.lr{nearest(key, OPTIONS)}"


def _value_problem(key: str, value: object) -> str | None:
    """What a group of runs cannot have as a value."""
    if isinstance(value, str) or (
        key not in OPTIONS and (value is None or isinstance(value, bool) or is_number(value))
    ):
        return None
    expected = "the name of an option" if key in OPTIONS else "a finite number, a text, true or false"
    return f"{key} = {short(value)}: expected {expected}"


def _group(content: Any, lists: bool = False) -> dict[str, Any]:
    """A mapping of options and dotted keys to a value, or with `lists` to several."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{short(content)} is no group of runs; expected one as {{method: ssvr}}")
    for key, value in content.items():
        several = value if lists and isinstance(value, list) else [value]
        problem = place_problem(key) or next((p for v in several if (p := _value_problem(key, v))), None)
        if problem is None and not several:
            problem = f"{key}: an empty list; expected values"
        if problem:
            raise ValueError(problem)
    return dict(content)


def _several(content: Any) -> dict[str, Any]:
    return _full(_group(content, lists=True))


def _full(content: dict[str, Any]) -> dict[str, Any]:
    if not content:
        raise ValueError("names nothing; leave it out, or name something")
    return content


def _each(content: Any) -> dict[str, list[Any]]:
    """A mapping to lists of distinct values, none of them empty."""
    for key, values in _several(content).items():
        if not isinstance(values, list):
            raise ValueError(f"{key} = {short(values)}: expected a list, as [{short(values)}]")
        repeated = [v for k, v in enumerate(values) if v in values[:k]]
        if repeated:
            raise ValueError(f"{key}: {short(repeated[0])} is repeated")
    return dict(content)


def _row(content: Any, lists: bool = False) -> dict[str, Any]:
    """A mapping of columns to numbers, or with `lists` to several."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{short(content)} is no row; expected a column and its value, as {{epoch: 4}}")
    for key, value in content.items():
        numbers = value if lists and isinstance(value, list) else [value]
        if not isinstance(key, str) or not numbers or not all(map(is_number, numbers)):
            raise ValueError(f"{short(key)}: {short(value)}: expected a column and a finite number, as {{epoch: 4}}")
    return _full(dict(content))


def _target(content: Any) -> float | dict[str, Any]:
    return _full(_group(content)) if isinstance(content, Mapping) else finite(content)


Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, AfterValidator(_text)]
Number = Annotated[float, PlainValidator(finite)]
Positive = Annotated[float, PlainValidator(_positive)]
Group = Annotated[Where, PlainValidator(_group)]
Named = Annotated[Where, PlainValidator(lambda content: _full(_group(content)))]
Runs = Annotated[dict[str, Any], PlainValidator(_several)]
Each = Annotated[dict[str, list[Any]], PlainValidator(_each)]
Row = Annotated[Where, PlainValidator(_row)]
Rows = Annotated[dict[str, Any], PlainValidator(lambda content: _row(content, lists=True))]
Target = Annotated[float | Where, PlainValidator(_target)]
Year = Annotated[int, Field(ge=1900, le=2100)]


def metrics_of(experiment: str) -> Mapping[str, Metric]:
    """The metrics of an experiment's task; ValueError where there is no such experiment."""
    known = options("experiment")
    if experiment not in known:
        hint = nearest(experiment, known)
        raise ValueError(f"experiment {short(experiment)} does not exist{hint}; allowed: {allowed_list(known)}")
    return note(task_of_experiment(experiment)).metrics


def check_metric(experiment: str, name: str, field: str) -> Metric:
    """The metric of an experiment's task; ValueError where it has none of this name."""
    metrics = metrics_of(experiment)
    if name not in metrics:
        hint = f"allowed: {allowed_list(metrics)}{nearest(name, metrics)}"
        raise ValueError(f"{field} {short(name)} is not computed by the task of {experiment}; {hint}")
    return metrics[name]


def differ(field: str, groups: Sequence[object]) -> None:
    """ValueError where a group would be compared with itself."""
    for k, group in enumerate(groups):
        if group in groups[:k]:
            raise ValueError(f"{field}: {short(group)} would be compared with itself")


def _targets(content: Any) -> dict[str | int | float, float]:
    """Numbers by the value of `over`; at least one."""
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{short(content)}: expected numbers by the values of over, as {{nyse_o: 14.5}}")
    for key in content:
        if not isinstance(key, str) and not is_number(key):
            raise ValueError(f"{short(key)} is no option and no finite number")
    return {key: finite(number) for key, number in content.items()}


Targets = Annotated[dict[str | int | float, float], PlainValidator(_targets)]
