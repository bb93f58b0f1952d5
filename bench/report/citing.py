"""How to cite a paper and this suite, as BibTeX."""

from __future__ import annotations

import re

from bench.judge.papers import Paper
from bench.report.latex import letters
from bench.run import yaml_files
from bench.run.paths import ROOT


def of_paper(key: str, paper: Paper) -> str:
    """The paper's entry."""
    surname = re.sub(r"[^A-Za-z]", "", paper.authors.split(",")[0].split()[-1]).lower() or "paper"
    fields = {
        "title": f"{{{letters(paper.title)}}}",
        "author": letters(" and ".join(a.strip() for a in paper.authors.split(","))),
        "year": str(paper.year),
        "note": letters(paper.venue),
        **({"eprint": paper.arxiv, "archiveprefix": "arXiv"} if paper.arxiv else {}),
    }
    return _entry("article", f"{surname}{paper.year}{key}", fields)


def of_suite() -> str:
    """This suite's entry, from CITATION.cff."""
    content = yaml_files.load(ROOT / "CITATION.cff")
    names = [a.get("name") or f"{a.get('family-names')}, {a.get('given-names')}" for a in content["authors"]]
    fields = {
        "title": f"{{{letters(str(content['title']))}}}",
        "author": " and ".join(f"{{{letters(str(name))}}}" for name in names),
        "note": letters(f"Version {content['version']}"),
    }
    return _entry("misc", str(content["title"]), fields)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}}}"
