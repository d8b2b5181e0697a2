from __future__ import annotations

import csv
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.folder.conftest import Draw
from data.folder.pictures import encoded, picture
from PIL import Image

from advss_zoo import documents
from advss_zoo.data.folder import scan
from advss_zoo.data.folder.listing import FolderOptions
from advss_zoo.data.folder.prepared import prepare
from advss_zoo.data.imageset import Split
from advss_zoo.data.load import in_order, load_data
from advss_zoo.data.splits import train_and_validation
from advss_zoo.data.subset import load_subset
from advss_zoo.errors import AdvssError, DataError, UsageError
from advss_zoo.progress import Reporter


def pixels(seed: int) -> bytes:
    return np.asarray(picture(seed)).transpose(2, 0, 1).tobytes()


class TestLoad:
    def test_images_and_labels_are_those_of_the_files(self, pets: Path) -> None:
        expected = {pixels(seed): "cat" if seed < 10 else "dog" for seed in range(20)}
        found: dict[bytes, str] = {}
        for split, count in (("train", 16), ("test", 4)):
            images = load_data(str(pets), split, image_size=8)  # type: ignore[arg-type]
            assert (len(images), images.classes, images.split) == (count, ("cat", "dog"), split)
            labels = [images.classes[label] for label in images.labels]
            found |= dict(zip(map(np.ndarray.tobytes, images.images), labels, strict=True))
        assert found == expected

    def test_validation_images_are_the_first(self, pets: Path) -> None:
        images = load_data(str(pets), "train", image_size=8)
        train, validation = train_and_validation(images)
        assert (len(train), validation.tolist()) == (14, [0, 1])
        assert sorted(images.labels[validation]) == [0, 1]

    def test_the_table_of_what_is_used_divides_alike(self, pets: Path, tmp_path: Path) -> None:
        prepared = prepare(pets, 8)
        table = tmp_path / "used.csv"
        shutil.copy(prepared.images_file, table)
        assert len(list(csv.reader(table.open()))) == 21
        again = prepare(table, 8)
        assert again.name.removeprefix("used") == prepared.name.removeprefix("images")
        for split in ("train", "test"):
            assert again.load(split).content_sha256 == prepared.load(split).content_sha256

    def test_the_name_tells_of_the_content_and_not_of_the_place(self, pets: Path, tmp_path: Path, draw: Draw) -> None:
        name = prepare(pets, 8).name
        shutil.copytree(pets, tmp_path / "other" / "images")
        assert prepare(tmp_path / "other" / "images", 8).name == name
        draw("cat/99.png", 99)
        assert prepare(pets, 8).name != name

    @pytest.mark.parametrize("folder", ["Mes Photos été", "кошки", "..."])
    def test_any_folder_has_a_name(self, folder: str, pets: Path, tmp_path: Path) -> None:
        pets.rename(tmp_path / folder)
        name = prepare(tmp_path / folder, 8).name
        assert name.isascii()
        assert "/" not in name

    def test_more_classes_than_a_byte_counts(self, tmp_path: Path, draw: Draw) -> None:
        for number in range(300):
            for copy in range(3):
                draw(f"{number:03d}/{copy}.png", 3 * number + copy, size=(1, 2))
        images = load_data(str(tmp_path / "images"), "test", image_size=8)
        assert sorted(images.labels) == list(range(300))
        assert images.classes[257] == "257"

    def test_cifars_images_come_back_bit_for_bit(self, tmp_path: Path) -> None:
        real = load_subset().first(60)
        for image, label, number in zip(real.images, real.labels, real.index, strict=True):
            folder = tmp_path / "cifar" / "test" / real.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number}.png")
        found = in_order(load_data(str(tmp_path / "cifar"), "test", image_size=32), real.classes)
        assert {(image.tobytes(), label) for image, label in zip(found.images, found.labels, strict=True)} == {
            (image.tobytes(), label) for image, label in zip(real.images, real.labels, strict=True)
        }

    def test_a_name_is_no_path(self, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A folder called like a data set is meant only where it is written as a path."""
        pets.rename(pets.parent / "cifar10-1k")
        monkeypatch.chdir(pets.parent)
        assert len(load_data("cifar10-1k", "test")) == 1000
        assert len(load_data("./cifar10-1k", "test", image_size=8)) == 4


class TestOrderOfClasses:
    def test_labels_count_the_models_classes(self, pets: Path) -> None:
        images = load_data(str(pets), "test", image_size=8)
        found = in_order(images, ("dog", "emu", "cat"))
        assert found.classes == ("dog", "emu", "cat")
        assert [found.classes[label] for label in found.labels] == [images.classes[label] for label in images.labels]

    def test_strangers_are_named(self, pets: Path) -> None:
        with pytest.raises(UsageError, match=r"The model has no classes dog, .* Its classes: cat, emu\."):
            in_order(load_data(str(pets), "test", image_size=8), ("cat", "emu"))


class TestCache:
    def test_files_are_read_once(self, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = prepare(pets, 8)
        monkeypatch.setattr(scan, "scan", lambda *_: pytest.fail("files were read again"))
        assert prepare(pets, 8) == first

    def test_a_change_is_noticed(self, pets: Path, draw: Draw) -> None:
        assert prepare(pets, 8).summary.parts["train"] == 14
        for seed in range(30, 40):
            draw(f"cat/{seed}.png", seed)
        prepared = prepare(pets, 8)
        assert len(prepared.load("train")) + len(prepared.load("test")) == 30

    def test_what_can_be_read_since_a_package_was_installed_is_read(
        self, pets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where nothing could be, and the reading stopped with an error."""
        heif = pytest.importorskip("pillow_heif")
        photographs = pets.parent / "photographs"
        for number in range(8):
            path = photographs / "ab"[number % 2] / f"{number}.heic"
            path.parent.mkdir(parents=True, exist_ok=True)
            heif.from_pillow(picture(number, (64, 64))).save(path)
        shutil.copy(photographs / "a/0.heic", pets / "cat/photograph.jpg")
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "pillow_heif", None)
            assert list(prepare(pets, 8).summary.skipped) == ["cat/photograph.jpg"]
            with pytest.raises(DataError, match="install pillow-heif"):
                prepare(photographs, 8)
        assert not prepare(pets, 8).summary.skipped
        assert sum(prepare(photographs, 8).summary.parts.values()) == 8

    def test_another_size_is_another_file(self, pets: Path) -> None:
        assert prepare(pets, 8).file != prepare(pets, 16).file
        assert load_data(str(pets), "test", image_size=16).images.shape[1:] == (3, 16, 16)

    def test_damage_is_found_and_mended(self, pets: Path) -> None:
        prepared = prepare(pets, 8)
        content = bytearray(prepared.file.read_bytes())
        content[-1] ^= 1
        prepared.file.write_bytes(bytes(content))
        with pytest.raises(DataError, match=r"is damaged: .* Run `rm .*safetensors`"):
            prepare(pets, 8).load("test")
        prepared.file.unlink()
        assert len(prepare(pets, 8).load("test")) == 4

    def test_nothing_else_is_kept(self, pets: Path) -> None:
        file = prepare(pets, 8).file
        assert {path.suffix for path in file.parent.iterdir()} == {".safetensors", ".json", ".csv", ".lock"}

    @pytest.mark.parametrize("after", [0, 1, 4])
    def test_goes_on_where_it_was_stopped(self, after: int, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (pets / "cat" / "5.png").write_bytes(b"broken")
        expected = {split: prepare(pets, 8).load(split).content_sha256 for split in ("train", "test")}  # type: ignore[arg-type]
        for path in prepare(pets, 8).file.parent.iterdir():
            path.unlink()
        monkeypatch.setattr(scan, "PIECE", 4)
        read, asked = scan.decoding.read, []

        def stop(path: Path, side: int, **how: Any) -> Any:
            asked.append(path)
            if len(asked) > 4 * after + 2:
                raise KeyboardInterrupt
            return read(path, side, **how)

        monkeypatch.setattr(scan.decoding, "read", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(pets, 8)
        asked.clear()
        monkeypatch.setattr(
            scan.decoding, "read", lambda path, side, **how: (asked.append(path), read(path, side, **how))[1]
        )
        prepared = prepare(pets, 8)
        assert len(asked) == 20 - 4 * after
        assert {split: prepared.load(split).content_sha256 for split in expected} == expected  # type: ignore[arg-type]
        assert list(prepared.summary.skipped) == ["cat/5.png"]

    def test_a_journal_that_was_cut_is_read_as_far_as_it_goes(
        self, pets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scan, "forget", lambda pixels: None)
        prepared = prepare(pets, 8)
        expected = prepared.load("train").content_sha256
        prepared.file.unlink()
        journal = prepared.file.with_suffix(".journal")
        journal.write_bytes(journal.read_bytes()[:-10])
        assert prepare(pets, 8).load("train").content_sha256 == expected

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_what_another_command_has_read_anew_is_refused(self, split: Split, pets: Path, draw: Draw) -> None:
        prepared = prepare(pets, 8)
        draw("ant/50.png", 50)  # the labels of all others are now larger by one
        again = prepare(pets, 8)
        with pytest.raises(DataError, match=r"images in .* have changed since they were read.*Run the command"):
            prepared.load(split)
        assert len(again.load(split))
        again.file.with_suffix(".json").unlink()
        with pytest.raises(DataError, match="have changed"):
            again.load(split)

    def test_no_number_of_unused_files_is_too_many(self, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(400):
            (pets / "cat" / f'{number:03d}\r,"\n.png').write_bytes(b"text")
            (pets / "dog" / f"{number:03d}.png").symlink_to("nowhere")
        shutil.copy(pets / "dog/12.png", pets / "cat/stolen.png")
        monkeypatch.setattr(documents, "MOST_BYTES", 4_000)
        first = prepare(pets, 8)
        assert (len(first.summary.skipped), len(first.summary.left_out)) == (800, 2)
        monkeypatch.setattr(scan, "scan", lambda *_: pytest.fail("files were read again"))
        assert prepare(pets, 8) == first
        assert len(first.load("test")) == 4
        with first.unused_file.open(newline="") as table:
            rows = list(csv.DictReader(table))
        assert {row["path"]: row["why"] for row in rows if row["use"] == "skipped"} == first.summary.skipped
        assert {row["path"]: row["why"] for row in rows if row["use"] == "left_out"} == first.summary.left_out


class TestWhole:
    def test_all_images_are_test_images(self, pets: Path) -> None:
        prepared = prepare(pets, 8, whole=True)
        assert len(prepared.load("test")) == 20
        assert prepared.summary.origins == []
        with pytest.raises(DataError, match="has no train images"):
            prepared.load("train")

    def test_says_that_parts_are_not_heeded(self, tmp_path: Path, draw: Draw) -> None:
        for number in range(4):
            draw(f"{('train', 'val')[number % 2]}/{'ab'[number // 2]}/{number}.png", number)
        origins = prepare(tmp_path / "images", 8, whole=True).summary.origins
        assert {(origin.name, origin.part, origin.why) for origin in origins} == {
            ("train/", "test", "--whole"), ("val/", "test", "--whole"),
        }  # fmt: skip

    def test_also_of_one_class(self, pets: Path) -> None:
        shutil.rmtree(pets / "dog")
        assert len(prepare(pets, 8, whole=True).load("test")) == 10


class TestSummary:
    def test_says_what_there_is(self, pets: Path, draw: Draw) -> None:
        draw("cat/wide.png", 50, size=(30, 9))
        draw("cat/grey.png", 51, mode="L")
        (pets / "dog" / "text.jpg").write_text("no image")
        shutil.copy(pets / "dog/11.png", pets / "dog/copy.png")
        shutil.copy(pets / "dog/12.png", pets / "cat/stolen.png")
        summary = prepare(pets, 8).summary
        assert summary.skipped == {"dog/text.jpg": "not a readable image"}
        assert set(summary.left_out) == {"dog/12.png", "cat/stolen.png"}
        assert sum(summary.classes["cat"].values()) == 12
        assert (summary.smallest, summary.largest, summary.copies) == ((8, 8), (30, 9), 1)
        text = "\n".join(summary.lines())
        for part in (
            "22 images of 2 classes",
            "8x8, 30x9",
            "21 RGB, 1 L",
            "1 unreadable file skipped: dog/text.jpg (not a readable image).",
            "dog/text.jpg",
            "two labels",
        ):
            assert part in text

    def test_says_first_what_is_taken_for_what(self, tmp_path: Path, draw: Draw) -> None:
        for number in range(12):
            draw(f"seg_train/seg_train/{('9', '10')[number % 2]}/{number}.png", number)
        for number in range(4):
            draw(f"seg_test/{('9', '10')[number % 2]}/{number}.png", 20 + number)
        draw("seg_pred/1.png", 30)
        draw("seg_train/@eaDir/1.png", 31)
        summary = prepare(tmp_path / "images", 8).summary
        assert list(summary.lines())[1:5] == [
            "Splits: test from seg_test/ (4, by its name); train from seg_train/seg_train/ (12, by its name).",
            "Left out: seg_pred/ (1, named as unlabelled).",
            "Classes are in the order of their numbers: 9, 10.",
            "Images in system and hidden files passed over: 1 in @eaDir.",
        ]
        assert (tuple(summary.classes), summary.order) == (("9", "10"), "number")
        assert summary.left_out == {"seg_pred/1.png": "named as unlabelled"}
        draw("seg_train/@eaDir/2.png", 32)
        assert prepare(tmp_path / "images", 8).summary.passed_over["@eaDir"].images == 2, "also from the cache"

    def test_says_which_columns_are_used(self, pets: Path) -> None:
        rows = "".join(f"{path.relative_to(pets)},{path.parent.name},7,{path.stem}\n" for path in pets.rglob("*.png"))
        (pets / "t.csv").write_text("path,label,age,patient\n" + rows)
        summary = prepare(pets / "t.csv", 8, FolderOptions(group_by="patient")).summary
        assert summary.columns == {"path": ["path"], "label": ["label"], "group": ["patient"]}
        assert (summary.unused_columns, summary.groups) == (["age"], 20)
        text = "\n".join(summary.lines())
        for part in ("Columns: path from path; label from label; group from patient.", "Columns not used: age.", "20"):
            assert part in text

    def test_of_many_classes_some_are_shown(self, tmp_path: Path, draw: Draw) -> None:
        for number in range(63):
            draw(f"{number // 3:03d}/{number}.png", number, size=(1, 1))
        text = "\n".join(prepare(tmp_path / "images", 8).summary.lines())
        assert "... 1 more" in text

    def test_spellings_that_are_easily_confused(self, tmp_path: Path, draw: Draw) -> None:
        for number in range(6):
            draw(f"{('Cat', 'cat')[number % 2]}/{number}.png", number)
        assert "Cat and cat are treated as different classes." in prepare(tmp_path / "images", 8).summary.notes

    def test_classes_without_an_image_that_can_be_used_are_named(self, pets: Path) -> None:
        for name in ("bird", "fish"):
            (pets / name).mkdir()
        (pets / "bird" / "1.png").write_bytes(b"text")
        (pets / "fish" / "1.cr2").write_bytes(b"raw")
        summary = prepare(pets, 8).summary
        assert tuple(summary.classes) == ("cat", "dog")
        assert "No image of 'bird', 'fish' can be used." in summary.notes
        assert "1 file of other types ignored, such as fish/1.cr2." in summary.notes

    def test_names_that_are_no_text_come_back(self, pets: Path) -> None:
        folder = pets.rename(pets.parent / os.fsdecode(b"\xff"))
        (folder / os.fsdecode(b"\xfe")).write_bytes(b"raw")
        summary = prepare(folder, 8).summary
        assert summary.source == str(pets.parent / "?")
        assert prepare(folder, 8).summary == summary


class TestValues:
    @pytest.fixture
    def slides(self, tmp_path: Path) -> Path:
        """Twenty pictures of 12 bits in files of 16; most are far from white."""
        for number in range(20):
            path = tmp_path / "slides" / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            found = np.random.default_rng(number).integers(0, 4096 if number == 3 else 600, (8, 8)).astype(np.uint16)
            path.write_bytes(encoded(Image.fromarray(found)))
        return tmp_path / "slides"

    def test_the_range_is_that_of_the_set(self, slides: Path) -> None:
        images = prepare(slides, 8, whole=True).load("test")
        expected = {
            np.round(np.asarray(Image.open(path)) / 4095 * 255).astype(np.uint8).tobytes()
            for path in slides.rglob("*.png")
        }
        assert {image[0].tobytes() for image in images.images} == expected
        assert images.value_range == (0, 4095)

    def test_a_range_that_is_given_counts(self, slides: Path) -> None:
        prepared = prepare(slides, 8, whole=True, value_range=(0, 65535))
        assert prepared.load("test").images.max() == 16
        assert "values 0 to 65535 become 0 to 255: 20 images" in "\n".join(prepared.summary.lines())
        assert prepared.summary.uniform == 19

    def test_the_division_depends_on_neither_range_nor_size(self, slides: Path) -> None:
        first, second = prepare(slides, 8), prepare(slides, 16, value_range=(0, 65535))
        rows = [sorted(csv.reader(prepared.images_file.open())) for prepared in (first, second)]
        assert (first.name, rows[0]) == (second.name, rows[1])


class TestCopies:
    """The same picture twice is never on two sides."""

    @pytest.mark.parametrize("kind", ["TIFF", "BMP", "WEBP"])
    def test_in_another_format(self, kind: str, pets: Path) -> None:
        for path in list(pets.rglob("*.png")):
            path.with_suffix(f".{kind.lower()}").write_bytes(encoded(Image.open(path), kind, lossless=True))
        prepared = prepare(pets, 8)
        assert prepared.summary.copies == 20
        sides: dict[str, set[str]] = {}
        for row in csv.DictReader(prepared.images_file.open()):
            sides.setdefault(Path(row["path"]).stem, set()).add(row["split"])
        assert set(map(len, sides.values())) == {1}

    def test_near_copies_are_named(self, tmp_path: Path, pets: Path) -> None:
        photographs = load_subset().first(20)
        for number, pixels in enumerate(photographs.images):
            image = Image.fromarray(pixels.transpose(1, 2, 0))
            image.save(pets / "cat" / f"photograph-{number:02d}.png")
            image.resize((64, 64)).save(pets / "dog" / f"large-{number:02d}.png")
        prepared = prepare(pets, 8)
        reasons = [why for why in prepared.summary.odd.values() if "a near copy of cat/photograph-" in why]
        assert len(reasons) >= 18
        rows = {Path(row["path"]).stem: row["split"] for row in csv.DictReader(prepared.images_file.open())}
        named = [Path(path).stem for path in prepared.summary.odd]
        assert all(rows[name] == rows[name.replace("large", "photograph")] for name in named)


class TestRefused:
    def test_one_class_only(self, pets: Path) -> None:
        shutil.rmtree(pets / "dog")
        with pytest.raises(DataError, match=r"has only one class, 'cat'\. At least two"):
            prepare(pets, 8)
        (pets / "dog").mkdir()
        with pytest.raises(DataError, match=r"only one class, 'cat'; no image of 'dog' can be used\. At least"):
            prepare(pets, 8)

    @pytest.mark.parametrize("table", ["labels.csv", "archive/labels.tsv"])
    def test_one_class_only_and_a_table(self, table: str, tmp_path: Path, draw: Draw) -> None:
        """What holds all images is not a class then."""
        draw("archive/photos/1.png", 1)
        (tmp_path / "images" / table).write_text("path,label\n")
        with pytest.raises(DataError, match=rf"only one class, 'photos'\. If a table .* give that: .*{table}"):
            prepare(tmp_path / "images", 8)

    def test_one_class_left_once_files_are_looked_at(self, pets: Path) -> None:
        for path in (pets / "dog").iterdir():
            path.write_bytes(b"")
        with pytest.raises(DataError, match="has only one class, 'cat'"):
            prepare(pets, 8)

    def test_nothing_that_can_be_read(self, pets: Path) -> None:
        for path in pets.rglob("*.png"):
            path.write_bytes(b"text")
        with pytest.raises(
            DataError, match=r"None of the 20 images in .* can be used; cat/0\.png: not a readable image"
        ):
            prepare(pets, 8)

    def test_too_few_groups_to_divide(self, pets: Path) -> None:
        with pytest.raises(DataError, match="at least one class needs images in three groups"):
            prepare(pets, 8, FolderOptions(group_by="cat|dog"))

    def test_classes_that_are_one_folder_deeper(self, tmp_path: Path, draw: Draw) -> None:
        for number in range(6):
            draw(f"flowers/{('rose', 'tulip')[number % 2]}/{number}.png", number)
        (tmp_path / "images" / "about").mkdir()
        with pytest.raises(
            DataError, match=r"has only one class, 'flowers'.* in it are the classes, give that: .*flowers"
        ):
            prepare(tmp_path / "images", 8)

    def test_too_few_to_divide(self, tmp_path: Path, draw: Draw) -> None:
        for number in range(4):
            draw(f"{'ab'[number % 2]}/{number}.png", number)
        with pytest.raises(DataError, match="has too few images: at least one class needs three"):
            prepare(tmp_path / "images", 8)

    def test_five_images_will_do(self, tmp_path: Path, draw: Draw) -> None:
        for number in range(5):
            draw(f"{'ab'[number % 2]}/{number}.png", number)
        parts = prepare(tmp_path / "images", 8).summary.parts
        assert parts == {"train": 2, "val": 1, "test": 2}

    def test_a_full_disk(self, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 100))
        with pytest.raises(AdvssError, match=r"has 0\.0 GB free, .* GB are needed"):
            prepare(pets, 8)

    def test_broken_files_are_named_and_the_rest_goes_on(self, pets: Path) -> None:
        (pets / "cat/0.png").write_bytes(b"")
        (pets / "cat/1.png").write_bytes((pets / "cat/1.png").read_bytes()[:100])
        said: list[str] = []
        prepared = prepare(pets, 8, reporter=Reporter(said.append))
        assert prepared.summary.skipped == {"cat/0.png": "0 bytes", "cat/1.png": "damaged: image file is truncated"}
        assert sum(prepared.summary.parts.values()) == 18


def test_jpegs_that_were_cut_off_are_used_on_request(pets: Path) -> None:
    content = encoded(picture(77, (64, 64)), "JPEG")
    (pets / "cat" / "cut.jpg").write_bytes(content[: len(content) // 2])
    assert list(prepare(pets, 8).summary.skipped) == ["cat/cut.jpg"]
    assert not prepare(pets, 8, FolderOptions(truncated=True)).summary.skipped
    assert len(load_data(str(pets), "train", image_size=8, truncated=True)) == 17
