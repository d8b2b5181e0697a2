"""`advss data check`: for people, for programs, and as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from advss_zoo.data.subset import load_subset

Advss = Callable[..., Any]


@pytest.fixture
def photos() -> Path:
    for number, pixels in enumerate(load_subset().images[:12]):
        path = Path("photos", "ab"[number % 2], f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return Path("photos")


def test_it_prints_what_a_dry_run_of_fine_tuning_prints(advss: Advss, photos: Path) -> None:
    checked = advss("data", "check", "photos")
    assert checked.status == 0
    assert checked.stdout.startswith("12 images of 2 classes in photos\n")
    planned = advss("finetune", "--data", "photos", "--dry-run", "--epochs", "1", "--device", "cpu")
    assert all(line in planned.stderr for line in checked.stdout.splitlines())
    assert "Not used or odd: " in checked.stderr


def test_as_json_with_a_page(advss: Advss, photos: Path) -> None:
    outcome = advss("data", "check", "photos", "--json", "--html", "page.html", "--image-size", "16")
    assert outcome.status == 0
    assert outcome.json["parts"] == {"train": 8, "val": 2, "test": 2}
    assert (outcome.json["side"], outcome.json["page"]) == (16, "page.html")
    assert Path("page.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("arguments", [("nowhere",), ("photos/a",), ("photos", "--parts", "train"), ()])
def test_what_is_wrong_is_a_sentence(advss: Advss, photos: Path, arguments: tuple[str, ...]) -> None:
    outcome = advss("data", "check", *arguments)
    assert outcome.status in (1, 2)
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("Error: ")
    assert "Unexpected" not in outcome.stderr
