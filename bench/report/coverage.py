"""How many claims of each paper got which verdict: what the pages and README count.

Headlines count what can fail and was registered: claims whose source is the paper or published elsewhere, on runs that came after their gate.
One that is reproduced was turned to "not reproduced" by something that the self-test planted. All else stands apart. A claim is counted
once, at the fullest protocol that has a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bench.judge.checks import VERDICTS
from bench.judge.shown import TIERS

COUNTED = ("paper", "published")
APART = {  # what is not in a headline, and why
    "ours": "ours",
    "open": "registered, but not seen to fail",
    "stale": "judged on runs of older code",
    "exploratory": "exploratory",
}
PLACES = {place: TIERS.get(place) or APART[place] for place in (*COUNTED, *APART)}
Row = Mapping[str, Any]  # of verdicts/<paper>.csv


def place(row: Row) -> str:
    """Where a claim is counted: one of PLACES."""
    if row["standing"] != "registered":
        return "exploratory"
    if int(row["stale_runs"] or 0):
        return "stale"
    failed = row["turned_by"] if row["verdict"] == "reproduced" else row["refuted_by"]
    return row["tier"] if row["tier"] == "ours" or failed else "open"


def once(rows: Iterable[Row]) -> list[Row]:
    """One row a claim: that of the fullest protocol that has a verdict."""
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = best.setdefault((row["paper"], row["claim"]), row)
        if _lacks(row) < _lacks(before):
            best[row["paper"], row["claim"]] = row
    return list(best.values())


def _lacks(row: Row) -> tuple[bool, bool]:
    return row["verdict"] == "not run", row["protocol"].startswith("reduced")


def counts(rows: Iterable[Row], paper: str) -> dict[str, Counter[str]]:
    """By place, the number of claims with each verdict, and of those "reduced": decided at a reduced protocol."""
    found: dict[str, Counter[str]] = {name: Counter() for name in PLACES}
    for row in once(row for row in rows if row["paper"] == paper):
        found[place(row)][row["verdict"]] += 1
        found[place(row)]["reduced"] += row["protocol"].startswith("reduced")
    return found


def total(found: Counter[str]) -> int:
    """Claims of all verdicts."""
    return sum(found[verdict] for verdict in VERDICTS)


def numbers_of(found: Mapping[str, Counter[str]], places: Iterable[str]) -> list[str]:
    """`ours 11 (9 reproduced)` of each of the places that stand apart."""
    return [f"{APART[key]} {total(found[key])} ({found[key]['reproduced']} reproduced)" for key in places]


def apart(found: Mapping[str, Counter[str]], withdrawn: int) -> str:
    """`Apart from these: ours 11 (9 reproduced), exploratory 3 (3 reproduced), withdrawn checks 0.`"""
    parts = numbers_of(found, [key for key in APART if total(found[key]) or key not in ("open", "stale")])
    return f"Apart from these: {', '.join(parts)}; withdrawn checks {withdrawn}."
