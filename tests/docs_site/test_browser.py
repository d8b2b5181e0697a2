"""The site as it is built: links and anchors, and in a real browser on a phone, in the dark, without a network.

Needs `pip install -e '.[docs]'` and Chromium (Debian: `apt install chromium`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import make
import pytest
from results_page.chromium import Tab, chromium

pytestmark = pytest.mark.nightly

PHONE, DESKTOP = 360, 1280
PAGES = ("index", "leaderboard", "evaluate", "commands", "recipes", "api", "results", "cards/p1f4.mini", "search")


class Links(HTMLParser):
    """The ids of a page, where its links lead, and what it loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = {"", "top"}
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        loads = "href" if tag == "link" else "src"
        if loads in found and found.get("rel") != "canonical":
            self.loaded.add(found[loads])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    make.main(folder)
    return folder


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def errors(tab: Tab) -> list[object]:
    """Complaints, without what the theme merely tells."""
    return [complaint for complaint in tab.complaints if complaint.get("type") not in ("log", "info", "debug")]


def test_every_link_and_anchor_exists_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path: Links(path) for path in site.rglob("*.html") if "_static" not in path.parts}  # templates
    assert len(pages) > 40
    broken = []
    for page, found in pages.items():
        for link in found.links | found.loaded:
            address = urlsplit(link)
            if address.scheme in ("https", "data") and (link in found.links or address.scheme == "data"):
                continue
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            anchored = target not in pages or unquote(address.fragment) in pages[target].ids
            if address.scheme or not target.exists() or not anchored:
                broken.append(f"{page.relative_to(site)}: {link}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_a_complaint_and_fits(page: str, dark: bool, width: int, tab: Tab, site: Path) -> None:
    tab.open((site / f"{page}.html").as_uri(), width=width, dark=dark)
    assert tab.evaluate("document.querySelectorAll('h1').length") == 1
    assert errors(tab) == []
    assert [url for url in tab.requests if not url.startswith("file://")] == []
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    red = tab.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.slice(4))")
    assert red < 60 if dark else red > 200


def test_search_finds_without_a_network(tab: Tab, site: Path) -> None:
    tab.open(f"{(site / 'search.html').as_uri()}?q=autoattack", width=DESKTOP)
    deadline = time.monotonic() + 20
    while tab.evaluate("document.querySelectorAll('#search-results li a').length") < 4:  # they come one by one
        assert time.monotonic() < deadline
    assert errors(tab) == []


def test_the_leaderboard_leads_to_the_report(tab: Tab, site: Path) -> None:
    tab.open((site / "leaderboard.html").as_uri(), width=DESKTOP)
    assert tab.evaluate("document.querySelectorAll('table')[0].rows.length") > 5
    tab.open(tab.evaluate(f"document.querySelector('a[href=\"{make.REPORT}\"]').href"), width=DESKTOP)
    assert "selfie-p3f4.mini" in tab.evaluate("document.body.innerText")
    assert errors(tab) == []
