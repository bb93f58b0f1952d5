"""Price relatives of a user's own CSV of prices or relatives: read with the right value, or refused in one line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import torch

from bench.errors import UserError, in_one_line
from bench.tasks.portfolio.market import Market
from bench.types import PositiveInt
from datasets.markets.csv_checks import check_index, check_names, check_text, check_values, counts_rows
from datasets.markets.csv_dates import (
    YEARS,
    check_gaps,
    is_date_name,
    looks_like_a_date,
    periods_in_a_year,
    read_dates,
)
from datasets.markets.csv_numbers import MISSING, looks_like_a_number, read_numbers, shown
from datasets.markets.csv_text import INDEX_NAMES, UNNAMED, Table, read_table

FEWEST = 3  # rows


@dataclass(frozen=True)
class Dates:
    """The dates as they stand in the file, and parsed."""

    text: list[str]
    parsed: list[datetime]


def from_csv(
    root: str,
    *,
    path: str | None,
    kind: Literal["prices", "relatives"] = "prices",
    date_format: str | None = None,
    decimal: Literal["point", "comma"] | None = None,
    missing: Literal["refuse", "common"] = "refuse",
    check: bool = True,
    periods_per_year: PositiveInt | None = None,
) -> Market:
    """A CSV with a header row, a column an asset, a row a period, oldest first; a column of dates and one of row numbers are recognised.

    Args:
        root: not used; `path` is relative to the current directory.
        kind: prices (T + 1 rows give T periods), or relatives p_t / p_{t-1} (T rows).
        date_format: of strptime, where the dates do not tell; None: found.
        decimal: the decimal mark, where the numbers do not tell; None: found.
        missing: refuse, or common: the rows from the last asset's start to the first one's end.
        check: whether what looks like no prices (an index, open and high, relatives) is refused.
        periods_per_year: None: from the dates.

    Raises:
        UserError: one line that names the file, and row (as in a spreadsheet) and column, or says what to type.
    """
    if path is None:
        raise UserError("dataset.path = None: name your CSV file of prices, dataset.path=my.csv")
    table = read_table(path)
    _check_size(table, len(table.names))
    table, index = _without_index(table)
    table, dates = _without_dates(table, date_format)
    _check_size(table, len(table.names))
    check_names(table, check)
    if check:
        check_index(table, dates is not None)
    absent = np.array([[cell.lower() in MISSING for cell in column] for column in table.columns]).T
    values = read_numbers(table, absent, decimal)
    first, end = _span(table, absent, dates, missing)
    table, values = table.cut(first, end), values[first:end]
    dates = dates and Dates(dates.text[first:end], dates.parsed[first:end])
    if check:
        check_values(table, values, kind)
        if dates:
            check_gaps(table, dates.text, dates.parsed)
    relatives = values[1:] / values[:-1] if kind == "prices" else values
    about = _about(table, len(relatives), dates, end - first < len(absent), index)
    periods_per_year = periods_per_year or (periods_in_a_year(dates.parsed) if dates else None)
    text = tuple(dates.text[-len(relatives) :]) if dates else None
    return Market(torch.from_numpy(relatives), tuple(table.names), text, periods_per_year, about)


def _about(table: Table, periods: int, dates: Dates | None, cut: bool, index: str | None) -> str:
    """`my.csv: 3 assets, 11 periods, 2024-01-02 to 2024-01-18`, and what was left out."""
    found = f"{table.path}: {len(table.names)} asset{'s' * (len(table.names) > 1)}, {periods} periods"
    found += f", {dates.text[0]} to {dates.text[-1]}" if dates else ""
    found += f" (rows {table.lines[0]} to {table.lines[-1]}, which all assets have)" if cut else ""
    return found + (f"; column 1, {index}, is left out" if index else "")


def _check_size(table: Table, columns: int) -> None:
    if columns < 1 or len(table.lines) < FEWEST:
        raise UserError(
            f"{table.path}: {columns} assets and {len(table.lines)} rows below the header, row {table.header}; "
            "at least one and three, separated by commas"
        )


def _without_index(table: Table) -> tuple[Table, str | None]:
    """The table without a first column of row numbers, and these in words."""
    name, cells = table.names[0], table.columns[0]
    unnamed = name.lower() in INDEX_NAMES or UNNAMED.fullmatch(name) is not None
    step = counts_rows(cells) if unnamed or is_date_name(name) else 0
    if not step or (int(float(cells[0])) in YEARS and int(float(cells[-1])) in YEARS) or len(cells[0]) >= 5:
        return table, None
    if step < 0:
        raise UserError(
            f"{table.path}: column 1 counts down, {cells[0]} in row {table.lines[0]}; if the newest row comes first, sort the file, "
            "else remove the column"
        )
    return table.without(0), f"the row numbers {cells[0]} to {cells[-1]}"


def _without_dates(table: Table, date_format: str | None) -> tuple[Table, Dates | None]:
    """The table without its column of dates, and these. A column is one by its name or by its cells, and then by all of them."""
    named = [k for k, name in enumerate(table.names) if is_date_name(name) and (k == 0 or not _all_numbers(table, k))]
    found = named or [k for k, cells in enumerate(table.columns) if _all_dates(cells)]
    if not found and (date_format or table.names[0] == "" or UNNAMED.fullmatch(table.names[0])):
        found = [0]
    if not found:
        check_text(table)
        return table, None
    if len(found) > 1:
        names = " and ".join(shown(table.names[k]) for k in found[:2])
        raise UserError(f"{table.path}: row {table.header}: columns {names} are both of dates or times; keep one")
    (column,) = found
    check_text(table.without(column))
    parsed = read_dates(table, column, date_format)
    if parsed is None:
        row = next((k for k, cell in enumerate(table.columns[column]) if not looks_like_a_date(cell)), 0)
        cell = table.columns[column][row]
        if date_format is None and looks_like_a_number(cell) and not table.names[column]:
            raise UserError(
                f"{table.where(row, column)}: {shown(cell)}: a column without a name is no asset; name it or remove it"
            )
        raise UserError(
            f"{table.where(row, column)}: {shown(cell)} is no date, or of another notation than the column; correct it, "
            "remove the row (a total?), or type dataset.date_format='%d.%m.%Y' in strptime's letters"
        )
    return table.without(column), Dates([in_one_line(cell) for cell in table.columns[column]], parsed)


def _all_numbers(table: Table, column: int) -> bool:
    """A column of numbers that is no asset only if `date` is in its name."""
    return "date" not in table.names[column].lower() and all(map(looks_like_a_number, table.columns[column]))


def _all_dates(cells: list[str]) -> bool:
    return all(looks_like_a_date(cell) for cell in cells)


def _span(table: Table, absent: np.ndarray, dates: Dates | None, missing: str) -> tuple[int, int]:
    """First row and end of the rows that all assets have; all rows, unless missing=common.

    Raises:
        UserError: an asset starts late, stops early or has a hole; or there is no common span.
    """
    rows = len(absent)
    starts, ends = (~absent).argmax(0), rows - (~absent)[::-1].argmax(0)
    for column, name in enumerate(table.names):
        gaps = np.flatnonzero(absent[:, column])
        hole = [row for row in gaps if starts[column] <= row < ends[column]]
        if len(gaps) == rows:
            raise UserError(f"{table.where(0, column)}: missing value, as in all rows; remove the column")
        if hole:
            raise UserError(f"{table.where(hole[0], column)}: missing value; fill it or remove the row or the column")
        if len(gaps) and missing == "refuse":
            late = bool(absent[0, column])
            row = starts[column] if late else ends[column] - 1
            when = f"row {table.lines[row]}{f' ({dates.text[row]})' if dates else ''}"
            raise UserError(
                f"{table.where(gaps[0], column)}: missing value; asset {shown(name)} {'starts' if late else 'ends'} only at {when}: "
                "fill it, remove the column, or type dataset.missing=common for the rows that all assets have"
            )
    first, end = int(starts.max()), int(ends.min())
    if end - first < FEWEST:
        late, early = shown(table.names[int(starts.argmax())]), shown(table.names[int(ends.argmin())])
        raise UserError(
            f"{table.path}: {late} starts at row {table.lines[first]}, {early} ends at row {table.lines[end - 1]}; "
            "fewer than three rows in common: remove a column"
        )
    return first, end
