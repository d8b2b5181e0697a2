from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advss_zoo.data.folder.decoding import Facts
from advss_zoo.data.folder.division import LARGE, MOST, Division, divide
from advss_zoo.data.folder.listing import ListedImage
from advss_zoo.data.folder.scan import Seen


def seen(
    label: str, content: object, part: Any = None, name: str = "", *, group: str = "", alike: int | None = None
) -> Seen:
    """An image as the scan tells of it; its content is any value, and so is that which near copies have in common."""
    entry = ListedImage(f"{part or ''}/{label}/{name or content}.png", label, part, group)
    likeness = b"" if alike is None else np.random.default_rng(alike).bytes(64)
    return Seen(entry, Facts(f"sha-{content}".encode(), likeness, 8, 8, "RGB"), 0)


def contents(division: Division, part: Any) -> set[tuple[str, str]]:
    return {(each.entry.label, each.facts.sha256.decode()) for each in division.parts[part]}


def sizes(division: Division) -> tuple[int, ...]:
    return tuple(len(division.parts[part]) for part in ("train", "val", "test"))


images = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 25), st.integers(0, 2)), min_size=1, max_size=80, unique=True
)


@settings(max_examples=100, deadline=None)
@given(found=images)
def test_any_images_are_divided_soundly(found: list[tuple[str, int, int]]) -> None:
    """Labels and contents are drawn apart from each other, so that copies and clashes abound."""
    everyone = [seen(label, content, name=f"{content}-{copy}") for label, content, copy in found]
    division = divide(everyone)
    parts = {part: contents(division, part) for part in division.parts}
    # Nobody is lost, and nobody lies on two sides.
    assert sum(sizes(division)) + len(division.left_out) == len(everyone)
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not {sha for _, sha in parts[one]} & {sha for _, sha in parts[other]}
    # What has two labels is in no part, all else in one.
    used = set().union(*parts.values())
    labels = {sha: {label for label, content, _ in found if f"sha-{content}" == sha} for _, sha in used}
    assert all(len(known) == 1 for known in labels.values())
    clashing = {content for _, content, _ in found} - {int(sha[4:]) for sha in labels}
    assert all(len({label for label, other, _ in found if other == content}) > 1 for content in clashing)
    # Every class is trained on, then judged by, then watched by.
    for label in {label for label, _ in used}:
        train, val, test = (sum(own == label for own, _ in parts[part]) for part in ("train", "val", "test"))
        distinct = train + val + test
        assert train >= 1
        assert test == (max(1, round(0.2 * distinct)) if distinct > 1 else 0)
        assert val == (max(1, round(0.1 * distinct)) if distinct > 2 else 0)


@settings(max_examples=30, deadline=None)
@given(found=images, data=st.data())
def test_order_and_names_do_not_count(found: list[tuple[str, int, int]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(found))
    first = divide([seen(label, content, name=f"{content}-{copy}") for label, content, copy in found])
    second = divide([seen(label, content, name=f"x{copy}-{content}") for label, content, copy in shuffled])
    assert all(contents(first, part) == contents(second, part) for part in first.parts)
    assert first.classes == second.classes


def test_of_very_many_images_few_are_set_aside() -> None:
    division = divide([seen("ab"[content % 2], content) for content in range(100_000)])
    assert sizes(division) == (100_000 - MOST["test"] - MOST["val"], MOST["val"], MOST["test"])


@pytest.mark.parametrize(("count", "expected"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (10, (7, 1, 2))])
def test_small_classes(count: int, expected: tuple[int, ...]) -> None:
    division = divide([seen("a", content) for content in range(count)])
    assert sizes(division) == expected
    missing = [note for note in division.notes if note.endswith(" image of a.")]
    assert len(missing) == expected.count(0)


class TestAsSaid:
    def test_parts_that_are_given_are_kept(self) -> None:
        division = divide([seen("a", i, part) for i, part in enumerate(["train"] * 5 + ["val"] * 2 + ["test"])])
        assert (sizes(division), division.notes, division.left_out) == ((5, 2, 1), [], {})

    def test_what_is_missing_is_cut_from_training(self) -> None:
        division = divide([seen("a", i, "train") for i in range(10)] + [seen("a", 99, "test")])
        assert sizes(division) == (9, 1, 1)
        assert division.notes == ["Images of every class are held out: 1 for validation (seed 20)."]

    def test_without_test_images_those_of_val_judge(self) -> None:
        division = divide([seen("a", i, "train") for i in range(10)] + [seen("a", 99, "val")])
        assert sizes(division) == (9, 1, 1)
        assert contents(division, "test") == {("a", "sha-99")}
        assert "val is used as the test set" in division.notes[0]

    def test_copies_across_parts_are_left_out_of_training(self) -> None:
        held = [seen("a", 1, "val"), seen("a", 2, "test")]
        division = divide([seen("a", i, "train") for i in range(4)] + [*held, seen("a", 2, "val", "again")])
        assert (contents(division, "train"), sizes(division)) == ({("a", "sha-0"), ("a", "sha-3")}, (2, 1, 1))
        assert division.left_out == {
            "train/a/1.png": "a copy of val/a/1.png, which is in val",
            "train/a/2.png": "a copy of test/a/2.png, which is in test",
            "val/a/again.png": "a copy of test/a/2.png, which is in test",
        }
        assert "1 image of train also in val, train/a/1.png: left out of train." in division.notes

    def test_classes_that_are_not_trained_on_cannot_be_judged(self) -> None:
        division = divide([seen("a", 1, "train"), seen("a", 2, "val"), seen("b", 3, "test"), seen("a", 4, "test")])
        assert division.classes == ("a",)
        assert division.left_out == {"test/b/3.png": "class 'b' has no training image"}

    def test_a_class_missing_from_a_part_is_said(self) -> None:
        division = divide([seen(label, f"{label}{part}", part) for label in "ab" for part in ("train", "val")] + [
            seen("a", 9, "test")
        ])  # fmt: skip
        assert division.notes == ["No test image of b."]

    def test_test_images_alone(self) -> None:
        division = divide([seen("b", 1, "test"), seen("a", 2, "test")])
        assert (sizes(division), division.classes) == ((0, 0, 2), ("a", "b"))


def test_labels_that_clash_are_named() -> None:
    division = divide([seen("a", 1, name="x"), seen("b", 1, name="y"), *(seen("ab"[i % 2], i) for i in range(2, 12))])
    assert division.left_out == {
        "/a/x.png": "the same image as /b/y.png, which is 'b'",
        "/b/y.png": "the same image as /a/x.png, which is 'a'",
    }
    assert division.notes[0] == "1 image with two labels, /a/x.png: all copies left out."


def test_copies_stay_together_and_are_kept() -> None:
    division = divide([seen("a", content, name=f"{content}-{copy}") for content in range(10) for copy in range(3)])
    for part in division.parts.values():
        assert set(Counter(each.facts.sha256 for each in part).values()) <= {3}
    assert sum(sizes(division)) == 30


class TestNearCopies:
    @settings(max_examples=50, deadline=None)
    @given(found=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), min_size=1, max_size=60))
    def test_they_come_to_one_side(self, found: list[tuple[str, int]]) -> None:
        """But for groups that are most of a class."""
        everyone = [seen(label, number, alike=alike) for number, (label, alike) in enumerate(found)]
        division = divide(everyone)
        assert sum(sizes(division)) == len(everyone)
        sides: dict[bytes, set[str]] = {}
        for part, images in division.parts.items():
            for each in images:
                sides.setdefault(each.facts.likeness, set()).add(part)
        apart = [likeness for likeness, parts in sides.items() if len(parts) > 1]
        assert all(sum(each.facts.likeness == likeness for each in everyone) >= LARGE for likeness in apart)
        groups = Counter(alike for _, alike in found)
        assert sum(map(len, division.near)) == sum(count for count in groups.values() if count > 1)

    def test_shares_hold_for_images(self) -> None:
        """Films of five pictures each."""
        division = divide(
            [seen("ab"[number % 2], number, alike=number // 10 * 2 + number % 2) for number in range(400)]
        )
        assert sizes(division) == (280, 40, 80)

    def test_a_class_that_is_one_film_is_divided(self) -> None:
        division = divide([seen("a", number, alike=0) for number in range(20)])
        assert sizes(division) == (14, 2, 4)
        assert "20 images of 'a' are near copies of each other: divided all the same." in division.notes

    def test_parts_that_are_given_are_kept(self) -> None:
        division = divide(
            [seen("a", number, "train", alike=number) for number in range(3)]
            + [seen("a", 10, "val", alike=1), seen("a", 11, "test", alike=5)]
        )
        assert sizes(division) == (3, 1, 1)
        assert division.notes == [
            "2 images in 1 group of near copies: train/a/1.png.",
            "Near copies in several splits, which makes test results look better: train/a/1.png (train), "
            "val/a/10.png (val).",
        ]

    def test_of_two_classes_they_are_trained_on(self) -> None:
        division = divide(
            [seen("ab"[number % 2], number, alike=number // 2 if number < 8 else number) for number in range(40)]
        )
        assert {f"sha-{number}" for number in range(8)} <= {sha for _, sha in contents(division, "train")}


class TestGroups:
    @settings(max_examples=60, deadline=None)
    @given(
        found=st.lists(
            st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.sampled_from(["", *"pqrstuvwxyz"])),
            min_size=1,
            max_size=60,
            unique=True,
        ),
        data=st.data(),
    )
    def test_lie_on_one_side(self, found: list[tuple[str, int, str]], data: st.DataObject) -> None:
        """With copies between groups, and groups of several classes."""
        everyone = [seen(label, content, group=group, name=f"{content}{group}") for label, content, group in found]
        division = divide(everyone)
        sides: dict[str, set[str]] = {}
        for part, images in division.parts.items():
            for each in images:
                for tie in (each.facts.sha256, *([f"group {each.entry.group}"] if each.entry.group else [])):
                    sides.setdefault(tie, set()).add(part)
        assert all(len(parts) == 1 for parts in sides.values())
        assert sum(sizes(division)) + len(division.left_out) == len(everyone)
        used = {each.entry.label for images in division.parts.values() for each in images}
        assert {each.entry.label for each in division.parts["train"]} == used
        again = divide(data.draw(st.permutations(everyone)))
        assert again.parts == division.parts

    def test_shares_are_about_those_of_images(self) -> None:
        division = divide([seen("ab"[i % 2], i, group=f"patient {i // 6}") for i in range(600)])
        train, val, test = sizes(division)
        assert (test, val) == (120, 60)
        assert train == 420
        assert division.notes == [
            "Images of every class are held out, whole groups: 120 for test and 60 for validation (seed 20)."
        ]

    def test_of_few_groups_the_largest_is_trained_on(self) -> None:
        sizes_of = {"p": 100, "q": 30, "r": 40}
        division = divide([seen("a", f"{group}{i}", group=group) for group, n in sizes_of.items() for i in range(n)])
        assert sizes(division)[0] == 100
        assert set(sizes(division)[1:]) == {30, 40}

    def test_those_of_two_splits_are_left_out_of_training(self) -> None:
        everyone = [seen("a", i, "train", group="pqrs"[i % 4]) for i in range(12)]
        division = divide([*everyone, seen("a", 90, "test", group="p"), seen("a", 91, "val", group="q")])
        assert {each.entry.group for each in division.parts["train"]} == {"r", "s"}
        assert division.left_out["train/a/0.png"] == "of the same group (p) as test/a/90.png, which is in test"
        assert any(note.startswith("3 images of train of groups that are also in test") for note in division.notes)

    @pytest.mark.parametrize("groups", [1, 2])
    def test_too_few_leave_a_part_empty(self, groups: int) -> None:
        division = divide([seen("a", i, group=str(i % groups)) for i in range(20)])
        assert sizes(division)[1:] == ((0, 0), (0, 10))[groups - 1]


class TestOrder:
    @pytest.mark.parametrize(
        ("names", "order"),
        [
            (["0", "1", "2", "10", "11"], "number"),
            (["-2", "-1", "0", "+1"], "number"),
            (["0.5", "2.25", "10.0"], "number"),
            (["1. oak", "2. elm", "10. fir"], "number"),
            (["class_1", "class_9", "class_10"], "number"),
            (["c000", "c001", "c010"], "number"),
            (["car-1", "car-2", "car-10"], "number"),
            (["10", "2", "dog"], "name"),
            (["a1", "a10", "b2"], "name"),
            (["Zebra", "apple", "bear"], "name"),
        ],
    )
    def test_of_numbers_and_names(self, names: list[str], order: str) -> None:
        division = divide([seen(name, name, "test") for name in sorted(names, reverse=True)])
        assert (division.classes, division.order) == (tuple(names), order)
