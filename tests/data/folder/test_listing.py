from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advss_zoo.data.folder import listing
from advss_zoo.data.folder.listing import Listing, list_images
from advss_zoo.errors import AdvssError, DataError, UsageError


def touch(root: Path, *places: str) -> Path:
    """Files whose content nobody looks at."""
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(place.encode(errors="surrogateescape"))
    return root


def found(listing: Listing) -> set[tuple[str, str, str | None]]:
    return {(entry.path, entry.label, entry.part) for entry in listing.entries}


class TestLayouts:
    def test_class_folders(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/1.png", "cat/2.JPG", "dog/1.jpeg", "dog/readme.txt")
        assert found(list_images(tmp_path)) == {
            ("cat/1.png", "cat", None), ("cat/2.JPG", "cat", None), ("dog/1.jpeg", "dog", None),
        }  # fmt: skip

    @pytest.mark.parametrize("val", ["val", "valid", "Validation", "dev"])
    def test_parts(self, val: str, tmp_path: Path) -> None:
        touch(tmp_path, "train/cat/1.png", f"{val}/cat/2.png", "TEST/dog/3.png")
        assert found(list_images(tmp_path)) == {
            ("train/cat/1.png", "cat", "train"), (f"{val}/cat/2.png", "cat", "val"), ("TEST/dog/3.png", "dog", "test"),
        }  # fmt: skip

    def test_what_is_no_part_beside_parts_is_left_out_and_said(self, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "train/cat/1.png", "train/dog/1.png", "extra/cat/2.png"))
        assert {entry.part for entry in made.entries} == {"train"}
        assert made.notes == ["extra/ is neither train, val nor test: left out."]

    def test_a_class_may_be_called_train(self, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "train/1.png", "bus/1.png", "car/1.png"))
        assert {(entry.label, entry.part) for entry in made.entries} == {("train", None), ("bus", None), ("car", None)}

    @pytest.mark.parametrize(
        ("more", "note"),
        [
            ("val/.keep", "val/ is empty."),
            ("val/cat/.keep", "val/ is empty."),
            ("train/preview.jpg", "1 images are outside class folders, such as train/preview.jpg: left out."),
            ("valid/1.jpg", "1 images are outside class folders, such as valid/1.jpg: left out."),
        ],
    )
    def test_parts_stay_parts_where_one_is_empty_or_holds_loose_images(
        self, more: str, note: str, tmp_path: Path
    ) -> None:
        places = {f"{part}/{label}/1.png" for part in ("train", "test") for label in ("cat", "dog")}
        made = list_images(touch(tmp_path, *places, more))
        assert found(made) == {(place, place.split("/")[1], place.split("/")[0]) for place in places}
        assert made.notes == [note]

    def test_test_images_without_labels_are_left_out(self, tmp_path: Path) -> None:
        """As competitions give them out."""
        made = list_images(touch(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/1.jpg", "test/2.jpg"))
        assert {(entry.label, entry.part) for entry in made.entries} == {("cat", "train"), ("dog", "train")}
        assert made.notes == ["2 images are outside class folders, such as test/1.jpg: left out."]

    def test_folders_within_class_folders_are_the_classs(self, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "cat/old/far/1.png", "cat/2.png", "dog/x/3.png"))
        assert [entry.label for entry in made.entries].count("cat") == 2

    def test_folders_around_everything_are_looked_into(self, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "archive/archive/train/cat/1.png", "archive/archive/train/dog/1.png"))
        assert {(entry.label, entry.part) for entry in made.entries} == {("cat", "train"), ("dog", "train")}

    def test_hidden_files_are_nobodys(self, tmp_path: Path) -> None:
        nobodys = ("cat/._1.png", ".git/x/1.png", "__MACOSX/cat/._1.png", "cat/Thumbs.db", "dog/desktop.ini")
        made = list_images(touch(tmp_path, "cat/1.png", "dog/1.png", *nobodys))
        assert (len(made.entries), made.classes, made.notes) == (2, {"cat", "dog"}, [])

    def test_files_of_other_kinds_are_counted_and_tables_are_not(self, tmp_path: Path) -> None:
        others = ("cat/2", "cat/3.cr2", "dog/deep/4.svg", "dog/5.jpg_large")
        made = list_images(touch(tmp_path, "cat/1.png", "dog/1.png", "labels.csv", *others))
        assert made.notes == ["4 files of other types ignored, such as cat/2."]
        assert set(made.others) == set(others)

    def test_classes_without_images_are_known(self, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "cat/1.png", "dog/1.png", "bird/.keep"))
        assert made.classes == {"cat", "dog", "bird"}

    def test_accents_are_spelt_in_one_way(self, tmp_path: Path) -> None:
        names = {unicodedata.normalize(form, "café") for form in ("NFC", "NFD")}
        made = list_images(touch(tmp_path, *(f"{name}/1.png" for name in names), "кошка/1.png"))
        assert {entry.label for entry in made.entries} == {"café", "кошка"}

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        touch(tmp_path, os.fsdecode(b"\xff\xfe/\xfd.png"), "dog/1.png")
        made = list_images(tmp_path)
        assert {entry.label for entry in made.entries} == {"??", "dog"}
        assert all((made.root / entry.path).exists() for entry in made.entries)
        assert made.key

    def test_notes_on_names_that_are_no_text_can_be_written(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"\xff")
        touch(tmp_path, "train/cat/1.png", f"train/{name}", f"train/{name}.png", f"{name}/1.png", f"{name}.png")
        notes = list_images(tmp_path).notes
        assert len(notes) == 3
        for note in notes:
            note.encode()

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        places=st.sets(
            st.tuples(
                st.sampled_from(["a", "b", "ć", "1"]),
                st.lists(st.sampled_from(["x", "y"]), max_size=3),
                st.sampled_from(["1.png", "2.JPEG", "3.txt", ".4.png", "5"]),
            ).map(lambda parts: "/".join([parts[0], *parts[1], parts[2]])),
            min_size=2,
        )
    )
    def test_any_tree(self, places: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
        """Against a walk of its own: every image by name below every folder, its class the topmost."""
        root = touch(tmp_path_factory.mktemp("tree"), *places)
        expected = {place for place in places if place.endswith((".png", ".JPEG")) and "/." not in place}
        tops = {place.split("/")[0] for place in places}
        if not expected or len(tops) < 2:
            return
        assert found(list_images(root)) == {(place, place.split("/")[0], None) for place in expected}


class TestLinks:
    def test_to_files_and_folders_are_followed(self, tmp_path: Path) -> None:
        touch(tmp_path / "elsewhere", "1.png", "more/2.png")
        root = touch(tmp_path / "images", "dog/1.png")
        (root / "cat").symlink_to(tmp_path / "elsewhere")
        (root / "dog" / "2.png").symlink_to(tmp_path / "elsewhere" / "1.png")
        assert {entry.path for entry in list_images(root).entries} == {
            *("cat/1.png", "cat/more/2.png", "dog/1.png", "dog/2.png")
        }

    def test_in_a_circle_end(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/1.png", "dog/deep/1.png")
        (tmp_path / "dog/deep/again").symlink_to(tmp_path / "dog")
        assert len(list_images(tmp_path).entries) == 2

    @pytest.mark.parametrize("target", [".", ".."])
    @pytest.mark.parametrize("place", ["all", "train/all"])
    def test_to_the_folder_itself_or_above_are_no_class(self, place: str, target: str, tmp_path: Path) -> None:
        root = touch(tmp_path / "images", "train/cat/1.png", "train/dog/1.png")
        (root / place).symlink_to(target)
        assert {entry.path for entry in list_images(root).entries} == {"train/cat/1.png", "train/dog/1.png"}

    def test_to_all_classes_are_no_class(self, tmp_path: Path) -> None:
        root = touch(tmp_path / "images", "cat/1.png", "dog/1.png")
        (root / "all").symlink_to(".")
        (root / "cat" / "up").symlink_to("..")
        assert {entry.path for entry in list_images(root).entries} == {"cat/1.png", "dog/1.png"}

    def test_to_themselves_are_named_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/1.png", "dog/1.png")
        for place in ("loop", "cat/loop", "dog/loop.png"):
            (tmp_path / place).symlink_to(Path(place).name)
        made = list_images(tmp_path)
        assert {entry.path for entry in made.entries} == {"cat/1.png", "dog/1.png"}
        assert made.skipped == {"dog/loop.png": os.strerror(errno.ELOOP)}
        assert made.others == ["loop", "cat/loop"]

    def test_to_nothing_are_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/1.png", "dog/1.png")
        (tmp_path / "cat/2.png").symlink_to("nowhere.png")
        assert list_images(tmp_path).skipped == {"cat/2.png": "a broken link"}

    def test_pipes_are_not_opened(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/1.png", "dog/1.png")
        os.mkfifo(tmp_path / "cat/2.png")
        assert list_images(tmp_path).skipped == {"cat/2.png": "not a regular file"}


class TestTables:
    def test_paths_are_relative_to_the_table(self, tmp_path: Path) -> None:
        touch(tmp_path / "images", "1.png", "2.png")
        (tmp_path / "labels.csv").write_text("path,label,split\nimages/1.png,cat,train\nimages/2.png,dog,Test\n")
        made = list_images(tmp_path / "labels.csv")
        assert found(made) == {("images/1.png", "cat", "train"), ("images/2.png", "dog", "test")}

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "1.png")
        (tmp_path / "t.csv").write_text(
            "path,label,split\n1.png,cat,train\n2.png,cat,train\n1.png,cat,\n1.png,a,soon\n"
        )
        made = list_images(tmp_path / "t.csv")
        assert made.skipped == {
            "2.png": "No such file or directory",
            "t.csv:4": "the split is missing",
            "t.csv:5": "unknown split 'soon'; choose from train, val, test",
        }

    def test_the_same_row_twice_is_one_image(self, tmp_path: Path) -> None:
        touch(tmp_path, "1.png")
        (tmp_path / "t.csv").write_text("path,label\n1.png,cat\n1.png,cat\n1.png,dog\n")
        assert [entry.label for entry in list_images(tmp_path / "t.csv").entries] == ["cat", "dog"]

    def test_paths_as_windows_writes_them(self, tmp_path: Path) -> None:
        touch(tmp_path, "d/cat/0.png", "odd\\name.png")
        (tmp_path / "t.csv").write_text("path,label\nd\\cat\\0.png,cat\nodd\\name.png,dog\nd\\cat\\1.png,cat\n")
        made = list_images(tmp_path / "t.csv")
        assert [entry.path for entry in made.entries] == ["d/cat/0.png", "odd\\name.png"]
        assert made.skipped == {"d/cat/1.png": os.strerror(errno.ENOENT)}

    def test_a_name_longer_than_any_is_but_one_row(self, tmp_path: Path) -> None:
        touch(tmp_path, "1.png")
        (tmp_path / "t.csv").write_text(f"path,label\n1.png,cat\n{'x' * 300}.png,dog\n")
        made = list_images(tmp_path / "t.csv")
        assert (len(made.entries), made.classes) == (1, {"cat", "dog"})
        assert list(made.skipped.values()) == [os.strerror(errno.ENAMETOOLONG)]

    def test_a_name_of_a_table_that_is_no_text(self, tmp_path: Path) -> None:
        touch(tmp_path, "1.png")
        path = tmp_path / os.fsdecode(b"\xff.csv")
        path.write_text("path,label,split\n1.png,cat,train\n,dog,train\n1.png,cat,soon\n")
        assert set(list_images(path).skipped) == {"?.csv:3", "?.csv:4"}


class TestKey:
    def test_changes_with_what_is_there(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/1.png", "dog/1.png")
        keys = [list_images(tmp_path).key]
        changes: list[Callable[[], Any]] = [
            lambda: touch(tmp_path, "cat/2.png"),
            lambda: (tmp_path / "cat/2.png").write_bytes(b"longer than it was"),
            lambda: os.utime(tmp_path / "cat/2.png", (1, 1)),
            lambda: (tmp_path / "cat/2.png").rename(tmp_path / "dog/2.png"),
        ]
        for change in changes:
            change()
            keys.append(list_images(tmp_path).key)
        assert len(set(keys)) == 5
        assert list_images(tmp_path).key == keys[-1]


class TestRefused:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"nowhere does not exist"):
            list_images(tmp_path / "nowhere")

    def test_a_file(self, tmp_path: Path) -> None:
        touch(tmp_path, "photo.jpg")
        with pytest.raises(UsageError, match=r"photo\.jpg is a file, not a folder of images"):
            list_images(tmp_path / "photo.jpg")

    @pytest.mark.parametrize("places", [(), ("cat/notes.txt",), ("cat/.1.png",)])
    def test_no_images(self, places: tuple[str, ...], tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"contains no images.*separate folder"):
            list_images(touch(tmp_path, *places))

    def test_images_without_class_folders(self, tmp_path: Path) -> None:
        touch(tmp_path, "1.png", "2.png")
        with pytest.raises(DataError, match=r"such as 1\.png, are not in class folders"):
            list_images(tmp_path)
        (tmp_path / "labels.csv").write_text("path,label\n")
        with pytest.raises(DataError, match=r"give that: .*labels\.csv"):
            list_images(tmp_path)

    @pytest.mark.parametrize("table", ["metadata.csv", "train/metadata.jsonl"])
    def test_parts_without_class_folders(self, table: str, tmp_path: Path) -> None:
        touch(tmp_path, "train/1.jpg", "val/1.jpg")
        says = r"The images in .*, such as train/1\.jpg, are not in class folders"
        with pytest.raises(DataError, match=rf"{says}\. Put the images"):
            list_images(tmp_path)
        touch(tmp_path, table)
        with pytest.raises(DataError, match=rf"{says}\. If a table .* give that: .*{table}"):
            list_images(tmp_path)
        (tmp_path / "val/1.jpg").unlink()
        (tmp_path / "val").rmdir()
        with pytest.raises(DataError, match=rf"{says}\. If a table .* give that: .*{table}"):
            list_images(tmp_path)

    def test_files_of_other_kinds_alone_are_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/1.cr2", "dog/1.cr2")
        with pytest.raises(
            DataError, match=r"contains no images; 2 files of other types ignored, such as cat/1\.cr2\."
        ):
            list_images(tmp_path)

    def test_loose_images_beside_class_folders_are_said(self, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "1.png", "cat/1.png", "dog/1.png"))
        assert made.notes == ["1 images are outside class folders, such as 1.png: left out."]

    def test_two_folders_for_one_part(self, tmp_path: Path) -> None:
        touch(tmp_path, "train/cat/1.png", "val/cat/1.png", "valid/cat/1.png")
        with pytest.raises(DataError, match=r"val, valid in .* are the same split"):
            list_images(tmp_path)

    def test_a_folder_without_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files of the superuser can always be read, so the refusal is made up."""
        touch(tmp_path, "cat/1.png", "dog/1.png")
        children = listing._children

        def refuse(secret: Path) -> Callable[[Path], Any]:
            def ask(folder: Path) -> Any:
                if folder == secret:
                    raise PermissionError(13, "Permission denied", str(folder))
                return children(folder)

            return ask

        monkeypatch.setattr(listing, "_children", refuse(tmp_path / "cat"))
        made = list_images(tmp_path)
        assert (made.skipped, len(made.entries)) == ({"cat/": "Permission denied"}, 1)
        monkeypatch.setattr(listing, "_children", refuse(tmp_path))
        with pytest.raises(AdvssError, match=r"Cannot read .*: Permission denied"):
            list_images(tmp_path)
