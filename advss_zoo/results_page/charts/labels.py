"""Putting labels beside their marks, where they cover nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

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
    choices = [_Choices(mark, [*taken, *(other.box for other in marks if other is not mark)], inside) for mark in marks]
    chance, order = random.Random(0), list(range(len(marks)))
    best: list[Place] = []
    least = math.inf
    for _ in range(TRIES):
        found, cost = _in_order(order, choices)
        if cost < least:
            best, least = found, cost
        chance.shuffle(order)
    return best


class _Choices:
    """The places that a label may go to, and what each costs where no other label is yet."""

    def __init__(self, mark: Labelled, others: Sequence[Box], inside: Box) -> None:
        self.places = list(_places(mark))
        self.boxes = np.array([place.box for place in self.places])
        lines = [place.line for place in self.places]
        self.pieces = np.array([piece for line in lines for piece in line])
        self.owners = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
        left, top, right, bottom = self.boxes.T
        outside = (right - left) * (bottom - top) - overlaps(self.boxes, [inside])
        reach = np.array([place.reach for place in self.places])
        self.cost = OUTSIDE * outside + DISTANCE * reach + self.covering(others)

    def covering(self, others: Sequence[Box]) -> np.ndarray:
        """Return what each place costs for what it and the line to it cover."""
        crossed = np.bincount(self.owners, overlaps(self.pieces, others), len(self.places))
        return overlaps(self.boxes, others) + CROSSING * crossed


def _in_order(order: Sequence[int], choices: Sequence[_Choices]) -> tuple[list[Place], float]:
    found: dict[int, Place] = {}
    total, boxes = 0.0, list[Box]()
    for position in order:
        costs = choices[position].cost + choices[position].covering(boxes)
        best = int(costs.argmin())  # the first of the best
        found[position] = choices[position].places[best]
        total += float(costs[best])
        boxes += [found[position].box, *found[position].line]
    return [found[position] for position in range(len(choices))], total


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


def overlaps(ones: np.ndarray, others: Sequence[Box]) -> np.ndarray:
    """Return the area that each of (N, 4) boxes shares with all others together."""
    left, top, right, bottom = ones[:, :, None].transpose(1, 0, 2)
    x, y, u, v = np.array(others).reshape(-1, 4).T
    width = np.minimum(right, u) - np.maximum(left, x)
    height = np.minimum(bottom, v) - np.maximum(top, y)
    return (width.clip(0) * height.clip(0)).sum(axis=1)
