"""What a protocol leaves of one pass beside adversarial images: finished parts, and evidence on each image."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from advss_zoo.evaluation.effort import Effort
from advss_zoo.files import write_bytes
from advss_zoo.progress import ignore


class Record:
    """
    Args:
        prefix: the beginning of the path of the files that keep finished parts until the verdicts of the pass are
            saved; None: nothing is kept.
        announce: told the name of each part before it is begun.

    Attributes:
        evidence: small integers (B,) about each image, by name; they go into verdicts.npz.
        effort: what the parts that were found on disk had taken.
    """

    def __init__(self, prefix: Path | None = None, announce: Callable[[str], None] = ignore) -> None:
        self.evidence: dict[str, Tensor] = {}
        self.effort = Effort()
        self._prefix = prefix
        self._announce = announce

    def part(self, name: str, of: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Return what `compute` gives, or gave before an interruption.

        Args:
            of: what the part is computed of, as far as the model, the protocol and the pass do not say it.
        """
        self._announce(name)
        if self._prefix is None:
            return compute()
        digest = hashlib.sha256(of.cpu().numpy().tobytes()).hexdigest()[:16]
        path = self._prefix.with_name(f"{self._prefix.name}-{name}-{digest}.safetensors")
        if path.exists():
            with safetensors.safe_open(path, framework="pt") as file:
                self.effort += Effort.model_validate_json(file.metadata()["effort"])
                found: Tensor = file.get_tensor("part").to(of.device)
            return found
        started = time.perf_counter()
        result = compute()
        effort = Effort.here(time.perf_counter() - started, of.device)
        part = {"part": result.cpu().contiguous()}
        content = safetensors.torch.save(part, metadata={"effort": effort.model_dump_json()})
        write_bytes(path, content)
        return result
