"""What `make report` writes of the README: its first sentence with the counts, a row for each paper, and the picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import escape

from bench.judge.checks import VERDICTS
from bench.judge.papers import Paper
from bench.report.coverage import APART, COUNTED, Row, counts, numbers_of, once, place, total
from bench.report.overview import NAMES, overview
from bench.run.paths import ROOT

README = ROOT / "README.md"
MARKERS = {
    name: (f"<!-- {name}: written by `make report` -->", f"<!-- end of {name} -->") for name in ("headline", "papers")
}
HEAD = ("paper", "what it asks", "claims of the paper", "published elsewhere", "at a reduced protocol", "our own")
BADGE = "https://img.shields.io/badge/claims_reproduced-{good}_of_{all}-0969a2"


def files(papers: Mapping[str, Paper], rows: Sequence[Row], withdrawn: Mapping[str, int]) -> dict[Path, str]:
    """README and its picture for a light and for a dark page.

    Args:
        rows: the verdicts of all papers.
        withdrawn: how many registered checks no claim of a paper says any more.
    """
    counted = [row for row in once(rows) if place(row) in COUNTED]
    shades = zip(NAMES, (False, True))
    pictures = {ROOT / "docs" / name: overview(list(papers), counted, dark) for name, dark in shades}
    return {README: written(README.read_text(encoding="utf-8"), papers, rows, withdrawn), **pictures}


def written(readme: str, papers: Mapping[str, Paper], rows: Sequence[Row], withdrawn: Mapping[str, int]) -> str:
    """README's text with what stands between its markers brought up to date."""
    parts = {"headline": headline(papers, rows), "papers": table(papers, rows, withdrawn)}
    for name, (start, end) in MARKERS.items():
        block = f"{start}\n{parts[name]}\n{end}"
        between = re.escape(start) + ".*?" + re.escape(end)
        readme = re.sub(between, block.replace("\\", r"\\"), readme, flags=re.S)
    return readme


def headline(papers: Mapping[str, Paper], rows: Sequence[Row]) -> str:
    """The badge, and the sentence that counts."""
    found: dict[str, Counter[str]] = {where: Counter() for where in COUNTED}
    ours = 0
    for name in papers:
        mine = counts(rows, name)
        ours += total(mine["ours"])
        for where in COUNTED:
            found[where] += mine[where]
    both = found["paper"] + found["published"]
    ran, good = total(both) - both["not run"], both["reproduced"]
    others = ", ".join(_others(both))
    return (
        f"![claims reproduced]({BADGE.format(good=good, all=ran)})\n\n"
        f"**{good} of {ran} claims about {len(papers)} recent optimisation and learning papers reproduced here**"
        f"{f' ({others})' if others else ''}, each on fresh seeds: they were drawn from a registered check, so nobody could choose them or move the "
        f"gate. {found['paper']['reproduced']} of {total(found['paper']) - found['paper']['not run']} are claims of the papers themselves, "
        f"{found['published']['reproduced']} of {total(found['published']) - found['published']['not run']} were published elsewhere about the same "
        f"methods; {both['not run']} more have not been run yet, and {ours} claims of our own stand apart."
    )


def table(papers: Mapping[str, Paper], rows: Sequence[Row], withdrawn: Mapping[str, int]) -> str:
    """A row a paper, as HTML: blank lines between papers, so that branches merge."""
    lines = ["<table>", f"<tr>{''.join(f'<th>{name}</th>' for name in HEAD)}</tr>", ""]
    for key, paper in papers.items():
        found = counts(rows, key)
        reduced, ours = sum(found[where]["reduced"] for where in COUNTED), found["ours"]
        cells = (
            f'<a href="results/tables/{escape(key)}/claims.md">{escape(key)}</a>{_arxiv(paper)}',
            escape(paper.question or paper.title),
            *(_told(found[where]) for where in COUNTED),
            str(reduced),
            f"{ours['reproduced']} of {total(ours)}",
        )
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        if said := _apart(found, withdrawn.get(key, 0)):
            lines.append(f'<tr><td></td><td colspan="{len(HEAD) - 1}"><sub>{said}</sub></td></tr>')
        lines.append("")
    return "\n".join([*lines, "</table>"])


def _apart(found: Mapping[str, Counter[str]], withdrawn: int) -> str:
    """`Apart: exploratory 3 (2 reproduced); withdrawn checks 1`, or nothing."""
    parts = numbers_of(found, [key for key in APART if key != "ours" and total(found[key])])
    parts += [f"withdrawn checks {withdrawn}"] if withdrawn else []
    return f"Apart: {', '.join(parts)}" if parts else ""


def _arxiv(paper: Paper) -> str:
    if paper.arxiv is None:
        return ""
    return f'<br><sub><a href="https://arxiv.org/abs/{escape(paper.arxiv)}">{escape(paper.arxiv)}</a></sub>'


def _told(found: Counter[str]) -> str:
    """`<b>4 of 9</b> reproduced, 2 not reproduced, 3 inconclusive; 2 not run`"""
    ran = total(found) - found["not run"]
    if not total(found):
        return "none"
    if not ran:
        return f"{found['not run']} not run"
    said = ", ".join([f"<b>{found['reproduced']} of {ran}</b> reproduced", *_others(found)])
    return f"{said}; {found['not run']} not run" if found["not run"] else said


def _others(found: Counter[str]) -> list[str]:
    """`2 not reproduced`, `3 inconclusive`: verdicts of runs that ended, but for the first."""
    return [f"{found[verdict]} {verdict}" for verdict in VERDICTS[1:] if found[verdict] and verdict != "not run"]
