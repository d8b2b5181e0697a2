"""That every section of benchmarks/choices.py runs; what it measures is looked at by people."""

from __future__ import annotations

import sys

import choices
import pytest

from advss_zoo.attacks import autoattack_driver as driver


@pytest.mark.parametrize("section", choices.SECTIONS)
def test_a_section_prints_its_table(
    section: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = driver.constants
    monkeypatch.setattr(choices, "ROUNDS", 1)
    monkeypatch.setattr(choices, "MOST_IMAGES", 8)
    monkeypatch.setattr(
        driver, "constants", lambda *constants, iterations, queries: quick(*constants, iterations=2, queries=4)
    )
    monkeypatch.setattr(sys, "argv", ["choices.py", "p1f4.mini", "--only", section, "--images", "4"])
    choices.main()
    printed = capsys.readouterr().out
    assert printed.startswith(f"\n{section}, p1f4.mini, 1 threads")
    header, rule, *rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert rows
    assert {line.count("|") for line in (header, rule, *rows)} == {header.count("|")}
