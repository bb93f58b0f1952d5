"""The picture that a link to a page is shown with: what a row of a claim looks like. The same for every report, so that branches merge."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SIZE, DPI = (12.0, 6.3), 100  # 1200 x 630, as link previews are
INK, SOFT, BAND = "#1d2126", "#5b626c", "#d5dbe2"
ROWS = (  # sentence, low, high, verdict, its colour; what is accepted is 0.3 to 0.6 of the axis
    ("what was claimed", 0.40, 0.50, "reproduced", "#00694f"),
    ("what was measured", 0.72, 0.84, "not reproduced", "#b3261e"),
    ("why the verdict is what it is", 0.50, 0.70, "inconclusive", "#8a5a00"),
)


def preview() -> bytes:
    """A PNG."""
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor="#fbfbf9")
    FigureCanvasAgg(figure)
    figure.text(0.05, 0.84, "claimbench", size=44, weight="bold", color=INK)
    figure.text(0.05, 0.74, "which claims of a paper reproduce, with the statistics to say so", size=21, color=SOFT)
    axes = figure.add_axes((0, 0, 1, 0.66))
    axes.set(xlim=(0, 1), ylim=(0, 3))
    axes.axis("off")
    for k, (said, low, high, verdict, colour) in enumerate(ROWS):
        y, place = 2.4 - 0.9 * k, lambda v: 0.42 + 0.3 * v
        axes.text(0.05, y, said, size=20, color=INK, va="center")
        axes.fill_betweenx([y - 0.2, y + 0.2], place(0.3), place(0.6), color=BAND, lw=0)
        axes.plot([place(low), place(high)], [y, y], color=INK, lw=4)
        axes.plot([place((low + high) / 2)], [y], "o", color="#0b62a8", ms=13)
        axes.text(0.76, y, verdict, size=20, weight="bold", color=colour, va="center")
    found = io.BytesIO()
    figure.savefig(found, format="png", metadata={"Software": None})
    return found.getvalue()
