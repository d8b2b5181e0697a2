"""float32 as it is meant, and the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_backends: Any = torch.backends
_SETTINGS: tuple[tuple[Any, str, Any], ...] = (
    # Kernels picked by timing, or that add in the order threads arrive, differ from run to run.
    (_backends.cudnn, "benchmark", False),
    (_backends.cudnn, "deterministic", True),
    # cuDNN's default for float32 convolutions is TF32, with 10 bits of mantissa.
    (_backends.cudnn.conv, "fp32_precision", "ieee"),
    (_backends.cuda.matmul, "fp32_precision", "ieee"),
    (_backends.mkldnn.conv, "fp32_precision", "ieee"),
    (_backends.mkldnn.matmul, "fp32_precision", "ieee"),
)


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """No reduced precision (TF32, bfloat16, autocast) and no kernels that differ from run to run; undone on leaving."""
    before = [getattr(owner, name) for owner, name, _ in _SETTINGS]
    try:
        for owner, name, value in _SETTINGS:
            setattr(owner, name, value)
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for (owner, name, _), value in zip(_SETTINGS, before, strict=True):
            setattr(owner, name, value)
