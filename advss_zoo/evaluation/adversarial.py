"""Adversarial images on disk: one file for other programs to read, filled while an evaluation lasts."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advss_zoo.errors import AdvssError
from advss_zoo.files import explained, held, tensors_header, write_atomically

if TYPE_CHECKING:
    from advss_zoo.evaluation.images import Images
    from advss_zoo.evaluation.verdicts import Verdicts

# x_adv (N,C,H,W) float32 in [0,1], y_adv (N,) what the model says of it, label (N,), index (N,); integers are int64.
TENSORS_FILE = "adversarial.safetensors"
# x_adv alone: RobustBench asks for "a .pt tensor of the same size of the corresponding test set".
ROBUSTBENCH_FILE = "adversarial.pt"
MISSING = -1  # in y_adv, of images that are yet to come
INTEGERS = "index", "label", "y_adv"  # which precede the images, as they are stored


@dataclass(frozen=True)
class AdversarialFile:
    """The file at `path` for the adversarial versions of `images`: as large as in the end from its first pass on.

    Processes write into their own places; nothing is held in memory or copied.
    """

    path: Path
    images: Images

    def write(self, first: int, adversarial: Tensor, predictions: Tensor) -> None:
        """Put images (B,C,H,W), the first of which passes take as that at `first`, and what the model says of them."""
        if not self.path.exists():
            with held(self.path.with_suffix(".lock"), wait=True):
                if not self.path.exists():
                    self._create()
        with explained("write", self.path), self.path.open("r+b") as file:
            for name, tensor in (("x_adv", adversarial.float()), ("y_adv", predictions.long())):
                begin = self._begin(name)
                for place, value in zip(self._places(first, len(tensor)), tensor.cpu().numpy(), strict=True):
                    file.seek(begin + value.nbytes * int(place))
                    file.write(value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes())

    def holds(self, verdicts: Verdicts, first: int = 0) -> bool:
        """Tell whether the images of these verdicts, the first of which passes take as that at `first`, are there."""
        expected = verdicts.attacked_prediction
        if expected is None or not len(expected):
            return True
        if not self.path.exists():
            return False
        places = self._places(first, len(expected))
        return np.array_equal(self._predictions(places.min(), places.max() + 1)[places - places.min()], expected)

    def flush(self) -> None:
        """Wait until what was written is on the disk."""
        if self.path.exists():
            with explained("write", self.path), self.path.open("rb+") as file:
                os.fsync(file.fileno())

    def publish(self, folder: Path, verdicts: Verdicts) -> None:
        """Leave the two files in `folder`; this one stays, so that a kill in between does no harm.

        Args:
            verdicts: in the order of the data.

        Raises:
            AdvssError: images of `verdicts` are missing.
        """
        found = verdicts.attacked_prediction
        if found is None or not np.array_equal(self._predictions(0, len(self.images)), found):
            raise AdvssError(f"{self.path} does not hold the adversarial images of all {len(verdicts):,} verdicts.")
        shape = (len(self.images), *self.images.pixels.shape[1:])
        x_adv = torch.from_numpy(np.memmap(self.path, "<f4", "c", self._begin("x_adv"), shape))
        write_atomically(folder / ROBUSTBENCH_FILE, lambda file: torch.save(x_adv, file))
        temporary = folder / f".{TENSORS_FILE}.link.part"
        with explained("write", folder / TENSORS_FILE):
            temporary.unlink(missing_ok=True)
            try:
                os.link(self.path, temporary)
            except OSError:  # not every disk has two names for one file
                shutil.copyfile(self.path, temporary)
            temporary.replace(folder / TENSORS_FILE)

    def _places(self, first: int, count: int) -> NDArray[np.int64]:
        return self.images.places[first : first + count]

    def _predictions(self, first: int, stop: int) -> NDArray[np.int64]:
        with explained("read", self.path):
            return np.fromfile(self.path, "<i8", stop - first, offset=self._begin("y_adv") + 8 * first)

    def _create(self) -> None:
        integers = [self.images.index, self.images.labels, np.full(len(self.images), MISSING)]

        def fill(file: BinaryIO) -> None:
            file.write(self._header)
            for array in integers:
                file.write(array.astype("<i8").tobytes())
            file.truncate(self._begin("x_adv") + 4 * self.images.pixels.size)

        write_atomically(self.path, fill)

    @property
    def _header(self) -> bytes:
        n, shape = len(self.images), self.images.pixels.shape
        return tensors_header({**dict.fromkeys(INTEGERS, ("I64", (n,))), "x_adv": ("F32", shape)})

    def _begin(self, name: str) -> int:
        """Where a tensor begins in the file."""
        return len(self._header) + 8 * len(self.images) * (*INTEGERS, "x_adv").index(name)
