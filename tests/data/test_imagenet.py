from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from advss_zoo.data import imagenet
from advss_zoo.data.catalogue import RESTRICTED_IMAGENET
from advss_zoo.data.folder import scan
from advss_zoo.data.get import get
from advss_zoo.data.imagenet import cropped, groups
from advss_zoo.data.load import load_data
from advss_zoo.errors import AdvssError, DataError, UsageError
from advss_zoo.progress import Reporter

NAME = "restricted-imagenet"
FOLDERS = {"n02085620": "dog", "n02123045": "cat", "n01641577": "frog"}
SIZES = [(300, 260), (256, 400), (90, 70), (513, 257)]  # width, height

reference = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])


def picture(seed: int, size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Smooth colours, which JPEG and resizing keep."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def tree(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ImageNet of three classes, 4 training and 2 validation images each; the grouping knows no more."""
    monkeypatch.setattr(imagenet, "groups", lambda: {name: [folder] for folder, name in FOLDERS.items()})
    root = tmp_path / "imagenet"
    for number, folder in enumerate(FOLDERS):
        for split, count in (("train", 4), ("val", 2)):
            (root / split / folder).mkdir(parents=True)
            for position in range(count):
                image = picture(10 * number + position, SIZES[position])
                image.save(root / split / folder / f"{folder}_{position}.JPEG", quality=95)
    (root / "train" / "n99999999").mkdir()
    (root / "train" / "n02085620" / "notes.txt").touch()
    return root


def expected(root: Path, split: str) -> dict[bytes, int]:
    """The pixels of every image in the tree by torchvision's transforms, and their labels."""
    return {
        np.asarray(reference(Image.open(path).convert("RGB"))).transpose(2, 0, 1).tobytes(): (
            RESTRICTED_IMAGENET.classes.index(FOLDERS[path.parent.name])
        )
        for path in (root / split).rglob("*.JPEG")
    }


class TestGroups:
    def test_the_classes_and_their_sizes_are_those_of_the_public_grouping(self) -> None:
        sizes = {name: len(folders) for name, folders in groups().items()}
        assert tuple(sizes) == RESTRICTED_IMAGENET.classes
        assert [*sizes.values()] == [118, 5, 3, 5, 21, 18, 9, 4, 20]

    def test_each_is_a_range_of_the_ids_as_they_sort(self) -> None:
        """By index: frog 30, turtle 33, bird 80, crab 118, dog 151, cat 281, insect 300, primate 365, fish 389."""
        ranges = ["frog", "turtle", "bird", "crab", "dog", "cat", "insect", "primate", "fish"]
        ids = [folder for name in ranges for folder in groups()[name]]
        assert ids == sorted(set(ids))
        assert all(re.fullmatch(r"n\d{8}", folder) for folder in ids)

    @pytest.mark.parametrize(("folder", "name"), FOLDERS.items())
    def test_the_first_of_a_class(self, folder: str, name: str) -> None:
        """Chihuahua, tabby and bullfrog."""
        assert groups()[name][0] == folder


@pytest.mark.parametrize("size", [*SIZES, (224, 224), (256, 256), (33, 1000)])
def test_cropped_as_torchvision_does(size: tuple[int, int]) -> None:
    image = picture(0, size)
    np.testing.assert_array_equal(cropped(image), np.asarray(reference(image)).transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_any_kind_of_picture_becomes_rgb(mode: str) -> None:
    image = picture(0, (300, 260), mode)
    np.testing.assert_array_equal(cropped(image), cropped(image.convert("RGB")))


class TestMake:
    @pytest.mark.parametrize(("split", "folder", "count"), [("train", "train", 12), ("test", "val", 6)])
    def test_images_and_labels(self, tree: Path, split: str, folder: str, count: int) -> None:
        get(NAME, tree)
        images = load_data(NAME, split)
        assert images.images.shape == (count, 3, 224, 224)
        found = {image.tobytes(): int(label) for image, label in zip(images.images, images.labels, strict=True)}
        assert found == expected(tree, folder)
        assert [*images.labels] != sorted(images.labels), "the first images are all of one class"

    def test_what_is_loaded_is_mapped_and_knows_its_content(self, tree: Path) -> None:
        get(NAME, tree)
        images = load_data(NAME, "train")
        assert isinstance(images.images, np.memmap)
        assert isinstance(images.first(5).images, np.memmap)
        copied = images.take(range(12))
        assert copied.images.flags.writeable
        assert copied.content_sha256 == images.content_sha256

    def test_nothing_but_the_file_is_kept_and_it_is_made_once(self, tree: Path) -> None:
        path = get(NAME, tree)
        assert [file.name for file in path.parent.iterdir()] == ["restricted-imagenet.safetensors"]
        shutil.rmtree(tree)
        assert get(NAME) == path

    def test_broken_files_are_named_and_left_out(self, tree: Path) -> None:
        broken = tree / "train" / "n02123045"
        cut = broken / "n02123045_1.JPEG"
        cut.write_bytes(cut.read_bytes()[:-500])
        (broken / "n02123045_2.JPEG").write_text("<html>")
        lines: list[str] = []
        get(NAME, tree, Reporter(say=lines.append))
        left_out = sorted(line.removeprefix("Restricted ImageNet: ") for line in lines if "left out" in line)
        assert len(left_out) == 2
        assert left_out[0].startswith("left out train/n02123045/n02123045_1.JPEG: image file is truncated")
        assert left_out[1] == "left out train/n02123045/n02123045_2.JPEG: not an image"
        for path in (cut, broken / "n02123045_2.JPEG"):
            path.unlink()
        images = load_data(NAME, "train")
        found = {image.tobytes(): int(label) for image, label in zip(images.images, images.labels, strict=True)}
        assert found == expected(tree, "train")
        assert len(images) == 10

    def test_a_file_that_cannot_be_read_is_not_taken_for_a_broken_one(
        self, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stale(path: Path) -> bytes:
            raise OSError(116, "Stale file handle")

        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", stale)
            with pytest.raises(AdvssError, match=r"Cannot read .*JPEG: Stale file handle"):
                get(NAME, tree)
        get(NAME, tree)
        assert len(load_data(NAME, "train")) == 12


class TestResume:
    @pytest.fixture
    def decoded(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The files that were decoded, in pieces of four."""
        genuine, seen = imagenet._pixels, []

        def pixels(path: Path, side: int) -> object:
            seen.append(path)
            return genuine(path, side)

        monkeypatch.setattr(scan, "PIECE", 4)
        monkeypatch.setattr(imagenet, "_pixels", pixels)
        return seen

    def stopped_after(self, images: int, tree: Path) -> list[tuple[int, int]]:
        counts = []

        def progress(label: str, unit: str, done: int, total: int, note: str) -> None:
            counts.append((done, total))
            if done >= images:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            get(NAME, tree, Reporter(progress=progress))
        return counts

    @pytest.fixture
    def whole(self, tree: Path) -> bytes:
        """The file of a run that was never stopped, with one broken image."""
        (tree / "train" / "n01641577" / "n01641577_0.JPEG").write_bytes(b"")
        path = get(NAME, tree)
        content = path.read_bytes()
        path.unlink()
        return content

    @pytest.mark.parametrize("stopped_at", [4, 8, 16, 18])
    def test_goes_on_where_it_was_and_ends_with_the_same_file(
        self, stopped_at: int, tree: Path, whole: bytes, decoded: list[Path]
    ) -> None:
        assert self.stopped_after(stopped_at, tree)[-1] == (stopped_at, 18)
        decoded.clear()
        lines: list[str] = []
        path = get(NAME, tree, Reporter(say=lines.append))
        assert len(decoded) == 18 - stopped_at
        assert path.read_bytes() == whole
        assert "Restricted ImageNet: left out train/n01641577/n01641577_0.JPEG: not an image" in lines
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_pixels_after_the_last_entry_of_the_journal_are_written_again(
        self, tree: Path, whole: bytes, decoded: list[Path], cache: Path
    ) -> None:
        self.stopped_after(8, tree)
        with (cache / "data" / "restricted-imagenet.partial").open("ab") as file:
            file.write(b"?" * 20_000_000)
        assert get(NAME, tree).read_bytes() == whole

    @pytest.mark.parametrize("changed", ["another image", "a lost file"])
    def test_starts_again_where_there_is_nothing_to_go_on_from(
        self, changed: str, tree: Path, decoded: list[Path], cache: Path
    ) -> None:
        self.stopped_after(8, tree)
        decoded.clear()
        if changed == "another image":
            picture(99, (300, 300)).save(tree / "val" / "n02085620" / "more.JPEG")
        else:
            (cache / "data" / "restricted-imagenet.partial").unlink()
        get(NAME, tree)
        assert len(decoded) == 18 + (changed == "another image")
        assert set(load_data(NAME, "test").labels) == {0, 1, 2}


class TestRefused:
    def test_without_a_folder(self, cache: Path) -> None:
        with pytest.raises(
            UsageError, match=r"a local ImageNet folder\. Run `advss data get restricted-imagenet --from"
        ):
            get(NAME)

    def test_a_folder_that_is_no_imagenet(self, cache: Path, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"203 of the 203 class folders needed in .*train are missing, such as train/n02085620"
        ):
            get(NAME, tmp_path)

    def test_validation_images_that_are_not_in_class_folders(self, tree: Path) -> None:
        shutil.rmtree(tree / "val" / "n02123045")
        with pytest.raises(
            DataError, match=r"1 of the 3 class folders needed in .*val are missing, such as val/n02123045"
        ):
            get(NAME, tree)

    def test_an_empty_class_folder(self, tree: Path) -> None:
        for path in (tree / "train" / "n02123045").iterdir():
            path.unlink()
        with pytest.raises(DataError, match=r"train/n02123045 contains no images"):
            get(NAME, tree)

    def test_a_split_without_one_good_image(self, tree: Path) -> None:
        contents = {path: path.read_bytes() for path in (tree / "val").rglob("*.JPEG")}
        for path in contents:
            path.write_bytes(b"")
        with pytest.raises(DataError, match=r"No image below .*imagenet can be decoded"):
            get(NAME, tree)
        for path, content in contents.items():
            path.write_bytes(content)
        get(NAME, tree)
        assert len(load_data(NAME, "test")) == 6

    def test_a_disk_that_is_too_small_is_noticed_before_anything_is_decoded(
        self, tree: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
        with pytest.raises(AdvssError, match=r"data has 0\.0 GB free, 0\.0 GB are needed.*ADVSS_CACHE"):
            get(NAME, tree)
        assert not list((cache / "data").iterdir())
