"""Price relatives of the six data sets of the OLPS toolbox (Li, Sahoo & Hoi, 2016).

They come from one of two sources, with the same numbers: CSV files of cumulative products inside the wheel of universal-portfolios (its code is
not imported), or the toolbox's own .mat files under data_root/olps. All periods count, the first too.
"""

from __future__ import annotations

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
