"""Adversarial images on disk: pass by pass while an evaluation lasts, at the end for other programs to read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import write_atomically

# x_adv (N,C,H,W) float32 in [0,1], y_adv (N,) what the model says of it, label (N,), index (N,); integers are int64.
TENSORS_FILE = "adversarial.safetensors"
# x_adv alone: RobustBench asks for "a .pt tensor of the same size of the corresponding test set".
ROBUSTBENCH_FILE = "adversarial.pt"


@dataclass(frozen=True)
class Passes:
    """The adversarial images of finished passes, a file for each in `folder`, named after its first row."""

    folder: Path

    def path(self, first: int) -> Path:
        return self.folder / f"{first:08d}.safetensors"

    def write(self, first: int, adversarial: Tensor) -> None:
        content = safetensors.torch.save({"x_adv": adversarial.cpu().contiguous()})
        write_atomically(self.path(first), lambda file: file.write(content))

    def publish(self, folder: Path, verdicts: Verdicts, order: NDArray[np.int64] | None = None) -> None:
        """Write the two files of all passes together into `folder`, in the order of the verdicts.

        Args:
            order: the places (N,) of the images that passes took first, second, ...; None: that of the verdicts.

        Raises:
            AdvssError: they are not as many as `verdicts`.
        """
        files = sorted(self.folder.glob("*.safetensors"))
        x_adv = torch.cat([safetensors.torch.load_file(path)["x_adv"] for path in files])
        if len(x_adv) != len(verdicts):
            raise AdvssError(f"{self.folder} has {len(x_adv):,} adversarial images, not {len(verdicts):,}.")
        if order is not None:
            x_adv = x_adv[torch.from_numpy(np.argsort(order))]
        integers = {"y_adv": verdicts.attacked_prediction, "label": verdicts.label, "index": verdicts.index}
        tensors = {name: torch.as_tensor(array, dtype=torch.int64) for name, array in integers.items()}
        content = safetensors.torch.save({"x_adv": x_adv, **tensors})
        write_atomically(folder / TENSORS_FILE, lambda file: file.write(content))
        write_atomically(folder / ROBUSTBENCH_FILE, lambda file: torch.save(x_adv, file))
