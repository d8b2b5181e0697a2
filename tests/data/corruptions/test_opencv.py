from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from advss_zoo.data.corruptions.opencv import distances, edges

STEPS = [
    (math.hypot(y, x), {1: 1.0, 2: 1.4, 5: 2.1969}[y * y + x * x], y, x)
    for y in range(-2, 3)
    for x in range(-2, 3)
    if y * y + x * x in (1, 2, 5)
]


def shortest_ways(marked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Dijkstra's algorithm over the steps of one pixel, of a diagonal, and of a knight."""
    found = np.full(marked.shape, np.inf)
    queue = [(0.0, y, x) for y, x in np.argwhere(marked).tolist()]
    while queue:
        length, y, x = heapq.heappop(queue)
        if length >= found[y, x]:
            continue
        found[y, x] = length
        for _, step, down, right in STEPS:
            if 0 <= y + down < marked.shape[0] and 0 <= x + right < marked.shape[1]:
                heapq.heappush(queue, (length + step, y + down, x + right))
    return found


@pytest.mark.parametrize("share", [0.004, 0.05, 0.5])
def test_distances_are_those_of_the_shortest_ways(share: float) -> None:
    marked = np.random.default_rng(1).random((3, 17, 30)) < share
    for image, expected in zip(distances(marked), map(shortest_ways, marked), strict=True):
        reached = np.isfinite(expected)
        np.testing.assert_allclose(image[reached], expected[reached], atol=1e-3)
        assert (image[~reached] > 1000).all()


def test_a_square_has_a_closed_outline() -> None:
    """Of the two pixels beside an edge, which are equally steep, the first one counts."""
    image = np.zeros((2, 12, 12), np.uint8)
    image[0, 3:9, 3:9] = 200
    first, second = edges(image, 50, 150)
    assert not second.any()
    assert first.any(axis=1).sum() == first.any(axis=0).sum() == 7
    assert not first[5:7, 5:7].any()


def test_weak_edges_count_where_they_touch_strong_ones() -> None:
    """A step of 25 levels has the strength 4 * 25, between 50 and 150; one of 50 is above."""
    image = np.zeros((3, 12, 12), np.uint8)
    image[0, :, 6:] = 25
    image[1, :, 6:] = 50
    image[2, :6, 6:], image[2, 6:, 6:] = 25, 50
    weak, strong, both = edges(image, 50, 150)
    assert not weak.any()
    assert strong.any(axis=1).all()
    assert both[:, 5:7].any(axis=1).all()
