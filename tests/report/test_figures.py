"""Figure 1 is a picture in which every label can be read."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from PIL import Image

from advss_zoo.report import figures, paper, tables
from advss_zoo.report.ours import Ours


@pytest.fixture
def document(measure, runs):
    """Figure 1 with all of ours within three points of each other."""
    chance = random.Random(3)
    parts = [f"{task}-p3f4.mini" for task in ("selfie", "rotation", "jigsaw")]
    for name in ("p1f4.mini", *parts, "apdpe-p3f4.mini", "+".join(parts)):
        measure(name, 0.73 + 0.02 * chance.random(), 0.44 + 0.03 * chance.random(), trained="+" not in name)
    return tables.document(paper.load("fig1"), "mini", Ours(runs))


def test_no_label_covers_another(document):
    axes = figures.scatter(document).axes[0]
    labels = [child for child in axes.get_children() if isinstance(child, Annotation)]
    assert len(labels) == 12
    for one, other in combinations([label.get_window_extent() for label in labels], 2):
        assert Bbox.intersection(one, other) is None


def test_the_papers_points_are_hollow_and_ours_filled(document):
    axes = figures.scatter(document).axes[0]
    points = {
        (round(x, 2), round(y, 2)): tuple(marks.get_facecolor()[0][:3])
        for marks in axes.collections
        for x, y in marks.get_offsets()
    }
    assert len(points) == 12
    assert points[86.02, 51.05] == (1, 1, 1)
    for row in document["rows"]:
        assert points[round(100 * row["ours"]["ta"], 2), round(100 * row["ours"]["ra"], 2)] != (1, 1, 1)


def test_it_is_written_as_a_picture_without_ours_too(runs, tmp_path):
    path = tmp_path / "new" / "fig1.png"
    figures.draw(tables.document(paper.load("fig1"), "mini", Ours(runs)), path)
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (1200, 840))
