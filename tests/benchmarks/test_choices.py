"""That every section of benchmarks/choices.py runs; what it measures is looked at by people."""

from __future__ import annotations

import sys
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace

import choices
import pytest
from pyautoattack import fab_pt

from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.data.subset import load_subset


@pytest.mark.parametrize("section", choices.SECTIONS)
def test_a_section_prints_its_table(
    section: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick, fab = driver.constants, fab_pt.FABAttack_PT
    monkeypatch.setattr(choices.multiprocessing, "get_context", lambda method: SimpleNamespace(Pool=ThreadPool))
    monkeypatch.setattr(choices, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(choices, "load_data", lambda name, split: load_subset().first(16))
    monkeypatch.setattr(choices, "ROUNDS", 1)
    monkeypatch.setattr(choices, "SIZES", (1, 3, 8))
    monkeypatch.setattr(
        driver, "constants", lambda *constants, iterations, queries: quick(*constants, iterations=2, queries=4)
    )
    if section == "distances":
        monkeypatch.setattr(fab_pt, "FABAttack_PT", lambda *what, **options: fab(*what, **options | {"n_iter": 2}))
    monkeypatch.setattr(sys, "argv", ["choices.py", "p1f4.mini", "--only", section, "--images", "4"])
    choices.main()
    printed = capsys.readouterr().out
    assert printed.startswith(f"\n{section}, p1f4.mini, 1 threads")
    header, rule, *rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert rows
    assert {line.count("|") for line in (header, rule, *rows)} == {header.count("|")}
