from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
import pytest
from data.folder.pictures import encoded, picture
from PIL import Image

from advss_zoo.data.folder import likeness
from advss_zoo.data.folder.likeness import fingerprint, groups
from advss_zoo.data.subset import load_subset


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    return [Image.fromarray(pixels.transpose(1, 2, 0)) for pixels in load_subset().images]


def numbers(*images: Image.Image) -> list[int]:
    return groups([fingerprint(image.convert("RGB")) for image in images])


def test_photographs_of_cifar_are_not_near_copies(photographs: list[Image.Image]) -> None:
    assert len(set(numbers(*photographs))) == 1000


def test_how_far_photographs_of_cifar_are_from_each_other(photographs: list[Image.Image]) -> None:
    """What the thresholds rest on."""
    found = np.array([list(fingerprint(image)) for image in photographs], np.uint8)
    bits, colours = np.split(found, [likeness.BITS], axis=1)
    others = range(1, len(found))
    fewest = min(int(np.bitwise_count(bits[n:] ^ bits[n - 1]).sum(axis=1).min()) for n in others)
    nearest = min(int(np.abs(colours[n:].astype(int) - colours[n - 1]).max(axis=1).min()) for n in others)
    assert (fewest, nearest) == (22, 24)


@pytest.mark.parametrize(
    ("kind", "options", "share"),
    [
        ("JPEG", {"quality": 95}, 0.99),
        ("JPEG", {"quality": 75}, 0.97),
        ("WEBP", {"quality": 80}, 0.94),
        ("GIF", {}, 0.98),
    ],
)
def test_compressed_again(kind: str, options: Any, share: float, photographs: list[Image.Image]) -> None:
    some = photographs[:100]
    again = [Image.open(io.BytesIO(encoded(image, kind, **options))) for image in some]
    found = numbers(*some, *again)
    assert np.mean([one == other for one, other in zip(found[:100], found[100:], strict=True)]) >= share


@pytest.mark.parametrize("side", [24, 64, 300])
def test_another_size(side: int, photographs: list[Image.Image]) -> None:
    some = photographs[:100]
    found = numbers(*some, *(image.resize((side, side), Image.Resampling.BICUBIC) for image in some))
    assert np.mean([one == other for one, other in zip(found[:100], found[100:], strict=True)]) >= 0.97


def test_discs_of_other_colours_are_not_near_copies() -> None:
    grey, none = Image.radial_gradient("L"), Image.new("L", (256, 256))
    discs = [Image.merge("RGB", channels) for channels in ([grey, none, none], [none, none, grey], [grey, grey, grey])]
    assert len(set(numbers(*discs))) == 3


def test_links_add_up() -> None:
    """The first and the last of a film are in one group."""
    first = bytearray(fingerprint(picture(1)))
    film = []
    for bit in range(12):
        first[bit] ^= 1
        film.append(bytes(first))
    assert len(set(groups(film))) == 1
    assert len(set(groups([film[0], film[-1]]))) == 2


def test_uniform_images_are_groups_of_their_own() -> None:
    assert len(set(groups([b"", b"", fingerprint(picture(1)), b""]))) == 4


def test_very_many_images_that_are_partly_alike() -> None:
    """As drawings on a black ground: half of all bits are alike, and still each is not compared with each."""
    found = np.random.default_rng(0).integers(0, 256, (20_000, 64), np.uint8)
    found[:, :8] = 0
    copies = found[:1000].copy()
    copies[:, 12] ^= 1
    numbered = groups([row.tobytes() for row in (*found, *copies)])
    assert numbered[:1000] == numbered[20_000:]
    assert set(Counter(numbered).values()) == {1, 2}
