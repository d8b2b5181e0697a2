"""What the paper says of its numbers, judged by ours; and what its tables show without its saying so (observations)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise, permutations
from statistics import fmean
from typing import Literal

import numpy as np

from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.evaluation.statistics import Estimate, correlation
from advss_zoo.reproduction import paper
from advss_zoo.reproduction.ours import Checkup, Measurement, OurResults
from advss_zoo.reproduction.standing import full_name

# Not settled: everything is there and nothing speaks against the claim, but a part of it could be chance.
Verdict = Literal["holds", "does not hold", "not settled", "incomplete"]
Metric = Literal["ta", "ra"]
Kind = Literal["claim", "observation"]

TASKS = ("selfie", "rotation", "jigsaw")
NOTHING = 0.01  # RA below this is none
FAR = 0.10  # in RA; the paper's differences between F2 and F1 are 27 to 31 points
APART = 0.14  # of the images that fool either of two models; the paper's shares that fool one alone are 14.00 and 14.09


@dataclass(frozen=True)
class Judgement:
    """A claim, what our numbers say of it, those numbers in words, and what is missing to say more.

    An observation is what a table of the paper shows and its text does not say.
    """

    claim: str
    verdict: Verdict
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    kind: Kind = "claim"


Claim = Callable[[OurResults, str], Judgement]  # judged by what was measured of checkpoints with a tag


def observed(claim: Claim) -> Claim:
    """Mark what the paper's text does not say."""
    return lambda ours, tag: replace(claim(ours, tag), kind="observation")


def compare(one: Sequence[Measurement], other: Sequence[Measurement], metric: Metric) -> Estimate:
    """Return how much more accurate one model is than another, in the mean over measurements that both have.

    The chance meant is that of which images were tested; what another seed of training would give is not known.
    """
    return _accuracy(one, metric).minus(_accuracy(other, metric), _correlation(one, other, metric))


def _accuracy(measured: Sequence[Measurement], metric: Metric) -> Estimate:
    """The mean, whose interval is no narrower than that of one: all may fail on the same images."""
    results = [each.result for each in measured]
    known = [(getattr(result, metric), *getattr(result, f"{metric}_ci95")) for result in results]
    return Estimate(*map(fmean, zip(*known, strict=True)))


def _correlation(one: Sequence[Measurement], other: Sequence[Measurement], metric: Metric) -> float:
    """Between how often the two get each image right; 0 where they were shown others, or verdicts are not here."""
    read = [each.verdicts() for each in (*one, *other)]
    known = [verdicts for verdicts in read if verdicts is not None]
    if len(known) < len(read) or not all(np.array_equal(verdicts.index, known[0].index) for verdicts in known):
        return 0.0
    right = [verdicts.right if metric == "ta" else verdicts.standing for verdicts in known]
    return correlation(np.mean(right[: len(one)], axis=0), np.mean(right[len(one) :], axis=0))


def _shown(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (f"{100 * number:{sign}.2f}" for number in astuple(estimate))
    return f"{value} ({low} to {high})"


def _over(one: str, other: str, difference: Estimate) -> str:
    return f"{one} over {other} {_shown(difference, '+')}"


def _opposite(verdict: bool | None) -> bool | None:
    return None if verdict is None else not verdict


def _judged(claim: str, outcomes: Iterable[tuple[bool | None, str]], missing: Iterable[str]) -> Judgement:
    """One counterexample refutes a claim, whatever else is missing; without one, everything must be there and certain.

    Args:
        outcomes: what bears on it, and each in words; None where chance could have made it true or false.
    """
    outcomes, missing = list(outcomes), tuple(dict.fromkeys(missing))
    found = [outcome for outcome, _ in outcomes]
    verdict: Verdict = "not settled" if None in found else "holds"
    if missing:
        verdict = "incomplete"
    if False in found:
        verdict = "does not hold"
    return Judgement(claim, verdict, tuple(text for _, text in outcomes), missing)


# --- kinds of claims --------------------------------------------------------------------------------------------------


def no_robustness(claim: str, names: Iterable[str]) -> Claim:
    """Judge that all of the checkpoints have almost no robust accuracy."""

    def judge(ours: OurResults, tag: str) -> Judgement:
        found = {f"{name}.{tag}": ours.of(f"{name}.{tag}") for name in names}
        known = {name: _accuracy([measured], "ra") for name, measured in found.items() if measured}
        outcomes = [(_opposite(ra.exceeds(NOTHING)), f"{name} {_shown(ra)}") for name, ra in known.items()]
        return _judged(claim, outcomes, [name for name, measured in found.items() if not measured])

    return judge


def better(metric: Metric, claim: str, pairs: Iterable[tuple[str, str]], *, by: float = 0.0) -> Claim:
    """Judge that the first of each pair has more than the second by more than `by`."""
    pairs = list(pairs)

    def judge(ours: OurResults, tag: str) -> Judgement:
        outcomes, missing = [], []
        for pair in pairs:
            first, second = (full_name(name, tag) for name in pair)
            one, other = ours.of(first), ours.of(second)
            missing += [name for name, measured in ((first, one), (second, other)) if measured is None]
            if one and other:
                difference = compare([one], [other], metric)
                outcomes.append((difference.exceeds(by), _over(first, second, difference)))
        return _judged(claim, outcomes, missing)

    return judge


def sooner(claim: str, pairs: Iterable[tuple[str, str]]) -> Claim:
    """Judge that the first of each pair reaches the best RA that the second has on validation in fewer epochs.

    Validation is looked at every few epochs, so equal numbers of epochs settle nothing.
    """
    pairs = list(pairs)

    def judge(ours: OurResults, tag: str) -> Judgement:
        outcomes: list[tuple[bool | None, str]] = []
        missing = []
        for pair in pairs:
            first, second = (full_name(name, tag) for name in pair)
            absent = [name for name in (first, second) if not ours.weights(name)]
            missing += absent
            curves = [ours.curve(name) for name in (first, second)]
            lost = [name for name, curve in zip((first, second), curves, strict=True) if not curve]
            if lost and not absent:
                outcomes.append((None, f"{first} against {second}: no log of {' and '.join(lost)}"))
            elif not absent:
                outcomes.append(_epochs_to_best(first, second, *curves))
        return _judged(claim, outcomes, missing)

    return judge


def _epochs_to_best(
    first: str, second: str, curve: Sequence[Checkup], control: Sequence[Checkup]
) -> tuple[bool | None, str]:
    best = max(control, key=lambda look: (look.ra, -look.epoch))
    aim = f"the {100 * best.ra:.1f} that {second} has after {best.epoch:g} epochs"
    reached = next((look.epoch for look in curve if look.ra >= best.ra), None)
    if reached is None:
        top = max(curve, key=lambda look: look.ra)
        return False, f"{first} never reaches {aim}: {100 * top.ra:.1f} after {top.epoch:g}"
    return None if reached == best.epoch else reached < best.epoch, f"{first} reaches {aim} after {reached:g}"


def margin(claim: str, better: str, worse: str, metrics: tuple[Metric, ...]) -> Claim:
    """Judge that the difference between two checkpoints goes the way it goes in the paper, in each metric."""
    theirs = {metric: paper.values(better)[metric] - paper.values(worse)[metric] for metric in metrics}
    described = ", ".join(f"{value:+.2f} {metric.upper()}" for metric, value in theirs.items())

    def judge(ours: OurResults, tag: str) -> Judgement:
        names = full_name(better, tag), full_name(worse, tag)
        one, other = ours.of(names[0]), ours.of(names[1])
        missing = [name for name, measured in zip(names, (one, other), strict=True) if measured is None]
        outcomes = []
        if one and other:
            for metric, value in theirs.items():
                difference = compare([one], [other], metric)
                more, text = difference.exceeds(), f"{metric.upper()} {_shown(difference, '+')}"
                outcomes.append((more if value > 0 else _opposite(more), text))
        return _judged(f"{claim}: {described} in the paper", outcomes, missing)

    return judge


def own_images_fool_most(claim: str) -> Claim:
    """Judge that a model's adversarial images fool that model more than any other: the diagonal of Table 4.

    The rates are compared as if they were of different images, which is the more cautious.
    """

    def judge(ours: OurResults, tag: str) -> Judgement:
        outcomes, missing = [], []
        for source, target in permutations(TASKS, 2):
            own, others = (_fooled(ours, source, name, tag) for name in (source, target))
            if own is None or others is None:
                missing.append(f"transfer from {source}-p3f4.{tag}")
            else:
                more = own.minus(others)
                outcomes.append((more.exceeds(), f"from {source}: {_over(source, target, more)}"))
        return _judged(claim, outcomes, missing)

    return judge


def _fooled(ours: OurResults, source: str, target: str, tag: str) -> Estimate | None:
    """How many of one task's adversarial images fool another's model."""
    names = f"{source}-p3f4.{tag}", f"{target}-p3f4.{tag}"
    return ours.transferred(*names) if _counts(ours.transfer(*names)) else None


def _counts(measured: Measurement | None) -> bool:
    return measured is not None and not measured.changes


def falls_most(claim: str, task: str) -> Claim:
    """Judge that images made on the model of a task lose more, shown to the two others, than those made on either of
    them.
    """

    def judge(ours: OurResults, tag: str) -> Judgement:
        drops = {source: _drop(ours, source, tag) for source in TASKS}
        own, outcomes = drops[task], []
        missing = [f"transfer from {source}-p3f4.{tag}" for source, drop in drops.items() if drop is None]
        for source, drop in drops.items():
            if own and drop and source != task:
                more = own.minus(drop)
                outcomes.append((more.exceeds(), f"{task} {_shown(own)}, {_over(task, source, more)}"))
        return _judged(claim, outcomes, missing)

    return judge


def _drop(ours: OurResults, source: str, tag: str) -> Estimate | None:
    """How much more often a model's images fool it than, in the mean, the two others."""
    found = {target: _fooled(ours, source, target, tag) for target in TASKS}
    rates = [rate for target, rate in found.items() if rate and target != source]
    own = found[source]
    if own is None or len(rates) < len(TASKS) - 1:
        return None
    return own.minus(Estimate(*map(fmean, zip(*map(astuple, rates), strict=True))))


def fools_one_alone(claim: str, source: str, one: str, other: str) -> Claim:
    """Judge that enough adversarial images of a model that fool one of two others fool only one, each way."""

    def judge(ours: OurResults, tag: str) -> Judgement:
        made_on, *others = (f"{name}.{tag}" for name in (source, one, other))
        counts = _counts(ours.transfer(made_on, *others))
        pairs = (others, list(reversed(others))) if counts else ()
        alone = {fooled: ours.shared(made_on, (fooled,), (spared,)) for fooled, spared in pairs}
        outcomes = [(share.exceeds(APART), f"only {name} {_shown(share)}") for name, share in alone.items() if share]
        return _judged(claim, outcomes, [] if outcomes else [f"transfer from {made_on} to {' and '.join(others)}"])

    return judge


def ranked_under_unforeseen(claim: str, *models: str) -> Claim:
    """Judge that under each unforeseen attack every model is more accurate than the next."""

    def judge(ours: OurResults, tag: str) -> Judgement:
        names = [f"{name}.{tag}" for name in models]
        found, outcomes = ours.unforeseen(*names), []
        for attack, met in found.items():
            for one, other in pairwise(names):
                more = compare(met[one].measured, met[other].measured, "ra")
                strengths = ", ".join(map(str, met[one].strengths))
                outcomes.append((more.exceeds(), f"{attack} {strengths}: {_over(one, other, more)}"))
        without = [attack for attack in CIFAR10 if attack not in found]
        missing = [f"{', '.join(without)} on the same images for {' and '.join(names)}"] if without else []
        return _judged(claim, outcomes, missing)

    return judge


# --- the claims -------------------------------------------------------------------------------------------------------

_SELFIE_OVER_AT = margin("Selfie (P3,F4) over adversarial training from scratch", "selfie-p3f4", "p1f4", ("ra", "ta"))
_TRIPLE_OVER_SELFIE = (
    margin("The ensemble of three over Selfie alone", "ensemble-p3f4", "selfie-p3f4", ("ra",)),
    margin("Its accuracy is slightly higher, too", "ensemble-p3f4", "selfie-p3f4", ("ta",)),
)
_DPE_OVER_SELFIE = margin("Diversity-promoted pretraining over Selfie", "apdpe-p3f4", "selfie-p3f4", ("ra", "ta"))

_TRIPLE, _BEST_IN_TA = "ensemble-p3f4", "ensemble-selfie-rotation-p3f4"
_PAIRS = [name for name, members in paper.ensembles().items() if len(members) == 2]
_SIZES = ("30k", "50k", "150k")

CLAIMS: dict[str, tuple[Claim, ...]] = {
    "table3": (
        no_robustness(
            "Full standard fine-tuning (F3) leaves no robustness (judged: RA below 1%; 0.00 in the paper)",
            ["p1f3", *(f"{task}-{scenario}" for scenario in ("p2f3", "p3f3") for task in TASKS)],
        ),
        better(
            "ta",
            "Standard pretraining helps standard fine-tuning: (P2,F3) has more TA than (P1,F3), Selfie and Rotation",
            [(f"{task}-p2f3", "p1f3") for task in ("selfie", "rotation")],
        ),
        better(
            "ra",
            "A robust trunk alone makes more robust than standard training: (P3,F1) over (P1,F3)",
            [(f"{task}-p3f1", "p1f3") for task in TASKS],
        ),
        better(
            "ra",
            "Partial adversarial fine-tuning (F2) is far above standard (F1) in RA (judged: by more than 10 points; "
            "about 30 for Selfie, says the paper)",
            [(f"{task}-p3f2", f"{task}-p3f1") for task in TASKS],
            by=FAR,
        ),
        observed(
            better(
                "ta",
                "It costs TA: (P3,F1) is above (P3,F2)",
                [(f"{task}-p3f1", f"{task}-p3f2") for task in TASKS],
            )
        ),
        *(
            better(
                metric,
                f"Full adversarial fine-tuning (F4) is above partial (F2) in {metric.upper()}",
                [(f"{task}-p3f4", f"{task}-p3f2") for task in TASKS],
            )
            for metric in ("ta", "ra")
        ),
        better(
            "ra",
            "Selfie and Rotation are above Jigsaw in RA: by 3.5 points in F1 and F2 and around 2.5 in F4, "
            "says the paper",
            [(f"{task}-{way}", f"jigsaw-{way}") for way in ("p3f1", "p3f2", "p3f4") for task in ("selfie", "rotation")],
        ),
        *(
            claim
            for pretrained, about in (("p2", " (by about 3 points, says the paper)"), ("p3", ""))
            for claim in (
                better(
                    "ra",
                    f"Pretraining makes more robust: ({pretrained.upper()},F4) beats (P1,F4) in RA{about}",
                    [(f"{task}-{pretrained}f4", "p1f4") for task in TASKS],
                ),
                sooner(
                    f"Pretraining saves epochs: ({pretrained.upper()},F4) reaches the best validation RA of (P1,F4) "
                    "in fewer (about half of them, says the paper)",
                    [(f"{task}-{pretrained}f4", "p1f4") for task in TASKS],
                ),
            )
        ),
        _SELFIE_OVER_AT,
    ),
    "table4": (
        own_images_fool_most("Adversarial images fool the model they were made on most"),
        falls_most("Those made on Jigsaw lose most when they are shown to the others", "jigsaw"),
    ),
    "table5": (_DPE_OVER_SELFIE,),
    "table6": (
        observed(
            better(
                "ra",
                "Every ensemble beats each of its members in RA",
                [(name, member) for name, members in paper.ensembles().items() for member in members],
            )
        ),
        better("ra", "The ensemble of three beats every pair in RA", [(_TRIPLE, pair) for pair in _PAIRS]),
        observed(
            better(
                "ta",
                "Rotation+Selfie has the most TA of all ensembles",
                [(_BEST_IN_TA, name) for name in (*_PAIRS, _TRIPLE) if name != _BEST_IN_TA],
            )
        ),
        *_TRIPLE_OVER_SELFIE,
    ),
    "table7": (
        margin(
            "Pretraining on the most images over the fewest, (P3,F4)", "selfie-150k-p3f4", "selfie-30k-p3f4", ("ra",)
        ),
        better(
            "ra",
            "The more images, the more RA of (P3,F4), steadily",
            [(f"selfie-{more}-p3f4", f"selfie-{fewer}-p3f4") for fewer, more in pairwise(_SIZES)],
        ),
    ),
    "table8": (
        *(
            observed(margin(f"{task.capitalize()}: noise in place of an adversary, {way.upper()}", *names, ("ra",)))
            for task in TASKS
            for way in ("f2", "f4")
            if (names := (f"{task}-rs{way}", f"{task}-p3{way}")) != ("jigsaw-rsf4", "jigsaw-p3f4")  # see the note
        ),
    ),
    "fig1": (_SELFIE_OVER_AT, *_TRIPLE_OVER_SELFIE, _DPE_OVER_SELFIE),
    "fig3": (
        margin("Rotation (P3,F4) against the one-shot model", "rotation-p3f4", "oneshot-f4", ("ra", "ta")),
        ranked_under_unforeseen(
            "It gains on each of the unforeseen attacks: +1.03 to +6.53 in the paper", "rotation-p3f4", "oneshot-f4"
        ),
    ),
    "fig4": (
        ranked_under_unforeseen(
            "Under the unforeseen attacks Selfie is best and Jigsaw worst", *(f"{task}-p3f4" for task in TASKS)
        ),
    ),
    "fig5": (
        fools_one_alone(
            "Of Selfie's images that fool Rotation or Jigsaw, at least 14% fool Rotation alone and 14% Jigsaw alone",
            *("selfie-p3f4", "rotation-p3f4", "jigsaw-p3f4"),
        ),
    ),
}
