"""Claims about a table: the checks of conf/paper, in which groups select rows by the table's own columns."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from bench.errors import UserError
from bench.judge.checks import Check, narrowed
from bench.judge.papers import line_of_error
from bench.judge.table_rows import cell
from bench.judge.words import Each, Entry, Name, Text
from bench.run import yaml_files

NAMES = ("method", "dataset", "model")  # columns that are an option's name; of the others each is a key of the method's
STEPS = (
    "step",
    "_step",
    "global_step",
    "train/global_step",
    "trainer/global_step",
    "iteration",
    "iterations",
    "epoch",
    "stop_val",
)
FORMAT = ("seed", "step", "status")  # roles of columns that say how a table is laid out
GROUPS = ("of", "than", "target", "below", "equals")
OWN = ("says", "each", "deterministic", "note")  # of a claim; the rest of an entry without `check` is its check


def path_of(column: str) -> str:
    """How a check's groups call a column of the table."""
    if column in NAMES:
        return column
    part, key = "task" if column == "task" else "method", re.sub(r"[.\s]+", "_", column)
    return f"{part}.{key}"


class TableClaim(Entry):
    """One claim, as bench.judge.reach and registration read it; its check's groups are by path_of."""

    check: Check
    says: Text | None = None
    each: Each = Field(default_factory=dict)
    deterministic: bool = False
    note: Text | None = None

    def checks(self) -> list[Check]:
        """The check, once for each combination of the values of `each`."""
        return [narrowed(self.check, dict(zip(self.each, chosen))) for chosen in itertools.product(*self.each.values())]


class _File(Entry):
    """A file of claims.

    metrics: which direction is better. columns: what the table calls seed, step, status or method, as {seed: trial}; its own names hold too.
    names: how run names of a W&B chart are made. budget: the column that compared runs share. seeds: how many are registered.
    """

    claims: dict[Name, dict[str, Any]]
    metrics: dict[str, Literal["higher", "lower"] | None] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    names: str | None = None
    budget: str | None = None
    seeds: int = Field(12, ge=2, le=100_000)


@dataclass(frozen=True)
class Sheet:
    """A file of claims, or what a program says in its place. `name` and `root` say where an error is."""

    name: str
    content: _File
    root: yaml.Node | None = None

    @cached_property
    def entries(self) -> dict[str, dict[str, Any]]:
        """The claims as they are written, each with `check`."""
        return {name: self._entry(name, dict(content)) for name, content in self.content.claims.items()}

    def _entry(self, name: str, content: dict[str, Any]) -> dict[str, Any]:
        if "check" not in content:
            own = {k: v for k, v in content.items() if k in OWN}
            content = own | {"check": {k: v for k, v in content.items() if k not in OWN}}
        if isinstance(content["check"], Mapping):
            content["check"] = {"budget": self.content.budget, **content["check"]}
        return content

    @property
    def metrics(self) -> dict[str, str]:
        """The metric of each claim that names one."""
        checks = {name: entry["check"] for name, entry in self.entries.items() if isinstance(entry["check"], Mapping)}
        return {name: check["metric"] for name, check in checks.items() if isinstance(check.get("metric"), str)}

    def registered(self, name: str) -> dict[str, Any]:
        """What of a claim is registered: how it is decided, and no word of how it is called."""
        entry = {k: v for k, v in self.entries[name].items() if k not in ("says", "note")}
        better = self.content.metrics.get(self.claims[name].check.metric)
        columns = {role: name for role, name in self.content.columns.items() if role not in FORMAT}
        own = {"columns": columns} if columns else {}  # which numbers a metric is, and which runs a group
        return json.loads(json.dumps(entry | {"better": better} | own, default=str))

    @cached_property
    def claims(self) -> dict[str, TableClaim]:
        """The claims, typed.

        Raises:
            UserError: the file, the line, the field and what is wrong with it.
        """
        return {name: self._claim(name, entry) for name, entry in self.entries.items()}

    def _claim(self, name: str, entry: Mapping[str, Any]) -> TableClaim:
        content = dict(entry)
        if isinstance(content["check"], Mapping):
            content["check"] = _translated(content["check"])
        if isinstance(content.get("each"), Mapping):
            content["each"] = {
                path_of(str(k)): [_value(str(k), v) for v in values] if isinstance(values, list) else values
                for k, values in content["each"].items()
            }
        try:
            claim = TableClaim.model_validate(content)
        except ValidationError as error:
            where = ["claims", name, *(str(part) for part in error.errors()[0]["loc"])]
            raise UserError(f"{self.at(where)}: claims.{name}.{line_of_error(error)}") from None
        if claim.check.kind in ("better", "ordering") and not self.content.metrics.get(claim.check.metric):
            metric = claim.check.metric
            raise UserError(
                f"{self.at(['claims', name])}: claims.{name}: is {metric} better higher or lower? say metrics: {{{metric}: higher}}"
            )
        return claim

    def at(self, where: Iterable[str]) -> str:
        """`claims.yaml:7`, the line of the last of these keys that the file has."""
        node, line = self.root, None
        for key in where:
            for k, value in node.value if isinstance(node, yaml.MappingNode) else ():
                if k.value == key:
                    node, line = value, k.start_mark.line + 1
                    break
        return f"{self.name}:{line}" if line else self.name

    def grouped_by(self, name: str) -> list[str]:
        """The columns by which a claim's groups select runs."""
        check, each = self.entries[name]["check"], self.entries[name].get("each") or {}
        groups = [check[k] for k in GROUPS if isinstance(check.get(k), Mapping)]
        groups += [group for tier in check.get("tiers") or () for group in tier]
        return list(dict.fromkeys(str(key) for group in [*groups, each] for key in group))

    def columns_of(self, name: str) -> list[str]:
        """Those, and the columns along which a claim compares runs."""
        check = self.entries[name]["check"]
        along = [check[k] for k in ("over", "tune") if check.get(k)]
        if check.get("targets") and "over" not in check:
            along.append("dataset")
        return list(dict.fromkeys([*self.grouped_by(name), *map(str, along)]))


def _translated(check: Mapping[str, Any]) -> dict[str, Any]:
    """A check in which columns are called by path_of."""
    found = dict(check)
    for key in GROUPS:
        if isinstance(found.get(key), Mapping):
            found[key] = _group(found[key])
    if isinstance(found.get("tiers"), list):
        found["tiers"] = [
            [_group(g) if isinstance(g, Mapping) else g for g in tier] if isinstance(tier, list) else tier
            for tier in found["tiers"]
        ]
    over = found.get("over", "dataset")
    if isinstance(over, str) and over not in STEPS:
        if isinstance(found.get("targets"), Mapping):
            found["targets"] = {_value(over, key): number for key, number in found["targets"].items()}
        if "over" in found:
            found["over"] = path_of(over)
    if isinstance(found.get("tune"), str):
        found["tune"] = path_of(found["tune"])
    return found


def _group(group: Mapping[Any, Any]) -> dict[str, Any]:
    return {path_of(str(key)): _value(str(key), value) for key, value in group.items()}


def _value(column: str, value: Any) -> Any:
    """A value as the runs have it: YAML takes 1e-3 for a text, a table may hold numbers for names."""
    if column in NAMES:
        return str(value) if isinstance(value, int | float | str) else value
    return cell(value) if isinstance(value, str) else value


def load_sheet(path: Path) -> Sheet:
    """Read and validate a file of claims.

    Raises:
        UserError: the file, the line, the field and what is wrong with it.
    """
    content = yaml_files.load(path, path.name)
    root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    return sheet_of(content, path.name, root)


def sheet_of(content: Any, name: str = "checks", root: yaml.Node | None = None) -> Sheet:
    """As of a file, from its content."""
    sheet = Sheet(name, None, root)  # type: ignore[arg-type]
    try:
        found = _File.model_validate(content if content is not None else {})
    except ValidationError as error:
        where = [str(part) for part in error.errors()[0]["loc"]]
        raise UserError(f"{sheet.at(where)}: {line_of_error(error)}") from None
    if not found.claims:
        raise UserError(f"{name}: claims: names nothing; expected at least one")
    return Sheet(name, found, root)
