"""How long verdicts took, and everything that they were computed on and with, over interruptions and processes."""

from __future__ import annotations

import platform
from typing import Self

import numpy as np
import PIL
import scipy
import torch
from pydantic import BaseModel, ConfigDict

from advss_zoo.version import __version__


class Effort(BaseModel):
    """`seconds` are summed over processes; device, and versions by the name of the software, are all those in use."""

    model_config = ConfigDict(frozen=True)

    seconds: float = 0.0
    device: str = ""
    versions: dict[str, str] = {}

    @classmethod
    def here(cls, seconds: float, device: torch.device) -> Self:
        """Return the effort of this process."""
        return cls(seconds=seconds, device=describe_device(device), versions=versions())

    def __add__(self, more: Effort) -> Effort:
        names = self.versions | more.versions
        joined = {name: _each_once(self.versions.get(name, ""), more.versions.get(name, "")) for name in names}
        return Effort(seconds=self.seconds + more.seconds, device=_each_once(self.device, more.device), versions=joined)


def versions() -> dict[str, str]:
    """Return versions of everything that a verdict can depend on; scipy and Pillow make corrupted images."""
    return {
        "advss_zoo": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pillow": PIL.__version__,
    }


def describe_device(device: torch.device) -> str:
    """Describe a device, such as "cuda (NVIDIA H100)" or "cpu (2 threads)": rounding depends on threads."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type


def _each_once(*texts: str) -> str:
    return ", ".join(dict.fromkeys(part for text in texts for part in text.split(", ") if part))
