"""Does a published robust accuracy hold? The worst case over several attacks on a sample, cheap ones first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advss_zoo.data.catalogue import SUBSET
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import details, diagnosis, protocols
from advss_zoo.evaluation.adversarial import TENSORS_FILE
from advss_zoo.evaluation.ball import Norm
from advss_zoo.evaluation.checks import count_classes
from advss_zoo.evaluation.claimed import WORST_CASE, AttackStep, ClaimCheck, ClaimedAccuracy, judge
from advss_zoo.evaluation.details import BROKEN_BY, FEWEST
from advss_zoo.evaluation.images import Images
from advss_zoo.evaluation.passes import MULTIPLE, Padded
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.protocols.autoattack import AutoAttack, BlackBox
from advss_zoo.evaluation.results import VERDICTS_FILE, Result
from advss_zoo.evaluation.saved import Saved
from advss_zoo.evaluation.statistics import Estimate, settled_by
from advss_zoo.evaluation.transferred import TransferFrom
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import slug, write_json
from advss_zoo.models.adapted import adapt
from advss_zoo.models.model import Model, unwrapped
from advss_zoo.models.modes import frozen
from advss_zoo.texts import percent
from advss_zoo.workflows.evaluate import AnyData, AnyModel, PlannedEvaluation
from advss_zoo.workflows.measure import measure
from advss_zoo.workflows.progress import Progress, Say, ignore
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.reference import Reference

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
        UsageError, DataError: as `evaluate`; or the claim is none that an attack can check.
        AdvssError: no attack could run.
    """
    if not 0 <= tolerance < 1:
        raise UsageError(f"tolerance must be a fraction from 0 to 1, got {tolerance}.", "Write 0.05 for 5 points.")
    stated, own = _read(claimed, attack, norm, eps)
    planned = PlannedEvaluation.of(model, data, [protocols.parse("clean")], limit=limit, device=device, say=say)
    subject = _Subject(planned.model, planned.images, planned.device)
    draws, notes = subject.draws(eot or (own.protocol.eot if own else None))
    chosen = list(attacks) if attacks is not None else _attacks(stated, own, subject, transfer, seed)
    saved: list[Protocol] = []
    if isinstance(claimed, str | Path) and Path(claimed).name == TENSORS_FILE:
        saved.append(Saved.read(Path(claimed)))
    usable, left_out = subject.usable([*saved, *chosen])
    check = _Check(subject, stated, draws, None if out is None else Path(out))
    for protocol in usable:
        if check.is_refuted:
            break
        try:
            check.attack(protocol, progress=progress, say=say, command=command)
        except UsageError:
            raise
        except AdvssError as error:  # such as a gradient of exactly 0: no reason to believe the claim
            left_out.append(f"{protocol.label()} could not run: {error}")
    found = check.outcome(tolerance, left_out, notes)
    if out is not None:
        check.verdicts.write(Path(out) / VERDICTS_FILE)
        write_json(Path(out) / CLAIM_FILE, found.to_dict())
    return found


def _read(
    claimed: float | str | Path | ClaimedAccuracy, attack: str, norm: Norm | None, eps: float | str | None
) -> tuple[ClaimedAccuracy, Result | None]:
    """The claim, and the result that makes it if it is one of ours."""
    if isinstance(claimed, ClaimedAccuracy):
        return claimed, None
    if not isinstance(claimed, str | Path):
        return ClaimedAccuracy.of(claimed, attack, norm or "linf", eps), None
    path = Path(claimed)
    if not path.exists():
        raise UsageError(f"{path} does not exist.", "Give a claim: an RA such as 0.52, or a file or folder.")
    return ClaimedAccuracy.read(path, norm)


def _attacks(
    stated: ClaimedAccuracy,
    own: Result | None,
    subject: _Subject,
    transfer: AnyModel | Literal["auto"] | None,
    seed: int,
) -> list[Protocol]:
    size = {"norm": stated.norm, "eps": stated.eps, "seed": seed}
    made_by = protocols.recorded(own.protocol) if own else protocols.parse(stated.attack, **size)
    if not isinstance(made_by, AutoAttack):
        return [made_by]
    found = [
        protocols.parse(name, **size, **({"restarts": restarts} if restarts > 1 else {}))
        for name, restarts in GRADIENT_ATTACKS
        if stated.norm != "l1" or not name.startswith("pgd")
    ]
    source = subject.source() if transfer == "auto" else transfer
    if source is not None and stated.norm != "l1":
        other = open_model(source, subject.device) if isinstance(source, Reference | str | Path) else source
        opened = other if isinstance(other, Model) else Model(other, type(other).__name__)
        found.insert(1, TransferFrom(opened.to(subject.device), protocols.parse("pgd20", **size)))
    return [*found, BlackBox("square", stated.norm, stated.eps, seed, queries=QUERIES)]


@dataclass(frozen=True)
class _Subject:
    """The model that a claim is about, and the sample."""

    model: nn.Module
    images: Images
    device: str

    def draws(self, eot: int | None) -> tuple[int | None, list[str]]:
        """Over how many draws the model is measured, and what there is to say about that."""
        with self._tried() as (network, x):
            random = diagnosis.is_random(network, x)
        if not random:
            return eot, []
        draws = eot or diagnosis.DRAWS
        return draws, [
            f"The model's outputs are random. RA is that of the mean probability over {draws} draws; "
            "an attack through a single draw overestimates it."
        ]

    @contextmanager
    def _tried(self) -> Iterator[tuple[nn.Module, Tensor]]:
        """The network as it is evaluated, and some images."""
        x, _, _ = self.images.batch(range(min(MULTIPLE, len(self.images))), torch.device(self.device))
        with frozen(unwrapped(self.model.to(self.device))):
            yield Padded(adapt(self.model, x, self.images.classes)), x

    def source(self) -> str | None:
        """The checkpoint of the zoo that images are made on."""
        if self.images.pixels.shape[1:] != SHAPE or self.images.classes not in (None, CLASSES):
            return None
        own = self.model.name if isinstance(self.model, Model) else None
        return next(name for name in SOURCES if name != own)

    def usable(self, attacks: Sequence[Protocol]) -> tuple[list[Protocol], list[str]]:
        """The attacks that this model can be measured by, and why others are left out."""
        with self._tried() as (network, x):
            classes = self.images.classes or count_classes(network, x)
        usable, left_out = [], []
        for protocol in attacks:
            try:
                protocol.check_model(self.model)
                protocol.for_classes(classes)
                usable.append(protocol)
            except UsageError as error:
                left_out.append(f"{protocol.label()} was left out: {error.message}")
        return usable, left_out


class _Check:
    """Attack after attack, each on the images that are still standing."""

    def __init__(self, subject: _Subject, stated: ClaimedAccuracy, draws: int | None, out: Path | None) -> None:
        self.subject, self.stated, self.draws, self.out = subject, stated, draws, out
        self.steps: list[AttackStep] = []
        self.signs: list[str] = []  # of masked gradients
        self.first: Result | None = None
        self.standing = np.ones(len(subject.images), dtype=np.bool_)
        self.broken_by = np.full(len(subject.images), -1, dtype=np.int8)

    @property
    def ra(self) -> Estimate:
        return Estimate.of(float(self.standing.mean()), len(self.standing))

    @property
    def is_refuted(self) -> bool:
        return bool(self.steps) and self.ra.exceeds(self.stated.ra) is False

    def attack(self, protocol: Protocol, *, progress: Progress, say: Say, command: str | None) -> None:
        """Attack what is standing.

        Raises:
            AdvssError: as `measure`.
        """
        rows = np.flatnonzero(self.standing)
        if not len(rows):
            return
        number = len(self.steps) + 1
        place = self.out and self.out / "attacks" / slug(f"{number} {protocol.slug()}")
        result = measure(
            self.subject.model,
            self._images(rows),
            protocol,
            place,
            device=self.subject.device,
            eot=self.draws,
            progress=progress,
            say=say,
            command=command,
        )
        verdicts = result.verdicts
        assert verdicts.attacked_prediction is not None
        if self.first is None:
            self._begin(result)
        fallen = rows[verdicts.right & ~verdicts.standing]
        self.attacked_prediction[rows] = verdicts.attacked_prediction
        self.standing[rows[~verdicts.standing]] = False
        self.broken_by[fallen] = len(self.steps)
        white = protocol.gradient != "unused"
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
        images = self.subject.images
        if len(rows) == len(images):
            return images
        return replace(
            images,
            name=f"{images.name} (left by {self.steps[-1].attack})",
            pixels=images.pixels[rows],
            labels=images.labels[rows],
            index=images.index[rows],
        )

    def _begin(self, result: Result) -> None:
        self.first = result
        self.clean_prediction = result.verdicts.clean_prediction
        self.attacked_prediction = self.clean_prediction.copy()

    @property
    def verdicts(self) -> Verdicts:
        """The worst case on each image of the sample."""
        index, labels = (array.astype(np.int32) for array in (self.subject.images.index, self.subject.images.labels))
        return Verdicts(index, labels, self.clean_prediction, self.attacked_prediction, {BROKEN_BY: self.broken_by})

    def outcome(self, tolerance: float, left_out: list[str], notes: list[str]) -> ClaimCheck:
        """
        Raises:
            AdvssError: no attack ran.
        """
        if self.first is None:
            raise AdvssError(" ".join(left_out) or "No attack was given.", "Try `advss doctor MODEL`.")
        ra, stated = self.ra, self.stated
        complete = not left_out and not self.signs
        verdict = judge(ra, stated.ra, tolerance, complete)
        needed = None
        if verdict == "not settled":
            needed = settled_by(ra.value, lambda ra: judge(ra, stated.ra, tolerance, complete) != "not settled")
        seconds = sum(step.seconds for step in self.steps)
        n = len(self.standing)
        return ClaimCheck(
            model=self.first.model,
            data=self.subject.images.facts,
            claim=stated,
            tolerance=tolerance,
            draws=self.draws,
            n=n,
            ta=self.first.ta,
            ta_ci95=self.first.ta_ci95,
            ra=ra.value,
            ra_ci95=(ra.low, ra.high),
            verdict=verdict,
            steps=tuple(self.steps),
            left_out=tuple(left_out),
            warnings=(*notes, *self.first.model.adapted, *self.signs, *self._advice(left_out)),
            needed_images=needed,
            needed_seconds=None if needed is None else seconds * needed / n,
            seconds=seconds,
        )

    def _advice(self, left_out: list[str]) -> list[str]:
        advice = []
        clean, claimed = self.first.ta_ci95 if self.first else (0.0, 1.0), self.stated.ta
        if claimed is not None and not clean[0] <= claimed <= clean[1]:
            low, high = map(percent, clean)
            advice.append(f"The clean accuracy is between {low} and {high}, but the claim says {percent(claimed)}.")
        if left_out or self.signs:
            advice.append(
                "RA may be overestimated. Run `advss doctor MODEL`; wrap steps without a gradient in "
                "`advss_zoo.attacks.bpda`, return logits, or attack a random model with --eot."
            )
        if self.stated.attack.startswith("pgd"):
            advice.append(f"{self.stated.attack} alone can overestimate RA: check with --attack {WORST_CASE}, too.")
        return advice
