from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from advss_zoo.evaluation.confusion import Confusion
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.workflows.finetune.outcome import by_class

CLASSES = ("ant", "bee", "cow")
verdicts = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(rows=verdicts)
def test_confusions_are_counted(rows: list[tuple[int, int, int]]) -> None:
    labels, clean, _ = (np.array(column) for column in zip(*rows, strict=True))
    confusion = Confusion.of(CLASSES, labels, clean)
    counts = Counter(zip(labels.tolist(), clean.tolist(), strict=True))
    assert confusion.pairs == counts
    assert {pair: n for pair, n in np.ndenumerate(confusion.matrix) if n} == counts
    most = confusion.most(100)
    wrong = {(CLASSES[i], CLASSES[j]): n for (i, j), n in counts.items() if i != j}
    assert {(label, taken_for): n for label, taken_for, n in most} == wrong
    assert [n for _, _, n in most] == sorted((n for _, _, n in most), reverse=True)
    assert confusion.most(1) == most[:1]


def test_of_many_classes_no_matrix_is_made() -> None:
    """One of 100,000 classes would have 80 GB."""
    classes, numbers = [str(number) for number in range(100_000)], np.arange(100)
    assert Confusion.of(classes, numbers, numbers + 1).most(2) == [("0", "1", 1), ("1", "2", 1)]


@settings(max_examples=50, deadline=None)
@given(rows=verdicts)
def test_classes_add_up_to_the_whole(rows: list[tuple[int, int, int]]) -> None:
    columns = [np.array(column, dtype=np.int32) for column in zip(*rows, strict=True)]
    found = Verdicts(np.arange(len(rows), dtype=np.int32), *columns)
    counted = by_class(CLASSES, found)
    assert sum(row["images"] for row in counted) == len(rows)
    assert sum(round(row["images"] * (row["ta"] or 0)) for row in counted) == found.ta_hits
    assert sum(round(row["images"] * (row["ra"] or 0)) for row in counted) == found.ra_hits
    assert all((row["ta"] is None) == (row["images"] == 0) for row in counted)
