"""Tables of text for a terminal of any width: columns are left out before anything is wrapped."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.table import Table
from rich.text import Text

GAP = 2  # characters between columns


@dataclass
class Column:
    """A column of text. `rank`: 0 always stays; where the table is too wide, the largest goes first."""

    title: str
    cells: list[str]
    rank: int = 0
    left: bool = False
    heading: str = field(init=False)
    width: int = field(init=False)

    def __post_init__(self) -> None:
        words = [self.title] if self.left else self.title.split(" ")
        self.width = max(map(len, (*self.cells, *words)))
        self.heading = "\n".join(textwrap.wrap(self.title, self.width))


def fit(columns: list[Column], width: int) -> list[Column]:
    """Take out the columns of the largest ranks until the rest fits; those taken out, in their order."""
    out: list[Column] = []
    while sum(c.width + GAP for c in columns) - GAP > width and (rank := max(c.rank for c in columns)) > 0:
        (gone,) = (c for c in columns if c.rank == rank)
        columns.remove(gone)
        out.insert(0, gone)
    return out


def table_of(title: str, columns: Sequence[Column], caption: str) -> Table:
    """The columns as a table of rich's; where they are too wide all the same, text at the left is folded and numbers are not."""
    table = Table(
        title=Text(title) if title else None,
        caption=Text(caption) if caption else None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in columns:
        table.add_column(
            column.heading, justify="left" if column.left else "right", no_wrap=not column.left, overflow="fold"
        )
    for cells in zip(*(column.cells for column in columns)):
        table.add_row(*map(Text, cells))
    return table
