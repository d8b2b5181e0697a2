from __future__ import annotations

import io
import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.folder.pictures import chunk, encoded, picture, png, png_header, with_chunk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from advss_zoo.data.folder import decoding, values
from advss_zoo.data.folder.decoding import Facts, Pixels


def read(path: Path, content: bytes, side: int = 8, **how: Any) -> tuple[Pixels, Facts] | str:
    path.write_bytes(content)
    return decoding.read(path, side, **how)


def facts_of(path: Path, content: bytes, side: int = 8) -> Facts:
    found = read(path, content, side)
    assert not isinstance(found, str), found
    return found[1]


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
    monkeypatch.setattr(values, "PIECE", 7)
    found = np.random.default_rng(0).uniform(-9000 if kind != "uint16" else 0, 65535, (8, 8)).astype(kind)
    black = found.min() if kind != "uint16" else 0
    if kind == "float32":
        found[0, :3] = np.nan, np.inf, -np.inf
    clipped = np.nan_to_num(found.astype(float)).clip(black, 65535)
    expected = np.round((clipped - black) / (65535 - black) * 255)
    assert np.array_equal(pixels_of(path, encoded(Image.fromarray(found), "TIFF"))[0], expected)


def test_sixteen_bits_take_little_memory() -> None:
    image = Image.fromarray(np.zeros((2000, 2000), np.uint16))
    tracemalloc.start()
    try:
        decoding.pixels(image, 8)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 2000 * 2000


def test_transparent_grey_of_sixteen_bits(path: Path) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
    expected = np.where(values == 1040 * 5, 255, np.round(values / 65535 * 255))
    content = encoded(Image.fromarray(values))
    clear = chunk(b"tRNS", struct.pack(">H", 1040 * 5))
    assert np.array_equal(pixels_of(path, with_chunk(content, clear))[0], expected)


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
    assert np.abs(pixels_of(path, encoded(smooth, "JPEG"), 4).astype(int) - expected).max() <= 2
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


class TestIdentity:
    """`sha256` is that of what is seen."""

    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("PNG", {"compress_level": 1}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("BMP", {}),
            ("WEBP", {"lossless": True}),
            ("PNG", {"comment": "x", "dpi": (72, 72)}),
        ],
    )
    def test_another_lossless_format_is_the_same_picture(self, kind: str, options: Any, path: Path) -> None:
        image = picture(7, (20, 12))
        assert facts_of(path, encoded(image, kind, **options)).sha256 == facts_of(path, encoded(image)).sha256

    @pytest.mark.parametrize("mode", ["L", "P", "1"])
    def test_another_mode_is_the_same_picture(self, mode: str, path: Path) -> None:
        image = picture(7, (20, 12)).convert(mode)
        again = encoded(image.convert("RGB"), "TIFF")
        assert facts_of(path, again).sha256 == facts_of(path, encoded(image)).sha256

    def test_a_photograph_with_other_metadata_is_the_same_picture(self, path: Path) -> None:
        content, exif = encoded(picture(7, (20, 12)), "JPEG"), Image.Exif()
        exif[0x010F] = "a camera"
        segment = b"Exif\0\0" + exif.tobytes()[6:]
        other = content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]
        assert facts_of(path, other).sha256 == facts_of(path, content).sha256

    def test_a_picture_that_exif_turns_is_the_turned_one(self, path: Path) -> None:
        image, exif = picture(7, (20, 12)), Image.Exif()
        exif[decoding.ORIENTATION] = 6
        turned = facts_of(path, encoded(image, "TIFF", exif=exif))
        assert turned.turned
        assert turned.sha256 == facts_of(path, encoded(image.transpose(Image.Transpose.ROTATE_270))).sha256
        assert turned.sha256 != facts_of(path, encoded(image)).sha256

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_the_size_on_use_does_not_count(self, kind: str, path: Path) -> None:
        content = encoded(picture(7, (12, 8)).resize((1200, 800)), kind)
        assert facts_of(path, content, 8)[:1] == facts_of(path, content, 224)[:1]
        assert facts_of(path, content, 8).likeness == facts_of(path, content, 224).likeness

    def test_a_single_pixel_makes_another_picture(self, path: Path) -> None:
        image = picture(7, (20, 12))
        first = facts_of(path, encoded(image))
        image.putpixel((3, 3), (1, 2, 3))
        assert facts_of(path, encoded(image)).sha256 != first.sha256


class TestValues:
    @pytest.mark.parametrize(("largest", "white"), [(200, 255), (1000, 1023), (4000, 4095), (16000, 16383)])
    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_the_bits_that_are_used_decide(self, largest: int, white: int, kind: str, path: Path) -> None:
        found = np.linspace(0, largest, 64).astype(np.uint16).reshape(8, 8)
        content = encoded(Image.fromarray(found), kind)
        assert np.array_equal(pixels_of(path, content)[0], np.round(found / white * 255))
        assert facts_of(path, content)[-2:] == (0, largest)

    def test_a_range_that_is_given_decides(self, path: Path) -> None:
        found = np.linspace(0, 1000, 64).astype(np.uint16).reshape(8, 8)
        pixels = read(path, encoded(Image.fromarray(found)), value_range=(0, 4095))
        assert np.array_equal(pixels[0][0], np.round(found / 4095 * 255))

    @pytest.mark.parametrize("white", [4095, 65535])
    def test_colours_of_16_bits_keep_their_lower_eight(self, white: int, path: Path) -> None:
        found = np.random.default_rng(1).integers(0, white, (8, 8, 3)).astype(np.uint16)
        found[0, 0] = white
        content = png(found)
        assert np.array_equal(pixels_of(path, content).transpose(1, 2, 0), np.round(found / white * 255))
        assert facts_of(path, content).mode == "RGB;16"

    def test_negative_values(self, path: Path) -> None:
        """As of computed tomography."""
        found = np.linspace(-1024, 3071, 64).astype(np.int32).reshape(8, 8)
        expected = np.round((found + 1024) / (4095 + 1024) * 255)
        assert np.array_equal(pixels_of(path, encoded(Image.fromarray(found), "TIFF"))[0], expected)

    def test_what_says_that_there_is_no_value(self, path: Path) -> None:
        found = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
        found[0, 0] = -3.4e38
        assert pixels_of(path, encoded(Image.fromarray(found), "TIFF")).max() == 255

    def test_of_a_set_the_largest_value_decides(self) -> None:
        assert values.range_of([(3, 200), (None, None), (0, 900)]) == (0, 1023)
        assert values.range_of([(0, 0.4), (-0.5, 1)]) == (-0.5, 1)
        assert values.range_of([(0, 70000)]) == (0, 70000)


class TestOddities:
    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
    def test_white_drawings_lie_on_black(self, mode: str, path: Path) -> None:
        image = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
        image.paste((250, 250, 250, 255), (0, 0, 4, 8))
        content = encoded(image.convert(mode))
        assert (pixels_of(path, content)[:, :, 4:] == 0).all()
        assert (pixels_of(path, content)[:, :, :4] == 250).all()
        assert facts_of(path, content).on_black

    def test_a_bright_drawing_with_a_dark_outline_lies_on_white(self, path: Path) -> None:
        image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (1, 1, 7, 7))
        image.paste((255, 255, 200, 255), (2, 2, 6, 6))
        assert not facts_of(path, encoded(image)).on_black

    @pytest.mark.parametrize(("colours", "uniform"), [((90, 95), True), ((250, 255), True), ((90, 110), False)])
    def test_near_uniform_images(self, colours: tuple[int, int], uniform: bool, path: Path) -> None:
        found = np.random.default_rng(0).integers(*colours, (8, 8), dtype=np.uint8)
        facts = facts_of(path, encoded(Image.fromarray(found)))
        assert (facts.uniform, not facts.likeness) == (uniform, uniform)


class TestRepair:
    BROKEN = (
        chunk(b"eXIf", b"II*\0", sound=False),
        chunk(b"eXIf", b"no exif at all"),
        chunk(b"iCCP", b"name\0\7" + zlib.compress(b"x")),
        chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(2**21))),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * (2**20 + 1))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"a" * (2**21))),
        chunk(b"tIME", b"1", sound=False),
        chunk(b"pHYs", b"1"),
    )

    @pytest.mark.parametrize("broken", BROKEN)
    @pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
    def test_pngs_with_sound_pixels(self, broken: bytes, before: bytes, path: Path) -> None:
        content = encoded(picture(1))
        found = read(path, with_chunk(content, broken, before))
        assert not isinstance(found, str), found
        assert np.array_equal(found[0], pixels_of(path, content))

    def test_a_sound_turn_beside_broken_text_is_made(self, path: Path) -> None:
        exif = Image.Exif()
        exif[decoding.ORIENTATION] = 3
        content = with_chunk(encoded(picture(3), exif=exif), self.BROKEN[4])
        assert np.array_equal(pixels_of(path, content), pixels_of(path, encoded(picture(3)))[:, ::-1, ::-1])

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 2}])
    @pytest.mark.parametrize("lost", [1, 2])
    def test_jpegs_without_their_end_marker(self, options: Any, lost: int, path: Path) -> None:
        content = encoded(picture(5, (64, 64)), "JPEG", **options)
        assert np.array_equal(pixels_of(path, content[:-lost]), pixels_of(path, content))

    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: content[:-100],  # within XMP
            lambda content: content[:-1],  # without the byte that makes a length even
            lambda content: content[:4] + bytes(4) + content[8:],
            lambda content: content[:4] + b"\xff\xff\xff\x7f" + content[8:],
        ],
    )
    @pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
    def test_webp_with_sound_pixels(self, damage: Any, options: Any, path: Path) -> None:
        exif = Image.Exif()
        exif[decoding.ORIENTATION] = 3
        content = encoded(picture(5, (16, 16)), "WEBP", xmp=b"<x>" * 301, icc_profile=b"none", exif=exif, **options)
        assert np.array_equal(pixels_of(path, damage(content)), pixels_of(path, content))
        cut = encoded(picture(5, (16, 16)), "WEBP", **options)[:-30]
        assert str(read(path, cut)).startswith("damaged")

    @pytest.mark.parametrize("progressive", [False, True])
    def test_jpegs_that_lack_more_only_on_request(self, progressive: bool, path: Path) -> None:
        content = encoded(picture(5, (64, 64)), "JPEG", progressive=progressive)
        for lost in (20, 200, len(content) // 2):
            assert str(read(path, content[:-lost])).startswith("damaged: image file is truncated")
            found = read(path, content[:-lost], truncated=True)
            assert not isinstance(found, str), found
        scan = content.rindex(b"\xff\xda")  # the last of several, without which the picture is coarse
        assert isinstance(read(path, content[:scan]), str)

    def test_of_a_phones_pair_of_pictures_the_first(self, path: Path) -> None:
        first, second = picture(1, (16, 16)), picture(2, (16, 16))
        found = read(path, encoded(first, "MPO", save_all=True, append_images=[second]))
        assert not isinstance(found, str)
        assert not found[1].animated
        assert np.array_equal(found[0], pixels_of(path, encoded(first, "JPEG")))

    def test_what_phones_put_behind_a_picture_is_not_looked_at(self, path: Path) -> None:
        """A second and third picture, a film, or bytes of their own."""
        first, others = picture(1, (16, 16)), [picture(2, (16, 16)), picture(3, (8, 8))]
        alone = encoded(first, "JPEG")
        film = alone + struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + bytes(4000)
        for content in (encoded(first, "MPO", save_all=True, append_images=others), film, alone + b"SEFT" * 9):
            facts = facts_of(path, content)
            assert not facts.animated
            assert facts.sha256 == facts_of(path, alone).sha256

    def test_a_pointer_instead_of_a_file(self, path: Path) -> None:
        content = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
        assert "git lfs pull" in str(read(path, content))


class TestHeic:
    HEADER = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic"

    def test_the_package_that_is_missing_is_named(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        assert read(path, self.HEADER) == "HEIC: install pillow-heif (pip install 'advss-zoo[heif]')"

    def test_it_is_read(self, path: Path) -> None:
        heif = pytest.importorskip("pillow_heif")
        image = picture(4, (8, 6)).resize((96, 64), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        heif.from_pillow(image).save(file, quality=95)
        difference = pixels_of(path, file.getvalue()).astype(int) - pixels_of(path, encoded(image))
        assert np.abs(difference).mean() < 3
        assert not {"HEIF", "HEIC"} & set(Image.OPEN)

    def test_avif_needs_no_package(self, path: Path) -> None:
        image = picture(4, (8, 6)).resize((96, 64), Image.Resampling.BICUBIC)
        difference = pixels_of(path, encoded(image, "AVIF", quality=95)).astype(int) - pixels_of(path, encoded(image))
        assert np.abs(difference).mean() < 3
