"""Checkpoints for prediction and export, by name, folder or address."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from advss_zoo.deploy.predict import Classifier
from advss_zoo.zoo import load, sources
from advss_zoo.zoo.load import Loaded
from advss_zoo.zoo.reference import as_path, folder


def find(reference: str, device: str = "cpu") -> Loaded:
    """A model by what people call it (see `zoo.reference`).

    Raises:
        UsageError: there is none of these, or it is no classifier.
        CheckpointError: its weights cannot be had.
    """
    path = as_path(reference)
    return load.from_path(path, device=device) if path else load.resolve(reference, device=device)


def folders(reference: str) -> list[Path]:
    """Of the checkpoints that `find` puts together: its own, or those of an ensemble's members."""
    roots = [folder(part) for part in ([reference] if as_path(reference) else sources.parts(reference))]
    return [member for root in roots for member in load.network_folders(root)]


def classifier(loaded: Loaded, device: str) -> Classifier:
    """For `predict`, on the device that the model is on."""
    assert loaded.classes is not None
    assert loaded.image_size is not None

    @torch.no_grad()
    def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = loaded.model(torch.from_numpy(images).to(device)).cpu().numpy()
        return found

    return Classifier(
        loaded.full_name, loaded.sha256, loaded.classes, loaded.image_size, device, logits, loaded.temperature
    )
