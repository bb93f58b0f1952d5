"""Prices as people write them: decimal points or commas, thousands, currency signs. One notation a file, or it is refused."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.errors import UserError

if TYPE_CHECKING:
    from datasets.markets.csv_text import Table

Decimal = Literal["point", "comma"]
MISSING = {
    *("", "na", "n/a", "n.a.", "nan", "-nan", "null", "none", "nil", "-", "--", "–", "—", ".", "..", "?"),
    *("#n/a", "#na", "<na>", "#n/a n/a", "#n/a field not applicable", "missing", "nat", "\\n"),
}
LOWEST, HIGHEST = 1e-15, 1e18  # of a price
SPACES = r"[ \u00a0\u2009\u202f\'’]"  # between thousands
CURRENCY = r"(?:[$€£¥₹₩₽฿₫₪₺₱₿]|(?:USD|EUR|GBP|JPY|CHF|CNY|HKD|CAD|AUD|INR|KRW|SEK|NOK|DKK)(?![A-Za-z]))"
AROUND = re.compile(rf"({CURRENCY}?)\s*([^$€£¥₹₩₽฿₫₪₺₱₿A-Z]*?(?:E[+-]?[0-9]+)?)\s*({CURRENCY}?)")
PLAIN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:\n|$))*+")
SHAPE = re.compile(rf"[+−(-]?(?:[0-9.,]|{SPACES})*[0-9](?:[0-9.,]|{SPACES})*(?:[eE][+-]?[0-9]+)?\s*%?\)?")


def _notation(decimal: str, group: str) -> re.Pattern[str]:
    thousands = rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]{{1,3}}(?:{SPACES}[0-9]{{3}})+"
    return re.compile(rf"(?=.?[0-9])((?:{thousands})|[0-9]*)(?:{decimal}([0-9]*))?(?:[eE]([+-]?[0-9]+))?")


NOTATION = {"point": _notation(r"\.", ","), "comma": _notation(",", r"\.")}


def shown(cell: str) -> str:
    """A cell or a name in an error line: quoted, on one line, at most 40 characters."""
    return repr(cell if len(cell) <= 40 else f"{cell[:37]}...")


def looks_like_a_number(cell: str) -> bool:
    """In any notation, with a sign, a currency or a percent sign."""
    return SHAPE.fullmatch(_core(cell)[0]) is not None


def number(cell: str, decimal: Decimal) -> float | None:
    """The value of a cell without a sign, its currency left out; None where it is no such number."""
    found = NOTATION[decimal].fullmatch(_core(cell)[0])
    if found is None:
        return None
    whole, fraction, exponent = (part or "" for part in found.groups())
    digits = re.sub("[^0-9]", "", whole)
    return float(f"{digits or '0'}.{fraction or '0'}e{exponent or '0'}")


def _core(cell: str) -> tuple[str, str]:
    """A cell without its currency, and that."""
    found = AROUND.fullmatch(cell)
    if found is None or (found[1] and found[3]):
        return cell, ""
    return found[2], found[1] or found[3]


def read_numbers(table: Table, missing: np.ndarray, decimal: Decimal | None) -> np.ndarray:
    """Values [rows, columns] of a table's cells, NaN where `missing`.

    Raises:
        UserError: a cell is no positive number, no price, or of another notation or currency; names its row and column.
    """
    plain = [_is_plain(cells) for cells in table.columns]
    decimal = decimal or _decimal(table, all(plain))
    values = np.full(missing.shape, np.nan)
    for column, cells in enumerate(table.columns):
        if plain[column] and decimal == "point":  # the usual file, read at once
            found = np.array(cells, dtype=float)
            if ((found >= LOWEST) & (found <= HIGHEST)).all():
                values[:, column] = found
                continue
        signs = Counter(_core(cell)[1] for row, cell in enumerate(cells) if not missing[row, column])
        usual = signs.most_common(1)[0][0] if signs else ""
        for row, cell in enumerate(cells):
            if not missing[row, column]:
                values[row, column] = _value(table, row, column, decimal)
                if _core(cell)[1] != usual:
                    where = table.where(row, column)
                    raise UserError(
                        f"{where}: {shown(cell)} is in another currency than the rest of its column; write one"
                    )
    return values


def _is_plain(cells: list[str]) -> bool:
    """Digits with or without a decimal point in every cell."""
    text = "\n".join(cells)
    return PLAIN.fullmatch(text) is not None and text.count("\n") == len(cells) - 1


def _value(table: Table, row: int, column: int, decimal: Decimal) -> float:
    cell = table.columns[column][row]
    value = number(cell, decimal)
    if value is None or not 0 < value < float("inf"):
        where = table.where(row, column)
        raise UserError(f"{where}: {shown(cell)} is not a positive number{_reason(cell, decimal)}")
    if not LOWEST <= value <= HIGHEST:
        where = table.where(row, column)
        raise UserError(f"{where}: {shown(cell)} cannot be a price; prices lie in [{LOWEST:g}, {HIGHEST:g}]")
    return value


def _reason(cell: str, decimal: Decimal) -> str:
    if "%" in cell:
        return "; write percent returns as relatives 1 + r, with dataset.kind=relatives"
    if re.match(r"[-−+(]", cell) and looks_like_a_number(cell):
        return "; if these are returns, write relatives 1 + r, with dataset.kind=relatives"
    other, mark = ("comma", ",") if decimal == "point" else ("point", ".")
    if mark in cell and number(cell, decimal) is None and looks_like_a_number(cell):
        return f" with a decimal {decimal}; write one notation, or type dataset.decimal={other}"
    return "; correct it or remove the row or the column"


def _decimal(table: Table, plain: bool) -> Decimal:
    """The decimal mark that the cells show; a lone mark before exactly three digits shows nothing. plain: digits and points alone."""
    if plain and table.separator == ",":
        return "point"
    proofs: dict[str, tuple[int, int]] = {}
    doubts: dict[str, tuple[int, int]] = {}
    for column, cells in enumerate(table.columns):
        for row, cell in enumerate(cells):
            mark, sure = _mark(_core(cell)[0])
            if mark:
                (proofs if sure else doubts).setdefault(mark, (row, column))
    if len(proofs) == 2:
        (row, column), (other, beside) = proofs["point"], proofs["comma"]
        raise UserError(
            f"{table.where(row, column)} has a decimal point, {shown(table.columns[column][row])}; row {table.lines[other]}, "
            f"column '{table.names[beside]}' a decimal comma, {shown(table.columns[beside][other])}; write one notation"
        )
    if proofs:
        return "point" if "point" in proofs else "comma"
    if "comma" in doubts or ("point" in doubts and table.separator != ","):
        row, column = doubts.get("comma") or doubts["point"]
        raise UserError(
            f"{table.where(row, column)}: {shown(table.columns[column][row])} may be in thousands or have decimals; "
            "type dataset.decimal=point or dataset.decimal=comma"
        )
    return "point"


def _mark(core: str) -> tuple[Decimal | None, bool]:
    """What a cell's decimal mark is, and whether that is sure; None where it has none."""
    if SHAPE.fullmatch(core) is None:
        return None, False
    marks = re.findall("[.,]", core)
    if not marks:
        return None, False
    last: Decimal = "point" if marks[-1] == "." else "comma"
    if len(set(marks)) == 2:
        return last, True
    if len(marks) > 1:  # it stands between thousands
        return ("comma" if last == "point" else "point"), True
    lone = re.fullmatch(r"[^0-9]*([1-9][0-9]{0,2})[.,][0-9]{3}[^0-9]*", core)
    return last, lone is None
