"""How long verdicts took, and everything that they were computed on and with, over interruptions and processes."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import PIL
import scipy
import torch
from pydantic import BaseModel, ConfigDict

from advss_zoo.version import __version__


class Effort(BaseModel):
    """`seconds` are summed over processes; devices, and versions by the name of the software, are in order of use."""

    model_config = ConfigDict(frozen=True)

    seconds: float = 0.0
    devices: tuple[str, ...] = ()
    versions: dict[str, tuple[str, ...]] = {}

    @classmethod
    def here(cls, seconds: float, device: torch.device) -> Self:
        """Return the effort of this process."""
        known = {name: (version,) for name, version in versions().items()}
        return cls(seconds=seconds, devices=(describe_device(device),), versions=known)

    def __add__(self, more: Effort) -> Effort:
        names = self.versions | more.versions
        return Effort(
            seconds=self.seconds + more.seconds,
            devices=_each_once(self.devices + more.devices),
            versions={name: _each_once(self.versions.get(name, ()) + more.versions.get(name, ())) for name in names},
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of a result that say so."""
        versions = {name: ", ".join(each) for name, each in self.versions.items()}
        return {"seconds": self.seconds, "device": ", ".join(self.devices), "versions": versions}

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


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


def _each_once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
