"""A paper file whose texts try to be code: pages, figures, tables and the terminal show them letter by letter, and nothing else is written."""

from __future__ import annotations

import csv
import io
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from rich.console import Console

from bench.errors import UserError
from bench.judge.papers import load_paper
from bench.report import front, publish, tables
from bench.report.marks import CELL
from bench.report.terminal import verdict_table

EVIL = (
    '=HYPERLINK("http://x","y") " onload=\'x()\' %& \\input{/etc/passwd} |](javascript:x) '
    "[red]<script>alert(1)</script> $\\frac{"
)
PLAIN = "Nothing of note"
HREFS = (
    *(f"#{name}." for name in ("page", "experiment", "term")),
    *(f"#{name}" for name in ("rate-ssvr", "signsgd-stalls")),
    "?verdict=",
    "../index.html",
    *(f"{folder}{name}" for folder in ("", "../") for name in ("figures/ssvr/", "tables/ssvr/", "verdicts/ssvr.csv")),
    "papers/ssvr.html",
    "https://arxiv.org/abs/2406.00489",
    "data:,",
)


def written(folder: Path, text: str) -> Path:
    """ssvr's file with a text in the place of every sentence, few claims and figures."""
    content: Any = yaml.safe_load((ROOT / "conf/paper/ssvr.yaml").read_text(encoding="utf-8"))
    content |= dict.fromkeys(("title", "authors", "venue", "summary", "unread"), text) | {"notes": [text]}
    content["question"] = f"{text}?"
    content["code"] = {"url": None, "note": text}
    content["claims"] = {name: content["claims"][name] for name in ("rate-ssvr", "signsgd-stalls")}
    for claim in content["claims"].values():
        claim |= {"says": text, "published": text, "theory": text, "note": text, "refuted_by": [text]}
        claim["source"] = {"tier": "paper", "where": text, "how": "read", "reference": text}
    figure = content["figures"]["rate_stochastic"] | {"caption": text.replace("{", "{{").replace("}", "}}")}
    figure["theory"] = {f"{text[-28:]} T^-1/3": {"slope": -0.3, "of": "ssvr"}}
    figure["published"] = {
        "source": {"tier": "paper", "where": text, "how": "read", "reference": text},
        "points": {"ssvr": [[1000, 1.0]]},
    }
    content["figures"] = {"rate_stochastic": figure}
    content["tables"] = {
        "wide": {"experiment": "ssvr/rate_stochastic", "caption": text, "value": "mean_grad_l1", "split": "iterations"}
    }
    path = folder / "ssvr.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def report(folder: Path, text: str) -> dict[str, str]:
    """The files of the report on that paper, by their path below the folder of results."""
    root = folder / "results"
    (root / "archive").mkdir(parents=True)
    shutil.copy(ROOT / "results/archive/ssvr.jsonl.xz", root / "archive")
    publish.write_report(root, {"ssvr": load_paper(written(folder, text))})
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".xz", ".png")]
    return {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in files}


@pytest.fixture(scope="module")
def evil(tmp_path_factory) -> dict[str, str]:
    return report(tmp_path_factory.mktemp("evil"), EVIL)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, str]:
    return report(tmp_path_factory.mktemp("plain"), PLAIN)


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_only_the_report_s_own_files_are_written(evil, plain):
    assert set(evil) == set(plain)
    own = ("results/tables/ssvr/", "results/figures/ssvr/")
    rest = {name for name in evil if not name.startswith(own)}
    assert rest == {"ssvr.yaml"} | {
        f"results/{name}" for name in ("index.html", "papers/ssvr.html", "verdicts/ssvr.csv", "manifests/ssvr.json")
    }


@pytest.mark.parametrize("name", ["index.html", "papers/ssvr.html"])
def test_pages_have_the_tags_and_attributes_of_a_harmless_paper(name, evil, plain):
    found, harmless = (Page(files[f"results/{name}"]) for files in (evil, plain))
    assert [(tag, list(attributes)) for tag, attributes in found.tags] == [
        (tag, list(attributes)) for tag, attributes in harmless.tags
    ]
    attributes = [pair for _, given in found.tags for pair in given.items()]
    assert [key for key, _ in attributes if key.startswith("on")] == []
    assert {v for k, v in attributes if k in ("href", "src") and not v.startswith(HREFS)} == set()
    ids = [value for key, value in attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert EVIL in " ".join(found.text)
    if name != "index.html":
        (alt,) = {given["alt"] for tag, given in found.tags if tag == "img"}
        assert alt == f"{EVIL} Open squares: published ({EVIL}; read in the source)."


def test_figures_are_sound_svg_that_shows_the_text(evil):
    names = [name for name in evil if name.endswith(".svg")]
    assert names
    for name in names:
        elements = list(ElementTree.fromstring(evil[name]).iter())
        assert not [e for e in elements if e.tag.endswith("script") or any(key.startswith("on") for key in e.attrib)]
        assert "<script>" not in evil[name]
        assert any("$" in "".join(e.itertext()) for e in elements if e.tag.endswith("text")), "no formula was begun"


def test_no_cell_of_a_csv_is_a_formula(evil):
    names = [name for name in evil if name.endswith(".csv")]
    assert len(names) > 3
    for name in names:
        for cell in [cell for row in csv.reader(io.StringIO(evil[name])) for cell in row]:
            assert not cell.startswith(tables.FORMULA) or CELL.fullmatch(cell), (name, cell)
    rows = list(csv.DictReader(io.StringIO(evil["results/tables/ssvr/claims.csv"])))
    assert rows[0]["published"] == f"'{EVIL}"


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "-x", "-2-3", "\t=1", "\r=1", "-ELBO", "\uff1d1", "-"]
)
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe(cell):
    (heading,), (found,) = csv.reader(io.StringIO(tables.csv(pd.DataFrame({cell: [cell]})), newline=""))
    shown = "'" + cell.replace("\r", " ")
    assert (heading, found) == (shown, shown)


@pytest.mark.parametrize(
    "cell",
    ["-1", "-0.5", "+3", "-1.5e-08", "-inf", "-11,200", "-0.38 [-0.40, -0.36]", "-1e3 [-inf, 2e3]", "a=b", "2", ""],
)
def test_numbers_and_words_stay_as_they_are(cell):
    assert tables.csv(pd.DataFrame({"a": [cell, "end"]})) == pd.DataFrame({"a": [cell, "end"]}).to_csv(index=False)


def test_latex_and_markdown_hold_no_command_and_no_tag(evil):
    for name in (name for name in evil if name.endswith(".tex")):
        for command in (r"\input{", r"\frac{", "$\\"):
            assert command not in evil[name].replace("\\$\\textbackslash", ""), name
    for name in (name for name in evil if name.endswith(".md")):
        assert "<script>" not in evil[name]
        assert "](" not in evil[name]
        columns = {len(row.replace("\\|", "").split("|")) for row in evil[name].splitlines() if row.startswith("|")}
        assert len(columns) == 1, name


def test_readme_s_table_and_the_terminal_show_the_text(tmp_path):
    paper = load_paper(written(tmp_path, PLAIN)).model_copy(update={"arxiv": '"><script>alert(1)</script>'})
    assert "<script>" not in front.table({"ssvr": paper}, [], {})
    row = dict.fromkeys(("paper", "claim", "scale", "standing", "shown", "seeds"), "x") | {"stale_runs": "0"}
    row |= {"tier": "paper", "attempt": "", "protocol": "reduced: [/]"}
    row |= {"verdict": "reproduced", "why": "[red]a[/red] \x1b[31mb\x07", "claim": "[bold]c"}
    for width in (80, 200):
        screen = Console(file=io.StringIO(), width=width)
        screen.print(verdict_table([row], width))
        said = screen.file.getvalue()
        assert "[red]a[/red] \ufffd[31mb\ufffd" in said
        assert "x/[bold]c" in said
        assert "reduced protocol" in " ".join(said.split())
        assert "\x1b" not in said
        assert max(map(len, said.splitlines())) <= width


def test_the_terminal_names_claims_that_have_no_verdict_at_any_protocol():
    row = dict.fromkeys(("paper", "standing", "why", "protocol", "attempt"), "")
    row |= {"tier": "paper", "stale_runs": "0", "scale": "mini"}
    rows = [row | {"claim": c, "verdict": v} for c, v in (("a", "reproduced"), ("a", "not run"), ("b", "not run"))]
    assert str(verdict_table(rows).caption) == "not run: b"
    assert verdict_table(rows[:2]).caption is None


def test_a_report_writes_in_its_own_folders_alone(tmp_path):
    for path in ("tables/ssvr/../../evil.md", "figures/other/x.svg", "/etc/x", "archive/ssvr.jsonl.xz"):
        with pytest.raises(UserError, match="its report would write"):
            publish._replace(tmp_path, "ssvr", {path: "x"}, {})
    assert list(tmp_path.iterdir()) == []
