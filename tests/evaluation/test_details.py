"""What follows from the evidence on each image, worked out by hand for six of them."""

from __future__ import annotations

import numpy as np
import pytest

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation import details as evidence
from advss_zoo.evaluation.schema import Constants, Details
from advss_zoo.evaluation.statistics import wilson_interval
from advss_zoo.evaluation.verdicts import Verdicts

PROTOCOL = {"attacks": [{"name": "apgd-ce"}, {"name": "fab-t"}, {"name": "square"}]}


def derive(protocol, verdicts):
    """As the file of a result holds it."""
    return evidence.derive(Constants(name="any", label="any", **protocol), verdicts).to_dict()


def warnings(details, n):
    return evidence.warnings(Details(**details), n)


def verdicts(attacked=(1, 1, 1, 0, 0, 1), **evidence):
    """Six images of class 0, the last of them misclassified clean."""
    arrays = (range(6), [0] * 6, [0, 0, 0, 0, 0, 1], attacked)
    found = {name: np.array(values, np.int8) for name, values in evidence.items()}
    return Verdicts(*(None if array is None else np.array(array, np.int32) for array in arrays), found)


def test_attacks_one_by_one():
    details = derive(PROTOCOL, verdicts(broken_by=[0, 0, 2, -1, -1, -1]))
    assert details["attacks"] == [
        {"name": "apgd-ce", "broken": 2, "accuracy": 3 / 6},
        {"name": "fab-t", "broken": 0, "accuracy": 3 / 6},
        {"name": "square", "broken": 1, "accuracy": 2 / 6},
    ]
    assert details["black_box_beats_white_box"] is True
    assert derive(PROTOCOL, verdicts(broken_by=[0, 0, 1, -1, -1, -1]))["black_box_beats_white_box"] is False


def test_an_estimate_from_a_sample():
    """Five are right clean; APGD breaks one, leaving four; of the two that were drawn Square breaks one."""
    protocol = {"attacks": [{"name": "apgd-ce"}, {"name": "square", "sampled": True}]}
    found = verdicts((1, 1, 0, 0, 0, 1), broken_by=[0, 1, -1, -1, -1, -1], sampled=[1, 1, 1, 0, 0, 1])
    details = derive(protocol, found)
    assert details["sampled"] == {"survivors": 4, "attacked": 2, "broken": 1, "ra": 2 / 6, "ra_ci95": [1 / 6, 3 / 6]}
    assert "RA under all attacks is 33.33 (16.67 to 50.00)" in warnings(details, 6)[-1]


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


@pytest.mark.parametrize(("norm", "eps", "said"), [("linf", 0.5, True), ("linf", 0.49, False), ("l2", 0.5, False)])
def test_where_all_images_can_be_grey_one_class_can_stand(norm, eps, said):
    """Of the classes 0, 0, 0, 1, 2, 2 at most three images can be right when all look the same."""
    label = np.array([0, 0, 0, 1, 2, 2], np.int32)
    for standing, expected in ((4, said), (3, False)):
        attacked = np.where(np.arange(6) < standing, label, 9).astype(np.int32)
        found = derive({"norm": norm, "eps": eps}, Verdicts(np.arange(6, dtype=np.int32), label, label, attacked))
        assert (found == {"more_than_possible": True}) is expected
        assert any("RA is higher than possible" in sentence for sentence in warnings(found, 6)) is expected


def test_a_loss_that_hardly_ever_fails_to_rise_is_no_sign():
    assert warnings({"no_rise": 0.01}, 1000) == []
    found = warnings({"no_rise": 0.02}, 1000)
    assert found[0].startswith("The attack steps did not increase the loss on 20 of 1,000 images")
    assert "masked" in found[1]


@pytest.mark.parametrize("key", ["zero_gradients", "no_rise"])
@pytest.mark.parametrize(("images", "said"), [(1, False), (2, False), (3, True)])
def test_one_or_two_images_are_no_sign(key, images, said):
    """Of a thousand they would be nothing, and of twenty they can be chance."""
    assert bool(warnings({key: images / 20}, 20)) is said


@pytest.mark.parametrize(("broken", "said"), [(1, False), (2, False), (3, True)])
def test_one_or_two_images_that_square_breaks_are_no_sign(broken, said):
    """Of twenty, each is more than the authors' threshold."""
    n = 20
    broken_by = np.where(np.arange(n) < broken, 2, -1).astype(np.int8)
    zeros = np.zeros(n, np.int32)
    found = Verdicts(zeros, zeros, zeros, (broken_by > 0).astype(np.int32), {"broken_by": broken_by})
    details = derive(PROTOCOL, found)
    assert details["black_box_beats_white_box"] is True
    assert bool(warnings(details, n)) is said


def test_counts_and_fractions():
    details = derive(
        {}, verdicts(unconfirmed=[0, 2, 0, 0, 1, 0], zero_gradient=[1, 1, 1, 0, 0, 0], right_8bit=[0, 1, 0, 1, 1, 1])
    )
    assert details == {"unconfirmed": 3, "zero_gradients": 0.5, "ra_8bit": 3 / 6}


def test_attacks_that_ran_side_by_side():
    """The second breaks image 0, too, and image 2, which the third broke as well; image 5 is wrong clean."""
    found = verdicts(
        part_one=[1, 1, 0, 0, 0, 0], part_two=[1, 0, 1, 0, 0, 0], **{"part_transfer from a": [0, 0, 1, 0, 0, 0]}
    )
    assert derive({}, found) == {
        "attacks": [
            {"name": "one", "broken": 2, "accuracy": 3 / 6},
            {"name": "two", "broken": 1, "accuracy": 2 / 6},
            {"name": "transfer from a", "broken": 0, "accuracy": 2 / 6},
        ],
        "parts": [
            {"name": "one", "accuracy": 3 / 6},
            {"name": "two", "accuracy": 3 / 6},
            {"name": "transfer from a", "accuracy": 4 / 6},
        ],
    }


# Bits of members a (1), b (2), c (4) and the ensemble (8). Clean, c is wrong on images 0 and 1, the ensemble on 5.
TRANSFER = {
    "wrong_clean": [0b100, 0b100, 0, 0, 0, 0],
    "from_a": [0b1111, 0b1111, 0b0011, 0b0101, 0b0111, 0b1100],
    "from_b": [0b0010, 0b0010, 0b1110, 0, 0, 0],
    "from_c": [0, 0, 0, 0, 0, 0],
}


def test_who_fools_whom():
    details = derive({}, verdicts(**TRANSFER))
    assert details["transfer"] == {
        "sources": ["a", "b", "c"],
        "targets": ["a", "b", "c", "ensemble"],
        "asr": [[5 / 6, 4 / 6, 5 / 6, 3 / 6], [0, 3 / 6, 1 / 6, 1 / 6], [0, 0, 0, 0]],
        "asr_of_right": [[5 / 6, 4 / 6, 3 / 4, 2 / 5], [0, 3 / 6, 1 / 4, 1 / 5], [0, 0, 0, 0]],
    }
    (of_a,), (of_b,), (of_c,) = (details["venn"][source] for source in "abc")
    assert of_a == {
        "targets": ["b", "c"],
        "both": 3,
        "only": [1, 2],
        "of_union": [3 / 6, 1 / 6, 2 / 6],
        "of_all": [3 / 6, 1 / 6, 2 / 6],
    }
    assert of_b["targets"] == ["a", "c"]
    assert (of_b["both"], of_b["only"], of_b["of_union"]) == (0, [0, 1], [0, 0, 1])
    assert (of_c["of_union"], of_c["of_all"]) == ([None] * 3, [0] * 3)


def test_a_member_that_is_never_right_has_no_rate_among_what_is_right():
    evidence = TRANSFER | {"wrong_clean": [0b100] * 6}
    assert [rates[2] for rates in derive({}, verdicts(**evidence))["transfer"]["asr_of_right"]] == [None] * 3


@pytest.mark.parametrize(
    "change",
    [
        {"from_a": [0b0111, *TRANSFER["from_a"][1:]]},  # image 0 was broken by nobody
        {"from_c": [0, 0, 0, 0b1000, 0, 0]},  # image 3 still stands
        {"wrong_clean": None},
        {f"from_{letter}": [0] * 6 for letter in "defgh"},  # more members than a byte has bits
    ],
    ids=["nobody", "standing", "clean", "many"],
)
def test_who_fools_whom_must_fit_the_predictions(change):
    evidence = {name: values for name, values in (TRANSFER | change).items() if values is not None}
    with pytest.raises(AdvssError, match="erdicts"):
        derive({}, verdicts(**evidence))


def test_parts_must_fit_the_predictions():
    with pytest.raises(AdvssError, match="inconsistent"):
        derive({}, verdicts(part_one=[1, 1, 0, 0, 0, 0]))


def test_no_evidence_no_details():
    assert derive(PROTOCOL, verdicts()) == {}


@pytest.mark.parametrize(
    "broken_by",
    [[0, 0, -1, -1, -1, -1], [0, 0, 2, 1, -1, -1], [0, 0, 2, -1, -1, 1], [0, 0, 3, -1, -1, -1]],
    ids=["by nobody", "and right", "clean mistake", "unknown attack"],
)
def test_evidence_that_contradicts_the_predictions(broken_by):
    with pytest.raises(AdvssError, match="inconsistent"):
        derive(PROTOCOL, verdicts(broken_by=broken_by))


CORRUPTED = {"corruptions": {"benchmark": ["fog", "snow"], "extra": ["spatter"]}, "severities": 2}
# Of fog all six images are right at severity 1 and two at severity 2; of snow none and three; of spatter, only at 1.
BITS = {"fog": [1, 1, 1, 1, 3, 3], "snow": [2, 2, 2, 0, 0, 0], "spatter": [1, 0, 0, 0, 0, 0]}


def test_corruptions_by_severity():
    details = derive(CORRUPTED, verdicts(attacked=None, **BITS))
    assert details["corruptions"] == {"fog": [1.0, 2 / 6], "snow": [0.0, 3 / 6], "spatter": [1 / 6, 0.0]}
    assert details["corruption_accuracy"] == 11 / 24
    assert derive(CORRUPTED, verdicts(attacked=None, **BITS)) == details


@pytest.mark.parametrize("bits", [{"snow": [4, 0, 0, 0, 0, 0]}, {"spatter": [-1, 0, 0, 0, 0, 0]}, {"fog": None}])
def test_corruptions_without_evidence(bits):
    evidence = {name: values for name, values in (BITS | bits).items() if values}
    with pytest.raises(AdvssError, match=f"incomplete: those under {next(iter(bits))}"):
        derive(CORRUPTED, verdicts(attacked=None, **evidence))


def corrupted(rights):
    """Verdicts with these (n, 2 corruptions, 2 severities) on n images."""
    zeros = np.zeros(len(rights), np.int32)
    bits = (rights @ [1, 2]).astype(np.int8)
    evidence = {"fog": bits[:, 0], "snow": bits[:, 1], "spatter": bits[:, 0]}
    return derive(CORRUPTED, Verdicts(zeros, zeros, zeros, None, evidence))


def test_the_interval_takes_account_of_verdicts_on_one_image_depending_on_each_other():
    """It is as wide as that of a bootstrap over images; about twice as wide if an image is always right or never."""
    random = np.random.default_rng(0)
    easy = random.random((400, 1, 1))
    for rights, wider in (
        (random.random((400, 2, 2)) < 0.6, 1),
        (random.random((400, 2, 2)) < easy, np.sqrt(2)),
        (np.broadcast_to(easy < 0.6, (400, 2, 2)), 2),
    ):
        found = corrupted(rights)
        low, high = found["corruption_accuracy_ci95"]
        means = rights.mean(axis=(1, 2))
        again = means[random.integers(0, 400, (4000, 400))].mean(axis=1)
        assert [low, high] == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=0.006)
        naive = 2 * 1.96 * np.sqrt(means.mean() * (1 - means.mean()) / rights.size)
        assert (high - low) / naive == pytest.approx(wider, rel=0.1)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (2, 5), (1, 1)])
def test_the_interval_of_images_that_are_always_right_or_never_is_wilsons(right, n):
    always = np.broadcast_to((np.arange(n) < right)[:, None, None], (n, 2, 2))
    assert corrupted(always)["corruption_accuracy_ci95"] == pytest.approx(wilson_interval(right / n, n))


def test_warnings_are_sentences_with_their_numbers():
    assert warnings({}, 6) == warnings({"unconfirmed": 0, "zero_gradients": 0.0, "ra_8bit": 0.1}, 6) == []
    details = derive(
        PROTOCOL,
        verdicts(
            attacked=(1, 1, 1, 1, 0, 1),
            broken_by=[0, 2, 2, 2, -1, -1],
            zero_gradient=[1, 0, 1, 0, 0, 1],
            unconfirmed=[4, 0, 0, 0, 0, 0],
        ),
    )
    zero, square, advice, claims = warnings(details, 6)
    assert zero.startswith("3 of 6 images have a gradient of exactly 0")
    assert "broke 3 of the 4 images left" in square
    assert "masked" in advice
    assert claims.startswith("4 reported attack successes")


@pytest.mark.parametrize("shift", [1, 3])
@pytest.mark.parametrize("extra", [0, 5])
def test_outputs_in_another_order_than_the_classes(shift, extra):
    labels = np.repeat(np.arange(10, dtype=np.int32), 6)
    outputs = ((labels + shift) % 10 + extra).astype(np.int32)
    outputs[:3] = 0
    found = derive({}, Verdicts(np.arange(60, dtype=np.int32), labels, outputs, None))
    assert found == {"reordered_accuracy": 57 / 60}
    assert warnings(found, 60) == [
        "Accuracy would be 95% if the model's outputs stood for the classes in another order: name the classes in the "
        "order of its outputs (--classes FILE)."
    ]


@pytest.mark.parametrize(
    "outputs",
    [
        np.zeros(60),  # always the same class
        np.arange(60) % 7,  # nothing to do with the labels
        np.repeat(np.arange(10), 6),  # as it should be
        np.where(np.arange(60) % 6 < 4, np.repeat(np.arange(10), 6), 0),  # not good, in its own order
        np.arange(60) + 100,  # an output of its own for each image
    ],
)
def test_poor_models_in_the_order_of_the_classes(outputs):
    labels = np.repeat(np.arange(10, dtype=np.int32), 6)
    assert derive({}, Verdicts(np.arange(60, dtype=np.int32), labels, outputs.astype(np.int32), None)) == {}


def test_of_few_images_any_model_has_an_order_that_suits_it():
    labels = np.arange(10, dtype=np.int32)
    assert derive({}, Verdicts(labels, labels, (labels + 1) % 10, None)) == {}
