"""Price relatives of a user's own CSV: what is recognised, and what is said of a bad file."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import result_of, seed_folders

from bench.errors import UserError
from datasets.markets.own_csv import from_csv


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
        ("A B\n1 2\n2 3\n3 4\n", "separate cells by commas"),
        ("Date,A\n2024-01-02,10\n", "1 rows below the header, row 1; at least one and three"),
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
