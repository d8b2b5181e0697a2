from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from data.folder.pictures import encoded, picture, png_header
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from advss_zoo.data.folder import decoding
from advss_zoo.data.folder.decoding import Facts, Pixels


def read(path: Path, content: bytes, side: int = 8) -> tuple[Pixels, Facts] | str:
    path.write_bytes(content)
    return decoding.read(path, side)


def pixels_of(path: Path, content: bytes, side: int = 8) -> Pixels:
    found = read(path, content, side)
    assert not isinstance(found, str), found
    assert (found[0].shape, found[0].dtype) == ((3, side, side), np.uint8)
    return found[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


def test_an_image_of_the_right_size_stays_as_it_is(path: Path) -> None:
    image = picture(1)
    assert np.array_equal(pixels_of(path, encoded(image)).transpose(1, 2, 0), np.asarray(image))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr", "LAB"]),
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"]),
    side=st.integers(8, 24),
)
def test_any_size_and_mode_become_one(size: tuple[int, int], mode: str, kind: str, side: int, tmp_path: Path) -> None:
    try:
        content = encoded(picture(0, size, "L" if mode == "I;16" else mode).convert(mode), kind)
    except (OSError, ValueError):  # the format does not know the mode
        return
    pixels_of(tmp_path / "any", content, side)


def test_grey_is_the_same_in_all_channels(path: Path) -> None:
    grey = picture(2, mode="L")
    assert np.array_equal(pixels_of(path, encoded(grey)), np.stack([np.asarray(grey)] * 3))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_cut_off(kind: str, path: Path) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
    expected = np.round(values / 65535 * 255)
    assert np.array_equal(pixels_of(path, encoded(Image.fromarray(values), kind))[0], expected)


def test_floats_in_the_unit_interval(path: Path) -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    found = pixels_of(path, encoded(Image.fromarray(values), "TIFF"))[0]
    assert np.abs(found - values * 255).max() <= 0.5


@pytest.mark.parametrize("kind", ["int32", "uint16", "float32"])
def test_large_values_are_scaled_piece_by_piece(kind: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "PIECE", 7)
    values = np.random.default_rng(0).uniform(-9 if kind != "uint16" else 0, 65535, (8, 8)).astype(kind)
    if kind == "float32":
        values[0, :3] = np.nan, np.inf, -np.inf
    expected = np.round(np.nan_to_num(values.astype(float)).clip(0, 65535) / 65535 * 255)
    assert np.array_equal(pixels_of(path, encoded(Image.fromarray(values), "TIFF"))[0], expected)


def test_sixteen_bits_take_little_memory() -> None:
    image = Image.fromarray(np.zeros((2000, 2000), np.uint16))
    tracemalloc.start()
    try:
        decoding._coloured(image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 2000 * 2000


def test_transparent_grey_of_sixteen_bits(path: Path) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
    expected = np.where(values == 1040 * 5, 255, np.round(values / 65535 * 255))
    content = encoded(Image.fromarray(values))
    clear = struct.pack(">I", 2) + b"tRNS" + struct.pack(">H", 1040 * 5)
    place = content.index(b"IDAT") - 4
    chunk = clear + struct.pack(">I", zlib.crc32(clear[4:]))
    assert np.array_equal(pixels_of(path, content[:place] + chunk + content[place:])[0], expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(mode: str, path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    found = pixels_of(path, encoded(image.convert(mode)))
    assert (found[:, :, :4] == 0).all()
    assert (found[:, :, 4:] == 255).all()


@pytest.mark.parametrize(("tag", "turned"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_turns_are_made(tag: int, turned: int, path: Path) -> None:
    """Tag 6: the camera was turned so that the image has to be turned clockwise by 90 degrees."""
    image, exif = picture(3), Image.Exif()
    exif[decoding.ORIENTATION] = tag
    found = read(path, encoded(image, exif=exif))
    assert not isinstance(found, str)
    assert np.array_equal(found[0].transpose(1, 2, 0), np.rot90(np.asarray(image), turned))
    assert found[1].turned == (turned != 0)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind: str, path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    found = read(path, encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert not isinstance(found, str)
    assert found[1].animated
    assert np.abs(found[0].mean((1, 2)) - [255, 0, 0]).max() < 3


def test_the_middle_of_the_longer_side_is_kept(path: Path) -> None:
    wide = Image.new("RGB", (24, 8), "red")
    wide.paste("blue", (8, 0, 16, 8))
    assert (pixels_of(path, encoded(wide)) == np.array([0, 0, 255])[:, None, None]).all()


def test_large_photographs_come_out_as_if_decoded_whole(path: Path) -> None:
    """JPEG is decoded at a fraction of its size; what that changes is less than what its compression does."""
    smooth = picture(4, (8, 6)).resize((1200, 900), Image.Resampling.BICUBIC)
    content = encoded(smooth, "JPEG", quality=95)
    whole = Image.open(io.BytesIO(content)).crop((150, 0, 1050, 900)).resize((32, 32), Image.Resampling.BILINEAR)
    found = pixels_of(path, content, 32).transpose(1, 2, 0).astype(int)
    assert np.abs(found - np.asarray(whole)).mean() < 1.5


def test_photographs_beyond_the_limit_are_decoded_at_a_fraction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEG can be; in what is called the limit there are 2,000 pixels here, and Pillow's own is as many."""
    smooth = picture(4, (8, 6)).resize((160, 120), Image.Resampling.BICUBIC)
    expected = pixels_of(path, encoded(smooth, "JPEG"), 4)
    monkeypatch.setattr(decoding, "MOST_PIXELS", 2_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000)
    assert np.array_equal(pixels_of(path, encoded(smooth, "JPEG"), 4), expected)
    assert read(path, encoded(smooth, "JPEG"), 32) == "160x120 pixels exceed the limit of 2,000"
    assert read(path, encoded(smooth, "PNG"), 4) == "more than 2,000 pixels"
    monkeypatch.setattr(decoding, "MOST_OF_JPEG", 19_000)
    assert read(path, encoded(smooth, "JPEG"), 4) == "160x120 pixels exceed the limit of 2,000"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes"),
        (b"hello, I am a text", "not a readable image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not a readable image"),
        (encoded(picture(5))[:150], "damaged: image file is truncated"),
        (encoded(picture(5, (64, 64)), "JPEG")[:900], "damaged: image file is truncated"),
    ],
)
def test_why_a_file_cannot_be_read(content: bytes, why: str, path: Path) -> None:
    found = read(path, content)
    assert isinstance(found, str)
    assert found.startswith(why)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.integers(0, 400),
    damage=st.binary(min_size=1, max_size=20),
    kind=st.sampled_from(["PNG", "GIF", "TIFF", "WEBP", "JPEG"]),
)
@pytest.mark.filterwarnings("ignore")
def test_damage_never_raises(position: int, damage: bytes, kind: str, tmp_path: Path) -> None:
    content = bytearray(encoded(picture(6), kind))
    content[position : position + len(damage)] = damage
    found = read(tmp_path / "damaged", bytes(content))
    assert isinstance(found, str) or found[0].shape == (3, 8, 8)


@pytest.mark.parametrize("side", [10_000, 20_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_would_fill_the_memory_is_not_unpacked(side: int, path: Path) -> None:
    found = read(path, png_header(side, side))
    assert isinstance(found, str)
    assert "89,478,485" in found


def test_a_file_that_would_fill_the_memory_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(decoding.MOST_BYTES + 1)
    assert decoding.read(path, 8) == "more than 1,073,741,824 bytes"


def test_a_file_that_has_gone(tmp_path: Path) -> None:
    assert decoding.read(tmp_path / "gone.png", 8) == os.strerror(2)
