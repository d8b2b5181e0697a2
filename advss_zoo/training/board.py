"""The log of a run for TensorBoard, where that is installed (`pip install 'advss-zoo[tensorboard]'`)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"


class Board:
    """Curves of training loss, learning rate, TA and RA by step."""

    def __init__(self, out: Path, step: int) -> None:
        """What an earlier part of the run wrote after `step` is hidden: it will be written again."""
        self._writer: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(out / FOLDER, purge_step=step + 1)

    def add(self, step: int, facts: Mapping[str, Any]) -> None:
        """Add numbers, or maps of numbers."""
        if self._writer is None:
            return
        for name, value in facts.items():
            if isinstance(value, dict):
                self.add(step, {f"{name}/{key}": number for key, number in value.items()})
            else:
                self._writer.add_scalar(name, value, step)
        self._writer.flush()
