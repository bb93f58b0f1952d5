"""What a table of text carries beside its cells: which columns name its rows, which cells are best, what all rows share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup, escape

NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*(?:e[-+]?\d+)?|inf|nan)"
CELL = re.compile(
    rf"(?P<number>{NUMBER})(?: (?P<ends>\[{NUMBER}, {NUMBER}\]|\({NUMBER}\.\.{NUMBER}\)))?", re.IGNORECASE
)  # 0.412, 0.412 [0.390, 0.434], 0.412 (0.390..0.434)
ATTRIBUTE = "claimbench"


@dataclass(frozen=True)
class Marks:
    """keys: the first columns, which name the rows. bold: (row, column). shared: sentences on what is the same in all rows."""

    keys: int = 1
    bold: frozenset[tuple[int, int]] = frozenset()
    shared: tuple[str, ...] = ()


def with_marks(table: pd.DataFrame, marks: Marks) -> pd.DataFrame:
    """The table, marked."""
    table.attrs[ATTRIBUTE] = marks
    return table


def marks_of(table: pd.DataFrame) -> Marks:
    """The table's marks."""
    return table.attrs.get(ATTRIBUTE, Marks())


def shared_out(table: pd.DataFrame, names: Sequence[str], marks: Marks) -> pd.DataFrame:
    """The table, marked, with those of the columns that hold one text alone said in a sentence."""
    same = [n for n in names if n in table.columns and len(table) > 1 and table[n].nunique() == 1 and table[n].iloc[0]]
    places = [k for k, name in enumerate(table.columns) if name not in same]
    bold = frozenset((row, places.index(k)) for row, k in marks.bold if k in places)
    keys = sum(k < marks.keys for k in places)
    said = [
        f"{table[n].iloc[0]} seeds." if n == "seeds" else f"{n[0].upper()}{n[1:]}: {table[n].iloc[0]}." for n in same
    ]
    return with_marks(table.drop(columns=same), Marks(max(keys, 1), bold, (*marks.shared, *said)))


def said_with(table: pd.DataFrame, caption: str) -> str:
    """The caption, what all rows share, and what bold is."""
    marks = marks_of(table)
    bold = ("Bold: best, or not seen to be worse (differences paired by seed, 95 %).",) if marks.bold else ()
    return " ".join([caption.rstrip(".") + ".", *marks.shared, *bold]) if marks.shared or bold else caption


def html(table: pd.DataFrame, caption: str) -> Markup:
    """The table with its caption; the columns that name a row are its headings, intervals stand below their numbers."""
    marks, rows = marks_of(table), []
    for r, row in enumerate(table.itertuples(index=False)):
        cells = []
        for k, cell in enumerate(row):
            if k < marks.keys:
                cells.append(Markup('<th scope="row">{}</th>').format(cell))
                continue
            match = CELL.fullmatch(str(cell))
            text = escape(match["number"] if match else cell)
            text = Markup("<b>{}</b>").format(text) if (r, k) in marks.bold else text
            ends = Markup("<br><small>{}</small>").format(match["ends"]) if match and match["ends"] else ""
            cells.append(Markup("<td{}>{}{}</td>").format(Markup(' class="aligned"') if match else "", text, ends))
        rows.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    numbers = [
        k >= marks.keys and any(CELL.fullmatch(str(c)) for c in table.iloc[:, k]) for k in range(len(table.columns))
    ]
    aligned = [Markup(' class="aligned"') if number else "" for number in numbers]
    heads = (Markup('<th scope="col"{}>{}</th>').format(*pair) for pair in zip(aligned, table.columns))
    head = Markup("").join(heads)
    return Markup("<table>\n<caption>{}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>{}</tbody>\n</table>").format(
        said_with(table, caption), head, Markup("\n").join(rows)
    )
