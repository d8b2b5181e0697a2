"""How long verdicts took, and everything that they were computed on and with, over interruptions and processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch

from advss_zoo.evaluation.results import describe_device, versions


@dataclass(frozen=True)
class Effort:
    """`seconds` are summed over processes; devices, and versions by the name of the software, are in order of use."""

    seconds: float = 0.0
    devices: tuple[str, ...] = ()
    versions: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def here(cls, seconds: float, device: torch.device) -> Self:
        """That of this process."""
        return cls(seconds, (describe_device(device),), {name: (version,) for name, version in versions().items()})

    def __add__(self, more: Effort) -> Effort:
        names = self.versions | more.versions
        return Effort(
            self.seconds + more.seconds,
            _each_once(self.devices + more.devices),
            {name: _each_once(self.versions.get(name, ()) + more.versions.get(name, ())) for name in names},
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of a result that say so."""
        versions = {name: ", ".join(each) for name, each in self.versions.items()}
        return {"seconds": self.seconds, "device": ", ".join(self.devices), "versions": versions}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """What `to_json` gave, or the seconds alone, which is all that was written at first."""
        known = {name: tuple(each) for name, each in value.get("versions", {}).items()}
        return cls(float(value["seconds"]), tuple(value.get("devices", ())), known)


def _each_once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
