"""The text of a price file as a table: encoding, separator, comments above the header, header rows, one width."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import Path

from bench.errors import UserError
from datasets.markets.csv_dates import DATE_NAMES, looks_like_a_date
from datasets.markets.csv_numbers import MISSING, looks_like_a_number, shown

SEPARATORS = "\t;|,"  # the first that gives all rows one width
SNIFFED = 200  # rows that the separator is found from
TALLEST = 5  # header rows
BINARY = {b"PK\x03\x04": "an Excel or zip file", b"\xd0\xcf\x11\xe0": "an old Excel file", b"\x1f\x8b": "a gzip file"}
INDEX_NAMES = {
    "",
    "index",
    "row",
    "row.names",
    "rownames",
    "rownum",
    "rank",
    "no",
    "no.",
    "nr",
    "nr.",
    "#",
    "id",
    "obs",
}
NO_PRICES = {"volume", "dividends", "stock splits"}
UNNAMED = re.compile(r"Unnamed: \d+(_level_\d+)?")  # what pandas calls a column without a name
Rows = list[tuple[int, list[str]]]  # row number in the file, cells


@dataclass(frozen=True)
class Table:
    """Columns of cells by name; `lines` are the row numbers in the file, `header` that of the names."""

    path: str
    separator: str
    header: int
    names: list[str]
    lines: list[int]
    columns: list[list[str]]

    def where(self, row: int, column: int) -> str:
        """`my.csv: row 7, column 'B'`"""
        return f"{self.path}: row {self.lines[row]}, column {shown(self.names[column])}"

    def without(self, column: int) -> Table:
        """All other columns."""
        rest = [k for k in range(len(self.names)) if k != column]
        return replace(self, names=[self.names[k] for k in rest], columns=[self.columns[k] for k in rest])

    def cut(self, first: int, end: int) -> Table:
        """Rows first to end - 1."""
        return replace(self, lines=self.lines[first:end], columns=[cells[first:end] for cells in self.columns])


def read_table(path: str) -> Table:
    """The table of a file.

    Raises:
        UserError: the file is absent, no text, or rows and names do not fit; one line that names the row.
    """
    text = _decoded(path)
    if said := re.match(r'"?sep=([;,|\t])"?(?=[\r\n])', text):  # Excel's own line; what is left of it is blank
        text = text[said.end() :]
    separator = said[1] if said else _separator(text)
    try:
        rows = list(dropwhile(_is_preamble, _rows(text, separator)))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error}); look for a quote that is not closed") from None
    if not rows:
        raise UserError(f"{path}: the file is empty; a row of names and a row a period are expected")
    rows = _without_blank_lines(path, rows)
    rows = _of_one_width(path, rows, separator)
    header, names, body = _named(path, rows)
    columns = [list(column) for column in zip(*(cells for _, cells in body))] or [[] for _ in names]
    table = Table(path, separator, header, names, [line for line, _ in body], columns)
    while len(table.names) > 1 and not table.names[-1] and not any(table.columns[-1]):
        table = table.without(len(table.names) - 1)  # a separator at the end of each row
    return table


def _is_preamble(row: tuple[int, list[str]]) -> bool:
    """A blank line, or a comment; a `#` alone may name a column."""
    cells = row[1]
    return cells in ([], [""]) or (cells[0].startswith("#") and cells[0] != "#")


def _decoded(path: str) -> str:
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise UserError(f"dataset.path = '{path}': not a file; name a CSV file, dataset.path=my.csv")
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, ValueError) as error:
        raise UserError(f"dataset.path = '{path}': {getattr(error, 'strerror', None) or error}") from None
    for start, kind in BINARY.items():
        if content.startswith(start):
            raise UserError(f"{path}: {kind}; save it as CSV in UTF-8 and name that file, dataset.path=my.csv")
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error}); save it as CSV in UTF-8") from None


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of stripped cells; a line without any character has none."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator != "\t", strict=True
    )
    for line, cells in enumerate(reader, 1):
        yield line, [cell.strip() for cell in cells]


def _separator(text: str) -> str:
    """The separator that gives the first rows one width above 1; else the most frequent one of the first row."""
    first = next((line for line in re.split("[\r\n]+", text) if line.strip() and not line.startswith("#")), "")
    for separator in SEPARATORS:
        widths = set()
        try:
            for line, cells in _rows(text, separator):
                if cells not in ([], [""]) and not cells[0].startswith("#"):
                    widths.add(len(cells))
                if line > SNIFFED:
                    break
        except csv.Error:
            continue
        if len(widths) == 1 and widths != {1}:
            return separator
    return max(reversed(SEPARATORS), key=first.count)


def _without_blank_lines(path: str, rows: Rows) -> Rows:
    """Without blank lines; but between the rows of one column a blank line is a missing value."""
    width = max(len(cells) for _, cells in rows)
    last = max(line for line, cells in rows if cells)
    for line, cells in rows:
        if not any(cells) and (len(cells) > 1 or width == 1) and line <= last:
            raise UserError(f"{path}: row {line} is empty; fill it or remove it")
    return [(line, cells) for line, cells in rows if any(cells)]


def _of_one_width(path: str, rows: Rows, separator: str) -> Rows:
    line, width = rows[0][0], len(rows[0][1])
    name = {"\t": "tabs"}.get(separator, f"'{separator}'")
    for other, cells in rows:
        if len(cells) != width:
            raise UserError(
                f"{path}: row {other} has {len(cells)} cells, the header {width} (row {line}, separated by {name}); "
                "give all rows the same cells, numbers with a comma in quotes, and remove titles and footers"
            )
        if width == 1 and re.search(r"\S\s+[\d.-]", cells[0]) and other > line:
            raise UserError(
                f"{path}: row {other}, {shown(cells[0])}, is one cell; separate cells by commas, not by spaces"
            )
    return rows


def _named(path: str, rows: Rows) -> tuple[int, list[str], Rows]:
    """The row of the column names, these, and the rows below."""
    first, names = rows[0]
    _refuse_data_as_names(path, rows)
    height = next((k for k, (_, cells) in enumerate(rows[1 : TALLEST + 1], 1) if _is_data(cells)), 1)
    if height == 1:
        return first, ["" if UNNAMED.fullmatch(name) and k else name for k, name in enumerate(names)], rows[1:]
    levels = [(line, [_level(cell) for cell in cells]) for line, cells in rows[:height]]
    unique = [k for k, (_, cells) in enumerate(levels) if all(cells[1:]) and len(set(cells[1:])) == len(cells) - 1]
    others = [set(cells[1:]) for k, (_, cells) in enumerate(levels) if k not in unique[:1]]
    if len(unique) != 1 or len(names) < 2 or any(len(values) > 1 for values in others):
        raise UserError(
            f"{path}: rows {first} to {rows[height - 1][0]} are all header rows, as of open, high, low, close; "
            "keep the columns of one kind of price and one row that names the assets, as Date,AAA,BBB"
        )
    if field := next((name for name in set.union(*others) if name.lower() in NO_PRICES), None):
        raise UserError(f"{path}: the header rows name columns of {shown(field)}; keep those of one kind of price")
    line, cells = levels[unique[0]]
    return line, [levels[height - 1][1][0] or cells[0], *cells[1:]], rows[height:]


def _level(cell: str) -> str:
    return "" if UNNAMED.fullmatch(cell) else cell


def _is_data(cells: list[str]) -> bool:
    """A row of numbers and missing values, perhaps after a date or a number of the row."""
    if any(looks_like_a_date(cell) for cell in cells[:2]):
        return True
    numbers = sum(looks_like_a_number(cell) for cell in cells)
    texts = sum(not looks_like_a_number(cell) and cell.lower() not in MISSING for cell in cells)
    return numbers > texts or (numbers == texts == 0 and any(cells))


def _refuse_data_as_names(path: str, rows: Rows) -> None:
    """Names that are dates or prices: there is no header, or the table lies on its side. Tickers may be whole numbers."""
    line, names = rows[0]
    cure = "the first row names the columns: insert one, as Date,AAA,BBB"
    if sum(looks_like_a_date(name) for name in names[1:]) > 1:
        raise UserError(
            f"{path}: row {line} holds dates; write a row a period and a column an asset (transpose the table)"
        )
    if looks_like_a_date(names[0]):
        raise UserError(f"{path}: row {line} begins with the date {shown(names[0])}; {cure}")
    labelled = names[0].lower() in DATE_NAMES | INDEX_NAMES or bool(UNNAMED.fullmatch(names[0]))
    values = names[1:] if labelled else names
    if not values or not all(looks_like_a_number(name) for name in values):
        return
    below = rows[1][1] if len(rows) > 1 else []
    counting = values in ([str(k) for k in range(len(values))], [str(k + 1) for k in range(len(values))])
    tickers = all(re.fullmatch("[0-9]+" if labelled or counting else "[0-9]{4,}", name) for name in values)
    if not tickers or (not labelled and all(_near(*pair) for pair in zip(values, below))):
        raise UserError(f"{path}: row {line} is numbers; {cure}")


def _near(name: str, cell: str) -> bool:
    """A whole number as large as a cell, by a factor of 2."""
    try:
        return 0.5 <= float(name) / float(cell) <= 2
    except (ValueError, ZeroDivisionError):
        return False
