"""Putting labels beside their marks, where they cover nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from advss_zoo.results_page.scene import TEXT, Anchor, Point

REACHES = (3.0, 9.0, 16.0, 26.0, 38.0, 52.0)  # how far from its mark a label may go
DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))
FAR = 9.0  # from where on a line leads to it
STEP = 4.0  # along that line
OUTSIDE, CROSSING = 4.0, 8.0  # how much worse than covering something: leaving the frame, a line through something
DISTANCE = 1.0  # what a pixel of distance costs, in pixels covered
CLEAR = 5.0  # around a mark: a label inside would be taken for its own
TRIES = 24  # orders in which the labels are put down

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Labelled:
    """A mark, round and centred at `at`, and how wide its label is."""

    at: Point
    radius: float
    width: float

    @property
    def box(self) -> Box:
        (x, y), reach = self.at, self.radius + CLEAR
        return x - reach, y - reach, x + reach, y + reach


@dataclass(frozen=True)
class Place:
    """Where a label goes; `leader` is the line to it where it is far from its mark."""

    box: Box
    anchor: Anchor
    reach: float
    leader: tuple[Point, Point] | None

    @property
    def at(self) -> Point:
        """Where the text begins, has its middle or ends, by its anchor."""
        left, top, right, bottom = self.box
        return {"start": left, "middle": (left + right) / 2, "end": right}[self.anchor], (top + bottom) / 2

    @property
    def line(self) -> list[Box]:
        """The leader as a row of little boxes."""
        if self.leader is None:
            return []
        (x, y), (u, v) = self.leader
        steps = max(1, round(math.dist((x, y), (u, v)) / STEP))
        points = [(x + (u - x) * step / steps, y + (v - y) * step / steps) for step in range(steps + 1)]
        return [(px - 1, py - 1, px + 1, py + 1) for px, py in points]


def place(marks: Sequence[Labelled], taken: Sequence[Box], inside: Box) -> list[Place]:
    """Choose a place for each label, such that together they cover as little as possible and are near to their marks.

    Each goes to the best place that those before it have left; of several orders the best is taken.
    """
    chance, order = random.Random(0), list(range(len(marks)))
    best, least = [], math.inf
    for _ in range(TRIES):
        found, cost = _in_order(order, marks, taken, inside)
        if cost < least:
            best, least = found, cost
        chance.shuffle(order)
    return best


def _in_order(
    order: Sequence[int], marks: Sequence[Labelled], taken: Sequence[Box], inside: Box
) -> tuple[list[Place], float]:
    found: dict[int, Place] = {}
    total, boxes = 0.0, list(taken)
    for position in order:
        others = [*boxes, *(mark.box for other, mark in enumerate(marks) if other != position)]
        costs = {candidate: _cost(candidate, others, inside) for candidate in _places(marks[position])}
        found[position] = min(costs, key=costs.__getitem__)  # the first of the best
        total += costs[found[position]]
        boxes += [found[position].box, *found[position].line]
    return [found[position] for position in range(len(marks))], total


def _cost(place: Place, others: Sequence[Box], inside: Box) -> float:
    left, top, right, bottom = place.box
    outside = (right - left) * (bottom - top) - overlap(place.box, inside)
    covered = sum(overlap(place.box, other) for other in others)
    crossed = sum(overlap(piece, other) for piece in place.line for other in others)
    return OUTSIDE * outside + covered + CROSSING * crossed + DISTANCE * place.reach


def _places(mark: Labelled) -> Iterator[Place]:
    (x, y), height = mark.at, TEXT + 3
    anchors: dict[int, Anchor] = {1: "start", 0: "middle", -1: "end"}
    for reach, (right, down) in product(REACHES, DIRECTIONS):
        left = x + right * (mark.radius + reach) - (1 - right) / 2 * mark.width
        top = y + down * (mark.radius + reach) - (1 - down) / 2 * height
        box = left, top, left + mark.width, top + height
        yield Place(box, anchors[right], reach, _leader(mark.at, mark.radius, box) if reach >= FAR else None)


def _leader(mark: Point, radius: float, box: Box) -> tuple[Point, Point]:
    """From the rim of the mark to the nearest point of the label."""
    (x, y), (left, top, right, bottom) = mark, box
    end = min(max(x, left), right), min(max(y, top + 3), bottom - 3)
    away = (radius + 1.5) / math.dist(mark, end)
    return (x + away * (end[0] - x), y + away * (end[1] - y)), end


def overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
