"""What the scripts print: the plan with its costs, and the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from bench.judge.cost import cost
from bench.judge.plan import STATES, Planned, counts
from bench.judge.shown import TIERS
from bench.run.gpu import cuda_devices

if TYPE_CHECKING:
    from bench.report.noticed import Noticed  # brings pandas


WIDE = 110  # characters of a line that eight columns need
COLOURS = {"reproduced": "green", "not reproduced": "red", "inconclusive": "yellow"}


def plan_table(
    runs: Iterable[Planned], timed: Mapping[str, float], archived: Mapping[str, Mapping[str, list[float]]]
) -> Table:
    """A row an experiment and scale: runs by state, measured time, and what the rest will cost."""
    unit = ("GPU hours", 3600.0) if cuda_devices() else ("CPU minutes", 60.0)
    groups: dict[tuple[str, str], list[Planned]] = {}
    for run in runs:
        groups.setdefault((run.scale, run.experiment), []).append(run)
    shown = [s for s in STATES if any(counts(g)[s] for g in groups.values())]
    table = Table(pad_edge=False, box=box.SIMPLE_HEAD)
    for name in ("scale", "experiment", "runs", *shown, "spent", "left"):
        table.add_column(name, justify="left" if name in ("scale", "experiment") else "right")
    totals: dict[str, list[float | None]] = {}
    for (scale, name), group in groups.items():
        number, found = counts(group), cost(group, timed, archived)
        figures = [found.spent, found.left]
        totals.setdefault(scale, []).append(found.left)
        table.add_row(
            scale,
            plain(name),
            str(len(group)),
            *(str(number[s] or "") for s in shown),
            *(_time(f, unit[1]) for f in figures),
        )
    table.caption = f"spent, left: {unit[0]}. "
    for scale, left in totals.items():
        known = sum(v for v in left if v is not None)
        more = f" and {left.count(None)} unknown" if None in left else ""
        table.caption += f"{scale}: {known / unit[1]:.1f} {unit[0]} left{more}. "
    if any(None in left for left in totals.values()):
        table.caption += "?: no finished run tells; --time runs a few steps."
    return table


def _time(seconds: float | None, unit: float) -> str:
    return "?" if seconds is None else f"{seconds / unit:.1f}"


def plain(text: str, style: str = "") -> Text:
    """The text letter by letter: no markup of rich's, no control character reaches the terminal."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in text), style)


def verdict_table(rows: Iterable[Mapping[str, str]], width: int = WIDE) -> Table:
    """One row a claim and protocol that has runs, with its reason in words; below them the claims that have none at any protocol.

    Args:
        rows: those of verdicts/<paper>.csv.
        width: characters of the terminal's line; below WIDE whose claim it is is left to the page.
    """
    rows, wide = list(rows), width >= WIDE
    table = Table(pad_edge=False, box=box.SIMPLE_HEAD)
    table.add_column("claim", overflow="fold", max_width=40 if wide else 30)
    if wide:
        table.add_column("whose", max_width=20)
    table.add_column("scale", max_width=5)
    table.add_column("verdict", no_wrap=wide, max_width=None if wide else 12)
    table.add_column("why", overflow="fold")
    for row in rows:
        if row["verdict"] == "not run":
            continue
        why = row["why"] + (f" ({row['stale_runs']} runs of other code)" if row["stale_runs"] != "0" else "")
        why += "; at a reduced protocol" if row["protocol"].startswith("reduced") else ""
        whose = f"{TIERS[row['tier']]}, {row['standing']}" + (
            f" {row['attempt']}" if row["attempt"] not in ("", "1") else ""
        )
        cells = [(f"{row['paper']}/{row['claim']}", ""), (row["scale"], "")]
        cells += [(row["verdict"], COLOURS.get(row["verdict"], "dim")), (why, "")]
        if wide:
            cells.insert(1, (whose, ""))
        table.add_row(*(plain(cell, colour) for cell, colour in cells))
    decided = {(row["paper"], row["claim"]) for row in rows if row["verdict"] != "not run"}
    if left := dict.fromkeys(row["claim"] for row in rows if (row["paper"], row["claim"]) not in decided):
        table.caption = plain(f"not run: {', '.join(left)}")
    return table


def selftest_table(paper: str, found: Iterable[Noticed]) -> Table:
    """A row a claim: what turned it to "not reproduced"; in red what is wrong with it."""
    table = Table(title=paper, title_justify="left", pad_edge=False)
    for name in ("claim", "turned to not reproduced by", "what is wrong"):
        table.add_column(name, overflow="fold")
    for claim in found:
        style = "" if claim.sound else "red"
        as_it_is = f"{claim.before} as it is" if claim.before not in ("", "reproduced") else "nothing"
        turned = ", ".join(claim.turned) or as_it_is
        table.add_row(*(plain(text, style) for text in (claim.claim, turned, claim.why)))
    return table
