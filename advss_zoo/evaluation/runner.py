"""Evaluation: a model, images, a protocol; out come verdicts and a result.

The verdicts depend on these three alone: not on the batch size (see `passes`), the process (random numbers belong to
images) or interruptions (see `store`).
"""

from __future__ import annotations

import hashlib
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.arithmetic import exact_arithmetic
from advss_zoo.evaluation.checks import check_adversarial, check_finite, check_model
from advss_zoo.evaluation.images import Arrays, Images, as_images
from advss_zoo.evaluation.passes import images_per_pass
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.results import Result, describe_device, versions
from advss_zoo.evaluation.store import Store, fingerprint
from advss_zoo.evaluation.verdicts import Integers, Verdicts
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.modes import frozen

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a name, and the sha256 of the file it came from."""

    name: str
    sha256: str | None = None


def evaluate(
    model: nn.Module,
    data: ImageSet | Arrays,
    protocol: Protocol | str,
    *,
    out: Path | None = None,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    subject: Subject | None = None,
    command: str | None = None,
) -> Result:
    """Accuracy of a model on clean and on attacked images.

    Args:
        model: images (B,C,H,W) in [0,1] to logits (B,K), normalisation inside; is moved to `device`, evaluated in eval
            mode, and left in the mode it was in.
        data: an ImageSet, or (images, labels): uint8 or float in [0,1] of shape (N,C,H,W), and class numbers (N,).
        protocol: for example "pgd20", or what `protocols.parse` returns.
        out: a folder for result.json and verdicts.npz. The same call goes on where an interrupted one stopped, and
            returns the result of a finished one.
        batch_size: the verdicts so far are written after so many images, rounded up to whole passes. Nothing else
            depends on it: how many images go through the network at once is fixed (see `passes`).
        progress: called with the images done and their total.
        subject: how the result names the model; left out: by its class.
        command: how the result says it was made; left out: this process's command line.

    Raises:
        UsageError: the protocol is unknown, the classes do not fit, or `out` holds another evaluation.
        DataError: the images or labels are of the wrong kind.
        AdvssError: the model is random, fails or gives NaN; the attack left its threat model; a file cannot be written.
    """
    if isinstance(protocol, str):
        protocol = protocols.parse(protocol)
    if batch_size < 1:
        raise UsageError(f"The batch size is {batch_size}.", "At least 1 is needed.")
    progress = progress or (lambda done, total: None)
    device = torch.device(device)
    model, images, subject = model.to(device), as_images(data), subject or Subject(type(model).__name__)
    facts = _facts(model, images, protocol, subject)
    store = None if out is None else Store(Path(out), facts)
    if store and (result := store.result()):
        progress(len(images), len(images))
        return result
    verdicts, seconds = _measure(model, images, protocol, store, batch_size, device, progress)
    result = Result.from_verdicts(
        verdicts,
        seconds=seconds,
        seed=protocol.seed,
        device=describe_device(device),
        versions=versions(),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if command is None else command,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    )
    if store:
        store.finish(result)
    return result


def _facts(model: nn.Module, images: Images, protocol: Protocol, subject: Subject) -> dict[str, Any]:
    """The parts of a result that are known beforehand."""
    facts: dict[str, Any] = {
        "model": {"name": subject.name, "sha256": subject.sha256, "weights_sha256": weights_sha256(model)},
        "data": {
            "name": images.name,
            "split": images.split,
            "n": len(images),
            "indices": _describe_indices(images.index),
            "content_sha256": images.content_sha256,
        },
        "protocol": protocol.constants(),
    }
    return {**facts, "fingerprint": fingerprint(**facts)}


def _measure(
    model: nn.Module,
    images: Images,
    protocol: Protocol,
    store: Store | None,
    batch_size: int,
    device: torch.device,
    progress: Progress,
) -> tuple[Verdicts, float]:
    """The verdicts on all images, and the seconds they took: those in the store, and after them the missing ones."""
    verdicts, seconds = store.resume(images) if store else (None, 0.0)
    done, total = 0 if verdicts is None else len(verdicts), len(images)
    step = images_per_pass(*images.pixels.shape[2:])
    batch = -(-batch_size // step) * step
    passes = [range(first, min(first + step, total)) for first in range(done, total, step)]
    progress(done, total)
    with frozen(model), exact_arithmetic(device):
        if passes:
            x, _, _ = images.batch(passes[0], device)
            check_model(model, x, images, protocol.needs_gradient)
        for rows in passes:
            started = time.perf_counter()
            more = _pass(model, images, rows, protocol, device)
            verdicts = more if verdicts is None else verdicts + more
            seconds += time.perf_counter() - started
            if store and (rows.stop % batch == 0 or rows.stop == total):
                store.save(verdicts, seconds)
            progress(rows.stop, total)
    assert verdicts is not None
    return verdicts, seconds


def _pass(model: nn.Module, images: Images, rows: range, protocol: Protocol, device: torch.device) -> Verdicts:
    x, y, index = images.batch(rows, device)
    clean = _predict(model, x)
    adversarial = protocol.attack(model, x, y, index)
    attacked = None
    if adversarial is not None:
        if protocol.threat is not None:
            check_adversarial(adversarial, x, protocol.threat)
        attacked = _predict(model, adversarial)[: len(rows)]
    part = slice(rows.start, rows.stop)
    return Verdicts(
        images.index[part].astype(np.int32), images.labels[part].astype(np.int32), clean[: len(rows)], attacked
    )


@torch.no_grad()
def _predict(model: nn.Module, x: Tensor) -> Integers:
    logits = model(x)
    check_finite(logits)
    predictions: Integers = logits.argmax(dim=1).cpu().numpy().astype(np.int32)
    return predictions


def _describe_indices(index: np.ndarray) -> str:
    if np.array_equal(index, np.arange(len(index))):
        return f"first {len(index)}"
    return f"{len(index)} of them, sha256 {hashlib.sha256(index.astype('<i8').data).hexdigest()}"
