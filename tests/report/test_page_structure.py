"""The pages as a parser reads them: sizes, links that lead somewhere, claims that are read once without scripts, sentences of why."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from report_pages import made

PAPERS = ("egab", "singleindex")  # the most numbers, the most claims
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Elements with their attributes and text; those in `noscript` apart, as a browser with scripts takes them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.folded: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        (self.folded if "noscript" in self.open else self.elements).append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag, f"{self.path.name}: </{tag}> closes another element"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    @property
    def ids(self) -> list[str]:
        return [given["id"] for _, given in [*self.elements, *self.folded] if "id" in given]

    def of(self, name: str) -> list[dict[str, str]]:
        """The attributes of the elements of a class."""
        return [given for _, given in self.elements if name in given.get("class", "").split()]


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    root = made(*PAPERS)
    found = {name: Page(root / f"papers/{name}.html") for name in PAPERS}
    return found | {"index": Page(root / "index.html")}


def test_pages_are_small(pages):
    for name in PAPERS:
        assert len(pages[name].text.encode()) < 700_000
        assert len(pages[name].elements) < 6_000
    assert len(pages["index"].text.encode()) < 30_000 * len(PAPERS) + 30_000, "300 KB of ten papers"


def test_every_link_leads_somewhere(pages):
    known = {page.path.resolve(): set(page.ids) for page in pages.values()}
    for page in pages.values():
        assert len(page.ids) == len(set(page.ids))
        for _, given in [*page.elements, *page.folded]:
            for name in ("href", "src"):
                target = given.get(name, "https:")
                if target.startswith(("http", "data:", "?")):
                    continue
                path, _, anchor = unquote(target).partition("#")
                file = (page.path.parent / path).resolve() if path else page.path.resolve()
                assert file.exists(), target
                assert not anchor or anchor in known[file], target
            if "aria-describedby" in given:
                assert given["aria-describedby"] in page.ids


def test_each_claim_is_shown_once_without_scripts_and_has_a_link_of_its_own(pages):
    for name in PAPERS:
        page = pages[name]
        claims = page.of("claim")
        names = [given["id"].partition(".")[0] for given in claims]
        once = [given["id"] for given in claims if "once" in given["data-at"].split()]
        assert sorted(once) == sorted(set(names)), "the plain name leads to the verdict that counts"
        assert dict(page.elements)["html"]["data-scale"] == "once"
        assert '[data-scale="once"] [data-at]:not([data-at~="once"])' in page.text, (
            "a rule of the style, not of a script"
        )
        assert {f"#{given['id']}" for given in claims} == {given["href"] for given in page.of("permalink")}


def test_tables_are_made_when_opened_and_have_captions_and_headers(pages):
    page = pages["egab"]
    tags = [tag for tag, _ in page.folded]
    assert tags.count("table") == tags.count("caption") > 5
    scopes = [given.get("scope") for tag, given in page.folded if tag == "th"]
    assert set(scopes) == {"row", "col"}
    assert [tag for tag, _ in page.elements].count("table") == 1, "the matrix alone"


def test_why_says_estimand_interval_band_test_level_and_runs(pages):
    whys = re.findall(r'<dd class="why">(.*?)</dd>', pages["singleindex"].text)
    tested = [re.sub(r"<[^>]*>", "", text) for text in whys if "order-statistic" in text]
    assert len(tested) > 20
    for text in tested:
        assert re.search(
            r"median .*\[.*\] (lies inside|lies outside|reaches over a border of) .*; order-statistic test at [\d.]+ %, \d+ runs",
            text,
        ), text


def test_keys_of_the_config_are_words(pages):
    said = re.sub(
        r"<code>.*?</code>|<[^>]*>", " ", pages["singleindex"].text.partition("<main")[2].partition("<script")[0]
    )
    assert "fresh True" not in said
    assert "samples_per_dim" not in said


def test_what_a_preview_and_a_citation_need_is_there(pages):
    for page in pages.values():
        meta = {
            given.get("name") or given.get("property"): given.get("content")
            for tag, given in page.elements
            if tag == "meta"
        }
        assert len(meta["description"]) > 40
        assert (page.path.parent / meta["og:image"]).read_bytes().startswith(b"\x89PNG")
    assert "@article{" in pages["egab"].text
    assert "@misc{claimbench" in pages["egab"].text


def test_the_index_has_a_card_a_paper_and_what_did_not_reproduce_first(pages):
    page = pages["index"]
    assert len(page.of("card")) == len(PAPERS)
    text = page.text
    assert text.index("What did not reproduce") < text.index('class="card"')
    failed = re.findall(r'<li><a href="papers/(\w+).html#([\w-]+)">', text)
    for name in PAPERS:
        wanted = [
            given["id"]
            for given in pages[name].of("claim")
            if given["data-verdict"] == "not-reproduced" and "once" in given["data-at"].split()
        ]
        assert sorted(claim for paper, claim in failed if paper == name) == sorted(wanted)
