"""benchmarks/growth.py: what grows with the number of images and of results."""

from __future__ import annotations

from pathlib import Path

import growth
import pytest


def rows(printed: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()]


def test_a_row_on_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(growth, "SIDE", 16)
    growth.images(tmp_path, 16)
    ((count, milliseconds, outside, memory),) = rows(capsys.readouterr().out)
    assert (count, milliseconds.split()[1], memory.split()[1]) == ("16", "ms", "MB")
    assert 0 < float(outside.removesuffix("%")) < 100


def test_a_row_on_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(growth, "PROTOCOLS", 2)
    growth.reported(tmp_path, 4)
    ((count, seconds, page),) = rows(capsys.readouterr().out)
    assert (count, seconds.split()[1], page.split()[1]) == ("4", "s", "MB")
