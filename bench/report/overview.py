"""The README's picture: each counted claim as a dot, by paper, at the place of our value in what the claim accepts.

A place is a distance from the nearest end of what is accepted, in lengths of the interval on that side. So beyond 1 the whole interval lies
inside and the claim is reproduced, below -1 it lies outside, and between the end is in the interval: the verdicts are the picture's three zones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import escape

Row = Mapping[str, Any]  # of verdicts/<paper>.csv
NAMES = ("overview-light.svg", "overview-dark.svg")
COLOURS = {  # of a light and of a dark page; blue and orange are told apart by most who are colour-blind
    "ink": ("#1f2328", "#e6edf3"),
    "faint": ("#656d76", "#9198a1"),
    "line": ("#d1d9e0", "#3d444d"),
    "reproduced": ("#0969a2", "#58b0ea"),
    "not reproduced": ("#c2500c", "#f0883e"),
    "inconclusive": ("#818b98", "#818b98"),
    "not comparable": ("#818b98", "#818b98"),
    "zone reproduced": ("#eef6fc", "#12212e"),
    "zone not reproduced": ("#fdf2ea", "#2b1d12"),
}
WIDTH, TOP, HEIGHT, RADIUS = 900, 46, 34, 4.2
ENDS = (118, 268, 398, 730)  # left to right: not reproduced, inconclusive, reproduced
CAP = 64.0  # lengths of the interval; farther, and where there is no interval, is the border
LEVELS = (0, -9, 9)  # where dots lie that would overlap


def overview(papers: Sequence[str], rows: Iterable[Row], dark: bool) -> str:
    """The picture as svg text.

    Args:
        papers: in the order of the lines.
        rows: of counted claims, one each.
    """
    colours = {name: pair[dark] for name, pair in COLOURS.items()}
    rows = list(rows)
    height = TOP + HEIGHT * len(papers) + 30
    style = "font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="Claims by paper: reproduced, inconclusive, not reproduced" style="{style}">',
        *_zones(height, colours),
    ]
    for n, paper in enumerate(papers):
        parts += _line(paper, [row for row in rows if row["paper"] == paper], TOP + HEIGHT * (n + 0.5), colours)
    return "\n".join([*parts, "</svg>", ""])


def inside(row: Row) -> float | None:
    """How far inside of what is accepted the estimate lies, in lengths of its interval on the side of the nearest end; None where the row
    has no numbers."""
    names = ("estimate", "low", "high", "accept_low", "accept_high")
    try:
        estimate, low, high, *ends = (float(row[name].lstrip("'")) for name in names)
    except ValueError:
        return None
    found = math.inf
    for end, sign, inner, outer in (
        (ends[0], 1, estimate - low, high - estimate),
        (ends[1], -1, high - estimate, estimate - low),
    ):
        if math.isfinite(end):
            distance = sign * (estimate - end)
            length = inner if distance >= 0 else outer
            found = min(found, distance / length if length > 0 else math.inf if distance >= 0 else -math.inf)
    return found


def _x(row: Row) -> float:
    """Where a claim's dot lies: in its verdict's zone, between the borders."""
    far, verdict = inside(row), row["verdict"]
    left, low, high, right = ENDS
    if verdict == "reproduced":
        share = 0.5 if far is None else math.log2(min(max(far, 1.0), CAP)) / math.log2(CAP)
        return high + 8 + share * (right - high - 16)
    if verdict == "not reproduced":
        share = 0.5 if far is None else math.log2(min(max(-far, 1.0), CAP)) / math.log2(CAP)
        return low - 8 - share * (low - left - 16)
    return (low + high) / 2 + min(max(far or 0.0, -0.9), 0.9) * (high - low) / 2


def _zones(height: float, colours: Mapping[str, str]) -> list[str]:
    left, low, high, right = ENDS
    bottom = height - 26
    parts = [
        f'<rect x="{left}" y="{TOP}" width="{low - left}" height="{bottom - TOP}" fill="{colours["zone not reproduced"]}"/>',
        f'<rect x="{high}" y="{TOP}" width="{right - high}" height="{bottom - TOP}" fill="{colours["zone reproduced"]}"/>',
    ]
    heads = ((left, low, "not reproduced"), (low, high, "inconclusive"), (high, right, "reproduced"))
    for start, end, name in heads:
        parts.append(_text((start + end) / 2, 20, name, colours[name], "middle", 14, bold=True))
    said = (
        "the interval lies outside",
        "it crosses an end",
        "the whole interval lies inside of what the claim accepts",
    )
    for (start, end, _), line in zip(heads, said):
        parts.append(_text((start + end) / 2, 37, line, colours["faint"], "middle", 11))
    ink = colours["faint"]
    parts += [
        _text(left + 4, height - 9, "← farther outside", ink, "start", 11),
        _text(right - 4, height - 9, "farther inside →", ink, "end", 11),
        f'<circle cx="{low + 12}" cy="{height - 13}" r="{RADIUS}" fill="{ink}" stroke="{ink}" stroke-width="1.8"/>',
        _text(low + 21, height - 9, "the paper's", ink, "start", 11),
        f'<circle cx="{high - 6}" cy="{height - 13}" r="{RADIUS}" fill="none" stroke="{ink}" stroke-width="1.8"/>',
        _text(high + 3, height - 9, "published elsewhere", ink, "start", 11),
    ]
    return parts


def _line(paper: str, rows: Sequence[Row], y: float, colours: Mapping[str, str]) -> list[str]:
    """A paper's dots: filled where the paper says it, open where others published it."""
    ran = sorted((row for row in rows if row["verdict"] != "not run"), key=_x)
    good, lacking = sum(row["verdict"] == "reproduced" for row in ran), len(rows) - len(ran)
    parts = [
        f'<line x1="{ENDS[0]}" x2="{ENDS[-1]}" y1="{y}" y2="{y}" stroke="{colours["line"]}"/>',
        _text(ENDS[0] - 12, y + 5, paper, colours["ink"], "end", 14),
        _text(ENDS[-1] + 12, y + 5, f"{good} of {len(ran)}", colours["ink"], "start", 13, bold=True),
    ]
    if lacking:
        parts.append(_text(WIDTH - 4, y + 5, f"+ {lacking} not run", colours["faint"], "end", 11))
    taken: list[tuple[float, float]] = []
    for row in ran:
        x, dy = _free(_x(row), taken)
        taken.append((x, dy))
        colour = colours[row["verdict"]]
        fill = colour if row["tier"] == "paper" else "none"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y + dy:.1f}" r="{RADIUS}" fill="{fill}" stroke="{colour}" stroke-width="1.8">'
            f"<title>{escape(row['claim'])}: {escape(row['shown'])}, accepted {escape(row['accepts'].lstrip(chr(39)))}</title></circle>"
        )
    return parts


def _free(x: float, taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """x, or the nearest place towards the middle of its zone, where no dot lies yet."""
    middle = next((a + b) / 2 for a, b in pairwise(ENDS) if x <= b)
    step = 1.0 if x < middle else -1.0
    while True:
        for dy in LEVELS:
            if all(math.hypot(x - other, dy - beside) >= 2 * RADIUS + 1.6 for other, beside in taken):
                return x, dy
        x += step


def _text(x: float, y: float, said: str, colour: str, anchor: str, size: int, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{weight}>{escape(said)}</text>'
