from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advss_zoo.data.folder.listing import FolderOptions, Listing, list_images
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
        """The last two are what some cameras write."""
        touch(tmp_path, "cat/1.png", "cat/2.JPG", "dog/1.jpeg", "dog/readme.txt", "cat/3.HIF", "dog/2.MPO")
        assert found(list_images(tmp_path)) == {
            ("cat/3.HIF", "cat", None), ("dog/2.MPO", "dog", None),
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
        assert made.left_out == {"extra/cat/2.png": "neither train, val nor test"}
        assert made.origins == [
            ("train/", "train", "its name", 2), ("extra/", None, "neither train, val nor test", 1),
        ]  # fmt: skip

    def test_a_class_may_be_called_train(self, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "train/1.png", "bus/1.png", "car/1.png"))
        assert {(entry.label, entry.part) for entry in made.entries} == {("train", None), ("bus", None), ("car", None)}

    @pytest.mark.parametrize(
        ("more", "notes", "origins"),
        [
            ("val/.keep", [], [("val/", "val", "its name", 0)]),
            ("val/cat/.keep", [], [("val/", "val", "its name", 0)]),
            ("train/preview.jpg", ["1 image outside class folders, such as train/preview.jpg: left out."], []),
            ("valid/1.jpg", [], [("valid/", None, "no class folders", 1)]),
        ],
    )
    def test_parts_stay_parts_where_one_is_empty_or_holds_loose_images(
        self, more: str, notes: list[str], origins: list[Any], tmp_path: Path
    ) -> None:
        places = {f"{part}/{label}/1.png" for part in ("train", "test") for label in ("cat", "dog")}
        made = list_images(touch(tmp_path, *places, more))
        assert found(made) == {(place, place.split("/")[1], place.split("/")[0]) for place in places}
        assert made.notes == notes
        named = [("test/", "test", "its name", 2), ("train/", "train", "its name", 2), *origins]
        assert sorted(made.origins) == sorted(named)

    def test_test_images_without_labels_are_left_out(self, tmp_path: Path) -> None:
        """As competitions give them out."""
        made = list_images(touch(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/1.jpg", "test/2.jpg"))
        assert {(entry.label, entry.part) for entry in made.entries} == {("cat", "train"), ("dog", "train")}
        assert made.left_out == dict.fromkeys(("test/1.jpg", "test/2.jpg"), "not in a class folder")
        assert ("test/", None, "no class folders", 2) in made.origins

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
        counts = {kind: (hidden.places, hidden.images) for kind, hidden in made.passed_over.kinds.items()}
        assert counts == {"._*": (1, 1), ".git": (1, 1), "__MACOSX": (1, 1), "Thumbs.db": (1, 0), "desktop.ini": (1, 0)}

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
        made = list_images(tmp_path)
        assert len(made.left_out) == 3
        for text in (*made.notes, *made.left_out, *(origin.name for origin in made.origins)):
            text.encode()

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

    @pytest.mark.parametrize(
        "place",
        [
            *("@eaDir/1.jpg/SYNOFILE_THUMB_M.jpg", "#recycle/cat/1.jpg", "#snapshot/d/1.jpg", "@Recycle/1.jpg"),
            *(".thumbnails/1.png", ".Trashes/501/1.png", ".ipynb_checkpoints/1-checkpoint.png", ".AppleDouble/1.png"),
            *("$RECYCLE.BIN/S-1/1.png", "System Volume Information/1.png", "lost+found/1.png", "__pycache__/1.png"),
            *("LOST.DIR/1.jpg", "cat/FOUND.000/1.jpg"),
            *("cat/@eaDir/1.jpg", "cat/deep/.@__thumb/1.jpg", "dog/~snapshot/1.png", "train/.cache/1.png"),
        ],
    )
    @pytest.mark.parametrize("parts", [False, True])
    def test_what_systems_leave_is_passed_over_and_counted(self, place: str, parts: bool, tmp_path: Path) -> None:
        top = "train/" if parts else ""
        made = list_images(touch(tmp_path, f"{top}cat/1.png", f"{top}dog/1.png", f"{top}dog/deep/2.png", place))
        assert {entry.label for entry in made.entries} == {"cat", "dog"}
        assert len(made.entries) == 3
        assert sum(hidden.images for hidden in made.passed_over.kinds.values()) == 1


class TestParts:
    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("training_set/training_set", "test_set/test_set"),  # what Kaggle makes of many an archive
            ("seg_train/seg_train", "seg_test/seg_test"),
            ("asl_alphabet_train/asl_alphabet_train", "asl_alphabet_test"),
            ("Train/images", "Test/images"),
            ("train2017", "test2017"),
            ("TrainImages", "TestImages"),
            ("cars-train", "cars-testing"),
            ("trainset", "testset"),
            ("archive/data/Training Data", "archive/data/Testing Data"),
            ("dataset/dataset/train_data/train", "dataset/dataset/test_data/test"),
            ("01_train", "02_test"),
            ("train_80/images", "test_20"),
        ],
    )
    def test_names_that_say_it(self, train: str, test: str, tmp_path: Path) -> None:
        places = {f"{train}/cat/1.png": "train", f"{train}/dog/2.png": "train", f"{test}/cat/3.png": "test"}
        made = list_images(touch(tmp_path, *places))
        below = {made.root / entry.path: (entry.label, entry.part) for entry in made.entries}
        assert below == {tmp_path / place: (place.split("/")[-2], part) for place, part in places.items()}
        assert {(origin.part, origin.why, origin.images) for origin in made.origins} == {
            ("train", "its name", 2), ("test", "its name", 1),
        }  # fmt: skip

    @pytest.mark.parametrize("pred", ["seg_pred/seg_pred/1.jpg", "seg_pred/cat/1.jpg", "seg_val/1.jpg"])
    def test_those_without_labels_are_named_and_passed_over(self, pred: str, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "seg_train/seg_train/cat/1.png", "seg_train/seg_train/dog/1.png", pred))
        if "val" not in pred:
            touch(tmp_path, "seg_test/cat/1.png")
            made = list_images(tmp_path)
        assert {entry.part for entry in made.entries} == ({"train"} if "val" in pred else {"train", "test"})
        assert list(made.left_out) == [pred]
        assert [origin.images for origin in made.origins if origin.part is None] == [1]

    @pytest.mark.parametrize(
        "classes",
        [
            ("bullet_train", "test_tube", "car"),
            ("train_station", "bus_station", "airport"),
            ("steam_train", "diesel_train"),
            ("test_tube/day", "train_station/day"),
            ("train", "plane"),
            ("valid_ticket", "invalid_ticket"),
            ("dev_board", "train_set", "lego_set"),
        ],
    )
    def test_classes_with_such_words_stay_classes(self, classes: tuple[str, ...], tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, *(f"{name}/1.png" for name in classes)))
        assert {entry.label for entry in made.entries} == {name.split("/")[0] for name in classes}
        assert {entry.part for entry in made.entries} == {None}

    def test_images_of_parts_that_are_not_in_class_folders(self, tmp_path: Path) -> None:
        """Not two classes: the labels are elsewhere."""
        touch(tmp_path, "seg_train/1.png", "seg_test/2.png")
        with pytest.raises(DataError, match=r"such as seg_t\w+/\d\.png, are not in class folders"):
            list_images(tmp_path)

    @pytest.mark.parametrize("name", ["{label}_{part}", "{part} {label}", "{label}{part}"])
    def test_names_of_classes_and_parts_in_one_are_refused(self, name: str, tmp_path: Path) -> None:
        places = [name.format(label=label, part=part) for label in ("Cat", "Dog") for part in ("Train", "Valid")]
        touch(tmp_path, *(f"{place}/1.png" for place in places))
        with pytest.raises(DataError, match=r"name both classes and splits\. Put their images into train/CLASS"):
            list_images(tmp_path)

    def test_two_sets_of_parts_are_a_question(self, tmp_path: Path) -> None:
        touch(tmp_path, *(f"{side}_{part}/cat/1.png" for side in ("left", "right") for part in ("train", "test")))
        with pytest.raises(DataError, match=r"are the same split\. Keep one of them, or say .*--parts"):
            list_images(tmp_path)
        parts: Any = {"left_train": "train", "right_train": "train", "left_test": "test"}
        made = list_images(tmp_path, FolderOptions(parts))
        assert sorted((entry.path.split("/")[0], entry.part) for entry in made.entries) == sorted(parts.items())
        assert made.left_out == {"right_test/cat/1.png": "neither train, val nor test"}

    def test_a_person_may_say_it(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/2020/cat/1.png", "a/2021/cat/2.png", "a/2021/dog/3.png", "a/x/4.png", "b/cat/5.png")
        made = list_images(tmp_path, FolderOptions({"a/2020": "test", "a/2021/": "train"}))
        assert {(entry.path, entry.part) for entry in made.entries} == {
            ("a/2020/cat/1.png", "test"), ("a/2021/cat/2.png", "train"), ("a/2021/dog/3.png", "train"),
        }  # fmt: skip
        assert set(made.left_out) == {"a/x/4.png", "b/cat/5.png"}
        assert {origin.why for origin in made.origins if origin.part} == {"--parts"}
        with pytest.raises(UsageError, match=r"--parts names '2022', which is not a folder in .* Its folders: a, b"):
            list_images(tmp_path, FolderOptions({"2022": "test"}))

    @pytest.mark.parametrize("link", ["train/train", "train/images"])
    def test_nesting_without_end_ends(self, link: str, tmp_path: Path) -> None:
        touch(tmp_path, "test/cat/1.png", "train/.keep")
        (tmp_path / link).symlink_to(".")
        made = list_images(tmp_path)
        assert {entry.path for entry in made.entries} == {"test/cat/1.png"}


class TestFoldersOfImages:
    @pytest.mark.parametrize(
        ("images", "beside"),
        [
            ("images", ("meta/classes.txt", "README.txt")),  # Food-101
            ("Images", ("Annotation/n02085620/n02085620_10074", "lists/train_list.mat")),  # Stanford Dogs
            ("images", ("attributes/a.txt", "segmentations/001.Albatross/1.png", "parts/p.txt")),  # CUB
            ("JPEGImages", ("labels/apple.txt", "masks/apple/1.png")),
        ],
    )
    def test_hold_the_classes(self, images: str, beside: tuple[str, ...], tmp_path: Path) -> None:
        made = list_images(
            touch(
                tmp_path, f"food/{images}/apple/1.jpg", f"food/{images}/pie/2.jpg", *(f"food/{each}" for each in beside)
            )
        )
        assert {(made.root / entry.path, entry.label) for entry in made.entries} == {
            (tmp_path / f"food/{images}/apple/1.jpg", "apple"), (tmp_path / f"food/{images}/pie/2.jpg", "pie"),
        }  # fmt: skip
        assert set(made.left_out) == {each for each in beside if each.endswith(".png")}
        assert {origin.why for origin in made.origins} == {"next to the folder of images"}

    def test_may_hold_parts(self, tmp_path: Path) -> None:
        made = list_images(touch(tmp_path, "images/train/a/1.jpg", "images/val/a/2.jpg", "labels/train/1.txt"))
        assert {(entry.path, entry.part) for entry in made.entries} == {
            ("images/train/a/1.jpg", "train"), ("images/val/a/2.jpg", "val"),
        }  # fmt: skip

    def test_without_class_folders_are_refused(self, tmp_path: Path) -> None:
        """As Oxford's pets: the annotations hold images, too."""
        touch(tmp_path, "images/Beagle_1.jpg", "annotations/trimaps/Beagle_1.png")
        with pytest.raises(DataError, match=r"such as images/Beagle_1\.jpg, are not in class folders"):
            list_images(tmp_path)

    @pytest.mark.parametrize(
        ("places", "inside"),
        [
            (("color/{}", "grayscale/{}", "segmented/{}"), "apple, corn"),  # PlantVillage
            (("amazon/images/{}", "webcam/images/{}"), "apple, corn"),  # Office-31
            (("{}/train", "{}/test"), "test, train"),
        ],
    )
    def test_in_which_all_classes_hold_the_same_folders_are_said(
        self, places: tuple[str, ...], inside: str, tmp_path: Path
    ) -> None:
        made = list_images(
            touch(tmp_path, *(f"{place.format(name)}/1.jpg" for place in places for name in ("apple", "corn")))
        )
        assert [note for note in made.notes if f"folders of the same names, such as {inside}, which are not" in note]

    @pytest.mark.parametrize("places", [("cat/x", "cat/y", "dog/z"), ("cat/x", "dog/x"), ("cat/x/y", "cat/y", "dog")])
    def test_other_folders_in_classes_are_not_worth_a_word(self, places: tuple[str, ...], tmp_path: Path) -> None:
        assert list_images(touch(tmp_path, *(f"{place}/1.jpg" for place in places))).notes == []


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
        assert sorted(made.others) == ["cat/loop", "loop"]

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

    @pytest.mark.parametrize(
        "names", [("x1", "deep/x2"), ("x1.jpg", "x2.png"), ("d\\x1", "deep\\x2.png"), ("d/x1", "x2")]
    )
    def test_ids_are_files_below_it(self, names: tuple[str, str], tmp_path: Path) -> None:
        touch(tmp_path, "pictures/d/x1.jpg", "pictures/deep/x2.png", "pictures/@eaDir/x1.jpg", "x1.txt")
        (tmp_path / "t.csv").write_text("image_id,label\n" + "".join(f"{name},{name[-4:]}\n" for name in names))
        made = list_images(tmp_path / "t.csv")
        assert [entry.path for entry in made.entries] == ["pictures/d/x1.jpg", "pictures/deep/x2.png"]
        assert f"such as {names[0]} to pictures/d/x1.jpg" in made.notes[0]

    def test_ids_of_several_files_are_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/1.jpg", "b/1.jpg", "a/2.jpg", "a/3.v2.jpg")
        (tmp_path / "t.csv").write_text("id,label\n1,cat\n2,dog\n3.v2,cat\n4,cat\n")
        made = list_images(tmp_path / "t.csv")
        assert [entry.path for entry in made.entries] == ["a/2.jpg", "a/3.v2.jpg"]
        assert made.skipped == {"1": "fits several files: a/1.jpg, b/1.jpg", "4": os.strerror(errno.ENOENT)}

    @pytest.mark.parametrize("place", ["/kaggle/input/pets/", "C:\\Users\\me\\pets\\", "../pets/"])
    def test_paths_of_another_machine(self, place: str, tmp_path: Path) -> None:
        """They end as those of the files do, from the table's folder on."""
        names = ("train/1.png", "test/1.png", "test/2.png")
        touch(tmp_path, *names)
        paths = [place + (name.replace("/", "\\") if "\\" in place else name) for name in (*names, "val/2.png")]
        (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{path},cat\n" for path in paths))
        made = list_images(tmp_path / "t.csv")
        assert [entry.path for entry in made.entries] == list(names)
        assert made.skipped == {paths[3].replace("\\", "/"): os.strerror(errno.ENOENT)}

    def test_several_paths_of_one_file_are_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "1.png", "2.png")
        (tmp_path / "t.csv").write_text("path,label\n/x/train/1.png,cat\n/x/test/1.png,dog\n/x/2.png,cat\n")
        made = list_images(tmp_path / "t.csv")
        assert [entry.path for entry in made.entries] == ["2.png"]
        assert made.skipped == dict.fromkeys(("/x/train/1.png", "/x/test/1.png"), "fits 1.png, as other paths do")

    def test_a_table_of_files_that_are_not_there(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("path,label\n/home/me/1.png,cat\n")
        with pytest.raises(
            DataError, match=rf"/home/me/1\.png: No such file.* Write paths as they are below {tmp_path}"
        ):
            list_images(tmp_path / "t.csv")

    def test_numbers_of_folds_wait_for_an_explanation(self, tmp_path: Path) -> None:
        touch(tmp_path, *(f"{number}.png" for number in range(4)))
        (tmp_path / "t.csv").write_text("path,label,fold\n" + "".join(f"{n}.png,cat,{n}\n" for n in range(4)))
        made = list_images(tmp_path / "t.csv")
        assert {entry.part for entry in made.entries} == {None}
        assert made.notes == [
            "fold does not say which images are for testing; --parts test=0 does.", "Columns not used: fold.",
        ]  # fmt: skip
        made = list_images(tmp_path / "t.csv", FolderOptions({"0": "test", "2": "val"}))
        assert [entry.part for entry in made.entries] == ["test", "train", "val", "train"]
        assert set(made.origins) == {
            ("test", "test", "column fold", 1), ("val", "val", "column fold", 1), ("train", "train", "column fold", 2),
        }  # fmt: skip

    def test_entries_that_a_person_explains(self, tmp_path: Path) -> None:
        touch(tmp_path, *(f"{number}.png" for number in range(3)))
        (tmp_path / "t.csv").write_text("path,label,usage\n0.png,a,PublicTest\n1.png,a,Training\n2.png,a,Private\n")
        made = list_images(tmp_path / "t.csv", FolderOptions({"publictest": "val"}))
        assert [entry.part for entry in made.entries] == ["val", "train"]
        assert list(made.skipped.values()) == ["unknown split 'Private'; choose from train, val, test"]
        with pytest.raises(UsageError, match=r"--parts names 'dev', which is in no column .* publictest, training"):
            list_images(tmp_path / "t.csv", FolderOptions({"dev": "val"}))


class TestGroups:
    def test_a_pattern_on_paths(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/p1_a.png", "cat/p2_a.png", "dog/p1_b.png", "dog/x.png")
        made = list_images(tmp_path, FolderOptions(group_by="p([0-9]+)_"))
        assert [entry.group for entry in made.entries] == ["1", "2", "1", ""]
        assert made.notes == ["1 image without a group: each is treated as a group of its own."]
        assert [entry.group for entry in list_images(tmp_path, FolderOptions(group_by="[ab].png")).entries] == [
            *("a.png", "a.png", "b.png", ""),
        ]  # fmt: skip

    def test_a_column(self, tmp_path: Path) -> None:
        touch(tmp_path, "1.png", "2.png")
        (tmp_path / "t.csv").write_text("path,label,camera\n1.png,cat,left\n2.png,dog,right\n")
        assert [entry.group for entry in list_images(tmp_path / "t.csv", FolderOptions(group_by="Camera")).entries] == [
            *("left", "right"),
        ]  # fmt: skip
        by_name = list_images(tmp_path / "t.csv", FolderOptions(group_by="[0-9]")).entries
        assert [entry.group for entry in by_name] == ["1", "2"]

    @pytest.mark.parametrize(
        ("group_by", "says"),
        [
            ("p(", "is not a regular expression"),
            ("patient", "'patient' matches no image, such as 1.png; the columns are camera, path, label"),
            ("png", "puts all images into one group, 'png'"),
        ],
    )
    def test_what_groups_nothing_is_a_sentence(self, group_by: str, says: str, tmp_path: Path) -> None:
        touch(tmp_path, "1.png", "2.png")
        (tmp_path / "t.csv").write_text("path,label,camera\n1.png,cat,left\n2.png,dog,right\n")
        with pytest.raises(UsageError, match=re.escape(says)):
            list_images(tmp_path / "t.csv", FolderOptions(group_by=group_by))


class TestKey:
    def test_changes_with_what_is_there(self, tmp_path: Path) -> None:
        touch(tmp_path, "cat/1.png", "dog/1.png")
        keys = [list_images(tmp_path).key]
        changes: list[Callable[[], Any]] = [
            lambda: touch(tmp_path, "cat/2.png"),
            lambda: (tmp_path / "cat/2.png").write_bytes(b"longer than it was"),
            lambda: os.utime(tmp_path / "cat/2.png", (1, 1)),
            lambda: (tmp_path / "cat/2.png").chmod(0o600),
            lambda: (tmp_path / "cat/2.png").rename(tmp_path / "dog/2.png"),
        ]
        for change in changes:
            change()
            keys.append(list_images(tmp_path).key)
        assert len(set(keys)) == 6
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
        assert made.notes == ["1 image outside class folders, such as 1.png: left out."]
        assert made.left_out == {"1.png": "not in a class folder"}

    def test_two_folders_for_one_part(self, tmp_path: Path) -> None:
        touch(tmp_path, "train/cat/1.png", "val/cat/1.png", "valid/cat/1.png")
        with pytest.raises(DataError, match=r"val, valid in .* are the same split"):
            list_images(tmp_path)

    def test_a_folder_without_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files of the superuser can always be read, so the refusal is made up."""
        touch(tmp_path, "cat/1.png", "dog/1.png")
        scandir = os.scandir

        def refuse(secret: Path) -> Callable[[Any], Any]:
            def ask(folder: Any) -> Any:
                if Path(folder) == secret:
                    raise PermissionError(13, "Permission denied", str(folder))
                return scandir(folder)

            return ask

        monkeypatch.setattr(os, "scandir", refuse(tmp_path / "cat"))
        made = list_images(tmp_path)
        assert (made.skipped, len(made.entries)) == ({"cat/": "Permission denied"}, 1)
        monkeypatch.setattr(os, "scandir", refuse(tmp_path))
        with pytest.raises(AdvssError, match=r"Cannot read .*: Permission denied"):
            list_images(tmp_path)
