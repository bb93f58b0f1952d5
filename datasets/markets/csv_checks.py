"""What prices are not: an index, one ticker's open, high and low, relatives. Each doubt is one line; dataset.check=false insists."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Literal

import numpy as np

from bench.errors import UserError
from datasets.markets.csv_dates import YEARS
from datasets.markets.csv_numbers import MISSING, shown
from datasets.markets.csv_text import INDEX_NAMES, Table

Kind = Literal["prices", "relatives"]
INSIST = "or type dataset.check=false to use it as it is"
BARS = {
    "open",
    "high",
    "low",
    "close",
    "adj close",
    "adjclose",
    "adjusted close",
    "last",
    "close last",
    "price",
    "bid",
    "ask",
    "vwap",
}
COUNTS = {
    "volume",
    "vol",
    "dividends",
    "dividend",
    "stock splits",
    "splits",
    "split",
    "turnover",
    "trades",
    "change",
    "market cap",
    "return",
    "returns",
    "ret",
    "log return",
    "weekday",
    "hour",
    "total",
    "sum",
    "risk free",
    "riskfree",
    "rf",
    "aum",
}
IDENTIFIERS = {
    "permno",
    "permco",
    "gvkey",
    "cusip",
    "isin",
    "sedol",
    "ticker",
    "symbol",
    "tic",
    "code",
    "secid",
    "id",
    "currency",
}
FIELDS = (" volume", " vol", " ret", " return", " returns")  # at the end of a name
LARGEST_STEP = 50.0  # times up or down in one period
LARGEST_SPIKE = 8.0  # and back in the next
SHORTEST = 8  # rows from which a pattern in time is judged


def check_names(table: Table, checked: bool) -> None:
    """Raises UserError where names are empty or repeated, or, if `checked`, are those of fields and identifiers."""
    header = f"{table.path}: row {table.header}"
    for column, name in enumerate(table.names):
        if not name:
            raise UserError(f"{header}, column {column + 1} of the assets has no name; name it or remove the column")
        if _alike(name) in map(_alike, table.names[:column]):
            raise UserError(f"{header}: the name {shown(name)} stands twice; rename or remove a column")
    plain = [_plain(name) for name in table.names]
    bars = [name for name, words in zip(table.names, plain) if words in BARS]
    counts = [name for name, words in zip(table.names, plain) if words in COUNTS or words.endswith(FIELDS)]
    initials = {"o", "h", "l", "c"} <= set(plain)
    if checked and (len(bars) > 1 or (bars and counts) or initials or _bars_of_an_asset(plain)):
        raise UserError(
            f"{header} names one asset's {shown(', '.join(table.names[:4]))}; keep a column an asset, the date and the closing price, "
            f"and join several assets by date, {INSIST}"
        )
    no_price = IDENTIFIERS | INDEX_NAMES - {""}
    other = next((n for n, words in zip(table.names, plain) if {words, n.lower()} & no_price or n in counts), None)
    if checked and other is not None:
        raise UserError(f"{header}: column {shown(other)} holds no prices by its name; remove it, {INSIST}")


def _alike(name: str) -> str:
    """A name as a person sees it: without case, spaces and characters that do not show."""
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isprintable() and not c.isspace())


def _plain(name: str) -> str:
    """`1. Open`, `<OPEN>` and `open` are `open`."""
    return " ".join(re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower()))


def _bars_of_an_asset(plain: list[str]) -> bool:
    """`aapl open` beside `aapl close`, in either order of the words."""
    found: dict[str, set[str]] = {}
    for words in plain:
        first, _, rest = words.partition(" ")
        before, _, last = words.rpartition(" ")
        for asset, field in ((rest, first), (before, last)):
            if asset and field in ("open", "high", "low", "close", "volume"):
                found.setdefault(asset, set()).add(field)
    return any(len(fields) > 1 for fields in found.values())


def check_text(table: Table) -> None:
    """Raises UserError where a column holds words without digits: one row an asset and date, or a column of names."""
    for column, cells in enumerate(table.columns):
        words = [cell for cell in cells if not re.search("[0-9]", cell) and cell.lower() not in MISSING]
        if 2 * len(words) > len(cells):
            raise UserError(
                f"{table.where(0, column)}: {shown(cells[0])} is no number, nor are most cells of the column; remove it, or, if a row holds "
                "one asset at one date, write a row a date and a column an asset (pandas: pivot(index, columns, values))"
            )


def counts_rows(cells: list[str]) -> int:
    """1 or -1 where cells are whole numbers that go up or down by one from row to row, else 0."""
    if len(cells) < 2 or not all(re.fullmatch(r"[0-9]{1,9}(\.0+)?", cell) for cell in cells):
        return 0
    steps = {int(float(b)) - int(float(a)) for a, b in pairwise(cells)}
    return steps.pop() if steps in ({1}, {-1}) else 0


def check_index(table: Table, dated: bool) -> None:
    """Raises UserError where a named column counts the rows, never changes or holds dates as numbers."""
    if len(table.lines) < SHORTEST - 2:
        return
    for column, cells in enumerate(table.columns):
        if not all(re.fullmatch(r"[0-9]{1,19}(\.0+)?", cell) for cell in cells):
            continue
        where, numbers = table.where(0, column), [float(cell) for cell in cells]
        if counts_rows(cells) and (min(numbers[0], numbers[-1]) in (0, 1) or int(numbers[0]) in YEARS):
            raise UserError(
                f"{where}: the column counts the rows, {cells[0]} to {cells[-1]}; an index is no asset: remove it, {INSIST}"
            )
        if all(re.fullmatch("(19|20)[0-9]{2}(0[1-9]|1[0-2])[0-3][0-9]|1[0-9]{9}|1[0-9]{12}", cell) for cell in cells):
            raise UserError(f"{where}: {cells[0]} looks like a date; name the first column Date, {INSIST}")
        if len(set(numbers)) == 1 and numbers[0] not in (1, 10, 100, 1000):
            raise UserError(f"{where}: the column is {cells[0]} in all rows, as of an identifier; remove it, {INSIST}")
        rising = all(a < b for a, b in pairwise(numbers))
        if rising and column == 0 and not dated and (counts_rows(cells) or _has_fractions(table)):
            raise UserError(
                f"{where}: the first column, {cells[0]} to {cells[-1]}, rises in each row as an index or dates do; "
                f"name it Date, remove it, {INSIST}"
            )


def _has_fractions(table: Table) -> bool:
    return len(table.columns) > 1 and all(any(re.search("[.,]", c) for c in cells) for cells in table.columns[1:])


def check_values(table: Table, values: np.ndarray, kind: Kind) -> None:
    """Raises UserError where values [rows, columns] are not of their kind, jump, repeat another column or are totals."""
    _check_last_row(table, values)
    _check_jumps(table, values, kind)
    if kind == "prices":
        _check_bars(table, values)
    if len(values) < SHORTEST:
        return
    for column in range(1, values.shape[1]):
        same = (values[:, :column] == values[:, column : column + 1]).all(0) & (np.ptp(values[:, column]) > 0)
        if same.any():
            twin = shown(table.names[int(same.argmax())])
            raise UserError(
                f"{table.path}: columns {twin} and {shown(table.names[column])} are the same; remove one, {INSIST}"
            )
    if kind == "prices" and _are_relatives(values):
        raise UserError(
            f"{table.path}: all columns, as {shown(table.names[0])}, go up and down about 1 as p_t / p_t-1 does; "
            "if these are relatives, type dataset.kind=relatives, or dataset.check=false for prices"
        )
    if kind == "relatives" and _are_prices(values):
        raise UserError(
            f"{table.path}: columns, as {shown(table.names[0])}, move away from 1 slowly as prices do; "
            "if these are prices, type dataset.kind=prices, or dataset.check=false for relatives"
        )


def _check_last_row(table: Table, values: np.ndarray) -> None:
    """Raises UserError where the last row is the sum or the mean of the rows above it."""
    above = values[:-1]
    for total, word in ((above.sum(0), "sum"), (above.mean(0), "mean")):
        if len(above) > 2 and np.allclose(values[-1], total, rtol=1e-4, atol=0) and not (above == above[0]).all():
            raise UserError(
                f"{table.path}: row {table.lines[-1]} is the {word} of the rows above it, no period; remove it, {INSIST}"
            )


def _check_bars(table: Table, values: np.ndarray) -> None:
    """Raises UserError where one column is never below and one never above the others, all within a tenth: high and low of one asset."""
    near = np.abs(np.log(values / np.median(values, 1, keepdims=True))).max(0) < 0.1
    bars = values[:, near]
    if bars.shape[1] < 4 or len(values) < SHORTEST:
        return
    high, low = (bars >= bars.max(1, keepdims=True)).all(0), (bars <= bars.min(1, keepdims=True)).all(0)
    if high.any() and low.any() and np.ptp(bars, 1).max() > 0:
        names = [name for name, close in zip(table.names, near) if close]
        raise UserError(
            f"{table.path}: {shown(names[int(high.argmax())])} is the highest and {shown(names[int(low.argmax())])} the lowest of "
            f"{len(names)} columns in every row, as high and low of one asset are; keep its close alone, {INSIST}"
        )


def _check_jumps(table: Table, values: np.ndarray, kind: Kind) -> None:
    steps = values if kind == "relatives" else values[1:] / values[:-1]
    middle = np.median(steps, 0)
    far = np.flatnonzero((middle < 0.5) | (middle > 2))
    if kind == "relatives" and len(far):
        name = shown(table.names[far[0]])
        raise UserError(
            f"{table.path}: column {name} has the median {middle[far[0]]:.6g}, relatives p_t / p_t-1 lie about 1; "
            "if these are prices, type dataset.kind=prices"
        )
    size = np.abs(np.log(steps))
    back = np.vstack([steps[1:], np.ones(steps.shape[1])])  # steps of the next period
    spike = (np.minimum(size, np.abs(np.log(back))) > np.log(LARGEST_SPIKE)) & ((steps > 1) != (back > 1))
    wild = np.argwhere((size > np.log(LARGEST_STEP)) | spike)
    if len(wild):
        row, column = wild[0]
        where = table.where(row + (kind == "prices"), column)
        raise UserError(
            f"{where}: {values[row + (kind == 'prices'), column]:g} is {steps[row, column]:g} times "
            f"{'the price before' if kind == 'prices' else 'a price'}; correct it (a total, a split, a lost digit?), {INSIST}"
        )


def _smoothness(levels: np.ndarray) -> np.ndarray:
    """Von Neumann's ratio of each varying column: about 2 for noise, near 0 for a wandering price."""
    levels = levels[:, np.ptp(levels, 0) > 0]
    return (np.diff(levels, axis=0) ** 2).mean(0) / levels.var(0)


def _are_relatives(values: np.ndarray) -> bool:
    """All columns about 1, half of them nearer than their own spread, and noise from row to row (more so if row 1 is a start at 1)."""
    logs = np.log(values)
    mean, spread = np.abs(logs.mean(0)), logs.std(0)
    ratio = _smoothness(logs)
    noise = 1.5 if (values[0] == 1).all() else 1.0
    return bool(len(ratio) and (mean < 0.1).all() and np.mean(mean <= 0.75 * spread) >= 0.5 and ratio.mean() > noise)


def _are_prices(values: np.ndarray) -> bool:
    """Columns wander: what changes from row to row is small against the whole (less so if row 1 is a start at 1)."""
    ratio = _smoothness(np.log(values))
    return bool(len(ratio) and np.median(ratio) < (1.0 if (values[0] == 1).all() else 0.6))
