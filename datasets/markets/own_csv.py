"""Price relatives of a user's own CSV of prices or relatives."""

from __future__ import annotations

import csv
import math
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bench.errors import UserError
from bench.tasks.portfolio.market import Market

MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "#n/a"}
DATE_NAMES = {"date", "dates", "time", "timestamp", "datetime", "day", "period"}


def from_csv(root: str, *, path: str | None, kind: Literal["prices", "relatives"] = "prices") -> Market:
    """A CSV with a header row, a column an asset, a row a period, oldest first; a first column of dates is recognised.

    Args:
        root: not used; `path` is relative to the current directory.
        kind: prices (T + 1 rows give T periods), or relatives p_t / p_{t-1} (T rows).

    Raises:
        UserError: one line that names the file and, for a bad cell, its row (the header is row 1) and column.
    """
    if path is None:
        raise UserError("dataset.path = None: name your CSV file of prices, dataset.path=my.csv")
    names, rows = _read_rows(Path(path))
    dates = _dates(path, names, rows)
    first = 0 if dates is None else 1
    if len(names) - first < 1 or len(rows) < 3:
        raise UserError(
            f"{path}: {len(names) - first} assets and {len(rows)} rows; at least one and three, separated by commas"
        )
    values = np.array([[_cell(path, names, row, line, k) for k in range(first, len(names))] for line, row in rows])
    if kind == "prices":
        values, dates = values[1:] / values[:-1], None if dates is None else dates[1:]
    return Market(torch.from_numpy(values), tuple(names[first:]), dates)


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names, and (row number, cells) of each row that is not blank."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = [(line, [cell.strip() for cell in row]) for line, row in enumerate(csv.reader(file), 1)]
    except OSError as error:
        raise UserError(f"dataset.path = '{path}': {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    table = [(line, row) for line, row in table if any(row)]
    if not table:
        raise UserError(f"{path}: the file is empty")
    names, rows = table[0][1], table[1:]
    if all(_number(name) is not None for name in names) and any("." in name for name in names):
        raise UserError(f"{path}: row 1 is numbers; the first row names the columns")
    for line, row in rows:
        if len(row) != len(names):
            raise UserError(f"{path}: row {line} has {len(row)} cells, the header {len(names)}")
    return names, rows


def _dates(path: str, names: list[str], rows: list[tuple[int, list[str]]]) -> tuple[str, ...] | None:
    """The first column where it is one of dates: by its name, or because its first cell is neither a number nor missing."""
    if not rows:
        return None
    sample = rows[0][1][0]
    if names[0].lower() not in DATE_NAMES and (_number(sample) is not None or sample.lower() in MISSING):
        return None
    dates = tuple(row[0] for _, row in rows)
    try:
        parsed = [datetime.fromisoformat(date) for date in dates]
        late = next((k for k in range(1, len(parsed)) if parsed[k] <= parsed[k - 1]), None)
    except (TypeError, ValueError):  # another notation, or times with and without a zone
        late = None
    if late is not None:
        raise UserError(
            f"{path}: row {rows[late][0]}, {dates[late]}, is not after {dates[late - 1]}; oldest first, no date twice"
        )
    return dates


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _cell(path: str, names: list[str], row: list[str], line: int, column: int) -> float:
    text, where = row[column], f"{path}: row {line}, column '{names[column]}'"
    if text.lower() in MISSING:
        raise UserError(f"{where}: missing value; fill it or remove the row or the column")
    value = _number(text)
    if value is None or not math.isfinite(value) or value <= 0:
        raise UserError(f"{where}: '{text}' is not a positive number")
    return value
