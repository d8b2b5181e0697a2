"""The page of all results: docs/results.md is what the stored results make."""

from __future__ import annotations

from pathlib import Path

import pytest
from reproduction import made_up

from advss_zoo.reproduction import pages, paper, tables

ROOT = Path(__file__).parents[2]


def test_the_page_in_the_docs_is_that_of_the_stored_results(monkeypatch, ours):
    """If this fails: `advss reproduce all --tag mini --markdown docs/results.md`, with no runs/ in the way."""
    monkeypatch.undo()
    found = [tables.compare(paper.load(name), "mini", ours()) for name in paper.names()]
    assert pages.render(found) == (ROOT / "docs" / "results.md").read_text()


def test_what_is_not_judged_says_why(measure, runs, ours):
    measure("p1f4.mini", 0.7, 0.4)
    made_up.train(runs, "p1f4.mini", "average", 16.0, seed=21)
    text = pages.render([tables.compare(paper.load("table3"), "mini", ours())])
    assert "| P1F4 any task | p1f4.mini (not judged) | 70.00 (69.1-70.9) | 40.00 (39.0-41.0) | 16 |\n" in text
    assert "\nNot judged:\n\n* p1f4.mini: seed=21 (recipe: 20)\n" in text


def test_a_claim_of_two_tables_counts_once(measure, ours):
    for name in ("p1f4.mini", "selfie-p3f4.mini"):
        measure(name, 0.7, 0.4)
    found = [tables.compare(paper.load(name), "mini", ours()) for name in ("table3", "fig1")]
    both = {judged.claim for each in found for judged in each.claims if judged.kind == "claim"}
    rows = pages.render(found).split("| verdict | claims |")[1].split("\n\n")[0].splitlines()[2:]
    assert sum(int(row.split("|")[2]) for row in rows) == len(both)


@pytest.mark.parametrize(
    ("metric", "value", "bounds", "text"),
    [
        ("ra", 0.4416, (0.4319, 0.4513), "44.16 (43.2-45.1)"),
        ("ra", 0.0, (0.0, 0.0004), "0.00 (0.00-0.04)"),
        ("epochs", 32.0, None, "32"),
        ("ta", None, None, "-"),
    ],
)
def test_cells(metric, value, bounds, text):
    assert pages.cell(metric, value, bounds) == text
