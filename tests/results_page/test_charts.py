"""Figures draw the numbers they are given, inside their frame and without covering themselves."""

from __future__ import annotations

import math
import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advss_zoo.results_page.charts import dots, heatmap, labels, lines, radar, scatter, venn
from advss_zoo.results_page.charts.axes import Frame, at_values, linear
from advss_zoo.results_page.charts.dots import Series
from advss_zoo.results_page.charts.lines import Curve
from advss_zoo.results_page.charts.scatter import Dot
from advss_zoo.results_page.charts.series import Look, Value
from advss_zoo.results_page.charts.venn import Counts, shared_area
from advss_zoo.results_page.scene import (
    SHAPES,
    WIDTH,
    Circle,
    LegendEntry,
    Line,
    Scene,
    Style,
    Text,
    fitted,
    marker,
    with_legend,
)

LOOKS = [Look(place) for place in range(8)]


def texts(scene: Scene) -> list[Text]:
    return [mark for mark in scene.marks if isinstance(mark, Text)]


def is_inside(scene: Scene) -> bool:
    """Every mark lies in the scene, give or take half a marker."""
    points = []
    for mark in scene.marks:
        if isinstance(mark, Line):
            points += mark.points
        elif isinstance(mark, Circle):
            points += [(mark.x - mark.radius, mark.y - mark.radius), (mark.x + mark.radius, mark.y + mark.radius)]
        else:
            left = mark.x - {"start": 0, "middle": 0.5, "end": 1}[mark.anchor] * mark.width
            points += [(left, mark.y - 5), (left + mark.width, mark.y + 5)]
    return all(-5 <= x <= scene.width + 5 and -5 <= y <= scene.height + 5 for x, y in points)


# --- scales -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.integers(3, 9))
def test_a_linear_scale_has_round_ticks_around_the_values(values: list[float], ticks: int) -> None:
    scale = linear(values, ticks=ticks)
    assert -1e-6 <= scale(min(values)) <= scale(max(values)) <= 1 + 1e-6
    assert 2 <= len(scale.ticks) <= ticks + 2
    assert scale(scale.low) == 0
    assert scale(scale.high) == pytest.approx(1)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (3, 3), (None, 0), (0, None)])
def test_a_scale_of_a_single_value_has_room_around_it(low: float | None, high: float | None) -> None:
    value = next(end for end in (low, high) if end is not None)
    scale = linear([value], low=low, high=high)
    assert scale.low < scale.high
    assert 0 <= scale(value) <= 1


def test_ticks_are_round() -> None:
    assert [label for _, label in linear([0, 81], ticks=5).ticks] == ["0", "25", "50", "75", "100"]
    assert [label for _, label in linear([0, 32], high=32).ticks] == ["0", "10", "20", "30"]
    assert [label for _, label in at_values([8, 0, 4, 8]).ticks] == ["0", "4", "8"]


def test_a_logarithmic_scale_gives_doublings_the_same_room() -> None:
    scale = at_values([1, 2, 4, 50], logarithmic=True)
    assert scale(2) - scale(1) == pytest.approx(scale(4) - scale(2))


def test_labels_of_ticks_that_would_touch_are_left_out() -> None:
    frame = Frame(at_values([0, 0.1, 0.2, 100]), linear([0, 1]))
    shown = [text.text for text in texts(Scene(262, tuple(frame.marks("x", "y")))) if text.y > 222]
    assert shown == ["0.2", "100", "x"]


# --- kinds of figures -------------------------------------------------------------------------------------------------


def test_curves_go_through_their_points() -> None:
    points = tuple((float(x), Value(10.0 * x, (10.0 * x - 5, 10.0 * x + 5))) for x in range(1, 5))
    scene = lines.draw([Curve("a", LOOKS[0], points)], linear([], low=0, high=4), linear([0, 100]), "x", "y")
    frame = Frame(linear([], low=0, high=4), linear([0, 100]))
    drawn = [mark for mark in scene.marks if isinstance(mark, Line) and mark.style == LOOKS[0].line]
    assert drawn[0].points == tuple(frame.at(x, value.value) for x, value in points)
    assert len([mark for mark in scene.marks if isinstance(mark, Circle)]) == 4
    assert is_inside(scene)


def test_a_legend_tells_several_curves_apart() -> None:
    points = ((0.0, Value(1.0)), (1.0, Value(2.0)))
    curves = [Curve(name, look, points) for name, look in zip("abc", LOOKS, strict=False)]
    scene = lines.draw(curves, linear([0, 1]), linear([0, 2]), "x", "y")
    assert [text.text for text in texts(scene)][-3:] == ["a", "b", "c"]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 10**6))
def test_dots_and_radar_show_every_value_once(models: int, rows: int, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"row {row}" for row in range(rows)]
    series = [
        Series(
            f"model {model}",
            LOOKS[model],
            {name: Value(100 * chance.random()) for name in names if chance.random() < 0.8},
        )
        for model in range(models)
    ]
    series[0].values.setdefault(names[0], Value(50.0))
    values = {f"{one.label}, {row}: {value.value:.2f}" for one in series for row, value in one.values.items()}
    for scene in (dots.draw(names, series, "%"), *([radar.draw(names, series)] if rows >= radar.FEWEST else [])):
        tips = [mark.tip for mark in scene.marks if mark.tip and not isinstance(mark, Text)]
        assert sorted(tips) == sorted(values)
        assert is_inside(scene)


def test_a_heat_map_writes_shares_in_percent_and_leaves_gaps() -> None:
    scene = heatmap.draw(["a", "b"], ["x", "y"], [[0.0, 1.0], [0.255, None]], "a", row_gaps=[1], column_gaps=[1])
    numbers = [text.text for text in texts(scene) if text.colour.startswith("C")]
    assert numbers == ["0.0", "100.0", "25.5"]
    cells = [mark for mark in scene.marks if isinstance(mark, Line) and mark.closed]
    assert [cell.style.fill for cell in cells] == ["a0", "a20", "a5"]
    assert cells[2].points[0][1] - cells[0].points[3][1] > heatmap.GAP
    assert is_inside(scene)


@pytest.mark.parametrize("columns", [1, 3, 7, 30])
def test_a_heat_map_keeps_its_width(columns: int) -> None:
    names = [f"a-very-long+name.number-{place}" for place in range(columns)]
    scene = heatmap.draw(names, names, [[0.5] * columns] * columns, "w", column_gaps=[columns - 1])
    assert is_inside(scene)


def test_no_label_of_a_scatter_plot_covers_another_or_a_mark() -> None:
    chance = random.Random(3)
    found = [
        Dot(f"model-{place}", Value(72 + 3 * chance.random()), Value(43 + 3 * chance.random()), look=LOOKS[place])
        for place in range(8)
    ]
    scene = scatter.draw(found, "x", "y")
    found_labels = [text for text in texts(scene) if text.bold]
    assert len(found_labels) == 8
    boxes = [
        (
            left := text.x - {"start": 0, "middle": 0.5, "end": 1}[text.anchor] * text.width,
            text.y - 6,
            left + text.width,
            text.y + 6,
        )
        for text in found_labels
    ]
    for one, other in combinations(boxes, 2):
        assert labels.overlaps(np.array([one]), [other]) == 0
    assert is_inside(scene)


def test_marks_grow_with_the_epochs_and_those_of_others_are_hollow() -> None:
    small, large = (Dot("ours", Value(70.0), Value(40.0), epochs, LOOKS[0]) for epochs in (30.0, 120.0))
    assert large.radius == pytest.approx(2 * small.radius)
    scene = scatter.draw([small, Dot("theirs", Value(80.0), Value(50.0), 99.0)], "x", "y")
    circles = [mark for mark in scene.marks if isinstance(mark, Circle)]
    assert [circle.style.fill for circle in circles] == ["s1", "paper"]


# --- Venn diagrams ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000))
def test_areas_of_a_venn_diagram_are_its_counts(only_one: int, only_other: int, both: int) -> None:
    scene = venn.draw("one", "other", Counts(only_one, only_other, both), ("1%", "2%", "3%"))
    circles = [mark for mark in scene.marks if isinstance(mark, Circle) and mark.style.fill]
    assert len(circles) == (only_one + both > 0) + (only_other + both > 0)
    assert is_inside(scene)
    if len(circles) == 2:
        one, other = circles
        unit = math.pi * one.radius**2 / (only_one + both)
        assert math.pi * other.radius**2 == pytest.approx(unit * (only_other + both))
        shared = shared_area((one.radius, other.radius), other.x - one.x)
        assert shared == pytest.approx(unit * both, abs=1e-3 * math.pi * max(one.radius, other.radius) ** 2)


def test_the_area_two_circles_share_is_that_of_points_in_both() -> None:
    chance, inside = random.Random(0), 0
    for _ in range(20_000):
        x, y = chance.uniform(-1, 1), chance.uniform(-1, 1)
        inside += x * x + y * y < 1 and (x - 0.7) ** 2 + y * y < 0.25
    assert shared_area((1.0, 0.5), 0.7) == pytest.approx(4 * inside / 20_000, abs=0.03)


# --- marks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_markers_have_about_the_same_area(shape: str) -> None:
    mark = marker(shape, 0, 0, 10, Style(fill="ink"))
    if isinstance(mark, Circle):
        area = math.pi * mark.radius**2
    else:
        ends = zip(mark.points, (*mark.points[1:], mark.points[0]), strict=True)
        area = abs(sum(x * v - u * y for (x, y), (u, v) in ends)) / 2
    assert area == pytest.approx(math.pi * 100, rel=0.3)


def test_six_models_differ_in_colour_and_shape_and_twelve_in_one_of_them() -> None:
    looks = [Look(place) for place in range(12)]
    assert len({look.colour for look in looks[:6]}) == len({look.shape for look in looks[:6]}) == 6
    assert len({(look.colour, look.shape) for look in looks}) == 12


def test_legends_flow_over_lines_and_cut_what_is_too_long() -> None:
    scene = with_legend(
        Scene(10, ()), [LegendEntry("name " * 5, ()), LegendEntry("name " * 5, ()), LegendEntry("x" * 200, ())]
    )
    rows = {text.y for text in texts(scene)}
    assert len(rows) == 3
    assert texts(scene)[-1].text.endswith("…")
    assert is_inside(scene)
    assert fitted("short", WIDTH) == "short"
