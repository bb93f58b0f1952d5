"""The page that leads to the papers' pages: what did not reproduce, whole, and a card for each paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.judge.checks import VERDICTS
from bench.judge.papers import Paper
from bench.report.coverage import COUNTED, PLACES, Row, apart, counts, once, place, total
from bench.report.pages import environment
from bench.report.places import page_path


def index_page(
    papers: Mapping[str, Paper],
    rows: Sequence[Row],
    withdrawn: Mapping[str, int],
    figures: Mapping[str, str] | None = None,
) -> str:
    """The page. A paper's lines depend on that paper alone, and lines that never change lie between.

    Args:
        rows: those of verdicts/<paper>.csv.
        withdrawn: how many registered checks no claim of a paper says any more.
        figures: the path of the figure on a paper's card.
    """
    entries = []
    for key, paper in papers.items():
        found = counts(rows, key)
        entries.append(
            {
                "key": key,
                "paper": paper,
                "question": paper.question or paper.title,
                "page": page_path(key),
                "figure": (figures or {}).get(key),
                "failed": _failed(key, paper, rows),
                "counts": found,
                "counted": sum(total(found[where]) for where in COUNTED),
                "reduced": sum(found[where]["reduced"] for where in COUNTED),
                "apart": apart(found, withdrawn.get(key, 0)),
            }
        )
    page = environment(total=total).get_template("index.html.j2")
    return page.render(entries=entries, verdicts=VERDICTS, places=PLACES)


def _failed(key: str, paper: Paper, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The claims of a paper that did not reproduce, each once, in the order of its file."""
    said = {name: claim.says for name, claim, _ in paper.judged()}
    return [
        {
            "name": row["claim"],
            "says": said.get(row["claim"], row["claim"]),
            "why": row["why"],
            "place": PLACES[place(row)],
            "reduced": row["protocol"].startswith("reduced"),
        }
        for row in once(row for row in rows if row["paper"] == key)
        if row["verdict"] == "not reproduced"
    ]
