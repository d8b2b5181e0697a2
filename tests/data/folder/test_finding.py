"""Which images are meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from advss_zoo.data.folder import finding
from advss_zoo.errors import UsageError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def names(arguments: list[str]) -> list[str]:
    return [str(path) for path in finding.find(arguments).files]


def test_files_folders_and_patterns(here: Path) -> None:
    for path in ("b.png", "photos/2.jpg", "photos/sub/1.PNG", "photos/.hidden/3.png", "photos/.4.png", "[1].png"):
        draw(path)
    Path("photos/notes.txt").write_text("no image")
    assert names(["photos"]) == ["photos/2.jpg", "photos/sub/1.PNG"]
    assert names(["photos/", "b.png"]) == ["photos/2.jpg", "photos/sub/1.PNG", "b.png"]
    assert names(["photos/**/*.PNG"]) == ["photos/sub/1.PNG"]
    assert names(["phot*"]) == ["photos/2.jpg", "photos/sub/1.PNG"]
    assert names(["[1].png"]) == ["[1].png"], "a name comes before a pattern"
    assert names(["photos/notes.txt"]) == ["photos/notes.txt"], "what is named is looked at, whatever it is"


def test_what_is_meant_twice_is_looked_at_once(here: Path) -> None:
    for path in ("p/2.png", "p/sub/1.png", "p/sub/deep/3.png"):
        draw(path)
    files = ["p/2.png", "p/sub/1.png", "p/sub/deep/3.png"]
    assert names(["p/**"]) == names(["p", "p/*.png", "./p/sub/"]) == files
    assert names(["p/sub/deep/3.png", "p"]) == [files[2], *files[:2]], "where it was named first"


def test_links_are_followed_and_lead_nowhere_twice(here: Path) -> None:
    draw("other/1.png")
    Path("photos").mkdir()
    Path("photos/link").symlink_to(here / "other")
    Path("photos/round").symlink_to(here / "photos")
    Path("photos/gone.png").symlink_to(here / "nowhere.png")
    found = finding.find(["photos"]).files
    assert sorted(map(str, found)) == ["photos/gone.png", "photos/link/1.png"]


@pytest.mark.parametrize("argument", ["nowhere", "nowhere.png", "*.png", "", "a\0b", "empty", "notes"])
def test_nothing_to_look_at_is_a_sentence(argument: str, here: Path) -> None:
    Path("empty").mkdir()
    Path("notes").mkdir()
    Path("notes/readme.txt").write_text("no image")
    with pytest.raises(UsageError):
        finding.find([argument])


def test_a_folder_that_cannot_be_read_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    Path("locked").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    assert finding.find(["locked"]).broken == {Path("locked"): "Permission denied"}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("p/@eaDir/1.jpg/SYNOFILE_THUMB_M.jpg", "@eaDir"),
        ("p/sub/.thumbnails/1.png", ".thumbnails"),
        ("p/lost+found/1.png", "lost+found"),
        ("p/._1.png", "._*"),
    ],
)
def test_what_systems_leave_is_counted_and_not_looked_at(place: str, kind: str, here: Path) -> None:
    for path in ("p/1.png", "p/sub/2.png", place):
        draw(path)
    for arguments in (["p"], ["p/**"], ["p", "p/sub"]):
        found = finding.find(arguments)
        assert sorted(map(str, found.files)) == ["p/1.png", "p/sub/2.png"]
        if arguments != ["p/**"] or not kind.startswith("."):  # which patterns do not match
            assert {name: (each.places, each.images) for name, each in found.passed_over.kinds.items()} == {
                kind: (1, 1)
            }
    assert names([place]) == [place], "what is named is looked at"
