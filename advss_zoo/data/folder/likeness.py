"""Near copies: the same picture in another size, compressed again, or a little brighter.

A fingerprint has 128 bits, whether each cell of a coarse grid is brighter than that beside and that above it, and the
mean colours of 16 areas. Of the package's 1,000 images of CIFAR-10 no two are nearer than 22 bits and 24 levels
(tests/data/folder/test_likeness.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRID, AREAS = 8, 4
BITS, COLOURS = 2 * GRID * GRID // 8, 3 * AREAS * AREAS  # bytes of a fingerprint
MOST_BITS, MOST_LEVELS = 8, 12  # by which near copies differ
WINDOW = 16  # neighbours in each order that an image is compared with


def fingerprint(image: Image.Image) -> bytes:
    """Return what near copies of an image in L or RGB have nearly alike, 64 bytes."""
    cells = image.convert("L").resize((GRID + 1, GRID + 1), Image.Resampling.BILINEAR, reducing_gap=2.0)
    grey = np.asarray(cells)
    brighter = grey[:-1, 1:] > grey[:-1, :-1], grey[1:, :-1] > grey[:-1, :-1]
    colours = np.asarray(image.resize((AREAS, AREAS), Image.Resampling.BOX, reducing_gap=2.0).convert("RGB"))
    return np.packbits(brighter).tobytes() + colours.tobytes()


def groups(fingerprints: Sequence[bytes]) -> list[int]:
    """Return for each fingerprint the place of the first of its near copies; an empty one has none but itself.

    In eight orders of bits images are compared with those next to them, not each with each: of very many images with
    large parts in common some near copies are not found.
    """
    places = np.flatnonzero([bool(each) for each in fingerprints])
    found = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, BITS + COLOURS)
    return joined(len(fingerprints), _pairs(found, places))


def joined(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each place the first that is linked to it, directly or through others."""
    parents = list(range(count))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = place = parents[parents[place]]
        return place

    for one, other in links:
        one, other = sorted((root(one), root(other)))
        parents[other] = one
    return [root(place) for place in range(count)]


def _pairs(found: NDArray[np.uint8], places: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The places of near copies; one by one, for there may be a hundred of each image."""
    for first in range(0, BITS, 2):
        words = np.ascontiguousarray(np.roll(found[:, :BITS], -first, axis=1)).view(">u8")
        order = np.lexsort((words[:, 1], words[:, 0]))
        ordered = words[order]
        for step in range(1, min(WINDOW + 1, len(order))):
            near = np.bitwise_count(ordered[step:] ^ ordered[:-step]).sum(axis=1) <= MOST_BITS
            one, other = order[:-step][near], order[step:][near]
            apart = np.abs(np.subtract(found[one, BITS:], found[other, BITS:], dtype=np.int16))
            alike = apart.max(axis=1, initial=0) <= MOST_LEVELS
            yield from zip(places[one[alike]].tolist(), places[other[alike]].tolist(), strict=True)
