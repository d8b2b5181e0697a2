"""Probabilities that mean what they say: one temperature for all logits (Guo et al. 2017), fitted on validation images.

It changes neither logits nor labels, so no accuracy, attack or result depends on it.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import AdvssError
from advss_zoo.files import write_json
from advss_zoo.zoo import CONFIG, load
from advss_zoo.zoo.open import open_model

# Before any image is seen, log T is taken to be normal about 0: where all of a few images are right, T would otherwise
# become as small as it may.
DEVIATION = 0.5
LIMITS = (1 / 50, 50.0)
MOST_PIXELS = 1 << 18  # at once in the network
SAME = 1e-6  # between the logits of two images, what rounding alone explains


def calibrate(folder: Path, images: ImageSet, device: str) -> float:
    """Fit the temperature of a checkpoint on images that it was not trained on, and write it to its configuration.

    Args:
        images: at least one, of the checkpoint's classes in their order.

    Raises:
        AdvssError: the model has collapsed: whatever image it sees, its logits are the same.
    """
    model, step = open_model(folder, device), max(1, MOST_PIXELS // images.images.shape[-1] ** 2)
    parts = (images.take(range(begin, min(begin + step, len(images)))) for begin in range(0, len(images), step))
    with torch.no_grad():
        logits = np.concatenate([model(x.to(device)).cpu() for x, _ in parts])
    if len(images) > 1 and np.ptp(logits, axis=0).max() < SAME:
        raise AdvssError(
            f"Training has collapsed: the logits of {folder} are the same for all {len(images):,} validation images.",
            "Lower the peak of the learning rate, for example schedule=[{peak: 0.02}], or train longer.",
        )
    fitted = temperature(logits.astype(np.float64), images.labels)
    config = load.read_config(folder).model_copy(update={"temperature": fitted})
    write_json(folder / CONFIG, config.model_dump(mode="json"))
    return fitted


def temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the T, to four digits, at which softmax(logits / T) fits labels (N,) best; logits are (N,K)."""
    rows = np.arange(len(labels))

    def surprise(log_t: float) -> float:
        scaled = logits / math.exp(log_t)
        scaled -= scaled.max(axis=1, keepdims=True)
        nats = np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels]
        return float(nats.sum()) + (log_t / DEVIATION) ** 2 / 2

    low, high = map(math.log, LIMITS)
    found = minimize_scalar(surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(f"{math.exp(found.x):.4g}")
