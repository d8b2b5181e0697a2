"""Known symptoms of masked gradients (Athalye et al. 2018; Carlini et al. 2019), each measured on a few images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field, computed_field
from torch import Tensor, nn

from advss_zoo.attacks import functions as attacks
from advss_zoo.attacks.checks import predict
from advss_zoo.attacks.losses import cross_entropy
from advss_zoo.evaluation.ball import Ball
from advss_zoo.evaluation.checks import zero_gradients
from advss_zoo.evaluation.details import ALL_GREY, FEWEST
from advss_zoo.evaluation.schema import Count, EvaluatedData, Fraction, Part, Text
from advss_zoo.models.draws import MeanOfDraws

DRAWS = 8  # over which a random model is diagnosed
STEPS_TO_GREY = 10  # that lead from any image to an all-grey one and farther
ADAPTIVE = "Write an adaptive attack; `advss claim` combines several attacks."


class Symptom(Part):
    """One thing that was looked at: whether it was `found`, what was measured, and what to try next."""

    name: Text
    found: bool
    measured: Text
    try_next: Text | None = None


class Diagnosis(Part):
    """What was found on `n` images; `draws` are those over which a random model was attacked.

    `accuracies` are robust accuracies under the attacks that were tried, by name.
    """

    model: Text
    data: EvaluatedData
    n: Count = Field(ge=1)
    draws: Count | None
    accuracies: dict[Text, Fraction]
    symptoms: tuple[Symptom, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def masked(self) -> bool:
        """Was any symptom found?"""
        return any(symptom.found for symptom in self.symptoms)


@torch.no_grad()
def is_random(model: nn.Module, x: Tensor) -> bool:
    """Tell whether the same images (B,C,H,W) give different outputs."""
    return not torch.allclose(model(x), model(x), rtol=1e-4, atol=1e-5, equal_nan=True)


def diagnose(
    model: nn.Module, x: Tensor, y: Tensor, ball: Ball, *, is_random: bool, steps: int, queries: int
) -> tuple[list[Symptom], dict[str, float], int | None]:
    """Look for each symptom on images (B,C,H,W) with labels (B,).

    Args:
        model: frozen, in evaluation mode.
        is_random: its outputs are random, see `is_random`.
        steps: of PGD.
        queries: of Square.

    Returns:
        The symptoms, accuracies by attack, and the draws if the model is random.
    """
    subject = MeanOfDraws(model, DRAWS) if is_random else model
    found = [
        Symptom(
            name="random outputs",
            found=is_random,
            measured=f"the same images gave {'different' if is_random else 'equal'} outputs twice",
            try_next=f"Average over draws: --eot {2 * DRAWS}." if is_random else None,
        )
    ]
    with torch.enable_grad():
        logits = model(x.clone().requires_grad_())
    sure = logits.detach().softmax(dim=1).amax(dim=1) == 1
    smooth = "Return logits, before any softmax, or divide them by a constant; use losses of the margin: pgd20-margin."
    found.append(_counted("saturated outputs", sure, "have a class of probability exactly 1", smooth))
    flat = zero_gradients(subject, x, y) if logits.requires_grad else torch.ones_like(y, dtype=torch.bool)
    hints = "Wrap the step that has no gradient in `advss_zoo.attacks.bpda`, try pgd20-margin, or use --attack square."
    found.append(_counted("zero gradients", flat, "have a gradient of exactly 0", hints))
    right = {"clean": predict(subject, x) == y}
    if logits.requires_grad:
        more, stuck = _white_box(subject, x, y, ball, steps)
        right |= more
        found += _of_gradients(right, stuck, y, steps)
    standing = right.get("pgd", right["clean"])
    made = x.clone()
    if standing.any():
        rows = standing.nonzero().squeeze(1)
        made[rows] = attacks.square(subject, x[rows], y[rows], eps=ball.eps, norm=ball.norm, queries=queries)
    right["square"] = standing & (predict(subject, made) == y)
    beaten = standing & ~right["square"]
    found.append(
        _counted(
            "black box better than white box",
            beaten,
            f"withstood PGD and fell to Square with {queries:,} queries",
            "Use --attack square and images made on another model: `advss claim`.",
        )
    )
    return found, {name: rows.double().mean().item() for name, rows in right.items()}, DRAWS if is_random else None


def _white_box(model: nn.Module, x: Tensor, y: Tensor, ball: Ball, steps: int) -> tuple[dict[str, Tensor], Tensor]:
    """Which images are right clean and under each attack by gradient, and on which of them PGD raises no loss, (B,)."""
    # A perturbation of this size makes any image all grey.
    huge = ALL_GREY if ball.norm == "linf" else ALL_GREY * math.sqrt(x[0].numel())
    settings: dict[str, Any] = {"norm": ball.norm, "steps": steps}
    clean = predict(model, x) == y
    made = {
        "one step": attacks.fgsm(model, x, y, eps=ball.eps, norm=settings["norm"]),
        "pgd": attacks.pgd(model, x, y, eps=ball.eps, **settings),
        "huge eps": attacks.pgd(model, x, y, eps=huge, step_size=huge / STEPS_TO_GREY, **settings),
    }
    right = {name: clean & (predict(model, images) == y) for name, images in made.items()}
    with torch.no_grad():
        risen = cross_entropy(model(made["pgd"]), y) > cross_entropy(model(x), y)
    return right, clean & ~risen


def _of_gradients(right: dict[str, Tensor], stuck: Tensor, y: Tensor, steps: int) -> Iterator[Symptom]:
    hint = "Try another loss (pgd20-margin, apgd-t) and restarts; check that the model does not round or saturate."
    yield _counted("loss that does not rise", stuck, f"have no higher loss after {steps} steps of PGD", hint)
    likely = int(torch.bincount(y).max())  # where all images are the same grey, one class can be right
    left = int(right["huge eps"].sum())
    yield Symptom(
        name="robust at a huge eps",
        found=left > likely,
        measured=f"{left} of {len(y)} images withstood PGD at an eps that makes any image grey; possible: {likely}",
        try_next=ADAPTIVE if left > likely else None,
    )
    better = right["pgd"] & ~right["one step"]
    more = int(right["pgd"].sum() - right["one step"].sum())
    yield Symptom(
        name="one step better than many",
        found=more >= FEWEST,
        measured=f"{int(better.sum())} of {len(y)} images withstood {steps} steps and fell to one",
        try_next="Start at random several times (--restarts 10), with smaller steps." if more >= FEWEST else None,
    )


def _counted(name: str, images: Tensor, what: str, hint: str) -> Symptom:
    """A symptom that so few images as any model can have do not make."""
    count = int(images.sum())
    found = count >= min(FEWEST, len(images))
    return Symptom(
        name=name, found=found, measured=f"{count} of {len(images)} images {what}", try_next=hint if found else None
    )
