"""Which images trained a checkpoint and which chose its epoch: the sha256 of their pixels, in a file beside it.

With that an evaluation on a folder that has grown since leaves them out. Importing this imports no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from advss_zoo.errors import CheckpointError
from advss_zoo.files import read_bytes, write_bytes
from advss_zoo.zoo import SEEN

BYTES = 16  # of the 32 of a sha256
MOST_BYTES = 2**30  # 67 million images
MOST_HEADER = 2**20


@dataclass(frozen=True, eq=False)
class SeenImages:
    """The beginnings of the sha256 of images, uint8 (N, 16), each once and sorted."""

    trained: NDArray[np.uint8]
    validated: NDArray[np.uint8]

    @classmethod
    def of(cls, parts: Iterable[Self]) -> Self:
        """Join what several checkpoints have seen."""
        found = list(parts)
        nothing = np.empty((0, BYTES), np.uint8)
        return cls(
            _sorted(np.concatenate([nothing, *(part.trained for part in found)])),
            _sorted(np.concatenate([nothing, *(part.validated for part in found)])),
        )

    def which(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell which of the images trained it, and which of the others validated it, (N,) each."""
        trained = np.isin(_keys(images), _keys(self.trained))
        return trained, np.isin(_keys(images), _keys(self.validated)) & ~trained

    def write(self, folder: Path) -> str:
        """Write the file into the folder of a checkpoint, and return its sha256."""
        content = safetensors.save({"trained": self.trained, "validated": self.validated})
        write_bytes(folder / SEEN, content)
        return hashlib.sha256(content).hexdigest()


def read(folder: Path, sha256: str | None = None) -> SeenImages:
    """Read the file in a folder.

    Args:
        sha256: that it should have.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = folder / SEEN
    if not path.is_file():
        raise CheckpointError(f"{path} is missing, which lists the images that trained the checkpoint.")
    content = read_bytes(path, MOST_BYTES)
    if sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise CheckpointError(f"{path} has been changed or damaged: its sha256 is not that in the configuration.")
    return parse(content, str(path))


def parse(content: bytes, path: str) -> SeenImages:
    """Read the bytes of such a file; `path` is used in errors.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        if int.from_bytes(content[:8], "little") > MOST_HEADER:
            raise ValueError("its header is too large")
        found = safetensors.load(content)
        if set(found) != {"trained", "validated"}:
            raise ValueError(f"it has the arrays {', '.join(found)[:100]}")
        for array in found.values():
            if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != BYTES:
                raise ValueError(f"an array is {array.dtype} {array.shape}, expected uint8 (N, {BYTES})")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a list of images: {error}.") from error
    return SeenImages(found["trained"], found["validated"])


def _keys(rows: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    return np.ascontiguousarray(rows).view(f"S{BYTES}")[:, 0]


def _sorted(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.unique(rows, axis=0)
