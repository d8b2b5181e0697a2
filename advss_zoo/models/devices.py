"""Where a process computes: on the CPU, or on the GPU that is its own."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from advss_zoo.errors import UsageError

CHOICES = "choose from auto, cpu, cuda and cuda:N."


def processes() -> int:
    """Return how many a launcher has started, this one among them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def pick_device(device: str | torch.device) -> str:
    """Return where to compute: "cpu", "cuda" or "cuda:N".

    "auto" is a GPU if torch sees one; of several processes each has a GPU of its own, if there are enough.

    Raises:
        UsageError: torch sees no such device, or it is of a kind that is not supported, such as mps.
    """
    wanted = str(device)
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(wanted)
    except RuntimeError:
        raise UsageError(f"unknown device {wanted!r}; {CHOICES}") from None
    if found.type not in ("cpu", "cuda"):
        raise UsageError(f"unsupported device {wanted!r}; {CHOICES}")
    if found.type == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise UsageError("torch cannot use a GPU.", "Leave out --device, or run `advss doctor`.")
    count = torch.cuda.device_count()
    if found.index is not None and found.index >= count:
        raise UsageError(f"Device {wanted} does not exist: torch sees {count} GPUs, from cuda:0 to cuda:{count - 1}.")
    if found.index is None and processes() > 1:
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % count}"
    return wanted


def current(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the one that code means which says "cuda" alone, as a user's model may; undone on leaving."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
