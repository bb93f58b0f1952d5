"""How many claims of each paper got which verdict: the index page, and README's table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import escape

from bench.judge.checks import VERDICTS
from bench.judge.papers import Paper
from bench.report.pages import environment
from bench.report.places import page_path

SHOWN = ("mini", "paper")
MARKERS = ("<!-- coverage: written by `make report` -->", "<!-- end of coverage -->")
Row = Mapping[str, str]


def counts(rows: Sequence[Row], paper: str) -> Counter[tuple[str, str]]:
    """Number of claims of a paper by (scale, verdict)."""
    return Counter((row["scale"], row["verdict"]) for row in rows if row["paper"] == paper)


def index_page(papers: Mapping[str, Paper], rows: Sequence[Row], scales: Sequence[str]) -> str:
    """The page that leads to the papers' pages. A paper's lines depend on that paper alone, and lines that never change lie between."""
    entries = [
        {"key": key, "paper": paper, "page": page_path(key), "counts": counts(rows, key)}
        for key, paper in papers.items()
    ]
    return environment().get_template("index.html.j2").render(entries=entries, verdicts=VERDICTS, scales=scales)


def with_coverage(readme: str, papers: Mapping[str, Paper], rows: Sequence[Row]) -> str:
    """README's text with the coverage table between its markers, as HTML: blank lines between papers, so that branches merge."""
    head = "".join(f"<th>{name}</th>" for name in ("paper", "scale", "claims", *VERDICTS))
    lines = ["<table>", f"<tr>{head}</tr>", ""]
    for key, paper in papers.items():
        found = counts(rows, key)
        for scale in SHOWN:
            numbers = [found[scale, verdict] for verdict in VERDICTS]
            arxiv = escape(paper.arxiv)
            link = f'<a href="https://arxiv.org/abs/{arxiv}">{arxiv}</a>'
            cells = (f"{escape(key)} ({link})", scale, sum(numbers), *numbers)
            lines.append("<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
        lines.append("")
    table = "\n".join([MARKERS[0], *lines, "</table>", MARKERS[1]])
    return re.sub(re.escape(MARKERS[0]) + ".*?" + re.escape(MARKERS[1]), lambda _: table, readme, flags=re.S)
