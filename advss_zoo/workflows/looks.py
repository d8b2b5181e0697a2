"""A note of every look at test images: a choice made by looking at them would show there."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from torch import nn

from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation.images import Images
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.models.model import Model
from advss_zoo.zoo.runs import RUNS

LOOKS = RUNS / "test-evaluations.jsonl"


def note(model: nn.Module, images: ImageSet | Images, protocol: Protocol, place: Path) -> str | None:
    """Add a line to `LOOKS`; returns why that could not be done, or None. Of several processes the first does it."""
    if os.environ.get("RANK", "0") != "0":
        return None
    name, sha256 = (model.name, model.sha256) if isinstance(model, Model) else (type(model).__name__, None)
    entry = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": name,
        "sha256": sha256,
        "data": images.name,
        "split": images.split,
        "n": len(images),
        "protocol": protocol.label(),
        "out": str(place),
    }
    try:
        LOOKS.parent.mkdir(parents=True, exist_ok=True)
        with LOOKS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:  # the working folder may belong to someone else
        return error.strerror
    return None
