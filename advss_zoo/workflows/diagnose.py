"""Is a model's robustness false? The known symptoms, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from advss_zoo.attacks.checks import check_counts
from advss_zoo.attacks.eps import parse_eps
from advss_zoo.data.catalogue import SUBSET
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import diagnosis
from advss_zoo.evaluation.ball import DEFAULT_EPS, Ball, Norm
from advss_zoo.evaluation.checks import check_model
from advss_zoo.evaluation.diagnosis import Diagnosis
from advss_zoo.evaluation.passes import Padded, images_per_pass
from advss_zoo.models.adapted import adapt
from advss_zoo.models.arithmetic import exact_arithmetic
from advss_zoo.models.model import unwrapped
from advss_zoo.models.modes import frozen
from advss_zoo.progress import Say, ignore
from advss_zoo.workflows.evaluate import AnyData, AnyModel, PlannedEvaluation


def diagnose(
    model: AnyModel,
    data: AnyData = SUBSET,
    *,
    limit: int = 32,
    norm: Norm = "linf",
    eps: float | str | None = None,
    steps: int = 20,
    queries: int = 500,
    device: str = "auto",
    say: Say = ignore,
) -> Diagnosis:
    """Look for symptoms of masked gradients, which make robust accuracy look higher than it is.

    Random outputs, probabilities as outputs, zero gradients, a loss that does not rise, robustness at a huge eps, one
    step better than many, black box better than white box. No symptom does not prove that a model is robust.

    Args:
        model: as in `evaluate`.
        data: as in `evaluate`.
        limit: the first images only; at most one pass of 64 images of CIFAR's size.
        norm: "linf" or "l2".
        eps: its size, as in `evaluate`.
        steps: of PGD.
        queries: of Square.
        device: as in `evaluate`.
        say: called with lines of text.

    Raises:
        UsageError, DataError: as `evaluate`.
        AdvssError: the model fails, or gives NaN.
    """
    check_counts(limit=limit, steps=steps, queries=queries)
    if norm == "l1":
        raise UsageError("The diagnosis does not support the norm l1.", "Choose linf or l2.")
    planned = PlannedEvaluation.of(model, data, [], limit=limit, device=device, say=say)
    most = images_per_pass(*planned.images.pixels.shape[2:])
    if limit > most:
        raise UsageError(f"limit must be at most {most} images of this size, got {limit}.")
    ball = Ball(norm, DEFAULT_EPS[norm] if eps is None else parse_eps(eps, norm))
    with tried(planned, limit) as (network, x, y, is_random):
        symptoms, accuracies, draws = diagnosis.diagnose(
            network, x, y, ball, is_random=is_random, steps=steps, queries=queries
        )
    return Diagnosis(
        model=planned.name,
        data=planned.images.facts,
        n=len(y),
        draws=draws,
        accuracies=accuracies,
        symptoms=tuple(symptoms),
    )


@contextmanager
def tried(planned: PlannedEvaluation, count: int) -> Iterator[tuple[nn.Module, Tensor, Tensor, bool]]:
    """Try a model on the first images: gives it frozen, the images (B,C,H,W), labels (B,), and whether it is random.

    Raises:
        UsageError: its classes are not those of the data.
        AdvssError: it fails, or gives NaN.
    """
    device = torch.device(planned.device)
    network = unwrapped(planned.model.to(device))
    x, y, _ = planned.images.batch(range(min(count, len(planned.images))), device)
    with frozen(network), exact_arithmetic(device):
        padded = Padded(adapt(planned.model, x, planned.images.classes))
        is_random = diagnosis.is_random(padded, x)
        if not is_random:
            check_model(padded, x, planned.images, differentiable=False)
        yield padded, x, y, is_random
