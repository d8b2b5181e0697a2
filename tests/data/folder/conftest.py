"""Folders of little pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data.folder.pictures import encoded, picture

Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """`draw("cat/1.png", 5)` puts picture number 5 there and returns the path."""

    def draw(place: str, seed: int, **options: Any) -> Path:
        path = tmp_path / "images" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(seed, **options)))
        return path

    return draw


@pytest.fixture
def pets(tmp_path: Path, draw: Draw) -> Path:
    """Ten cats and ten dogs."""
    for seed in range(20):
        draw(f"{'cat' if seed < 10 else 'dog'}/{seed}.png", seed)
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
