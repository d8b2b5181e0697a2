"""What follows from the evidence on each image, worked out by hand for six of them."""

from __future__ import annotations

import numpy as np
import pytest

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.details import cautions, derive
from advss_zoo.evaluation.verdicts import Verdicts

PROTOCOL = {"attacks": [{"name": "apgd-ce"}, {"name": "fab-t"}, {"name": "square"}]}


def verdicts(attacked=(1, 1, 1, 0, 0, 1), **evidence):
    """Six images of class 0, the last of them misclassified clean."""
    arrays = (range(6), [0] * 6, [0, 0, 0, 0, 0, 1], attacked)
    found = {name: np.array(values, np.int8) for name, values in evidence.items()}
    return Verdicts(*(np.array(array, np.int32) for array in arrays), found)


def test_attacks_one_by_one():
    details = derive(PROTOCOL, verdicts(broken_by=[0, 0, 2, -1, -1, -1]))
    assert details["attacks"] == [
        {"name": "apgd-ce", "broken": 2, "accuracy": 3 / 6},
        {"name": "fab-t", "broken": 0, "accuracy": 3 / 6},
        {"name": "square", "broken": 1, "accuracy": 2 / 6},
    ]
    assert details["black_box_beats_white_box"] is True
    assert derive(PROTOCOL, verdicts(broken_by=[0, 0, 1, -1, -1, -1]))["black_box_beats_white_box"] is False


def test_a_black_box_that_ran_alone_beats_nobody():
    details = derive({"attacks": [{"name": "square"}]}, verdicts(broken_by=[0, 0, 0, -1, -1, -1]))
    assert list(details) == ["attacks"]


@pytest.mark.parametrize(("broken", "suspicious"), [(2, False), (3, True)])
def test_what_square_may_break_is_the_authors_threshold(broken, suspicious):
    n = 1000
    broken_by = np.where(np.arange(n) < broken, 2, -1).astype(np.int8)
    zeros = np.zeros(n, np.int32)
    found = Verdicts(zeros, zeros, zeros, (broken_by > 0).astype(np.int32), {"broken_by": broken_by})
    assert derive(PROTOCOL, found)["black_box_beats_white_box"] is suspicious


def test_counts_and_fractions():
    details = derive(
        {}, verdicts(unconfirmed=[0, 2, 0, 0, 1, 0], zero_gradient=[1, 1, 1, 0, 0, 0], right_8bit=[0, 1, 0, 1, 1, 1])
    )
    assert details == {"unconfirmed": 3, "zero_gradients": 0.5, "ra_8bit": 3 / 6}


def test_no_evidence_no_details():
    assert derive(PROTOCOL, verdicts()) is None


@pytest.mark.parametrize(
    "broken_by",
    [[0, 0, -1, -1, -1, -1], [0, 0, 2, 1, -1, -1], [0, 0, 2, -1, -1, 1], [0, 0, 3, -1, -1, -1]],
    ids=["by nobody", "and right", "clean mistake", "unknown attack"],
)
def test_evidence_that_contradicts_the_predictions(broken_by):
    with pytest.raises(AdvssError, match="contradict"):
        derive(PROTOCOL, verdicts(broken_by=broken_by))


def test_cautions_are_sentences_with_their_numbers():
    assert cautions(None) == cautions({"unconfirmed": 0, "zero_gradients": 0.0, "ra_8bit": 0.1}) == []
    details = derive(
        PROTOCOL,
        verdicts(broken_by=[0, 0, 2, -1, -1, -1], zero_gradient=[1, 0, 0, 0, 0, 0], unconfirmed=[4, 0, 0, 0, 0, 0]),
    )
    zero, square, advice, claims = cautions(details)
    assert "16.7%" in zero
    assert "broke 1 of the images" in square
    assert "masked" in advice
    assert claims.startswith("4 times")
