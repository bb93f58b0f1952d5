"""The pages in a real headless Chromium: no errors, no network, filters, the address, keyboard, phone width, light and dark, print."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from report_pages import made

from bench.judge.shown import HOW, TIERS

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
    opened.goto(at())
    yield opened
    assert opened.problems == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []
    opened.close()


def at(name: str = "papers/ssvr.html", more: str = "") -> str:
    """The address of a page."""
    return (made("ssvr", "doublysgd") / name).as_uri() + more


def shown(page) -> list[str]:
    return page.locator(".claim:visible").evaluate_all("nodes => nodes.map(n => n.id)")


def everything(page) -> list[str]:
    return page.locator(".claim[data-at~=once]").evaluate_all("nodes => nodes.map(n => n.id)")


def widened(page) -> None:
    page.get_by_role("button", name="show all").click()
    page.wait_for_function("!location.search")


def test_a_row_opens_to_source_why_refuters_command_and_data(page):
    from playwright.sync_api import expect

    assert shown(page) == everything(page) != []
    page.evaluate("document.querySelectorAll('.claim').forEach(node => { node.open = true })")
    for claim in page.locator(".claim:visible").all():
        claim.scroll_into_view_if_needed()  # what is off the screen is not laid out
        said = "Theory" if claim.get_attribute("data-tier") == "ours" else "Published"
        expect(claim).to_contain_text(said, use_inner_text=True)
        text = claim.inner_text()
        assert claim.locator(".tier").inner_text() == TIERS[claim.get_attribute("data-tier")]
        assert all(word in text for word in ("Why", "Would refute it", claim.get_attribute("data-standing").split()[0]))
        where, reference, how = claim.locator(".source").inner_text().strip("()").rsplit("; ", 2)
        assert where
        assert reference
        assert how in HOW.values()
        assert claim.locator(".badge").count() == 1
        name = claim.get_attribute("id").partition(".")[0]
        assert f"make reproduce PAPER=ssvr CLAIM={name} SCALE=" in text
    page.locator("#rate-ssvr a.csv").click()
    csv = page.evaluate("decodeURIComponent(document.querySelector('#rate-ssvr a.csv').href)")
    assert "\npart,estimate" in f"\n{csv.partition(',')[2]}"
    assert "slope of ssvr" in csv


def test_figures_load_where_they_are_seen_and_tables_where_they_are_opened(page):
    images = page.locator("figure:visible img")
    image = images.first
    image.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete", arg=image.element_handle())
    assert image.evaluate("image => image.naturalWidth") > 100, "the figure's file is there"
    table = page.locator("details.table:visible").first
    assert table.locator("table").count() == 0
    table.locator("summary").click()
    table.locator("table").wait_for()
    assert table.locator("caption").count() == 1


def test_filters_narrow_the_address_tells_and_reset_widens(page):
    before = everything(page)
    page.get_by_label("text").fill("signsgd stalls")
    assert shown(page) == [i for i in before if "signsgd-stalls" in i]
    assert page.locator("output").inner_text() == f"1 of {len(before)} claims"
    assert page.locator(".experiment:visible").count() == 1
    assert page.url.endswith("?text=signsgd+stalls")
    page.get_by_label("text").fill("no such words")
    assert page.get_by_text("No claim of this paper fits these filters").is_visible()
    page.get_by_role("button", name="Show all", exact=True).click()
    page.wait_for_function("!location.search")
    assert shown(page) == before
    page.get_by_label("reproduced", exact=True).uncheck()
    assert page.locator(".claim[data-verdict=reproduced]:visible").count() == 0
    page.get_by_label("kind").select_option("audit")
    assert page.locator(".claim[data-kind=claim]:visible").count() == 0
    page.reload()
    assert not page.get_by_label("reproduced", exact=True).is_checked(), "the address holds the filters"
    assert page.get_by_label("kind").input_value() == "audit"


def test_a_link_into_a_claim_works_from_anywhere(page):
    paper = page.locator(".claim:not([data-at~=once])").first.get_attribute("id")
    for name, more in (("rate-ssvr", ""), ("rate-ssvr", "?verdict=inconclusive&tier=ours"), (paper, "?text=nothing")):
        page.goto("about:blank")
        page.goto(at(more=f"{more}#{name}"))
        claim = page.locator(f'[id="{name}"]')
        assert claim.is_visible()
        assert claim.get_attribute("open") is not None
        assert claim.evaluate("node => Math.abs(node.getBoundingClientRect().top) < innerHeight")
    page.locator(f'[id="{paper}"] > summary').click(position={"x": 3, "y": 3})
    page.wait_for_function("!location.hash")
    page.goto("about:blank")
    page.goto(at("index.html"))
    link = page.locator(".failed li a").first
    name = link.get_attribute("href").partition("#")[2]
    link.click()
    assert page.locator(f'[id="{name}"]').get_attribute("open") is not None


def test_each_number_of_the_matrix_filters_and_each_claim_is_counted_once(page):
    seen: list[str] = []
    for cell in page.locator(".count:visible").all():
        page.get_by_label("protocol").select_option("paper")
        cell.click()
        assert len(shown(page)) == int(cell.inner_text())
        seen += shown(page)
        found = page.locator(".claim:visible").all()
        assert {c.get_attribute("data-verdict") for c in found} == {
            cell.get_attribute("class").split()[-1],
        }
    widened(page)
    assert sorted(shown(page)) == sorted(seen)


def test_claims_are_filtered_by_tier_and_standing(page):
    before = everything(page)
    for tier, name in TIERS.items():
        if tier != "ours":
            page.get_by_label(name, exact=True).uncheck()
    kept = page.locator(".claim[data-tier=ours][data-at~=once]").evaluate_all("nodes => nodes.map(n => n.id)")
    assert shown(page) == kept != before
    widened(page)
    for standing in ("counted", "registered", "exploratory"):
        page.get_by_label("standing").select_option(standing)
        wanted = page.locator(f".claim[data-standing~={standing}][data-at~=once]").count()
        assert len(shown(page)) == wanted


def test_the_other_scale_shows_its_own_verdicts(page):
    page.get_by_label("protocol").select_option("paper")
    assert page.url.endswith("?scale=paper")
    assert len(shown(page)) == page.locator(".claim[data-at~=paper]").count() > 0


def test_it_is_usable_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("document.activeElement.name || document.activeElement.id || document.activeElement.tagName")
        )
    assert {"page.theme", "scale", "verdict", "tier", "standing", "kind", "text", "SUMMARY"} <= seen
    page.locator("input[name=verdict]").first.focus()
    page.keyboard.press("Space")
    assert not page.locator("input[name=verdict]").first.is_checked()
    assert page.locator(".claim[data-verdict=reproduced]:visible").count() == 0


def test_a_term_is_explained_under_the_keyboard(page):
    term = page.locator("a.term:visible").first
    term.focus()
    tip = page.get_by_role("tooltip")
    assert tip.is_visible()
    said = page.locator(f'[id="{term.get_attribute("aria-describedby")}"]').inner_text()
    assert tip.inner_text() == said
    page.keyboard.press("Escape")
    assert not tip.is_visible()


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
    page.get_by_role("button", name="Switch between light and dark").click()
    assert (before > 128) != (lightness() > 128)
    look = page.locator("figure:not(.map):visible img").first.evaluate("node => getComputedStyle(node).filter")
    assert ("invert" in look) == (lightness() < 128), "figures follow the page"


def test_print_has_every_claim_the_legend_and_the_tables(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".claim:visible .why").count() >= len(everything(page))
    assert page.get_by_text("The interval lies inside of what the claim accepts").is_visible()
    assert page.locator("details.table:visible table").count() > 3
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".claim[open]").count() == 0


def test_without_scripts_each_claim_is_read_once(browser):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(at())
    assert plain.locator(".claim:visible").count() == plain.locator(".claim[data-at~=once]").count() > 0
    assert plain.locator("form:visible").count() == 0, "filters would do nothing"
    plain.locator(".claim > summary").first.click(position={"x": 3, "y": 3})
    assert plain.locator(".claim .why").first.is_visible()
    context.close()


def test_the_index_leads_to_every_paper(page):
    page.goto(at("index.html"))
    links = page.locator(".card h3 a").evaluate_all("nodes => nodes.map(n => n.href)")
    assert len(links) == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    for link in links:
        page.goto(link)
        assert page.locator(".claim:visible").count() > 0
    page.locator(".home a").click()
    assert page.url == at("index.html")
