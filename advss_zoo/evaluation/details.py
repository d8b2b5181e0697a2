"""What the evidence on each image says beside TA and RA: the attacks one by one, and signs that an RA is too high.

Everything is derived from the protocol's constants and the verdicts, so that anyone can derive it again.

Of an ensemble, where n is the number of images and fractions are of n unless another count is named:

`transfer`: {"sources": members' names, "targets": the same and "ensemble", "asr": for each source a row with, for each
target, the fraction of images on whose adversarial version it is wrong (Table 4 of Chen et al. 2020: mistakes on clean
images count), "asr_of_right": the same of the images alone that the target gets right clean, null where it gets none}.

`venn` (their Figure 5): by source, for each pair of other members {"targets": [A, B], "both", "only": counts of images
whose adversarial version fools A and B, and [A alone, B alone], "of_union", "of_all": fractions [both, only A, only B]
of the images that fool either (null where none does), and of n}. With two members there is no such pair.

`reordered_accuracy`: accuracy on clean images if each output stood for another class, given only where the outputs seem
to be in another order than the classes.

`sampled` of `autoattack-sampled`: {"survivors": images that withstand the attacks that ran on all, "attacked": how many
of those the other attacks ran on, a random sample, "broken": by them, "ra": under all attacks, estimated: the share of
the sample that was broken is taken off the survivors, "ra_ci95": for these n images. Its upper end is certain, because
what was broken is; the lower one is `statistics.most_hits`}. The result's own `ra` counts survivors that were not in
the sample as robust.

`parts` of `ensemble-worst`: [{"name", "accuracy"}], RA under each of its attacks alone; `attacks` as of AutoAttack.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from advss_zoo.errors import AdvssError, all_mistakes
from advss_zoo.evaluation.schema import BLACK_BOX, Constants, CorruptionNames, Details
from advss_zoo.evaluation.statistics import most_hits, wilson_interval
from advss_zoo.evaluation.verdicts import Evidence, Verdicts
from advss_zoo.texts import percent

# Evidence on an image, each an int8 array (n,) in verdicts.npz.
BROKEN_BY = "broken_by"  # place of the attack that broke it, -1 where none did or none was needed
UNCONFIRMED = "unconfirmed"  # how many attacks claimed to have broken it and had not
ZERO_GRADIENT = "zero_gradient"  # 1 where a gradient that is followed is 0 at the clean image, or where pgdN begins
NO_RISE = "no_rise"  # 1 where the loss of pgdN is no higher when its last step begins than when its first does
SAMPLED = "sampled"  # 1 where the image belongs to the sample that the later attacks of several ran on
DYNAMIC = "dynamic"  # 1 where the model took gradients of its own to classify the clean image
RIGHT_8BIT = "right_8bit"  # 1 where the adversarial image, rounded to 8 bit, is classified correctly
CLEAN = "wrong_clean"  # bits: bit m is 1 where member m of an ensemble misclassifies the clean image
FROM = "from_"  # + name of a member: bits; bit t is 1 where target t gets what was made to fool that member wrong
PART = "part_"  # + name of an attack that ran whatever others had done: 1 where it broke an image that is right clean
# And for each corruption, under its name, an integer whose bit s - 1 is 1 where the image is right at severity s.

ENSEMBLE = "ensemble"  # the last target of `transfer`
MOST_MEMBERS = 7  # and the ensemble: as many as a byte has bits
# How much Square may take off RA before the authors of AutoAttack doubt the attacks before it (their flags_doc.md).
SUSPICIOUS = 0.002
# Of how many images the loss may fail to rise before that says something of the gradients.
RARE = 0.01
# Images that look masked, of however few: one or two are what any model can have.
FEWEST = 3
# Accuracies, images of a class and classes by which outputs are taken to be in another order than the classes.
POOR, GOOD, IMAGES_PER_CLASS, MOST_CLASSES = 0.5, 0.8, 5, 2_000
# A perturbation of this size in Linf makes any image all grey.
ALL_GREY = 0.5


def derive(protocol: Constants, verdicts: Verdicts) -> Details:
    """Derive the `details` of a result whose protocol has these constants.

    Raises:
        AdvssError: the evidence contradicts the predictions.
    """
    try:
        return Details.model_validate(_derived(protocol, verdicts))
    except ValidationError as error:
        raise AdvssError(f"Verdicts are inconsistent: {all_mistakes(error)}.") from error


def _derived(protocol: Constants, verdicts: Verdicts) -> dict[str, Any]:
    evidence, details = verdicts.evidence, dict[str, Any]()
    if BROKEN_BY in evidence:
        details.update(_attacks([attack.name for attack in protocol.attacks], evidence[BROKEN_BY], verdicts))
    if SAMPLED in evidence:
        details["sampled"] = _sampled(protocol, evidence[BROKEN_BY], evidence[SAMPLED] == 1, verdicts)
    if UNCONFIRMED in evidence:
        details["unconfirmed"] = int(evidence[UNCONFIRMED].sum())
    if ZERO_GRADIENT in evidence:
        details["zero_gradients"] = float(evidence[ZERO_GRADIENT].mean())
    if NO_RISE in evidence:
        details["no_rise"] = float(evidence[NO_RISE].mean())
    if DYNAMIC in evidence and evidence[DYNAMIC].any():
        details["dynamic"] = True
    if _is_more_than_possible(protocol, verdicts):
        details["more_than_possible"] = True
    if (reordered := _reordered_accuracy(verdicts)) is not None:
        details["reordered_accuracy"] = reordered
    if RIGHT_8BIT in evidence:
        details["ra_8bit"] = float((verdicts.right & (evidence[RIGHT_8BIT] == 1)).mean())
    if protocol.corruptions:
        details.update(_corruptions(protocol.corruptions, protocol.severities, verdicts))
    if parts := _named(PART, evidence):
        details.update(_parts(parts, verdicts))
    if sources := _named(FROM, evidence):
        details.update(_transfer(sources, verdicts))
    return details


def _named(prefix: str, evidence: Mapping[str, Evidence]) -> dict[str, Evidence]:
    return {name.removeprefix(prefix): array for name, array in evidence.items() if name.startswith(prefix)}


def _attacks(names: list[str], broken_by: NDArray[Any], verdicts: Verdicts) -> dict[str, Any]:
    n = len(verdicts)
    _check_fallen(broken_by >= 0, verdicts)
    if broken_by.max() >= len(names):
        raise AdvssError("Verdicts are inconsistent: they name an attack that is not part of this protocol.")
    broken = [int((broken_by == place).sum()) for place in range(len(names))]
    standing = verdicts.ta_hits - np.cumsum(broken)
    found: dict[str, Any] = {
        "attacks": [
            {"name": name, "broken": hits, "accuracy": int(left) / n}
            for name, hits, left in zip(names, broken, standing, strict=True)
        ]
    }
    if BLACK_BOX in names[1:]:
        found["black_box_beats_white_box"] = broken[names.index(BLACK_BOX)] / n > SUSPICIOUS
    return found


def _sampled(
    protocol: Constants, broken_by: NDArray[Any], drawn: NDArray[np.bool_], verdicts: Verdicts
) -> dict[str, Any]:
    places = [place for place, attack in enumerate(protocol.attacks) if attack.sampled]
    fell = np.isin(broken_by, places)
    survived = verdicts.standing | fell
    if (fell & ~drawn).any():
        raise AdvssError("Verdicts are inconsistent: a sampled attack broke an image that is not in the sample.")
    survivors, attacked, broken = (int(images.sum()) for images in (survived, survived & drawn, fell))
    n, most = len(verdicts), most_hits(broken, attacked, survivors)
    return {
        "survivors": survivors,
        "attacked": attacked,
        "broken": broken,
        "ra": survivors * (1 - broken / max(attacked, 1)) / n,
        "ra_ci95": [(survivors - most) / n, (survivors - broken) / n],
    }


def _is_more_than_possible(protocol: Constants, verdicts: Verdicts) -> bool:
    """Are more images robust than any model can be robust at? Where all can be made the same, one class can stand."""
    if verdicts.ra_hits is None or protocol.norm != "linf" or (protocol.eps or 0.0) < ALL_GREY:
        return False
    return verdicts.ra_hits > int(np.unique(verdicts.label, return_counts=True)[1].max())


def _reordered_accuracy(verdicts: Verdicts) -> float | None:
    """Accuracy with the assignment of outputs to classes that suits them best, where it makes a poor model a good one.

    Of few images any model has such an assignment.
    """
    n = len(verdicts)
    (labels, rows), (outputs, columns) = (
        np.unique(each, return_inverse=True) for each in (verdicts.label, verdicts.clean_prediction)
    )
    if (
        verdicts.ta_hits > POOR * n
        or n < IMAGES_PER_CLASS * len(labels)
        or max(len(labels), len(outputs)) > MOST_CLASSES
    ):
        return None
    from scipy.optimize import linear_sum_assignment

    counts = np.bincount(rows * len(outputs) + columns, minlength=len(labels) * len(outputs))
    counts = counts.reshape(len(labels), len(outputs))
    best = int(counts[linear_sum_assignment(counts, maximize=True)].sum()) / n
    return best if best >= GOOD else None


def _check_fallen(broken: NDArray[np.bool_], verdicts: Verdicts) -> None:
    """
    Raises:
        AdvssError: not exactly those images that are right clean and wrong attacked are broken.
    """
    if not np.array_equal(broken, verdicts.right & ~verdicts.standing):
        raise AdvssError("Verdicts are inconsistent: the predictions differ from the record of broken images.")


def _parts(parts: Mapping[str, Evidence], verdicts: Verdicts) -> dict[str, Any]:
    """Each attack alone; and as if an image that one has broken had been spared the next ones."""
    broken = np.stack([array == 1 for array in parts.values()])
    first = np.where(broken.any(axis=0), broken.argmax(axis=0), -1)
    alone = [
        {"name": name, "accuracy": int((verdicts.right & ~fell).sum()) / len(verdicts)}
        for name, fell in zip(parts, broken, strict=True)
    ]
    return {**_attacks(list(parts), first, verdicts), "parts": alone}


def _transfer(sources: Mapping[str, Evidence], verdicts: Verdicts) -> dict[str, Any]:
    names, n = list(sources), len(verdicts)
    if CLEAN not in verdicts.evidence or len(names) > MOST_MEMBERS:
        raise AdvssError("Verdicts are incomplete: the predictions of each member are missing.")
    wrong = {name: _bits(array, len(names) + 1) for name, array in sources.items()}  # each (n, targets)
    right = ~np.column_stack([_bits(verdicts.evidence[CLEAN], len(names)), ~verdicts.right])
    _check_fallen(verdicts.right & np.any([fooled[:, -1] for fooled in wrong.values()], axis=0), verdicts)
    return {
        "transfer": {
            "sources": names,
            "targets": [*names, ENSEMBLE],
            "asr": [[int(hits) / n for hits in fooled.sum(axis=0)] for fooled in wrong.values()],
            "asr_of_right": [
                [_share(fooled[clean, target], of=int(clean.sum())) for target, clean in enumerate(right.T)]
                for fooled in wrong.values()
            ],
        },
        "venn": {
            source: [
                _venn((names[one], names[other]), fooled[:, one], fooled[:, other])
                for one, other in combinations([place for place, name in enumerate(names) if name != source], 2)
            ]
            for source, fooled in wrong.items()
        },
    }


def _venn(targets: tuple[str, str], one: NDArray[np.bool_], other: NDArray[np.bool_]) -> dict[str, Any]:
    both, *only = areas = [one & other, one & ~other, other & ~one]
    return {
        "targets": list(targets),
        "both": int(both.sum()),
        "only": [int(area.sum()) for area in only],
        "of_union": [_share(area, of=int((one | other).sum())) for area in areas],
        "of_all": [_share(area, of=len(one)) for area in areas],
    }


def _bits(array: Evidence, count: int) -> NDArray[np.bool_]:
    """The lowest `count` bits of each number, (n, count)."""
    return np.unpackbits(array.view(np.uint8)[:, None], axis=1, count=count, bitorder="little").astype(np.bool_)


def _share(images: NDArray[np.bool_], of: int) -> float | None:
    return int(images.sum()) / of if of else None


def _corruptions(names: CorruptionNames, severities: int, verdicts: Verdicts) -> dict[str, Any]:
    """Accuracy for each corruption by severity; the plain mean over those of the benchmark, with its 95% interval."""
    benchmark, extra = names.benchmark, names.extra
    evidence, n = verdicts.evidence, len(verdicts)
    for name in (*benchmark, *extra):
        if name not in evidence or not 0 <= evidence[name].min() <= evidence[name].max() < 2**severities:
            raise AdvssError(f"Verdicts are incomplete: those under {name} are missing or invalid.")
    right = {name: evidence[name][:, None] >> np.arange(severities) & 1 for name in (*benchmark, *extra)}
    each = sum(right[name].sum(axis=1) for name in benchmark)
    return {
        "corruptions": {name: [int(hits) / n for hits in bits.sum(axis=0)] for name, bits in right.items()},
        "corruption_accuracy": int(each.sum()) / (n * len(benchmark) * severities),
        "corruption_accuracy_ci95": _clustered_interval(each, len(benchmark) * severities),
    }


def _clustered_interval(hits: NDArray[np.int64], of: int) -> list[float]:
    """Wilson's 95% interval of an accuracy over `of` verdicts on each of n images, so many of which are right, (n,).

    Verdicts on one image depend on each other. So the formula is not given all n * of of them, but as many independent
    ones as would let the accuracy vary as much as that of the images does: at least n, at most all (Kish 1965).
    """
    n, total = len(hits), int(hits.sum())
    most = n * of
    deviation = n * int((hits**2).sum()) - total**2  # whole numbers up to here, the same on every machine
    independent = min(max((n - 1) * total * (most - total) / deviation, n), most) if deviation else n
    return list(wilson_interval(total / most, independent))


def masking(details: Details, n: int) -> list[str]:
    """List signs that gradients are masked in a result on n images, a sentence each."""
    found = []
    flat, stuck = round(n * details.zero_gradients), round(n * details.no_rise)
    if flat >= FEWEST:
        found.append(f"{flat:,} of {n:,} images have a gradient of exactly 0, so gradient attacks fail on them.")
    if details.black_box_beats_white_box:
        square = next(attack for attack in details.attacks if attack.name == BLACK_BOX)
        hits, left = square.broken or 0, round(n * square.accuracy)
        if hits >= FEWEST:
            those = f"{hits:,} of the {hits + left:,} images left by the gradient attacks"
            found.append(f"Square, which uses no gradient, broke {those}.")
    if stuck >= FEWEST and stuck > RARE * n:
        found.append(f"The attack steps did not increase the loss on {stuck:,} of {n:,} images.")
    if details.more_than_possible:
        found.append("RA is higher than possible: perturbations of this size can make all images the same grey.")
    if details.dynamic:
        found.append("The model computes gradients at test time, as defences with test-time optimisation do.")
    return found


def warnings(details: Details, n: int) -> list[str]:
    """List what a reader should know before believing in a robust accuracy measured on n images, a sentence each."""
    found = masking(details, n)
    if found:
        found.append("Gradients may be masked and RA overestimated: try an adaptive attack.")
    if details.reordered_accuracy is not None:
        found.append(
            f"Accuracy would be {details.reordered_accuracy:.0%} if the model's outputs stood for the classes in "
            "another order: name the classes in the order of its outputs (--classes FILE)."
        )
    if sampled := details.sampled:
        low, high = map(percent, sampled.ra_ci95)
        found.append(
            f"RA is an upper bound: the sampled attacks ran on {sampled.attacked:,} of {sampled.survivors:,} survivors "
            f"and broke {sampled.broken:,}; RA under all attacks is {percent(sampled.ra)} ({low} to {high})."
        )
    if details.unconfirmed:
        found.append(
            f"{details.unconfirmed:,} reported attack successes were not confirmed; these images count as robust."
        )
    return found
