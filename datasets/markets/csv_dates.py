"""Columns of dates: recognised by all of their cells or refused, oldest first, and how many periods they make a year."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from bench.errors import UserError, in_one_line

if TYPE_CHECKING:
    from datasets.markets.csv_text import Table

DATE_NAMES = {"date", "dates", "time", "timestamp", "datetime", "day", "period", "year", "month", "quarter", "week"}
DAY = timedelta(days=1)
YEAR = 365.2425  # days
EPOCH = datetime(1970, 1, 1)
EXCEL = datetime(1899, 12, 30)  # day 0 of its serial numbers
SERIALS = range(25569, 73051)  # of 1970 to 2099
YEARS = range(1800, 2201)
FORMATS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d"),
    *("%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d %B %Y", "%d-%B-%Y", "%d%b%Y", "%d-%b-%y", "%d %b %y", "%d%b%y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%Y-%b-%d", "%Y %b %d", "%y-%b-%d"),
    *(
        "%a %b %d %Y",
        "%a, %d %b %Y",
        "%A, %B %d, %Y",
        "%A, %d %B %Y",
        "%a, %b %d, %Y",
        "%a %d/%m/%Y",
        "%a %m/%d/%Y",
        "%Y-%m-%d",
    ),
    *("%b %Y", "%B %Y", "%b-%Y", "%B-%Y", "%Y-%m", "%Y/%m", "%m/%Y", "%YM%m", "%d %m %Y", "%m %d %Y", "%Y %m %d"),
)
CLOCK = re.compile(r"(.*?\d)(?:[ T]|, )\s*(\d{1,2}):(\d\d)(?::(\d\d)(?:\.\d+)?)?\s*([AaPp]\.?[Mm]\.?)?", re.ASCII)
QUARTER = re.compile(r"(?:(\d{4})[- ]?Q([1-4])|Q([1-4])[- ]?(\d{4}))", re.ASCII)
# Median days between two dates, and the periods a year that this makes.
WIDEST_DAYS, WIDEST_TIMES = 200, 60  # a distance of two dates beyond both is a slip
STANDARD = ((1, 1), (7, 52), (14, 26), (30.5, 12), (91.5, 4), (182.5, 2), (365, 1))


def is_date_name(name: str) -> bool:
    """`Date`, `<DATE>`, `trade_date`, `Timestamp`, `Date (UTC)`."""
    words = re.findall("[a-z]+", name.lower())
    return (
        name.lower() in DATE_NAMES
        or bool({"date", "datetime", "timestamp"} & set(words))
        or name.lower() == "tradedate"
    )


def looks_like_a_date(cell: str) -> bool:
    """A date by its signs: 2024 alone or 20240102 may be a number and do not count."""
    plain = re.fullmatch(r"[\d.,]*", cell, re.ASCII) and not re.fullmatch(r"\d+\.\d+\.\d{2,4}", cell, re.ASCII)
    if plain or not re.search(r"\d", cell, re.ASCII):
        return False
    return any(True for _ in _readings([cell]))


def read_dates(table: Table, column: int, date_format: str | None) -> list[datetime] | None:
    """The dates of a column, oldest first; None where its cells are not all dates.

    Raises:
        UserError: two notations fit, or the rows are not in order; names the row, or says what to type.
    """
    cells = table.columns[column]
    readings = [(date_format, _formatted(table, column, date_format))] if date_format else list(_readings(cells))
    if not readings:
        return None
    rising = [found for found in readings if _first_not_after(found[1], table, column) is None]
    falling = any(all(b < a for a, b in pairwise(dates)) for _, dates in readings)
    if len(rising) > 1 or (rising and falling and len(cells) > 1):
        names = " and ".join(name for name, _ in readings)
        raise UserError(
            f"{table.where(0, column)}: '{in_one_line(cells[0])}' and the cells below can be read as {names}; "
            f"type dataset.date_format={readings[0][0]} or another"
        )
    if not rising:
        dates = readings[0][1]
        row = _first_not_after(dates, table, column)
        newest = "; the newest comes first" if falling else ""
        cure = "remove one of the two rows" if dates[row] == dates[row - 1] else "sort the file"
        raise UserError(
            f"{table.path}: row {table.lines[row]}, {in_one_line(cells[row])}, is not after {in_one_line(cells[row - 1])}; "
            f"oldest first, no date twice (a row a period, a column an asset){newest}: {cure}"
        )
    return rising[0][1]


def _first_not_after(dates: Sequence[datetime], table: Table, column: int) -> int | None:
    """The first row whose date is not after the row's above."""
    zoned = next((k for k, date in enumerate(dates) if (date.tzinfo is None) != (dates[0].tzinfo is None)), None)
    if zoned is not None:
        here, first = (in_one_line(table.columns[column][row]) for row in (zoned, 0))
        raise UserError(
            f"{table.path}: row {table.lines[zoned]}, {here}, and row {table.lines[0]}, {first}: one has a time zone, the other none; write all dates alike"
        )
    return next((k for k in range(1, len(dates)) if dates[k] <= dates[k - 1]), None)


def _formatted(table: Table, column: int, date_format: str) -> list[datetime]:
    found = []
    for row, cell in enumerate(table.columns[column]):
        try:
            found.append(datetime.strptime(cell, date_format))
        except (ValueError, re.error) as error:
            raise UserError(
                f"{table.where(row, column)}: '{in_one_line(cell)}' does not follow dataset.date_format={in_one_line(date_format)} ({in_one_line(error)}); "
                "write strptime's letters, as %d/%m/%Y"
            ) from None
    return found


def _readings(cells: Sequence[str]) -> Iterator[tuple[str, list[datetime]]]:
    """Notations in which every cell is a date, each with the dates; two notations with the same dates count once."""
    seen: list[list[datetime]] = []
    for name, parse in _parsers(cells):
        try:
            dates = [parse(cell) for cell in cells]
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
        if dates and dates not in seen:
            seen.append(dates)
            yield name, dates


def _parsers(cells: Sequence[str]) -> Iterator[tuple[str, Callable[[str], datetime]]]:
    sample = cells[0] if cells else ""
    if re.fullmatch(r"\d+(\.\d+)?", sample, re.ASCII):
        yield from _numeric_parsers(len(sample.partition(".")[0]))
        if not re.fullmatch(r"\d{1,2}\.\d{4}", sample, re.ASCII):
            return
        yield "%m.%Y", lambda cell: datetime.strptime(cell, "%m.%Y")
        return
    yield "ISO 8601", _iso
    yield "quarters", _quarter
    for name in FORMATS:
        yield name, lambda cell, name=name: _clocked(cell, name)


def _numeric_parsers(digits: int) -> Iterator[tuple[str, Callable[[str], datetime]]]:
    if digits == 8:
        for name in ("%Y%m%d", "%d%m%Y", "%m%d%Y"):
            yield name, lambda cell, name=name: _of_our_time(datetime.strptime(cell.removesuffix(".0"), name))
    elif digits == 6:
        yield "%Y%m", lambda cell: _of_our_time(datetime.strptime(cell.removesuffix(".0"), "%Y%m"))
    elif digits == 4:
        yield "%Y", lambda cell: _of_our_time(datetime.strptime(cell.removesuffix(".0"), "%Y"))
    elif digits == 5:
        yield "Excel's day numbers", _serial
    unit = {9: 1, 10: 1, 12: 1e3, 13: 1e3, 15: 1e6, 16: 1e6, 18: 1e9, 19: 1e9}.get(digits)
    if unit:
        yield "seconds since 1970", lambda cell: EPOCH + timedelta(seconds=float(_plain(cell)) / unit)


def _plain(cell: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)?", cell, re.ASCII):
        raise ValueError(cell)
    return cell


def _serial(cell: str) -> datetime:
    if int(float(_plain(cell))) not in SERIALS:
        raise ValueError(cell)
    return EXCEL + timedelta(days=float(cell))


def _of_our_time(date: datetime) -> datetime:
    if date.year not in YEARS:
        raise ValueError(date)
    return date


def _iso(cell: str) -> datetime:
    if not re.match(r"\d{4}-", cell, re.ASCII):
        raise ValueError(cell)
    text = re.sub(r" ?(UTC|GMT)$", "+00:00", cell)
    text = re.sub(r"(\d) ([+-]\d\d:?\d\d)$", r"\1\2", text)
    return _of_our_time(datetime.fromisoformat(text))


def _quarter(cell: str) -> datetime:
    found = QUARTER.fullmatch(cell)
    if found is None:
        raise ValueError(cell)
    return _of_our_time(datetime(int(found[1] or found[4]), 3 * int(found[2] or found[3]) - 2, 1))


def _clocked(cell: str, name: str) -> datetime:
    """A date of a strptime format, perhaps with hours and minutes after it."""
    clock = CLOCK.fullmatch(cell)
    if clock is None:
        return _of_our_time(datetime.strptime(cell, name))
    hour = int(clock[2])
    if clock[5]:
        hour = hour % 12 + 12 * (clock[5][0] in "Pp")
    date = _of_our_time(datetime.strptime(clock[1].strip(), name))
    return date.replace(hour=hour, minute=int(clock[3]), second=int(clock[4] or 0))


def check_gaps(table: Table, text: Sequence[str], dates: Sequence[datetime]) -> None:
    """Raises UserError where two dates lie years apart among dates that do not: a mistyped year."""
    gaps = [(b - a) / DAY for a, b in pairwise(dates)]
    widest, usual = max(range(len(gaps)), key=gaps.__getitem__), median(gaps)
    if gaps[widest] > max(WIDEST_DAYS, WIDEST_TIMES * usual):
        raise UserError(
            f"{table.path}: row {table.lines[widest + 1]}, {text[widest + 1]}, comes {gaps[widest]:.0f} days after {text[widest]}, "
            f"others {usual:g}; correct the date, or type dataset.check=false to use it as it is"
        )


def periods_in_a_year(dates: Sequence[datetime]) -> int:
    """From the median distance of two dates: 252 (days without weekends), 365, 52, 26, 12, 4, 2 or 1.

    Where the whole span says otherwise by more than a tenth, or the dates are closer than a day, periods by years of the span.
    """
    dates = [date.astimezone(UTC) if date.tzinfo else date for date in dates]
    days = (dates[-1] - dates[0]) / DAY
    counted = max(1, round((len(dates) - 1) * YEAR / days))
    gap = median((b - a) / DAY for a, b in pairwise(dates))
    distance, usual = min(STANDARD, key=lambda pair: abs(pair[0] / gap - 1))
    if abs(gap / distance - 1) > 0.1:
        return counted
    if distance == 1:
        weekend = {date.weekday() for date in dates} >= {5, 6}
        usual = 365 if weekend else 252
    return usual if days < 60 or len(dates) < 5 or abs(counted / usual - 1) <= 0.1 else counted
