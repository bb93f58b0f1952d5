"""The pages in a real headless Chromium: no errors, no network, filters, keyboard, phone width, light and dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from conftest import ROOT

from bench.judge.shown import HOW, TIERS

PAGE, INDEX = ((ROOT / "results" / name).as_uri() for name in ("papers/ssvr.html", "index.html"))
CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture(params=[("light", 1280), ("dark", 390)], ids=["desk", "phone"])
def page(browser, request) -> Iterator:
    scheme, width = request.param
    opened = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened.problems, opened.asked = [], []
    opened.on("console", lambda message: opened.problems.append(message.text))
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.goto(PAGE)
    yield opened
    assert opened.problems == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []
    opened.close()


def shown(page) -> list[str]:
    return page.locator(".claim:visible").evaluate_all("nodes => nodes.map(n => n.id)")


def test_every_claim_is_shown_with_source_verdict_figure_and_command(page):
    assert page.evaluate("document.documentElement.dataset.scale") == "once"
    assert len(shown(page)) == page.locator(".claim[data-at~=once]").count() > 0
    for claim in page.locator(".claim:visible").all():
        text = claim.inner_text()
        assert ("Theory" if claim.get_attribute("data-tier") == "ours" else "Published") in text
        assert claim.locator(".tier").inner_text() == TIERS[claim.get_attribute("data-tier")]
        assert claim.get_attribute("data-standing").split()[0] in text
        assert "Would refute it" in text
        where, reference, how = claim.locator(".source").inner_text().strip("()").rsplit("; ", 2)
        assert where
        assert reference
        assert how in HOW.values()
        assert claim.locator(".badge").count() == 1
    images = page.locator("figure:visible img")
    assert images.count() > 0
    for image in images.all():
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete", arg=image.element_handle())
        assert image.evaluate("image => image.naturalWidth") > 100, "the figure's file is there"
    assert page.locator(".how:visible code").first.inner_text().startswith("python run.py experiment=")


def test_filters_narrow_and_reset_widens(page):
    everything = shown(page)
    page.get_by_label("text").fill("signsgd stalls")
    assert shown(page) == [i for i in everything if "signsgd-stalls" in i]
    assert page.locator("#shown").inner_text() == f"1 of {len(everything)} claims"
    assert page.locator(".experiment:visible").count() == 1
    page.get_by_role("button", name="show all").click()
    page.wait_for_function(f"document.getElementById('shown').textContent.startsWith('{len(everything)} of')")
    assert shown(page) == everything
    page.get_by_label("reproduced", exact=True).uncheck()
    assert page.locator(".claim[data-verdict=reproduced]:visible").count() == 0
    page.get_by_label("kind").select_option("audit")
    assert page.locator(".claim[data-kind=claim]:visible").count() == 0


def test_each_number_of_the_matrix_filters_and_each_claim_is_counted_once(page):
    cells = page.locator(".count:visible").all()
    seen: list[str] = []
    for cell in cells:
        page.get_by_label("paper scale").check()
        cell.click()
        assert len(shown(page)) == int(cell.inner_text())
        seen += shown(page)
        found = page.locator(".claim:visible").all()
        assert {c.get_attribute("data-verdict") for c in found} == {cell.get_attribute("data-verdict")}
        standing = cell.get_attribute("data-standing")
        assert all(standing in c.get_attribute("data-standing").split() for c in found)
    page.get_by_role("button", name="show all").click()
    page.wait_for_function(f"document.getElementById('shown').textContent.startsWith('{len(seen)} of')")
    assert sorted(shown(page)) == sorted(seen)


def test_claims_are_filtered_by_tier_and_standing(page):
    everything = shown(page)
    for tier, name in TIERS.items():
        if tier != "ours":
            page.get_by_label(name, exact=True).uncheck()
    kept = page.locator(".claim[data-tier=ours][data-at~=once]").evaluate_all("nodes => nodes.map(n => n.id)")
    assert shown(page) == kept != everything
    page.get_by_role("button", name="show all").click()
    page.wait_for_function(f"document.getElementById('shown').textContent.startsWith('{len(everything)} of')")
    for standing in ("counted", "registered", "exploratory"):
        page.get_by_label("standing").select_option(standing)
        wanted = page.locator(f".claim[data-standing~={standing}][data-at~=once]").count()
        assert len(shown(page)) == wanted


def test_the_other_scale_shows_its_own_verdicts(page):
    page.get_by_label("paper scale").check()
    assert all(i.endswith("-paper") for i in shown(page))
    assert len(shown(page)) == page.locator(".claim[data-at~=paper]").count()
    assert "scale=paper" in page.locator(".how:visible code").first.inner_text()


def test_it_is_usable_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "document.activeElement.name || document.activeElement.id || document.activeElement.className"
            )
        )
    assert {"theme", "scale", "verdict", "tier", "standing", "kind", "text"} <= seen
    page.locator("input[name=verdict]").first.focus()
    page.keyboard.press("Space")
    assert not page.locator("input[name=verdict]").first.is_checked()
    assert page.locator(".claim[data-verdict=reproduced]:visible").count() == 0


def test_nothing_scrolls_sideways(page):
    for details in page.locator("details").all():
        details.evaluate("node => { node.open = true }")
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark(page):
    def lightness() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(colour.removeprefix("rgb(").split(",")[0])

    before = lightness()
    page.locator("#theme").click()
    assert (before > 128) != (lightness() > 128)
    look = page.locator("figure:not(.map):visible img").first.evaluate("node => getComputedStyle(node).filter")
    assert ("invert" in look) == (lightness() < 128), "figures follow the page"


def test_the_index_leads_to_every_paper(page):
    page.goto(INDEX)
    links = page.locator("h2 a").evaluate_all("nodes => nodes.map(n => n.href)")
    assert len(links) == len(list((ROOT / "results/papers").glob("*.html"))) > 1
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    for link in links:
        page.goto(link)
        assert page.locator(".claim:visible").count() > 0
    page.locator("h1 a").click()
    assert page.url == INDEX
