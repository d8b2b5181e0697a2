"""What is found in a folder is a value, and a page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from results_page.parsed import Element, parse

from advss_zoo.data.subset import load_subset
from advss_zoo.errors import DataError, UsageError
from advss_zoo.workflows.check import check_data

Advss = Callable[..., Any]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mess() -> Path:
    """Eight cats and ships, and one of each oddity."""
    real = load_subset()
    for name in ("cat", "ship"):
        for number in np.flatnonzero(real.labels == real.classes.index(name))[:8]:
            path = Path("mess", name, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(real.images[number].transpose(1, 2, 0)).save(path)
    first, second = sorted(Path("mess/cat").iterdir())[:2]
    Image.open(first).resize((64, 64)).save("mess/cat/larger.png")
    Image.open(second).save("mess/ship/a cat.png")
    Image.new("RGB", (32, 32), "grey").save("mess/ship/blank.png")
    Path("mess/ship/cut.png").write_bytes(second.read_bytes()[:300])
    Path("mess/cat/@eaDir").mkdir()
    Path("mess/cat/@eaDir/thumb.jpg").write_bytes(b"x")
    return Path("mess")


def _section(page: Element, name: str) -> Element:
    (found,) = page.all("section", id=name)
    return found


def test_every_image_is_used_or_named_with_a_reason(mess: Path) -> None:
    summary = check_data(mess).data.summary
    assert sum(summary.parts.values()) == 16 + 3 - 2 + 0  # both copies of the cat that is also a ship are left out
    assert list(summary.skipped) == ["ship/cut.png"]
    assert set(summary.left_out) == {"ship/a cat.png", *(path for path in summary.left_out if path.startswith("cat/"))}
    assert len(summary.left_out) == 2
    assert summary.odd["ship/blank.png"] == "nearly uniform"
    assert sum("a near copy of" in why for why in summary.odd.values()) == 1
    assert summary.passed_over["@eaDir"].images == 1


def test_the_value_is_plain_data(mess: Path) -> None:
    found = check_data(str(mess), 16, html="page.html")
    document = json.loads(json.dumps(found.to_json()))
    assert document["side"] == 16
    assert document["page"] == "page.html"
    assert document["classes"]["cat"].keys() == {"train", "val", "test"}
    assert Path(document["images"]).read_text().count("\n") == 1 + sum(document["parts"].values())
    assert "ship/cut.png" in Path(document["unused"]).read_text()


def test_options_are_those_of_fine_tuning(mess: Path) -> None:
    for place in ("one", "two"):
        for name in ("cat", "ship"):
            Path("parted", place, name).mkdir(parents=True)
    for number, path in enumerate(sorted(mess.glob("*/[0-9]*.png"))):
        path.rename(Path("parted", "two" if number % 4 == 0 else "one", path.parent.name, path.name))
    summary = check_data("parted", parts={"one": "train", "two": "test"}).data.summary
    assert [(origin.part, origin.why) for origin in summary.origins] == [("train", "--parts"), ("test", "--parts")]
    assert summary.parts["test"] == 4


def test_jpegs_that_were_cut_off_are_used_and_shown_on_request(mess: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    image.save("mess/cat/whole.jpg")
    Path("mess/cat/cut off.jpg").write_bytes(Path("mess/cat/whole.jpg").read_bytes()[:2500])
    Path("mess/cat/whole.jpg").unlink()
    assert "cat/cut off.jpg" in check_data(mess).data.summary.skipped
    found = check_data(mess, truncated=True, html="page.html").data
    assert "cat/cut off.jpg" not in found.summary.skipped
    assert "cut off.jpg" in found.images_file.read_text()


def test_progress_is_told(mess: Path) -> None:
    told: list[tuple[str, str, int, int, str]] = []
    check_data(mess, html="page.html", progress=lambda *step: told.append(step))
    assert {step[0] for step in told} == {"Reading images", "Drawing pictures"}
    assert all(step[2] <= step[3] for step in told)


def test_the_page_shows_each_class_and_everything_odd(mess: Path) -> None:
    check_data(mess, html="page.html")
    text = Path("page.html").read_text()
    page = parse(text)
    assert {section["id"] for section in page.all("section")} == {"classes", "pictures", "odd", "unused", "files"}
    links = [image["src"] for image in page.all("img")]
    assert len(links) >= 2 * 6 + 4
    assert all(link.startswith("data:image/jpeg;base64,") for link in links)
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    odd = _section(page, "odd").text
    assert all(name in odd for name in ("blank.png", "a near copy of", "the same image as"))
    assert "ship/cut.png" in _section(page, "unused").text
    assert [row.text for row in _section(page, "classes").all("th", scope="row")] == ["cat", "ship", "all"]
    assert "@eaDir" in _section(page, "files").text


@pytest.mark.parametrize("name", ["<b>&'\"", "日本 語", "-rf"])
def test_names_are_only_text_on_the_page(mess: Path, name: str) -> None:
    (mess / "cat").rename(mess / name)
    check_data(mess, html="page.html")
    page = parse(Path("page.html").read_text())
    assert name in [heading.text for heading in _section(page, "pictures").all("h3")]
    assert not page.all("b")


def test_the_same_folder_makes_the_same_page(mess: Path) -> None:
    pages = []
    for _ in range(2):
        check_data(mess, html="page.html")
        pages.append(Path("page.html").read_bytes())
    assert pages[0] == pages[1]


def test_what_is_no_data_set_is_refused(mess: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist"):
        check_data("nowhere")
    with pytest.raises(DataError, match="are not in class folders"):
        check_data(mess / "cat")
