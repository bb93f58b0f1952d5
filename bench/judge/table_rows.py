"""A table of results as plain rows: read from a file or a data frame, each cell a number, a truth value, a text or nothing."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError, allowed_list, nearest
from bench.judge.words import is_number, short

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = ",;\t"
WORDS = {"true": True, "false": False, "nan": math.nan, "inf": math.inf, "infinity": math.inf}
WORDS |= {"-inf": -math.inf, "-infinity": -math.inf}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows of named cells; None: an empty one. `places` say where each row stands, `said` what was made of the columns."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    places: tuple[str, ...]
    said: tuple[str, ...] = ()

    def renamed(self, names: Mapping[str, str]) -> Table:
        """With columns called as {old: new} says."""
        columns = tuple(names.get(c, c) for c in self.columns)
        rows = tuple({names.get(k, k): v for k, v in row.items()} for row in self.rows)
        return replace(self, columns=columns, rows=rows)

    def needs(self, column: str, where: str) -> str:
        """The column, where there is one.

        Raises:
            UserError: there is none; the nearest spelling.
        """
        if column not in self.columns:
            known = allowed_list(self.columns, column, "head -1")
            raise UserError(
                f"{where}: no column '{column}' in {self.name}; columns: {known}{nearest(column, self.columns)}"
            )
        return column

    def number(self, k: int, column: str) -> float | None:
        """The number of a cell of row k; None where it is empty.

        Raises:
            UserError: it is a text.
        """
        value = self.rows[k].get(column)
        if value is None:
            return None
        if not isinstance(value, float) and not is_number(value):
            hint = "; write 0.95 for 95%" if str(value).strip().endswith("%") else "; nan where the run diverged"
            raise UserError(f"{self.places[k]}: {column} is {short(value)}, no number{hint}")
        return float(value)


def cell(value: Any) -> Any:
    """A cell's text, or a value of a data frame, as what it says."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        value = value.item() if hasattr(value, "item") else value
        return value if isinstance(value, bool | int | float) else None if str(value) in ("<NA>", "NaT") else str(value)
    text = value.strip()
    if not text:
        return None
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if not NUMBER.fullmatch(text):
        return text
    return int(text) if re.fullmatch(r"[-+]?\d{1,15}", text) else float(text)


def read_table(path: Path) -> Table:
    """A CSV file (commas, semicolons or tabs), or a parquet file.

    Raises:
        UserError: it cannot be read, has no rows, a row of another length, or a column twice.
    """
    if path.suffix in (".parquet", ".pq"):
        return table_of(_parquet(path), path.name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=head.count))
            lines = [(reader.line_num, line) for line in reader if any(text.strip() for text in line)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is no table of text ({error}); expected a CSV file in UTF-8") from None
    if not lines:
        raise UserError(f"{path}: is empty; expected a line of column names, and a line a run")
    columns = [text.strip() for text in lines[0][1]]
    for number, line in lines[1:]:
        if len(line) != len(columns):
            raise UserError(f"{path.name}:{number}: {len(line)} cells; expected {len(columns)}, one a column")
    rows = [dict(zip(columns, map(cell, line))) for _, line in lines[1:]]
    return _checked(path.name, columns, rows, [f"{path.name}:{number}" for number, _ in lines[1:]])


def _parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise UserError(
            f"{path}: reading parquet needs pyarrow; `pip install pyarrow`, or save the table as CSV"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def table_of(frame: pd.DataFrame, name: str = "the table") -> Table:
    """Of a data frame, in which NaN is a number that is none: a run that diverged. None and NA are empty cells.

    Raises:
        UserError: as of a file.
    """
    columns = [str(c) for c in frame.columns]
    cells = [[cell(v) for v in frame.iloc[:, k].tolist()] for k in range(len(columns))]
    rows = [dict(zip(columns, values)) for values in zip(*cells)]
    return _checked(name, columns, rows, [f"{name}, row {label}" for label in frame.index])


def _checked(name: str, columns: Iterable[str], rows: list[Row], places: list[str]) -> Table:
    columns = list(columns)
    if repeated := [c for k, c in enumerate(columns) if c in columns[:k]]:
        raise UserError(f"{name}: two columns are called '{repeated[0]}'; rename one")
    if not rows:
        raise UserError(f"{name}: has column names and no row; expected a row a run")
    return Table(name, tuple(columns), tuple(rows), tuple(places))
