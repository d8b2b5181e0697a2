"""The page in a real browser: no complaint, no request, nothing wider than the screen, usable by keyboard.

Needs Chromium (Debian: `apt install chromium`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from results_page import fabricated
from results_page.chromium import Tab, chromium

from advss_zoo.results_page.collect import collect
from advss_zoo.results_page.figure import NOTHING
from advss_zoo.results_page.page import Report
from advss_zoo.results_page.palette import DARK, LIGHT

pytestmark = pytest.mark.nightly

PHONE, DESKTOP = 360, 1280
TAB, ENTER, SPACE = ("Tab", 9), ("Enter", 13, "\r"), (" ", 32, " ")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    page = tmp_path_factory.mktemp("page") / "report.html"
    Report(collect([fabricated.everything(tmp_path_factory.mktemp("results"))])).write(page)
    return page.as_uri()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_opens_without_a_complaint_or_a_request(width: int, dark: bool, tab: Tab, url: str) -> None:
    tab.open(url, width=width, dark=dark)
    assert tab.evaluate("document.querySelectorAll('section').length") == 10
    assert tab.complaints == []
    assert tab.requests == [url]
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    paper = (DARK if dark else LIGHT)["paper"]
    rgb = ", ".join(str(int(paper[place : place + 2], 16)) for place in (1, 3, 5))
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == f"rgb({rgb})"


def test_the_policy_is_enforced(tab: Tab, url: str) -> None:
    """If it were not, the test above would prove less."""
    tab.open(url, width=DESKTOP)
    tab.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    tab.evaluate("document.body.setAttribute('onclick', 'window.hacked = 1'); document.body.click()")
    assert tab.evaluate("window.hacked") is None
    assert any("Content Security Policy" in str(complaint) for complaint in tab.complaints)


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_texts_of_figures_can_be_read_and_stay_inside(width: int, tab: Tab, url: str) -> None:
    tab.open(url, width=width)
    smallest = tab.evaluate(
        "Math.min(...[...document.querySelectorAll('figure > svg text')].filter(t => t.getClientRects().length)"
        ".map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a))"
    )
    assert smallest >= 8.5  # pixels, of the rings of a radar on a phone
    outside = tab.evaluate(
        "[...document.querySelectorAll('figure > svg')].flatMap(s => { const f = s.getBoundingClientRect();"
        "return [...s.querySelectorAll('text')].filter(t => { const b = t.getBoundingClientRect();"
        "return b.left < f.left - 1 || b.right > f.right + 1 || b.top < f.top - 1 || b.bottom > f.bottom + 1 })"
        ".map(t => t.textContent) })"
    )
    assert outside == []


def test_a_heading_sorts_its_table_both_ways_by_keyboard(tab: Tab, url: str) -> None:
    tab.open(url, width=DESKTOP)
    rows = "[...document.querySelectorAll('.board tbody tr')]"
    column = f"{rows}.map(row => row.cells[2].textContent.trim().split(/\\s/)[0])"
    assert tab.evaluate(column) == ["45.00", "40.00", NOTHING]
    tab.evaluate("document.querySelectorAll('.board thead button')[2].focus()")
    tab.press(*ENTER)
    assert tab.evaluate(column) == ["40.00", "45.00", NOTHING]
    heading = "document.querySelectorAll('.board thead th')[2].getAttribute('aria-sort')"
    assert tab.evaluate(heading) == "ascending"
    tab.press(*ENTER)
    assert tab.evaluate(column) == ["45.00", "40.00", NOTHING]
    assert tab.evaluate(heading) == "descending"
    assert tab.evaluate("document.querySelectorAll('.board th[aria-sort]').length") == 1


def test_the_first_key_leads_past_the_navigation_and_focus_can_be_seen(tab: Tab, url: str) -> None:
    tab.open(url, width=DESKTOP)
    tab.press(*TAB)
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press(*ENTER)
    tab.press(*TAB)
    assert tab.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_the_papers_models_are_shown_on_demand(tab: Tab, url: str) -> None:
    tab.open(url, width=DESKTOP)
    shown = "[...document.querySelectorAll('#tradeoff-1 > svg')].map(s => getComputedStyle(s).display != 'none')"
    assert tab.evaluate(shown) == [False, True]
    tab.evaluate("document.querySelector('#tradeoff-1-toggle').focus()")
    tab.press(*SPACE)
    assert tab.evaluate(shown) == [True, False]


def test_a_number_leads_to_its_provenance(tab: Tab, url: str) -> None:
    tab.open(url, width=PHONE)
    tab.evaluate("document.querySelector('.board td a').click()")
    assert tab.evaluate("document.querySelector(location.hash).closest('details').open")


def test_data_are_on_the_page_and_downloaded_from_it(tab: Tab, url: str) -> None:
    tab.open(url, width=PHONE)
    tab.evaluate("document.querySelector('figure details').open = true")
    assert tab.evaluate("document.querySelector('figure details table').getClientRects().length") == 1
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE
    assert tab.requests == [url]


def test_on_paper_it_is_light_and_fits(tab: Tab, url: str, tmp_path: Path) -> None:
    tab.open(url, width=794, dark=True, media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 794
    for closed in (".origin:not([open]) dl", ".room ul"):
        assert tab.evaluate(f"[...document.querySelectorAll('{closed}')].every(e => e.checkVisibility())")
    assert len(tab.call("Page.printToPDF", printBackground=False)["data"]) > 10_000
