"""Price relatives: the six data sets of the OLPS toolbox (Li, Sahoo & Hoi, 2016), and a user's own CSV.

The toolbox's sets come from one of two sources, with the same numbers: CSV files of cumulative products inside the wheel of
universal-portfolios (its code is not imported), or the toolbox's own .mat files under data_root/olps. All periods count, the first too.
"""

from __future__ import annotations

import csv
import math
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bench.errors import UserError
from bench.tasks.portfolio.market import Market

WHEEL = "universal-portfolios==0.4.17"
SHAPES = {  # periods, assets: OLPS manual, Table 2
    "nyse_o": (5651, 36),
    "nyse_n": (6431, 23),
    "tse": (1259, 88),
    "sp500": (1276, 25),
    "msci": (1043, 24),
    "djia": (507, 30),
}
MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "#n/a"}
DATE_NAMES = {"date", "dates", "time", "timestamp", "datetime", "day", "period"}


def olps(
    root: str,
    *,
    name: Literal["nyse_o", "nyse_n", "tse", "sp500", "msci", "djia"],
    source: Literal["auto", "csv", "mat"] = "auto",
) -> Market:
    """One of the toolbox's sets. Its assets are anonymous, so they are named by their number; there are no dates.

    Args:
        root: data_root, for the .mat files.
        source: csv, mat, or auto: the CSV where it is installed, else the .mat file.

    Raises:
        UserError: neither source is there (what to install), or the file is not the one expected.
    """
    table, mat = _wheel_file(name), Path(root) / "olps" / f"{name.replace('_', '-')}.mat"
    if source != "mat" and table is not None:
        found, path = _relatives(_read_cumulative(table)), table
    elif source != "csv" and mat.is_file():
        found, path = _read_mat(mat), mat
    else:
        wheel = f"run `pip install --no-deps {WHEEL}` (make setup does)"
        file = f"put the OLPS toolbox's {mat.name} into {mat.parent}"
        raise UserError(
            f"data set '{name}' not found: {'; or '.join({'auto': (wheel, file), 'csv': (wheel,), 'mat': (file,)}[source])}"
        )
    if found.shape != SHAPES[name] or not (np.isfinite(found) & (found > 0)).all():
        raise UserError(
            f"{path} is damaged: expected {SHAPES[name]} positive numbers, found {found.shape}; fetch it again"
        )
    return Market(torch.from_numpy(found), tuple(map(str, range(1, found.shape[1] + 1))))


def _wheel_file(name: str) -> Path | None:
    """The CSV inside the installed wheel, found without importing its code."""
    try:
        path = Path(str(distribution("universal-portfolios").locate_file(f"universal/data/{name}.csv")))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _read_cumulative(path: Path) -> np.ndarray:
    """Cumulative products [T, m], which start with the first period's relatives; the header's odd symbols are skipped."""
    try:
        return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    except ValueError:
        raise UserError(f"{path} is damaged: not a table of numbers; fetch it again") from None


def _relatives(cumulative: np.ndarray) -> np.ndarray:
    found = cumulative.copy()
    found[1:] /= cumulative[:-1]
    return found


def _read_mat(path: Path) -> np.ndarray:
    """The variable `data` [T, m] of a .mat file; version 7.3 is HDF5, stored transposed."""
    with open(path, "rb") as file:
        hdf5 = b"\x89HDF\r\n" in file.read(1024)
    try:
        return _read_hdf5(path) if hdf5 else _read_mat5(path)
    except UserError:
        raise
    except Exception as error:  # the readers raise many kinds on a damaged file
        raise UserError(f"{path} is damaged ({error.__class__.__name__}); fetch it again") from None


def _read_mat5(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    return np.ascontiguousarray(loadmat(path, variable_names=["data"])["data"], dtype=np.float64)


def _read_hdf5(path: Path) -> np.ndarray:
    try:
        import h5py
    except ImportError:
        raise UserError(
            f"{path} is in MATLAB's version 7.3, which needs h5py: run `pip install h5py`, or `pip install --no-deps {WHEEL}` and dataset.source=csv"
        ) from None
    with h5py.File(path) as file:
        return np.ascontiguousarray(file["data"][()].T, dtype=np.float64)


# ---- a user's own file


def from_csv(
    root: str, *, path: str | None, kind: Literal["prices", "relatives"] = "prices", content: str | None = None
) -> Market:
    """A CSV with a header row, a column an asset, a row a period, oldest first; a first column of dates is recognised.

    Args:
        root: not used; `path` is relative to the current directory.
        kind: prices (T + 1 rows give T periods), or relatives p_t / p_{t-1} (T rows).
        content: digest of the file, part of a result's key: an edited file is other data.

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
