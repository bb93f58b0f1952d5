"""Tables as LaTeX that fit a column of a paper: numbers aligned at their points, intervals in small below them, too wide or long ones in parts.

The preamble needs booktabs alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from textwrap import wrap

import pandas as pd

from bench.report.marks import CELL, Marks, marks_of, said_with

PAGE = 124  # of a line across both columns
LETTERS = 58  # of a line in footnotesize, in a column of 3.3 inches
SMALLER = 0.88  # a letter in scriptsize
SMALL = 0.72  # of a letter's width, that of an interval's
TEXT = 1.1  # of a letter of words, counted in digits
BOLD = 1.15  # of a bold digit
GAP = 1.7  # letters between columns
ROWS = 36  # of a part, with intervals half as many
PROSE = 22  # letters from which text is set in paragraphs
ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
GREEK = {"lam": "lambda", "epsilon": "varepsilon", "alpha": "alpha", "beta": "beta", "eta": "eta", "rho": "rho"}
RAISED = re.compile(r"([A-Za-z]+|\d+)\^(-?[\w./]*\w)")
LOWERED = re.compile(r"(?<![\w\\])([A-Za-z])_(\d)(?!\w)")


def escaped(text: str) -> str:
    """The text as LaTeX sets it, with powers and indices (T^-1/3, T_2) as formulas."""
    found, last = "", 0
    spots = [*RAISED.finditer(text), *LOWERED.finditer(text)]
    for match in sorted(spots, key=re.Match.start):
        if match.start() < last:
            continue
        base, sign = match[1], "^" if match.re is RAISED else "_"
        symbol = (
            f"\\{GREEK[base]}" if base in GREEK else base if len(base) == 1 or base.isdigit() else rf"\mathrm{{{base}}}"
        )
        found += letters(text[last : match.start()]) + f"${symbol}{sign}{{{letters(match[2])}}}$"
        last = match.end()
    return found + letters(text[last:])


def letters(text: str) -> str:
    """The text as LaTeX sets it letter by letter."""
    return "".join(ESCAPES.get(c, c) for c in text)


@dataclass
class Column:
    """A column in the cells of LaTeX. across: how many columns of the tabular it is. width: in letters; indent: that of numbers below a wide head.
    word: letters of the longest word."""

    spec: str
    head: str
    cells: list[str]
    below: list[str]
    width: float
    across: int = 1
    indent: float = 0.0
    word: int = 0


def latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """The table as one or more floats; the first has the label."""
    marks, caption = marks_of(table), said_with(table, caption)
    columns = [_column(table, k, marks) for k in range(len(table.columns))]
    if any(column.spec == "p" for column in columns):
        texts = [_of_text(str(name), list(map(str, table.iloc[:, k]))) for k, name in enumerate(table.columns)]
        return _floats([_in_prose(texts)], caption, label, ROWS // 3, "table*")
    keys, rest = columns[: marks.keys], columns[marks.keys :]
    tight = _width(keys) + max((c.width for c in rest), default=0.0) > LETTERS
    if tight:  # names that leave little room: a size smaller
        for column in columns:
            column.width *= SMALLER
    parts = [keys + part for part in _parts(keys, rest)]
    return _floats(parts, caption, label, ROWS, size="scriptsize" if tight else "footnotesize")


def _width(columns: Sequence[Column]) -> float:
    return sum(column.width + GAP for column in columns)


def _parts(keys: Sequence[Column], rest: Sequence[Column]) -> list[list[Column]]:
    """The columns in groups that fit beside the keys."""
    room = LETTERS - _width(keys)
    parts: list[list[Column]] = [[]]
    for column in rest:
        if parts[-1] and _width((*parts[-1], column)) > room:
            parts.append([])
        parts[-1].append(column)
    return parts


def _floats(
    parts: Sequence[Sequence[Column]],
    caption: str,
    label: str,
    most: int,
    kind: str = "table",
    size: str = "footnotesize",
) -> str:
    """A float a part and as many rows as fit a page."""
    pieces = []
    for columns in parts:
        rows = len(columns[0].cells) if columns else 0
        step = most // 2 if any(any(c.below) for c in columns) else most
        pieces += [(columns, range(start, min(start + step, rows))) for start in range(0, max(rows, 1), step)]
    found = []
    for number, (columns, rows) in enumerate(pieces, 1):
        part = f" (part {number} of {len(pieces)})" if len(pieces) > 1 else ""
        named = f"\\label{{tab:{label}}}\n" if number == 1 else ""
        found.append(
            f"\\begin{{{kind}}}\n\\centering\n\\{size}\n\\setlength{{\\tabcolsep}}{{3pt}}\n"
            f"\\caption{{{escaped(caption + part)}}}\n{named}{_tabular(columns, rows)}\\end{{{kind}}}\n"
        )
    return "\n".join(found)


def _tabular(columns: Sequence[Column], rows: range) -> str:
    spec = "@{}" + "".join(c.spec for c in columns) + "@{}"
    lines = [" & ".join(c.head for c in columns) + r" \tabularnewline", r"\midrule"]
    for k in rows:
        indents = [rf"\hspace*{{{c.indent:.1f}em}}" if c.indent > 0.2 and k == rows[0] else "" for c in columns]
        lines.append(" & ".join(i + c.cells[k] for i, c in zip(indents, columns)) + r" \tabularnewline")
        if any(c.below[k] for c in columns):
            lines.append(" & ".join(c.below[k] or "&" * (c.across - 1) for c in columns) + r" \tabularnewline[2pt]")
    return "\\begin{tabular}{" + spec + "}\n\\toprule\n" + "\n".join(lines) + "\n\\bottomrule\n\\end{tabular}\n"


def _column(table: pd.DataFrame, k: int, marks: Marks) -> Column:
    texts = [str(cell) for cell in table.iloc[:, k]]
    found = [CELL.fullmatch(text) for text in texts]
    name = str(table.columns[k])
    if not all(m or not text for m, text in zip(found, texts)) or not any(found):
        return _of_text(name, texts, [row for row, column in marks.bold if column == k])
    cells, below, widths = [], [], [(0.0, 0.0, 0.0)]
    for row, match in enumerate(found):
        number, ends = (match["number"].replace(",", ""), match["ends"] or "") if match else ("", "")
        cells.append(_aligned(number, (row, k) in marks.bold))
        below.append(rf"\multicolumn{{2}}{{c}}{{\tiny {letters(ends)}}}" if ends else "")
        widths.append((*_sides(number, (row, k) in marks.bold), SMALL * len(ends)))
    whole, rest, ends = (max(part) for part in zip(*widths))
    widest = max(whole + rest, ends)
    head, wide = _heading(name, widest)
    return Column(
        "r@{}l",
        rf"\multicolumn{{2}}{{c}}{{{head}}}",
        cells,
        below,
        max(widest, wide),
        2,
        (max(widest, wide) - whole - rest) / 4,
    )


def _aligned(number: str, bold: bool) -> str:
    """A number in two cells, before and from its point on."""
    mantissa, e, exponent = number.partition("e")
    whole, point, digits = mantissa.partition(".")
    style = (lambda t: rf"\textbf{{{t}}}" if t else "") if bold else (lambda t: t)
    sign = "$-$" if whole.startswith("-") else ""
    power = rf"$\cdot 10^{{{int(exponent)}}}$" if e else ""
    return f"{sign}{style(whole.lstrip('+-'))} & {style(point + digits)}{power}"


def _sides(number: str, bold: bool) -> tuple[float, float]:
    """The letters before a number's point and from there on; its power of ten is set in full."""
    mantissa, e, exponent = number.partition("e")
    whole, point, digits = mantissa.partition(".")
    wide = BOLD if bold else 1.0
    power = 3.3 + SMALL * len(str(int(exponent))) if e else 0.0
    return wide * len(whole), wide * (len(digits) + 0.5 * len(point)) + power


def _of_text(name: str, texts: Sequence[str], bold: Collection[int] = ()) -> Column:
    widest = max(map(len, texts), default=0)
    cells = [rf"\textbf{{{escaped(t)}}}" if k in bold else escaped(t) for k, t in enumerate(texts)]
    head, wide = _heading(name, widest)
    word = max(len(part) for text in (name, *texts) for part in re.split(r"[\s_/-]", text))
    spec = "l" if widest <= PROSE else "p"
    return Column(spec, head, cells, [""] * len(texts), TEXT * max(widest, wide), word=word)


def _heading(name: str, width: float) -> tuple[str, float]:
    """The name in lines, and how wide they are."""
    lines = wrap(name, max(int(width), 9), break_long_words=False, break_on_hyphens=False) or [""]
    text = r"\\".join(map(escaped, lines))
    return (rf"\shortstack{{{text}}}" if len(lines) > 1 else text), max(map(len, lines))


def _in_prose(columns: Sequence[Column]) -> list[Column]:
    """The columns as paragraphs that share the page's width: room for each one's longest word, and more for those of much text."""
    words = [TEXT * column.word + GAP for column in columns]
    weights = [math.sqrt(max(column.width - column.word, 0.0)) for column in columns]
    left = max(PAGE - sum(words), 0.0) / (sum(weights) or 1.0)
    total = max(PAGE, sum(words)) * 1.02
    for column, word, weight in zip(columns, words, weights):
        share = math.floor(1000 * (word - GAP + left * weight) / total) / 1000
        column.spec = rf"p{{{share:g}\linewidth}}"
        column.head = rf"\raggedright {column.head}"
        column.cells = [rf"\raggedright {breakable(cell)}" for cell in column.cells]
    return list(columns)


def breakable(text: str) -> str:
    """Long words may be broken at their underscores and hyphens."""
    return text.replace(r"\_", r"\_\allowbreak{}").replace("/", r"/\allowbreak{}")
