"""Tables as other tools write them, brought to a row a run with method and seed: W&B's exports and benchopt's results."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bench.errors import UserError
from bench.judge.table_rows import Row, Table, cell

CHART = re.compile(r"(?P<run>.+) - (?P<metric>.+)")  # a run's column in a chart's export
BANDS = ("__MIN", "__MAX")
NAME = "{method}-s{seed}"
TAIL = re.compile(r"(?P<method>.*?)[\s_\-/.,=]*(?:seed|s)?[\s_\-=]*(?P<seed>\d+)")  # adam-s3, adam_seed3, adam 3
BENCHOPT = {"solver_name": "method", "dataset_name": "dataset", "data_name": "dataset", "objective_name": "task"}
BENCHOPT |= {"idx_rep": "seed"}
PARAMETERS = re.compile(r"p_(solver|dataset|obj)_(?P<name>.+)")


def recognised(table: Table, names: str | None = None) -> Table:
    """The table as a row a run (or a row of its curve), with a sentence for what was made of its columns.

    Args:
        names: how a run's name in a chart's export tells its columns, as "{method}-s{seed}".

    Raises:
        UserError: a run's name does not tell its seed.
    """
    known = set(table.columns)
    if {"summary", "config", "name"} <= known:
        return _api(table)
    if {"Name", "State"} <= known:
        return _runs(table)
    if "seed" not in known and any(CHART.fullmatch(c) for c in table.columns[1:]):
        return _chart(table, names)
    if {"objective_name", "solver_name", "idx_rep"} <= known:
        return _benchopt(table)
    return table


def _runs(table: Table) -> Table:
    """The app's table of runs: Name, State, columns of its own, then config (nested keys by dots) and summary."""
    return replace(
        table.renamed({"State": "status"}),
        said=("W&B table of runs: State is the status, config and summary columns keep their names",),
    )


def _api(table: Table) -> Table:
    """What docs.wandb.ai shows for a whole project: a column of summaries, one of configs, one of names."""
    rows = []
    for row, place in zip(table.rows, table.places):
        flat = _flat(_mapping(row["config"], place)) | _flat(_mapping(row["summary"], place))
        rows.append({"name": row["name"]} | {k: cell(v) for k, v in flat.items() if not k.startswith("_")})
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return replace(
        table,
        columns=columns,
        rows=tuple(rows),
        said=("W&B API export: config and summary are columns, nested keys by dots",),
    )


def _mapping(text: Any, place: str) -> Mapping[str, Any]:
    """A dictionary as pandas prints it."""
    try:
        found = ast.literal_eval(re.sub(r"(?<=: )(nan|-?inf)(?=[,}])", r"'\1'", str(text)))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{place}: config or summary is no dictionary; expected W&B's export of runs")
    return found


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _chart(table: Table, names: str | None) -> Table:
    """A chart's export: a column of steps, then for each run its metric and the ends of the band that was drawn."""
    axis = table.columns[0]
    drawn = {c: m for c in table.columns[1:] if not c.endswith(BANDS) and (m := CHART.fullmatch(c))}
    told = _reader(names)
    found: dict[tuple[str, Any], Row] = {}
    places: dict[tuple[str, Any], str] = {}
    for column, match in drawn.items():
        own = told(match["run"], f"{table.name}: column '{column}'")
        for row, place in zip(table.rows, table.places):
            if row[column] is not None:
                key = (match["run"], row[axis])
                found.setdefault(key, {"run": match["run"], **own, "step": row[axis]})[match["metric"]] = row[column]
                places.setdefault(key, place)
    columns = tuple(dict.fromkeys(name for row in found.values() for name in row))
    said = f"W&B chart: a curve a run over {axis}, here step; run names are read as {names or NAME + ' or the like'}"
    return Table(table.name, columns, tuple(found.values()), tuple(places.values()), (said,))


def _reader(names: str | None) -> Callable[[str, str], Row]:
    """What reads a run's name."""
    parts = re.split(r"\{(\w+)\}", names or "")
    pattern = "".join(f"(?P<{p}>.+?)" if k % 2 else re.escape(p) for k, p in enumerate(parts))

    def read(name: str, where: str) -> Row:
        match = re.fullmatch(pattern, name) if names else TAIL.fullmatch(name)
        if match is None or not str(match.groupdict().get("seed", "")).isdecimal():
            raise UserError(f"{where}: '{name}' does not end in a seed; say how names are made, as names: \"{NAME}\"")
        return {key: int(text) if key == "seed" else cell(text) for key, text in match.groupdict().items()}

    return read


def _benchopt(table: Table) -> Table:
    """A row a solver, data set, repetition and stop_val, with columns p_solver_x of parameters and objective_x of metrics."""
    names = {old: new for old, new in BENCHOPT.items() if old in table.columns}
    taken = {*table.columns, *names.values(), "step"}
    for column in table.columns:
        match = PARAMETERS.fullmatch(column)
        if match and match["name"] not in taken:
            names[column] = match["name"]
            taken.add(match["name"])
    said = (
        "benchopt: "
        + ", ".join(f"{old} is {new}" for old, new in names.items())
        + "; stop_val is step, from loose to tight"
    )
    found = table.renamed(names)
    parameters = {new for old, new in names.items() if PARAMETERS.fullmatch(old)}
    rows = []
    for k, row in enumerate(found.rows):
        own = {name: None if name in parameters and v != v else v for name, v in row.items()}
        stop = found.number(k, "stop_val") if "stop_val" in row else 0.0
        tightens = str(row.get("sampling_strategy", "")).lower() == "tolerance"  # from large to small
        rows.append(own | {"step": -stop if tightens and stop is not None else stop})
    return replace(found, columns=(*found.columns, "step"), rows=tuple(rows), said=(said,))
