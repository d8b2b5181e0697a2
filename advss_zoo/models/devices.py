"""Where a process computes: on the CPU, or on the GPU that is its own."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from advss_zoo.errors import UsageError

if TYPE_CHECKING:
    import torch


def processes() -> int:
    """Return how many a launcher has started, this one among them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_device(device: str) -> None:
    """Refuse what is the name of no supported device, without importing torch, which says whether there is this one.

    Raises:
        UsageError: it is none, or of a kind that is not supported, such as mps.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"unknown device {device!r}; choose from auto, cpu, cuda and cuda:N.")


def pick_device(device: str | torch.device) -> str:
    """Return where to compute: "cpu", "cuda" or "cuda:N".

    "auto" is a GPU if torch sees one; of several processes each has a GPU of its own, if there are enough.

    Raises:
        UsageError: as `check_device`, or torch sees no such device.
    """
    import torch

    wanted = str(device)
    check_device(wanted)
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    found = torch.device(wanted)
    if not torch.cuda.is_available():
        raise UsageError("torch cannot use a GPU.", "Leave out --device, or run `advss doctor`.")
    count = torch.cuda.device_count()
    if found.index is not None and found.index >= count:
        raise UsageError(f"Device {wanted} does not exist: torch sees {count} GPUs, from cuda:0 to cuda:{count - 1}.")
    if found.index is None and processes() > 1:
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % count}"
    return wanted


def computes_bfloat16(device: str | torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16, and torch uses them; where not, float32 is faster."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    instructions = any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last one is Arm's
    return instructions and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def current(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the one that code means which says "cuda" alone, as a user's model may; undone on leaving."""
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
