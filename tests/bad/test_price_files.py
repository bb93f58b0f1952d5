"""Twelve days of three assets in the many ways in which people write them: read with the right value, or refused in one line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from bench.errors import UserError
from datasets.markets.own_csv import from_csv

WEALTH = 0.9708634876  # of even weights in each period
DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9, 10, 11, 12, 16, 17, 18)]
PRICES = np.array(
    [
        *((100.25, 49.87, 20.26), (100.46, 49.34, 20.40), (103.12, 50.28, 20.12), (100.54, 49.66, 20.14)),
        *((95.97, 49.44, 19.64), (94.58, 48.91, 19.52), (95.36, 49.94, 19.47), (98.00, 49.28, 19.60)),
        *((99.79, 49.37, 19.31), (97.96, 48.92, 19.40), (96.01, 48.71, 19.34), (97.05, 48.92, 19.48)),
    ]
)
NAMES = ["Date", "AAA", "BBB", "CCC"]
ISO = [day.isoformat() for day in DAYS]
CELLS = [[f"{price:.2f}" for price in row] for row in PRICES]
STEPS = PRICES[1:] / PRICES[:-1]


def written(rows: list[list[str]], separator: str = ",", end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    """Rows of cells as a CSV's text."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue()


def table(
    dates: list[str] | None = ISO, cells: list[list[str]] = CELLS, names: list[str] = NAMES, **how: object
) -> str:
    """The file with other dates (None: no such column), other cells or other names."""
    rows = [[day, *row] for day, row in zip(dates, cells)] if dates else cells
    return written([names if dates else names[1:], *rows], **how)


def dated(form: str | Callable[[date], str], days: list[date] = DAYS) -> str:
    """With dates in strptime's letters, or of a function."""
    return table([day.strftime(form) if isinstance(form, str) else form(day) for day in days])


def spelled(form: Callable[[str], str], **how: object) -> str:
    """With each price spelled otherwise."""
    return table(cells=[[form(cell) for cell in row] for row in CELLS], **how)


def one(cell: str, row: int = 5, column: int = 1) -> str:
    """One cell of the prices, in row 7 and column BBB unless said, is this."""
    cells = [list(line) for line in CELLS]
    cells[row][column] = cell
    return table(cells=cells)


def holes(column: int, rows: range, cell: str = "") -> str:
    """One asset has no price in these rows."""
    return table(
        cells=[[cell if k in rows and c == column else x for c, x in enumerate(r)] for k, r in enumerate(CELLS)]
    )


def with_column(name: str, values: list[object], at: int) -> str:
    rows = [NAMES, *([day, *row] for day, row in zip(ISO, CELLS))]
    return written([[*row[:at], str(v), *row[at:]] for row, v in zip(rows, [name, *values])])


def epoch(unit: int) -> Callable[[date], str]:
    return lambda day: str((day - date(1970, 1, 1)).days * 86400 * unit)


def long_format(order: str) -> str:
    rows = [[day, name, price] for day, cells in zip(ISO, CELLS) for name, price in zip(NAMES[1:], cells, strict=True)]
    rows = sorted(rows, key=lambda row: row[1]) if order == "ticker" else rows
    return written([["date", "ticker", "close"], *rows])


def bars(names: str) -> str:
    rows = [[day, *(f"{float(p[0]) * k:.2f}" for k in (1, 1.01, 0.99, 1)), "5000000"] for day, p in zip(ISO, CELLS)]
    return written([["Date", *names.split(",")], *rows])


def levels(*fields: str) -> str:
    """Three header rows, as pandas writes columns of two levels."""
    return written([["Price", *fields], ["Ticker", *NAMES[1:]], ["Date", "", "", ""]]) + table().split("\n", 1)[1]


def more(*lines: str, before: bool = False) -> str:
    text = "".join(f"{line}\n" for line in lines)
    return text + table() if before else table() + text


def euro(cell: str) -> str:
    return cell.replace(".", ",")


def thousands(cell: str, group: str, mark: str) -> str:
    return f"{float(cell) * 100 + 0.5:,.2f}".replace(",", "g").replace(".", mark).replace("g", group)


MONTHS = [date(2020 + k // 12, k % 12 + 1, 1) for k in range(12)]
UP = {"missing": "common"}
LARGE = [[f"{float(cell) * 100 + 0.5:.2f}" for cell in row] for row in CELLS]
LARGE_WEALTH = (np.array(LARGE, float)[1:] / np.array(LARGE, float)[:-1]).mean(1).prod()
RELATIVES = [[repr(float(x)) for x in row] for row in STEPS]
CUMULATED = [[f"{x:.8f}" for x in row] for row in PRICES / PRICES[0]]

READ: dict[str, tuple[str | bytes, dict[str, object]]] = {
    "plain": (table(), {}),
    "no end of line at the end": (table().rstrip(), {}),
    "windows": (table(end="\r\n"), {}),
    "old mac": (table(end="\r"), {}),
    "bom": ("\ufeff" + table(), {}),
    "utf-16": (table().encode("utf-16"), {}),
    "quoted": (table(quoting=csv.QUOTE_ALL), {}),
    "spaces": (table().replace(",", " , "), {}),
    "unbroken spaces": (spelled("{}\u00a0".format), {}),
    "blank lines": (table().replace("\n", "\n\n"), {}),
    "semicolons": (table(separator=";"), {}),
    "tabs": (table(separator="\t"), {}),
    "bars between": (table(separator="|"), {}),
    "excel's sep line": ("sep=;\r\n" + table(separator=";", end="\r\n"), {}),
    "decimal commas": (spelled(euro, separator=";"), {}),
    "decimal commas and tabs": (spelled(euro, separator="\t"), {}),
    "decimal commas in quotes": (spelled(euro), {}),
    "decimal commas, said": (spelled(euro, separator=";"), {"decimal": "comma"}),
    "comments above": (more("# prices of three", "# in dollars, of the close", before=True), {}),
    "title of a spreadsheet": (more("Prices of three,,,", before=True), {}),
    "separator at the ends": (table().replace("\n", ",\n"), {}),
    "dollars": (spelled("${}".format), {}),
    "euros behind": (spelled(lambda cell: f"{euro(cell)} €", separator=";"), {}),
    "currency codes": (spelled("USD {}".format), {}),
    "exponents": (spelled(lambda cell: f"{float(cell):.4e}"), {}),
    "capital exponents": (spelled(lambda cell: f"{float(cell):.4E}"), {}),
    "no dates": (table(None), {}),
    "names of columns that count": (table(None, names=["", "1", "2", "3"]), {}),
    "tickers that are numbers": (table(None, names=["", "600519", "000858", "0700"]), {}),
    "pandas' index": (with_column("", list(range(12)), 0), {}),
    "r's row names": (written([["", *NAMES[1:]], *([str(k + 1), *row] for k, row in enumerate(CELLS))]), {}),
    "unnamed index": (with_column("Unnamed: 0", list(range(1, 13)), 0), {}),
    "index of another start": (with_column("index", list(range(57, 69)), 0), {}),
    "float index": (with_column("", [f"{k}.0" for k in range(12)], 0), {}),
    "periods that count": (table([str(k) for k in range(1, 13)], names=["period", *NAMES[1:]]), {}),
    "date in the last column": (written([[*r[1:], r[0]] for r in csv.reader(io.StringIO(table()))]), {}),
    "yfinance": (levels("Close", "Close", "Close"), {}),
    "units below the names": (table().replace("\n", "\n,USD,USD,USD\n", 1), {}),
    "yyyymmdd": (dated("%Y%m%d"), {}),
    "yyyymmdd without a name": (dated("%Y%m%d").replace("Date", "", 1), {}),
    "years": (table([str(2000 + k) for k in range(12)], names=["Year", *NAMES[1:]]), {}),
    "yyyymm": (dated("%Y%m", MONTHS), {}),
    "quarters": (table([f"{2020 + k // 4}Q{k % 4 + 1}" for k in range(12)]), {}),
    "day of 16 first": (dated("%d/%m/%Y"), {}),
    "month first, day of 16": (dated("%m/%d/%Y"), {}),
    "german": (dated("%d.%m.%Y"), {}),
    "slashes, year first": (dated("%Y/%m/%d"), {}),
    "no leading zeros": (dated(lambda day: f"{day.year}-{day.month}-{day.day}"), {}),
    "month names": (dated("%d %b %Y"), {}),
    "month names of sas": (dated(lambda day: day.strftime("%d%b%Y").upper()), {}),
    "month names in quotes": (dated("%b %d, %Y"), {}),
    "whole month names": (dated("%B %d, %Y"), {}),
    "order tells the month": (
        dated("%d/%m/%Y", [date(2024, 1, 11), date(2024, 1, 12), *(date(2024, 2, d) for d in range(1, 11))]),
        {},
    ),
    "ambiguous, said": (dated("%d/%m/%Y", MONTHS), {"date_format": "%d/%m/%Y"}),
    "odd, said": (dated("%j of %Y"), {"date_format": "%j of %Y"}),
    "timestamps": (dated("%Y-%m-%d 00:00:00"), {}),
    "iso with z": (dated("%Y-%m-%dT16:00:00Z"), {}),
    "nanoseconds": (dated("%Y-%m-%d 00:00:00.000000000"), {}),
    "us timestamps": (dated("%m/%d/%Y 4:00 PM"), {}),
    "daylight time": (
        table([f"2024-03-{d:02d} 00:00:00-0{5 - (d > 10)}:00" for d in range(3, 15)]),
        {},
    ),
    "seconds": (dated(epoch(1)), {}),
    "milliseconds": (dated(epoch(1000)), {}),
    "nanoseconds since 1970": (dated(epoch(10**9)), {}),
    "excel's days": (dated(lambda day: str((day - date(1899, 12, 30)).days)), {}),
    "late start, common span": (table([f"2023-12-{d}" for d in (28, 29)] + ISO, [["9", "9", ""], ["9", "9", "-"], *CELLS]), UP),
    "early end, common span": (table([*ISO, "2024-01-19"], [*CELLS, ["97.1", "NaN", "19.5"]]), UP),
    "relatives": (table(ISO[1:], RELATIVES), {"kind": "relatives"}),
    "relatives of percent size": (table(None, RELATIVES), {"kind": "relatives"}),
    "row numbers insisted on": (table(None), {"check": False}),
}  # fmt: skip

PENNIES = {  # prices that lie near 1
    "penny stocks": PRICES / PRICES.mean(0),
    "cumulative wealth": PRICES / PRICES[0],
    "exchange rates": 1 + PRICES / PRICES[0] / 10,
}

SAME_WEALTH_ELSEWHERE: dict[str, tuple[str, dict[str, object]]] = {
    "thousands in quotes": (spelled(lambda c: thousands(c, ",", ".")), {}),
    "thousands in points": (spelled(lambda c: thousands(c, ".", ","), separator=";"), {}),
    "thousands in spaces": (spelled(lambda c: thousands(c, "\u202f", ","), separator=";"), {}),
    "thousands of the swiss": (spelled(lambda c: thousands(c, "’", ".")), {}),
    "no thousands": (table(cells=LARGE), {}),
}

REFUSED: dict[str, tuple[str | bytes, dict[str, object], str]] = {
    "empty": ("", {}, "row of names"),
    "blank": ("\n\n", {}, "row of names"),
    "only a header": (",".join(NAMES), {}, "0 rows below the header, row 1"),
    "two rows": ("\n".join(table().split("\n")[:3]), {}, "2 rows below the header"),
    "only dates": ("Date\n" + "\n".join(ISO), {}, "0 assets and 12 rows below the header, row 1"),
    "excel": (b"PK\x03\x04rest", {}, "Excel or zip file; save it as CSV"),
    "old excel": (b"\xd0\xcf\x11\xe0rest", {}, "old Excel file; save it as CSV"),
    "gzip": (b"\x1f\x8brest", {}, "gzip file; save it as CSV"),
    "latin-1": (table(names=["Date", "Nestlé", "B", "C"]).encode("latin-1"), {}, "save it as CSV in UTF-8"),
    "utf-16 without a mark": (table().encode("utf-16-le"), {}, "row 1"),
    "web page": ("<html>\n<body>Too many requests</body>\n</html>\n", {}, "row 1"),
    "json": ('{"AAA": [1, 2],\n "BBB": [2, 3]}', {}, "quote"),
    "a quote is not closed": (table().replace("94.58", '"94.58'), {}, "quote that is not closed"),
    "spaces between": (table().replace(",", " "), {}, "separate cells by commas"),
    "row cut short": (table()[:-8], {}, "row 13 has 3 cells, the header 4"),
    "r's write.table": (table().replace("Date,", "", 1), {}, "row 2 has 4 cells, the header 3"),
    "decimal commas between commas": (spelled(euro).replace('"', ""), {}, "row 2 has 7 cells, the header 4"),
    "title": (more("Prices of three", before=True), {}, "the header 1 (row 1"),
    "footer": (more("Source: the exchange"), {}, "row 14 has 1 cells"),
    "comment below": (more("# end"), {}, "row 14 has 1 cells"),
    "footer of a spreadsheet": (more("Source: the exchange,,,"), {}, "row 14, column 'Date': 'Source: the exchange' is no date"),
    "total": (more("Total,1179.09,592.74,236.68"), {}, "row 14, column 'Date': 'Total' is no date"),
    "total without a name": (table(None, [*CELLS, ["11790.9", "5927.4", "2366.8"]]), {}, "row 14, column 'AAA'"),
    "row of separators": (more(",,,"), {}, "row 14 is empty"),
    "row without a date": (more(",97,48,19"), {}, "row 14, column 'Date': '' is no date"),
    "no header, dates": (table().split("\n", 1)[1], {}, "row 1 begins with the date"),
    "no header, points": (table(None).split("\n", 1)[1], {}, "row 1 is numbers"),
    "no header, whole": (table(None, [[c[:-3] for c in row] for row in CELLS]).split("\n", 1)[1], {}, "row 1 is numbers"),
    "no header, thousands": (table(None, [[c.replace(".", "") for c in row] for row in CELLS]).split("\n", 1)[1], {}, "row 1 is numbers"),
    "no header, dollars": (spelled("${}".format).split("\n", 1)[1], {}, "row 1 begins with the date"),
    "no header, decimal commas": (table(None, [[euro(c) for c in row] for row in CELLS], separator=";").split("\n", 1)[1], {}, "row 1 is numbers"),
    "on its side": (written([list(row) for row in zip(*csv.reader(io.StringIO(table())))]), {}, "transpose"),
    "same name twice": (table(names=["Date", "AAA", "BBB", "AAA"]), {}, "row 1: the name 'AAA' stands twice"),
    "no name": (table(names=["Date", "AAA", "", "CCC"]), {}, "row 1, column 2 of the assets has no name"),
    "unnamed in the middle": (table(names=["Date", "AAA", "Unnamed: 2", "CCC"]), {}, "has no name"),
    "column twice": (with_column("AAA.1", [row[0] for row in CELLS], 2), {}, "columns 'AAA' and 'AAA.1' are the same"),
    "volume": (with_column("Volume", [5000 + k * k for k in range(12)], 4), {}, "row 1: column 'Volume' holds no prices"),
    "volume of an asset": (with_column("AAA Volume", [5000 + k * k for k in range(12)], 4), {}, "column 'AAA Volume'"),
    "identifier": (with_column("PERMNO", [10107] * 12, 1), {}, "row 1: column 'PERMNO' holds no prices"),
    "ticker": (with_column("name", ["ABC"] * 12, 1), {}, "row 2, column 'name': 'ABC' is no number"),
    "row numbers by name": (with_column("Count", list(range(1, 13)), 1), {}, "row 2, column 'Count': the column counts the rows"),
    "index in the middle": (with_column("index", list(range(12)), 2), {}, "row 1: column 'index' holds no prices by its name"),
    "a number in all rows": (with_column("sec", [600519] * 12, 1), {}, "row 2, column 'sec': the column is 600519 in all rows"),
    "years under an asset's name": (table([str(2000 + k) for k in range(12)], names=["X", *NAMES[1:]]), {}, "row 2, column 'X': the column counts"),
    "excel's days under an asset's name": (dated(lambda day: str(45291 + day.day)).replace("Date", "X"), {}, "the first column, 45293 to 45309"),
    "row numbers count down": (with_column("", list(range(11, -1, -1)), 0), {}, "column 1 counts down, 11 in row 2"),
    "unnamed numbers": (with_column("", [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], 0).replace("Date", "D"), {}, "row 1"),
    "dates under an asset's name": (dated("%Y%m%d").replace("Date", "X"), {}, "row 2, column 'X': 20240102 looks like a date"),
    "open, high, low, close": (bars("Open,High,Low,Close,Volume"), {}, "row 1 names one asset's 'Open, High, Low, Close'"),
    "initials": (bars("O,H,L,C,V"), {}, "row 1 names one asset's 'O, H, L, C'"),
    "stooq": (bars("<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"), {}, "row 1 names one asset's"),
    "alpha vantage": (bars("1. open,2. high,3. low,4. close,5. volume"), {}, "row 1 names one asset's"),
    "quantmod": (bars("AAPL.Open,AAPL.High,AAPL.Low,AAPL.Close,AAPL.Volume"), {}, "row 1 names one asset's"),
    "nasdaq": (bars("Close/Last,Open,High,Low,Volume"), {}, "row 1 names one asset's"),
    "close and volume": (written([[r[0], r[1], r[5]] for r in csv.reader(io.StringIO(bars("Close,a,b,c,Volume")))]), {}, "row 1 names one"),
    "yfinance of several fields": (levels("Close", "Open", "Open"), {}, "rows 1 to 3 are all header rows"),
    "yfinance of volumes": (levels("Volume", "Volume", "Volume"), {}, "header rows name columns of 'Volume'"),
    "long, by date": (long_format("date"), {}, "row 2, column 'ticker': 'AAA' is no number"),
    "long, by ticker": (long_format("ticker"), {}, "a row a date and a column an asset"),
    "newest first": (table(ISO[::-1], CELLS[::-1]), {}, "the newest comes first: sort the file"),
    "newest first, us": (table([d.strftime("%m/%d/%Y") for d in DAYS[::-1]], CELLS[::-1]), {}, "row 3, 01/17/2024, is not after 01/18/2024"),
    "newest first, german": (table([d.strftime("%d.%m.%Y") for d in DAYS[::-1]], CELLS[::-1]), {}, "row 3, 17.01.2024, is not after"),
    "newest first, seconds": (dated(epoch(1), DAYS[::-1]), {}, "row 3"),
    "newest first, months": (dated("%d %b %Y", DAYS[::-1]), {}, "row 3, 17 Jan 2024, is not after"),
    "a date twice": (table([ISO[0], *ISO[:-1]]), {}, "row 3, 2024-01-02, is not after 2024-01-02"),
    "a date twice, us": (dated("%m/%d/%Y", [DAYS[0], DAYS[0], *DAYS[2:]]), {}, "row 3"),
    "not in order": (table([*ISO[:5], ISO[6], ISO[5], *ISO[7:]]), {}, "row 8, 2024-01-09, is not after 2024-01-10"),
    "us or european": (dated("%d/%m/%Y", MONTHS), {}, "type dataset.date_format=%d/%m/%Y"),
    "newest first in one of two readings": (dated("%m/%d/%Y", [date(2024, 12 - k, k + 1) for k in range(12)]), {}, "type dataset.date_format="),
    "years of two digits": (dated("%y/%m/%d", DAYS[:3] + [date(2024, 1, d) for d in range(5, 14)]), {}, "type dataset.date_format="),
    "zones and none": (table([day + " 00:00:00+00:00" * (k % 2) for k, day in enumerate(ISO)]), {}, "row 3, 2024-01-03 00:00:00+00:00"),
    "two notations of dates": (table([ISO[0], "01/03/2024", *ISO[2:]]), {}, "row 2, column 'Date'"),
    "a day that is none": (table([*ISO[:3], "2024-02-30", *ISO[4:]]), {}, "row 5, column 'Date': '2024-02-30' is no date"),
    "dates in another language": (dated(lambda day: f"{day.day} janv. {day.year}"), {}, "row 2, column 'Date': '2 janv. 2024' is no date"),
    "another format than said": (table(), {"date_format": "%d/%m/%Y"}, "row 2, column 'Date': '2024-01-02' does not follow"),
    "a format that is none": (table(), {"date_format": "%Q"}, "dataset.date_format=%Q"),
    "date and time apart": (with_column("Time", ["16:00"] * 12, 1), {}, "'Date' and 'Time' are both of dates or times"),
    "first cell missing": (table(None, [["N.A.", *CELLS[0][1:]], *CELLS[1:]]), {}, "row 2, column 'AAA': missing value; asset 'AAA' starts only at row 3"),
    "first cell a word": (table(None, [["halted", *CELLS[0][1:]], *CELLS[1:]]), {}, "row 2, column 'AAA': 'halted' is not a positive number"),
    "late start": (holes(2, range(5)), {}, "asset 'CCC' starts only at row 7 (2024-01-09): fill it, remove the column, or type dataset.missing=common"),
    "early end": (holes(0, range(9, 12), "NaN"), {}, "asset 'AAA' ends only at row 10 (2024-01-12)"),
    "hole": (one(""), {}, "row 7, column 'BBB': missing value"),
    "hole, common span": (one("#N/A"), UP, "row 7, column 'BBB': missing value"),
    "no prices at all": (holes(1, range(12)), UP, "row 2, column 'BBB': missing value, as in all rows"),
    "nothing in common": (table(cells=[["" if (c == 0) == (k < 6) else x for c, x in enumerate(r)] for k, r in enumerate(CELLS)]), UP, "'AAA' starts at row 8"),
    "zero": (one("0.0"), {}, "row 7, column 'BBB': '0.0' is not a positive number"),
    "negative": (one("-37.63"), {}, "row 7, column 'BBB': '-37.63' is not a positive number"),
    "true minus": (one("−37.63"), {}, "'−37.63' is not a positive number"),
    "brackets": (one("(37.63)"), {}, "'(37.63)' is not a positive number"),
    "infinite": (one("inf"), {}, "'inf' is not a positive number"),
    "too large for a number": (one("9" * 5000), {}, "row 7, column 'BBB'"),
    "too small for a price": (one("1e-320"), {}, "'1e-320' cannot be a price"),
    "too large for a price": (one("1e308"), {}, "'1e308' cannot be a price"),
    "a code for missing": (one("99999"), {}, "row 7, column 'BBB': 99999 is 2022.63 times the price before"),
    "lost point": (one("4891"), {}, "row 7, column 'BBB'"),
    "underscore": (one("1_000.0"), {}, "'1_000.0' is not a positive number"),
    "thousand as k": (one("48.9K"), {}, "'48.9K' is not a positive number"),
    "letter o": (one("48.9O"), {}, "'48.9O' is not a positive number"),
    "other digits": (one("٤٨.٩١"), {}, "is not a positive number"),
    "one decimal comma": (one("48,91"), {}, "row 7, column 'BBB' a decimal comma, '48,91'; write one notation"),
    "one euro": (spelled("${}".format).replace("$48.91", "€48.91"), {}, "row 7, column 'BBB': '€48.91' is in another currency"),
    "excel's error": (one("#DIV/0!"), {}, "row 7, column 'BBB': '#DIV/0!' is not a positive number"),
    "formula": (one('="48.91"'), {}, "row 7, column 'BBB'"),
    "thousands or decimals, commas": (spelled(lambda x: f"{x[0]},{x[-2:]}0", separator=";"), {}, "type dataset.decimal=point or dataset.decimal=comma"),
    "thousands or decimals, points": (spelled("{}0".format, separator=";"), {}, "type dataset.decimal=point"),
    "another mark than said": (table(), {"decimal": "comma"}, "row 2, column 'AAA': '100.25' is not a positive number with a decimal comma"),
    "percent": (spelled("{}%".format), {}, "row 2, column 'AAA': '100.25%' is not a positive number; write percent returns as relatives"),
    "returns": (table(ISO[1:], [[f"{x:.6f}" for x in row] for row in STEPS - 1]), {}, "if these are returns, write relatives 1 + r"),
    "log returns": (table(ISO[1:], [[f"{x:.6f}" for x in row] for row in np.log(STEPS)]), {"kind": "relatives"}, "if these are returns"),
    "relatives as prices": (table(ISO[1:], RELATIVES), {}, "type dataset.kind=relatives"),
    "prices as relatives": (table(), {"kind": "relatives"}, "column 'AAA' has the median 97.98, relatives p_t / p_t-1 lie about 1"),
    "cumulative wealth as relatives": (table(cells=CUMULATED), {"kind": "relatives"}, "type dataset.kind=prices"),
    "relatives in percent": (table(ISO[1:], [[f"{100 * x:.4f}" for x in row] for row in STEPS]), {"kind": "relatives"}, "relatives p_t / p_t-1 lie about 1"),
    "extreme relatives": (table(ISO[1:], [["1", "1e-9", "1e9"], *RELATIVES[1:]]), {"kind": "relatives"}, "row 2, column 'BBB'"),
}  # fmt: skip


@pytest.fixture
def market(tmp_path):
    """market(content, **keys): the market of a file with this content."""

    def read(content: str | bytes, **keys: object):
        path = tmp_path / "my.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return from_csv("", path=str(path), **keys)

    return read


def wealth(found) -> float:
    """Of even weights in each period, without costs."""
    return found.relatives.mean(1).prod().item()


def test_the_table_is_large():
    assert len(READ) + len(SAME_WEALTH_ELSEWHERE) + len(REFUSED) >= 150


@pytest.mark.parametrize("name", READ)
def test_read_with_the_right_value(name, market):
    content, keys = READ[name]
    found = market(content, **keys)
    assert tuple(found.relatives.shape) == (11, 3)
    assert wealth(found) == pytest.approx(WEALTH, rel=1e-9)
    assert "my.csv: 3 assets, 11 periods" in found.about


@pytest.mark.parametrize("name", SAME_WEALTH_ELSEWHERE)
def test_thousands_are_read_with_the_right_value(name, market):
    content, keys = SAME_WEALTH_ELSEWHERE[name]
    assert wealth(market(content, **keys)) == pytest.approx(LARGE_WEALTH, rel=1e-12)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_that_names_a_place_or_what_to_type(name, market):
    content, keys, words = REFUSED[name]
    with pytest.raises(UserError) as caught:
        market(content, **keys)
    line = str(caught.value)
    assert words in line
    assert line.isprintable()
    assert len(line) < 500 + line.count("/")
    assert re.search(
        r"\brows? \d|\bcolumns? |type dataset\.|dataset\.path=|save it as|look for a quote|row of names", line
    )


@pytest.mark.parametrize("name", PENNIES)
def test_honest_prices_near_one_are_read(name, market):
    values = PENNIES[name]
    found = market(table(cells=[[f"{x:.8f}" for x in row] for row in values]))
    np.testing.assert_allclose(found.relatives, values[1:] / values[:-1], rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["a code for missing", "column twice", "relatives as prices", "volume", "row numbers by name", "stooq"]
)
def test_who_insists_gets_the_numbers_as_they_stand(name, market):
    content, _, _ = REFUSED[name]
    rows = list(csv.reader(io.StringIO(content)))[1:]
    values = np.array([[float(cell) for cell in row[1:]] for row in rows])
    np.testing.assert_allclose(market(content, check=False).relatives, values[1:] / values[:-1], rtol=1e-12)


DAILY = [date(2020, 1, 1) + timedelta(days=k) for k in range(400)]


@pytest.mark.parametrize(
    ("days", "periods"),
    [
        ([day for day in DAILY if day.weekday() < 5], 252),
        (DAILY, 365),
        (DAILY[::7], 52),
        (DAILY[::14], 26),
        ([date(2020 + k // 12, k % 12 + 1, 28) for k in range(40)], 12),
        ([date(2010 + k // 4, 3 * (k % 4) + 1, 1) for k in range(40)], 4),
        ([date(2010 + k // 2, 6 * (k % 2) + 1, 1) for k in range(20)], 2),
        ([date(1990 + k, 1, 1) for k in range(20)], 1),
        ([day for day in DAILY if day.weekday() != 6], 313),  # six days a week
        (DAILY[::3], 122),
        ([datetime(2020, 1, 1) + timedelta(hours=k) for k in range(400)], 8766),
    ],
)
def test_periods_a_year_come_from_the_dates(days, periods, market):
    rows = [["Date", "A"], *([day.isoformat(), f"{100 + np.sin(k / 9):.4f}"] for k, day in enumerate(days))]
    found = market(written(rows))
    assert found.periods_per_year == periods
    assert market(written(rows), periods_per_year=50).periods_per_year == 50


def test_rows_without_dates_tell_no_periods_a_year(market):
    assert market(table(None)).periods_per_year is None


def test_what_is_left_out_is_said(market):
    assert "the row numbers 0 to 11, is left out" in market(READ["pandas' index"][0]).about
    assert "(rows 4 to 15, which all assets have)" in market(READ["late start, common span"][0], missing="common").about


@pytest.mark.parametrize(("keys", "periods"), [((), 12), (("task.periods_per_year=52",), 52)])
def test_the_program_prints_what_it_found_once(keys, periods, program, tmp_path):
    path = tmp_path / "my.csv"
    path.write_text(dated("%Y-%m-%d", MONTHS))
    done = program("method=ucrp", "dataset=prices", f"dataset.path={path}", "seeds=[0,1]", *keys)
    assert done.returncode == 0, done.stderr
    words = f"3 assets, 11 periods, 2020-01-01 to 2020-12-01; {periods} periods a year"
    assert done.stderr.count(words) == 1


@pytest.mark.parametrize("name", ["late start", "us or european", "relatives as prices", "excel", "long, by date"])
def test_the_program_ends_in_one_line_and_two(name, program, tmp_path):
    content, _, words = REFUSED[name]
    path = tmp_path / "my.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = program("method=ucrp", "dataset=prices", f"dataset.path={path}", "verbose=false")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert words in done.stderr
