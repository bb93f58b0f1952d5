"""What the scripts print: the plan with its costs, and the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from bench.judge.cost import cost
from bench.judge.plan import STATES, Planned, counts
from bench.judge.shown import TIERS
from bench.run.gpu import cuda_devices

if TYPE_CHECKING:
    from bench.report.noticed import Noticed  # brings pandas


def plan_table(
    runs: Iterable[Planned], timed: Mapping[str, float], archived: Mapping[str, Mapping[str, list[float]]]
) -> Table:
    """A row an experiment and scale: runs by state, measured time, and what the rest will cost."""
    unit = ("GPU hours", 3600.0) if cuda_devices() else ("CPU minutes", 60.0)
    groups: dict[tuple[str, str], list[Planned]] = {}
    for run in runs:
        groups.setdefault((run.scale, run.experiment), []).append(run)
    shown = [s for s in STATES if any(counts(g)[s] for g in groups.values())]
    table = Table(pad_edge=False)
    for name in ("scale", "experiment", "runs", *shown, f"spent ({unit[0]})", f"left ({unit[0]})"):
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
    for scale, left in totals.items():
        known = sum(v for v in left if v is not None)
        more = f" and {left.count(None)} unknown" if None in left else ""
        table.caption = f"{table.caption or ''}{scale}: {known / unit[1]:.1f} {unit[0]} left{more}. "
    if any(None in left for left in totals.values()):
        table.caption = f"{table.caption}?: no finished run tells; --time runs a few steps."
    return table


def _time(seconds: float | None, unit: float) -> str:
    return "?" if seconds is None else f"{seconds / unit:.1f}"


def plain(text: str, style: str = "") -> Text:
    """The text letter by letter: no markup of rich's, no control character reaches the terminal."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in text), style)


def verdict_table(rows: Iterable[Mapping[str, str]]) -> Table:
    """One line a claim and protocol that has runs: verdict, numbers, reason; below them the claims that have none at any protocol.

    Args:
        rows: those of verdicts/<paper>.csv.
    """
    rows = list(rows)
    colours = {"reproduced": "green", "not reproduced": "red", "inconclusive": "yellow"}
    table = Table(show_lines=False, pad_edge=False)
    for name in ("paper", "claim", "whose", "scale", "verdict", "ours", "n", "why"):
        table.add_column(name, overflow="fold")
    for row in rows:
        if row["verdict"] == "not run":
            continue
        colour = colours.get(row["verdict"], "dim")
        why = row["reason"] + (f" ({row['stale_runs']} runs of other code)" if row["stale_runs"] != "0" else "")
        why += f"; {row['protocol']}" if row["protocol"].startswith("reduced") else ""
        whose = f"{TIERS[row['tier']]}, {row['standing']}" + (
            f" {row['attempt']}" if row["attempt"] not in ("", "1") else ""
        )
        ours = row["measured"].partition(": ")[2] + f": {row['shown']}" if row["measured"] else ""
        cells = (row["paper"], row["claim"], whose, row["scale"], row["verdict"], ours, row["seeds"], why)
        table.add_row(*(plain(cell, colour if k == 4 else "") for k, cell in enumerate(cells)))
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
