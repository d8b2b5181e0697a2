"""Claims, judged on made-up results: they hold, fail, or are incomplete."""

from __future__ import annotations

import json

import pytest
from reproduction import made_up

from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.evaluation.statistics import Estimate, wilson_interval
from advss_zoo.reproduction import claims
from advss_zoo.reproduction.claims import CLAIMS

HOLDS, FAILS, CHANCE, OPEN = "holds", "does not hold", "not settled", "incomplete"
TASKS = ("selfie", "rotation", "jigsaw")


def judge(table, about, ours, tag="mini"):
    """The one claim of a table whose text contains `about`."""
    known = ours()
    (found,) = [judged for claim in CLAIMS[table] if about in (judged := claim(known, tag)).claim]
    return found


def difference(one, other, metric="ra"):
    found = claims.compare([one], [other], metric)
    return tuple(round(100 * number, 2) for number in (found.value, found.low, found.high))


def test_differences_are_paired_where_both_verdicts_are_there(measure, ours):
    """30 images of 10,000 are within the intervals, but not chance if no image speaks for the other model."""
    measure("p1f4.mini", 0.70, 0.430)
    folder = measure("selfie-p3f4.mini", 0.70, 0.433)
    one, other = ours().of("selfie-p3f4.mini"), ours().of("p1f4.mini")
    value, low, high = difference(one, other)
    assert (value, low, high) == (0.30, pytest.approx(0.19, abs=0.02), pytest.approx(0.41, abs=0.02))
    value, low, high = difference(one, other, "ta")
    assert value == 0
    assert -0.05 < low < 0 < high < 0.05
    (folder / "verdicts.npz").unlink()
    value, low, high = difference(one, other)
    assert (value, low, high) == (0.30, pytest.approx(-1.07, abs=0.02), pytest.approx(1.67, abs=0.02))


def test_differences_between_other_images_go_by_the_intervals(measure, ours):
    measure("p1f4.mini", 0.70, 0.30)
    measure("selfie-p3f4.mini", 0.70, 0.43, n=1_000)
    value, low, high = difference(ours().of("selfie-p3f4.mini"), ours().of("p1f4.mini"))
    assert (value, low, high) == (13.0, pytest.approx(9.82, abs=0.1), pytest.approx(16.2, abs=0.1))


def test_a_claim_about_nothing_measured_names_what_is_missing(ours):
    judged = judge("table3", "(F3)", ours)
    assert (judged.verdict, judged.evidence) == (OPEN, ())
    assert judged.missing == (
        "p1f3.mini",
        *(f"{task}-{scenario}.mini" for scenario in ("p2f3", "p3f3") for task in TASKS),
    )


def test_full_standard_fine_tuning_leaves_nothing(measure, ours):
    for name in ("p1f3", *(f"{task}-{scenario}" for scenario in ("p2f3", "p3f3") for task in TASKS)):
        assert judge("table3", "(F3)", ours).verdict == OPEN
        measure(f"{name}.mini", 0.9, 0.005)
    assert judge("table3", "(F3)", ours).verdict == HOLDS
    for ra, verdict in ((0.0099, CHANCE), (0.0101, CHANCE), (0.02, FAILS)):
        measure("p1f3.mini", 0.9, ra)
        judged = judge("table3", "(F3)", ours)
        assert judged.verdict == verdict
    assert "p1f3.mini 2.00 (1.74 to 2.29)" in judged.evidence


def test_one_counterexample_refutes_whatever_is_missing(measure, ours):
    measure("p1f3.mini", 0.9, 0.02)
    judged = judge("table3", "(F3)", ours)
    assert judged.verdict == FAILS
    assert judged.missing


@pytest.mark.parametrize(("ra", "verdict"), [(0.31, HOLDS), (0.301, CHANCE), (0.299, CHANCE), (0.29, FAILS)])
def test_partial_adversarial_fine_tuning_is_far_above(ra, verdict, measure, ours):
    for task in TASKS:
        measure(f"{task}-p3f1.mini", 0.8, 0.2)
        measure(f"{task}-p3f2.mini", 0.7, ra if task == "jigsaw" else 0.4)
    judged = judge("table3", "far above", ours)
    assert judged.verdict == verdict
    assert judged.evidence[0].startswith("selfie-p3f2.mini over selfie-p3f1.mini +20.00 (+1")


@pytest.fixture
def curve(runs):
    """Leave the log of a run: an RA after every fourth epoch."""

    def curve(name, *accuracies):
        looks = [{"step": epoch, "epoch": epoch, "validation": {"ta": 0.7, "ra": ra}} for epoch, ra in accuracies]
        lines = [json.dumps(record) + "\n" for record in ({"step": 0, "epoch": 0, "loss": 2.3}, *looks)]
        (runs / name / "log.jsonl").write_text("".join(lines))

    return curve


@pytest.mark.parametrize(
    ("looks", "verdict", "says"),
    [
        (((4, 0.40), (8, 0.45), (12, 0.44)), HOLDS, "reaches the 45.0 that p1f4.mini has after 12 epochs after 8"),
        (((4, 0.40), (8, 0.44), (12, 0.46)), CHANCE, "after 12"),
        (((4, 0.40), (12, 0.44), (16, 0.45)), FAILS, "after 16"),
        (((4, 0.40), (8, 0.44), (12, 0.43)), FAILS, "never reaches the 45.0"),
    ],
)
def test_pretraining_saves_epochs_to_the_best_of_the_control(looks, verdict, says, measure, ours, curve):
    measure("p1f4.mini", 0.7, 0.43)
    curve("p1f4.mini", (4, 0.40), (12, 0.45), (16, 0.45))
    for task in TASKS:
        measure(f"{task}-p3f4.mini", 0.7, 0.43)
        curve(f"{task}-p3f4.mini", *(looks if task == "jigsaw" else ((4, 0.46),)))
    judged = judge("table3", "(P3,F4) reaches", ours)
    assert judged.verdict == verdict
    assert says in judged.evidence[2]
    assert judge("table3", "(P2,F4) reaches", ours).verdict == OPEN


def test_without_a_log_the_speed_is_not_settled(measure, ours, curve):
    for name in ("p1f4", *(f"{task}-p3f4" for task in TASKS)):
        measure(f"{name}.mini", 0.7, 0.45)
    judged = judge("table3", "(P3,F4) reaches", ours)
    assert judged.verdict == CHANCE
    assert judged.evidence[0].endswith("no log of selfie-p3f4.mini and p1f4.mini")
    curve("p1f4.mini", (4, 0.40))
    assert judge("table3", "(P3,F4) reaches", ours).evidence[0].endswith("no log of selfie-p3f4.mini")


@pytest.mark.parametrize(("ra", "verdict"), [(0.45, HOLDS), (0.43, CHANCE), (0.42, FAILS)])
def test_pretraining_makes_more_robust(ra, verdict, measure, ours):
    measure("p1f4.mini", 0.7, 0.43)
    for task in TASKS:
        measure(f"{task}-p2f4.mini", 0.7, ra)
    assert judge("table3", "(P2,F4) beats", ours).verdict == verdict


def test_what_was_made_otherwise_is_not_judged(measure, runs, ours):
    for name in ("p1f4", *(f"{task}-p2f4" for task in TASKS)):
        measure(f"{name}.mini", 0.7, 0.3 if name == "p1f4" else 0.45)
    assert judge("table3", "(P2,F4) beats", ours).verdict == HOLDS
    made_up.train(runs, "p1f4.mini", "average", 16.0, seed=21)
    judged = judge("table3", "(P2,F4) beats", ours)
    assert (judged.verdict, judged.missing) == (OPEN, ("p1f4.mini",))


def test_observations_are_told_from_claims(ours):
    known = ours()
    kinds = {judged.claim: judged.kind for claim in CLAIMS["table6"] for judged in (claim(known, "mini"),)}
    assert kinds["Rotation+Selfie has the most TA of all ensembles"] == "observation"
    assert kinds["The ensemble of three beats every pair in RA"] == "claim"


def test_the_suspect_cell_of_table_8_is_not_judged(ours):
    known = ours()
    found = [claim(known, "r50").claim for claim in CLAIMS["table8"]]
    assert "Selfie: noise in place of an adversary, F2: -7.08 RA in the paper" in found
    assert (len(found), any("Jigsaw" in claim and "F4" in claim for claim in found)) == (5, False)


@pytest.mark.parametrize(
    ("ta", "ra", "verdict"),
    [(0.72, 0.45, HOLDS), (0.70, 0.45, FAILS), (0.72, 0.42, FAILS), (0.71, 0.45, CHANCE)],
)
def test_a_margin_has_the_direction_of_the_papers_in_every_metric(ta, ra, verdict, measure, ours):
    measure("p1f4.mini", 0.71, 0.43)
    measure("selfie-p3f4.mini", ta, ra)
    judged = judge("table3", "from scratch", ours)
    assert judged.verdict == verdict
    assert "+3.83 RA, +1.30 TA in the paper" in judged.claim
    assert [text.split(" (")[0] for text in judged.evidence] == [
        f"RA {100 * (ra - 0.43):+.2f}",
        f"TA {100 * (ta - 0.71):+.2f}",
    ]


@pytest.mark.parametrize(
    ("ta", "ra", "shift", "verdict"),
    [
        *((0.72, 0.433, 0, HOLDS), (0.70, 0.433, 0, FAILS)),
        *((0.74, 0.433, 5_000, CHANCE), (0.74, 0.427, 5_000, CHANCE), (0.67, 0.433, 5_000, FAILS)),
    ],
)
def test_a_margin_that_could_be_chance_settles_nothing(ta, ra, shift, verdict, measure, ours):
    """Shifted, other images are right, and the difference is that of two large numbers."""
    measure("p1f4.mini", 0.71, 0.43)
    measure("selfie-p3f4.mini", ta, ra, shift=shift)
    judged = judge("table3", "from scratch", ours)
    assert judged.verdict == verdict
    assert ("(-" in judged.evidence[0] and "to +" in judged.evidence[0]) == (shift > 0)


def test_one_member_that_could_be_beaten_by_chance_settles_nothing(measure, ours):
    names = [f"{task}-p3f4.mini" for task in TASKS]
    for name in names:
        measure(name, 0.7, 0.45, shift=5_000 if name == names[0] else 0)
    for left_out in names:
        measure("+".join(name for name in names if name != left_out), 0.7, 0.453, trained=False)
    assert judge("table6", "members", ours).verdict == OPEN
    measure("+".join(names), 0.7, 0.453, trained=False)
    assert judge("table6", "members", ours).verdict == CHANCE
    measure(names[1], 0.7, 0.47)
    assert judge("table6", "members", ours).verdict == FAILS


@pytest.mark.parametrize(
    ("table", "about", "margins"),
    [
        ("table5", "Diversity", "+1.17 RA, -3.02 TA"),
        ("table6", "three over Selfie", "+3.59 RA"),
        ("table7", "most images", "+0.97 RA"),
        ("fig3", "one-shot", "-0.74 RA, +1.97 TA"),
    ],
)
def test_the_papers_margins(table, about, margins, ours):
    judged = judge(table, about, ours)
    assert judged.claim.endswith(f": {margins} in the paper")
    assert judged.verdict == OPEN


def test_ensembles_beat_their_members(measure, ours):
    names = [f"{task}-p3f4.mini" for task in TASKS]
    for name in names:
        measure(name, 0.7, 0.45)
    for left_out in (*names, None):
        assert judge("table6", "members", ours).verdict == OPEN
        measure("+".join(name for name in names if name != left_out), 0.7, 0.46, trained=False)
    judged = judge("table6", "members", ours)
    assert judged.verdict == HOLDS
    assert len(judged.evidence) == 3 * 2 + 3
    measure(names[0], 0.7, 0.47)
    assert judge("table6", "members", ours).verdict == FAILS


@pytest.mark.parametrize(("only_jigsaw", "verdict"), [(1000, HOLDS), (680, CHANCE), (640, CHANCE), (500, FAILS)])
def test_enough_fool_one_alone(only_jigsaw, verdict, transfer, ours):
    assert judge("fig5", "at least 14%", ours).missing == (
        "transfer from selfie-p3f4.mini to rotation-p3f4.mini and jigsaw-p3f4.mini",
    )
    selfie = made_up.TASKS[0]
    areas = range(4000), range(1000, 4000 + only_jigsaw)  # 1,000 images fool Rotation alone, so many Jigsaw alone
    transfer(n=10_000, wrong=made_up.WRONG | {selfie: (range(5000), *areas, range(30))})
    judged = judge("fig5", "at least 14%", ours)
    assert judged.verdict == verdict
    union = 4000 + only_jigsaw
    for text, name, alone in zip(judged.evidence, ("rotation", "jigsaw"), (1000, only_jigsaw), strict=True):
        low, high = (f"{100 * bound:.2f}" for bound in wilson_interval(alone / union, union))
        assert text == f"only {name}-p3f4.mini {100 * alone / union:.2f} ({low} to {high})"


def test_the_diagonal_of_ours_is_the_largest(transfer, ours):
    assert judge("table4", "fool the model", ours).verdict == OPEN
    transfer()
    assert judge("table4", "fool the model", ours).verdict == CHANCE, "on 100 images"
    transfer(n=10_000, wrong=made_up.wrong_of(10_000))
    judged = judge("table4", "fool the model", ours)
    assert judged.verdict == HOLDS
    assert judged.evidence[2:4] == (
        "from rotation: rotation over selfie +17.00 (+15.64 to +18.35)",
        "from rotation: rotation over jigsaw +16.00 (+14.64 to +17.35)",
    )


def test_the_diagonal_of_the_paper_is_the_largest_of_its_column_and_jigsaw_falls_most(transfer, ours, monkeypatch):
    found = ours()
    judge_it = claims.own_images_fool_most("diagonal")
    assert judge_it(found, "mini").verdict == OPEN
    transfer()
    found = ours()
    rates = {
        "selfie": (0.4895, 0.3892, 0.3896),
        "rotation": (0.3775, 0.496, 0.3956),
        "jigsaw": (0.3665, 0.3812, 0.5117),
    }
    by_name = {
        (f"{source}-p3f4.mini", f"{target}-p3f4.mini"): rate
        for source, column in rates.items()
        for target, rate in zip(TASKS, column, strict=True)
    }
    monkeypatch.setattr(found, "transferred", lambda *names: Estimate.of(by_name[names], 10_000))
    assert judge_it(found, "mini").verdict == HOLDS
    falls = claims.falls_most("falls", "jigsaw")(found, "mini")
    assert (falls.verdict, falls.evidence[0].split(" (")[0]) == (HOLDS, "jigsaw 13.79")
    assert claims.falls_most("falls", "selfie")(found, "mini").verdict == FAILS
    for rate, verdict in ((0.485, CHANCE), (0.495, CHANCE), (0.51, FAILS)):
        by_name["selfie-p3f4.mini", "jigsaw-p3f4.mini"] = rate
        assert judge_it(found, "mini").verdict == verdict


LEVELS = [f"unforeseen-{attack}-eps4" for attack in CIFAR10]


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [((0.5, 0.4, 0.3), HOLDS), ((0.5, 0.3, 0.4), FAILS), ((0.3, 0.5, 0.2), FAILS), ((0.5, 0.5, 0.3), CHANCE)],
)
def test_selfie_is_best_and_jigsaw_worst_under_every_unforeseen_attack(accuracies, verdict, unforeseen, ours):
    for task in TASKS:
        unforeseen(f"{task}-p3f4.mini", dict.fromkeys(LEVELS[:-1], 0.4 - TASKS.index(task) / 100), n=1_000)
    judged = judge("fig4", "Selfie is best", ours)
    assert (judged.verdict, len(judged.evidence)) == (OPEN, 2 * (len(LEVELS) - 1))
    assert judged.missing[0].startswith("snow on the same images for selfie-p3f4.mini and ")
    for task, accuracy in zip(TASKS, accuracies, strict=True):
        unforeseen(f"{task}-p3f4.mini", {LEVELS[-1]: accuracy}, n=1_000)
    judged = judge("fig4", "Selfie is best", ours)
    assert (judged.verdict, judged.missing) == (verdict, ())
    gain = 100 * (accuracies[1] - accuracies[2])
    assert judged.evidence[-1].startswith(f"snow 4: rotation-p3f4.mini over jigsaw-p3f4.mini {gain:+.2f} (")


@pytest.mark.parametrize(("one_shot", "verdict"), [(0.38, HOLDS), (0.42, FAILS), (0.40, CHANCE)])
def test_rotation_gains_on_the_one_shot_model(one_shot, verdict, unforeseen, ours):
    unforeseen("rotation-p3f4.r50", dict.fromkeys(LEVELS, 0.40), n=1_000)
    unforeseen("oneshot-f4.r50", dict.fromkeys(LEVELS, 0.30) | {LEVELS[2]: one_shot}, n=1_000)
    assert judge("fig3", "gains on each", ours, "r50").verdict == verdict


def test_gains_under_unforeseen_attacks_are_of_the_mean_over_strengths_and_paired(unforeseen, ours):
    """Another image at one of two strengths is half an image; verdicts that are not here leave the intervals alone."""
    levels = [f"unforeseen-fog-eps{level}" for level in (3, 4)]
    unforeseen("rotation-p3f4.r50", dict(zip(levels, (0.5, 0.4), strict=True)), n=10_000)
    unforeseen("oneshot-f4.r50", dict(zip(levels, (0.5, 0.39), strict=True)), n=10_000)
    judged = judge("fig3", "gains on each", ours, "r50")
    assert judged.evidence[0].startswith("fog 3, 4: rotation-p3f4.r50 over oneshot-f4.r50 +0.50 (+0.")
    for path in ours().runs.rglob("verdicts.npz"):
        path.unlink()
    judged = judge("fig3", "gains on each", ours, "r50")
    assert judged.evidence[0].startswith("fog 3, 4: rotation-p3f4.r50 over oneshot-f4.r50 +0.50 (-0.")


@pytest.mark.parametrize(("ta", "verdict"), [(0.69, HOLDS), (0.70, CHANCE), (0.71, FAILS)])
def test_partial_adversarial_fine_tuning_costs_accuracy(ta, verdict, measure, ours):
    for task in TASKS:
        measure(f"{task}-p3f1.mini", 0.70, 0.1)
        measure(f"{task}-p3f2.mini", ta if task == "rotation" else 0.6, 0.3)
    assert judge("table3", "costs TA", ours).verdict == verdict


def test_the_ensemble_of_three_is_the_most_robust_and_rotation_with_selfie_the_most_accurate(measure, ours):
    for task in TASKS:
        measure(f"{task}-p3f4.mini", 0.7, 0.4)
    for name, ta, ra in (("jigsaw", 0.72, 0.44), ("rotation", 0.70, 0.45), ("selfie", 0.71, 0.46)):
        left_out = {"jigsaw": "selfie-rotation", "rotation": "selfie-jigsaw", "selfie": "rotation-jigsaw"}[name]
        measure(f"ensemble-{left_out}-p3f4.mini", ta, ra, trained=False)
    assert judge("table6", "beats every pair", ours).verdict == OPEN
    measure("ensemble-p3f4.mini", 0.715, 0.47, trained=False)
    assert judge("table6", "beats every pair", ours).verdict == HOLDS
    assert judge("table6", "the most TA", ours).verdict == HOLDS
    measure("ensemble-p3f4.mini", 0.73, 0.455, trained=False)
    assert judge("table6", "beats every pair", ours).verdict == FAILS
    assert judge("table6", "the most TA", ours).verdict == FAILS
