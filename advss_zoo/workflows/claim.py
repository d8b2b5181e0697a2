"""Does a published robust accuracy hold? The worst case over several attacks on a sample, cheap ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from advss_zoo.data import digests
from advss_zoo.data.catalogue import SUBSET
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import details, diagnosis, protocols
from advss_zoo.evaluation.adversarial import TENSORS_FILE
from advss_zoo.evaluation.ball import Norm
from advss_zoo.evaluation.checks import count_classes
from advss_zoo.evaluation.claimed import WORST_CASE, AttackStep, ClaimCheck, ClaimedAccuracy, judge
from advss_zoo.evaluation.details import BROKEN_BY, FEWEST
from advss_zoo.evaluation.images import Images
from advss_zoo.evaluation.passes import MULTIPLE
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.protocols.autoattack import AutoAttack, BlackBox
from advss_zoo.evaluation.results import VERDICTS_FILE, Result
from advss_zoo.evaluation.saved import Saved
from advss_zoo.evaluation.statistics import Estimate, settled_by
from advss_zoo.evaluation.transferred import TransferFrom
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import write_json
from advss_zoo.models.model import Model
from advss_zoo.progress import Progress, Say, ignore
from advss_zoo.texts import percent
from advss_zoo.workflows.diagnose import tried
from advss_zoo.workflows.evaluate import AnyData, AnyModel, PlannedEvaluation
from advss_zoo.zoo.open import open_model

CLAIM_FILE = "claim.json"
# Cheap first. What uses no gradient comes after what does: where it breaks more, gradients are masked.
GRADIENT_ATTACKS = (("pgd20", 1), ("pgd20-margin", 5), ("apgd-ce", 1), ("apgd-t", 1))  # with random starts
QUERIES = 1000  # of Square, which looks for masked gradients here; AutoAttack's 5,000 take longer than all the rest
SOURCES = ("p1f4.mini", "selfie-p3f4.mini")  # of transferred images: the first that is not the model itself
SHAPE, CLASSES = (3, 32, 32), 10  # that the sources take


def claim(
    model: AnyModel,
    claimed: float | str | Path | ClaimedAccuracy,
    data: AnyData = SUBSET,
    *,
    attack: str = WORST_CASE,
    norm: Norm | None = None,
    eps: float | str | None = None,
    tolerance: float = 0.05,
    limit: int | None = 1000,
    attacks: Sequence[Protocol] | None = None,
    transfer: AnyModel | Literal["auto"] | None = "auto",
    eot: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    device: str = "auto",
    progress: Progress = ignore,
    say: Say = ignore,
    command: str | None = None,
) -> ClaimCheck:
    """Check a claimed robust accuracy: the worst case over several attacks on a sample of images.

    Each attack goes on with the images that those before it left. The check stops as soon as the upper end of the
    interval of RA lies below the claim. A claim of AutoAttack, or of its parts, is one of the worst case; a claim of
    another attack, such as pgd20, is checked by that attack alone.

    Args:
        model: as in `evaluate`.
        claimed: an RA as a fraction, a `model_info` JSON of RobustBench, a folder with a result of `evaluate`, the
            saved adversarial images in one, or a `ClaimedAccuracy`.
        data: as in `evaluate`.
        attack: of a claim that is given as a number.
        norm: of a claim given as a number (None: "linf"), or of a `model_info` whose folder does not say it.
        eps: of a claim that is given as a number, as in `evaluate`.
        tolerance: by how much RA may lie below a claim that holds.
        limit: the first images only: the sample. Fewer may refute a claim; 1,000 let most true ones hold.
        attacks: None: PGD with two losses and restarts, images made on another model, APGD-CE, APGD-T, Square.
        transfer: the model they are made on; "auto": one of the zoo if the images are of CIFAR-10's shape and number of
            classes; None: none.
        eot: draws of a random model, as in `evaluate`; None: those of the claim, or 8 if its outputs are random.
        seed: random seed.
        out: a folder for `claim.json`, the verdicts and a result for each attack; None: nothing is written. The same
            call again goes on where it was stopped.
        device: as in `evaluate`; so are `progress`, `say` and `command`.

    Raises:
        UsageError, DataError: as `evaluate`; or no attack can check such a claim.
        AdvssError: the model fails or gives NaN, or no attack could run.
    """
    if not 0 <= tolerance < 1:
        raise UsageError(f"tolerance must be a fraction from 0 to 1, got {tolerance}.", "Write 0.05 for 5 points.")
    asked = _read(claimed, attack, norm, eps, seed)
    alone = [] if attacks is not None or isinstance(asked.made_by, AutoAttack) else [asked.made_by]
    planned = PlannedEvaluation.of(model, data, alone, limit=limit, eot=eot or asked.eot, device=device, say=say)
    notes = []
    with tried(planned, MULTIPLE) as (network, x, _, is_random):
        classes = count_classes(network, x)
    if is_random:
        planned = replace(planned, eot=planned.eot or diagnosis.DRAWS)
        notes.append(
            f"The model's outputs are random. RA is that of the mean probability over {planned.eot} draws; "
            "an attack through a single draw overestimates it."
        )
    if attacks is None:
        attacks = alone or _strong(asked.stated, _source(transfer, planned, classes, device), seed)
    check = _Check(planned, asked.stated, None if out is None else Path(out))
    for protocol in [*asked.saved, *attacks]:
        if not check.is_refuted:
            check.attempt(protocol, classes, progress=progress, say=say, command=command)
    found = check.outcome(tolerance, notes)
    if out is not None:
        check.verdicts.write(Path(out) / VERDICTS_FILE)
        write_json(Path(out) / CLAIM_FILE, found.to_dict())
    return found


class _Asked(NamedTuple):
    """A claim and the protocol that it is about; of a result of ours also the draws and saved images."""

    stated: ClaimedAccuracy
    made_by: Protocol
    eot: int | None = None
    saved: tuple[Protocol, ...] = ()


def _read(
    claimed: float | str | Path | ClaimedAccuracy,
    attack: str,
    norm: Norm | None,
    eps: float | str | None,
    seed: int,
) -> _Asked:
    if isinstance(claimed, ClaimedAccuracy):
        stated = claimed
    elif not isinstance(claimed, str | Path):
        stated = ClaimedAccuracy.of(claimed, attack, norm or "linf", eps)
    else:
        path = Path(claimed)
        if not path.exists():
            raise UsageError(f"{path} does not exist.", "Give a claim: an RA such as 0.52, or a file or folder.")
        if attack != WORST_CASE or eps is not None:
            raise UsageError(f"{path} says under which attack and eps its RA is.", "Leave out --attack and --eps.")
        stated, own = ClaimedAccuracy.read(path, norm)
        if own:
            saved = (Saved.read(path),) if path.name == TENSORS_FILE else ()
            return _Asked(stated, protocols.recorded(own.protocol), own.protocol.eot, saved)
    if protocols.parse(stated.attack).ball is None:
        raise UsageError(
            f"Accuracy under {stated.attack} is not a claim about a norm and eps.", "Choose for example pgd20."
        )
    return _Asked(stated, protocols.parse(stated.attack, norm=stated.norm, eps=stated.eps, seed=seed))


def _source(
    transfer: AnyModel | Literal["auto"] | None, planned: PlannedEvaluation, classes: int, device: str
) -> Model | None:
    """The model that transferred images are made on."""
    if transfer is None or (transfer == "auto" and (planned.images.pixels.shape[1:], classes) != (SHAPE, CLASSES)):
        return None
    name = next(name for name in SOURCES if name != planned.name) if transfer == "auto" else transfer
    opened = name if isinstance(name, nn.Module) else open_model(name, device)
    source = opened if isinstance(opened, Model) else Model(opened, type(opened).__name__)
    try:
        with tried(replace(planned, model=source), MULTIPLE):
            return source
    except UsageError as error:
        raise UsageError(f"{source.name} cannot make images for this model. {error.message}") from error


def _strong(stated: ClaimedAccuracy, source: Model | None, seed: int) -> list[Protocol]:
    """The attacks that a claim of the worst case is checked by."""
    size = {"norm": stated.norm, "eps": stated.eps, "seed": seed}
    found = [
        protocols.parse(name, **size, **({"restarts": restarts} if restarts > 1 else {}))
        for name, restarts in GRADIENT_ATTACKS
        if stated.norm != "l1" or not name.startswith("pgd")
    ]
    if source is not None and stated.norm != "l1":
        found.insert(1, TransferFrom(source, protocols.parse("pgd20", **size)))
    return [*found, BlackBox("square", stated.norm, stated.eps, seed, queries=QUERIES)]


class _Check:
    """Attack after attack, each on the images that are still standing."""

    def __init__(self, planned: PlannedEvaluation, stated: ClaimedAccuracy, out: Path | None) -> None:
        self.planned, self.stated, self.out = planned, stated, out
        self.steps: list[AttackStep] = []
        self.signs: list[str] = []  # of masked gradients
        self.failures: dict[str, list[str]] = {}  # attacks that could not run, by reason
        self.first: Result | None = None
        self.standing = np.ones(len(planned.images), dtype=np.bool_)
        self.broken_by = np.full(len(planned.images), -1, dtype=np.int8)

    @property
    def ra(self) -> Estimate:
        return Estimate.of(float(self.standing.mean()), len(self.standing))

    @property
    def is_refuted(self) -> bool:
        return bool(self.steps) and self.ra.exceeds(self.stated.ra) is False

    @property
    def left_out(self) -> tuple[str, ...]:
        return tuple(f"{', '.join(labels)} could not run: {reason}" for reason, labels in self.failures.items())

    def attempt(self, protocol: Protocol, classes: int, *, progress: Progress, say: Say, command: str | None) -> None:
        """Attack what is standing, or note why that is impossible.

        Raises:
            UsageError: the results in the folder are of another check.
            AdvssError: saved images are not adversarial images of this sample.
        """
        rows = np.flatnonzero(self.standing)
        if not len(rows):
            return
        try:
            protocol.check_model(self.planned.model)
            protocol = protocol.for_classes(classes)
        except UsageError as error:
            self.failures.setdefault(error.message, []).append(protocol.label())
            return
        planned = replace(self.planned, images=self._images(rows), protocols=[protocol])
        place = self.out and self.out / "attacks" / str(len(self.steps) + 1)
        try:
            (result,) = planned.run(place, progress=progress, say=say, command=command)
        except AdvssError as error:  # such as a gradient of exactly 0: no reason to believe the claim
            if isinstance(error, UsageError) or isinstance(protocol, Saved):
                raise
            self.failures.setdefault(str(error), []).append(protocol.label())
            return
        self._take(result, rows, white=protocol.gradient != "unused")

    def _take(self, result: Result, rows: NDArray[np.int64], *, white: bool) -> None:
        verdicts = result.verdicts
        assert verdicts.attacked_prediction is not None
        if self.first is None:
            self.first = result
            self.clean_prediction = verdicts.clean_prediction
            self.attacked_prediction = self.clean_prediction.copy()
        fallen = rows[verdicts.right & ~verdicts.standing]
        self.attacked_prediction[rows] = verdicts.attacked_prediction
        self.standing[rows[~verdicts.standing]] = False
        self.broken_by[fallen] = len(self.steps)
        if not white and len(fallen) >= FEWEST and any(step.uses_gradient for step in self.steps):
            self.signs.append(
                f"{result.protocol.label}, which follows no gradient of the model, broke {len(fallen):,} of the "
                f"{len(rows):,} images left by the attacks before it."
            )
        self.signs += [f"{result.protocol.label}: {sign}" for sign in details.masking(result.details, result.n)]
        self.steps.append(
            AttackStep(
                attack=result.protocol.label,
                attacked=len(rows),
                broken=len(fallen),
                ra=self.ra.value,
                seconds=result.seconds,
                uses_gradient=white,
            )
        )

    def _images(self, rows: NDArray[np.int64]) -> Images:
        images = self.planned.images
        if len(rows) == len(images):
            return images
        pixels, labels = images.pixels[rows], images.labels[rows]
        return replace(
            images,
            name=f"{images.name} (left by {self.steps[-1].attack})",
            pixels=pixels,
            labels=labels,
            index=images.index[rows],
            content_sha256=digests.of_images(pixels, labels),
        )

    @property
    def verdicts(self) -> Verdicts:
        """The worst case on each image of the sample."""
        images = self.planned.images
        index, labels = (array.astype(np.int32) for array in (images.index, images.labels))
        return Verdicts(index, labels, self.clean_prediction, self.attacked_prediction, {BROKEN_BY: self.broken_by})

    def outcome(self, tolerance: float, notes: list[str]) -> ClaimCheck:
        """
        Raises:
            AdvssError: no attack ran.
        """
        if self.first is None:
            raise AdvssError(" ".join(self.left_out) or "No attack was given.", "Try `advss doctor MODEL`.")
        ra, stated, left_out = self.ra, self.stated, self.left_out
        complete = not left_out and not self.signs
        verdict = judge(ra, stated.ra, tolerance, complete)
        needed = None
        if verdict == "not settled":
            needed = settled_by(ra.value, lambda ra: judge(ra, stated.ra, tolerance, complete) != "not settled")
        seconds = sum(step.seconds for step in self.steps)
        n = len(self.standing)
        return ClaimCheck(
            model=self.first.model,
            data=self.planned.images.facts,
            claim=stated,
            tolerance=tolerance,
            draws=self.planned.eot,
            n=n,
            ta=self.first.ta,
            ta_ci95=self.first.ta_ci95,
            ra=ra.value,
            ra_ci95=(ra.low, ra.high),
            verdict=verdict,
            steps=tuple(self.steps),
            left_out=left_out,
            warnings=(*notes, *self.first.model.adapted, *self.signs, *self._advice(self.first)),
            needed_images=needed,
            needed_seconds=None if needed is None else seconds * needed / n,
            seconds=seconds,
        )

    def _advice(self, first: Result) -> list[str]:
        advice = []
        (low, high), claimed = first.ta_ci95, self.stated.ta
        if claimed is not None and not low <= claimed <= high:
            advice.append(
                f"The clean accuracy is between {percent(low)} and {percent(high)}, "
                f"but the claim says {percent(claimed)}."
            )
        if self.failures or self.signs:
            advice.append(
                "RA may be overestimated. Run `advss doctor MODEL`; wrap steps without a gradient in "
                "`advss_zoo.attacks.bpda`, return logits, or attack a random model with --eot."
            )
        if self.stated.attack.startswith("pgd"):
            advice.append(f"{self.stated.attack} alone can overestimate RA: check with --attack {WORST_CASE}, too.")
        return advice
