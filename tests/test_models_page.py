"""docs/models.md says what is taken and what is refused; each row is tried."""

from __future__ import annotations

from models_page import PAGE, TABLES, render


def test_the_tables_are_what_happens() -> None:
    found = TABLES.search(PAGE.read_text(encoding="utf-8"))
    assert found
    assert found[0].strip() == render().strip(), "run: python tests/models_page.py"
