"""The pages of the site before they are rendered: complete, linked to what exists, and made from what they describe."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import leaderboard
import make
import pytest
import reference
from conf import URLS
from typer.main import get_command

from advss_zoo import resources
from advss_zoo.cli.app import COMMANDS, app
from advss_zoo.errors import AdvssError
from advss_zoo.evaluation import protocols
from advss_zoo.training.recipe import Recipe
from advss_zoo.zoo import index, sources

PAGES = make.pages()
README = make.ROOT / "README.md"


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: str(path.relative_to(make.ROOT)))
def test_every_link_leads_to_a_page_or_a_file(path: Path) -> None:
    place = PAGES.get(path, "index.md")
    text = make.with_links(path.read_text(), path, place, PAGES)
    for target in re.findall(rf"\({re.escape(URLS['Source'])}/(?:blob|tree)/main/([^)#]+)", text):
        assert (make.ROOT / target).exists(), target


def test_a_link_to_nowhere_is_named() -> None:
    page = make.ROOT / "docs" / "page.md"
    with pytest.raises(SystemExit, match=r"docs/page.md links to gone.md, which does not exist"):
        make.with_links("See [it](gone.md).", page, "page.md", PAGES)
    untouched = "`[it](gone.md)` and [a](https://example.org/x.md) and [b](#here)"
    assert make.with_links(untouched, page, "page.md", PAGES) == untouched
    linked = make.with_links("[`a`](../SECURITY.md#x) [b](../recipes)", page, "page.md", PAGES)
    assert linked == f"[`a`](security.md#x) [b]({URLS['Source']}/tree/main/recipes)"


def test_every_page_is_in_a_section() -> None:
    listed = {f"{name}.md" for names in make.SECTIONS.values() for name in names} | {"index.md"}
    cards = {place for place in PAGES.values() if place.startswith("cards/")}
    assert set(PAGES.values()) | set(make.MADE) == (listed | cards | {"leaderboard.md"})


def test_every_command_and_option_is_in_the_reference() -> None:
    page = reference.commands()
    assert set(COMMANDS) <= set(re.findall(r"^## ([a-z]+)$", page, re.MULTILINE))
    assert "## data get" in page
    for name, command in get_command(app).commands.items():
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        assert all(option in page for option in options if option != "--help"), name


def test_every_key_of_a_recipe_is_in_the_reference() -> None:
    page = reference.recipes()
    assert all(f"| `{key}` |" in page for key in Recipe.model_fields)
    anchors = {heading.lower() for heading in re.findall(r"^## (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= anchors
    assert "| `eps` | number" in page


def test_every_protocol_is_in_the_reference() -> None:
    page = reference.protocols()
    for example in re.findall(r"^## (.+)$", page, re.MULTILINE):
        assert protocols.parse(example)
    for name in ("clean", "pgd20", "autoattack", "corruptions", "transfer", "ensemble-worst", "unforeseen-fog-eps4"):
        assert f"`{name}`" in page
    assert "eps 8/255, steps 20" in page


def test_the_leaderboard_has_every_number_of_the_zoo_with_its_files() -> None:
    page = leaderboard.page("report.html")
    board, evidence = page.split("## Evidence")
    for entry in index.entries():
        if not entry.results:  # a trunk, or a classifier that waits for its evaluation
            assert f"[{entry.full_name}]" not in board
            continue
        line = next(line for line in board.splitlines() if f"[{entry.full_name}](" in line)
        for accuracy in filter(None, (entry.ta, entry.ra, entry.aa)):
            assert f"[{100 * accuracy:.2f}](" in line
        assert f"{entry.parameters:,}" in line
    named = re.findall(rf"\({re.escape(URLS['Source'])}/blob/main/([^)]+)\)", page)
    assert len(named) > 3 * len(index.entries())
    assert all((resources.CHECKOUT / path).is_file() for path in named)
    assert "`advss eval p1f4.mini --attack autoattack --data cifar10-1k --processes 2`" in evidence
    ranks = [float(aa) for aa in re.findall(r"\[(\d+\.\d+)\]\(\S+autoattack/result.json", board)]
    assert len(ranks) > 5
    assert ranks == sorted(ranks, reverse=True)


def test_a_number_that_its_verdicts_do_not_give_stops_the_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "p1f4.mini"
    shutil.copytree(resources.PACKAGE / "bundled" / "p1f4.mini" / "results", changed / "results")
    result = changed / "results" / "cifar10-pgd20" / "result.json"
    result.write_text(result.read_text().replace('"ra": 0.4372', '"ra": 0.5372'))
    monkeypatch.setattr(sources, "SOURCES", {"bundled": lambda _: changed, "checkout": lambda _: changed})
    with pytest.raises(AdvssError, match=r"says ra = 0.5372, but its verdicts give 0.4372"):
        leaderboard.page("report.html")
