"""What is in images: which files are meant, and the probabilities of their classes. Imports no torch."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data.folder import decoding
from advss_zoo.data.folder.decoding import Facts, Pixels
from advss_zoo.data.folder.names import is_image
from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.zoo.reference import Reference

if TYPE_CHECKING:
    from advss_zoo.models.model import Model

MOST_IMAGES = 64  # at once
MOST_PIXELS = 2_000_000  # at once
MOST_THREADS = 8  # each may hold an image of 89 million pixels
PATTERN = frozenset("*?[")
HINT = "Give an image, a folder of images, or a pattern like '*.jpg'."


@dataclass(frozen=True)
class Classifier:
    """`logits` takes images (N,3,image_size,image_size) in [0,1] and returns (N,K), K the number of classes."""

    name: str
    sha256: str
    classes: tuple[str, ...]
    image_size: int
    device: str
    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    temperature: float = 1.0  # probabilities are softmax(logits / temperature)

    @property
    def batch(self) -> int:
        """How many images go through it at once."""
        return max(1, min(MOST_IMAGES, MOST_PIXELS // self.image_size**2))


class Prediction(NamedTuple):
    """The most probable classes of an image, the first first: their numbers, and how probable they are."""

    path: Path
    classes: list[int]
    probabilities: list[float]


@dataclass(frozen=True)
class Found:
    """Files that are to be images, and folders that cannot be read, with the reason."""

    files: list[Path] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)


def open_classifier(reference: Reference, device: str) -> Classifier:
    """Open what a reference means for prediction; an ONNX file without torch.

    Raises:
        AdvssError: it does not say which classes its outputs are; and what `open_model` raises.
    """
    if reference.kind != "onnx" or reference.path is None:
        from advss_zoo.zoo.open import open_model

        return classifier(open_model(reference, device))
    model = OnnxModel.read(reference.path, device)
    if model.metadata is None:
        raise AdvssError(f"{reference} does not say which classes its outputs are.", "Make it with `advss export`.")
    known = model.metadata
    return Classifier(
        known.name, known.sha256, known.classes, known.image_size, model.device, model.logits, known.temperature
    )


def classifier(model: Model) -> Classifier:
    """Make a classifier of a model, where the model is.

    Raises:
        AdvssError: its classes or the size of its images are not known.
    """
    import torch

    if model.classes is None or model.image_size is None:
        raise AdvssError(f"{model.name} does not say which classes its outputs are.", "Set `classes` and `image_size`.")

    @torch.no_grad()
    def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = model(torch.from_numpy(images).to(model.device)).cpu().numpy()
        return found

    return Classifier(
        model.name,
        str(model.sha256),
        model.classes,
        model.image_size,
        model.device.type,
        logits,
        model.temperature,
    )


def find(arguments: Iterable[str]) -> Found:
    """The files that are meant, each once: files as they are, of folders all images however deep, what patterns match.

    Raises:
        UsageError: nothing of that name is there, or nothing in it is an image.
    """
    found = Found()
    for argument in arguments:
        before = len(found.files) + len(found.broken)
        for path in _paths(argument):
            if path.is_dir():
                _add_folder(path, found)
            else:
                found.files.append(path)
        if len(found.files) + len(found.broken) == before:
            raise UsageError(f"There are no images in {argument}.", HINT)
    return Found(list(dict.fromkeys(found.files)), found.broken)


def _paths(argument: str) -> list[Path]:
    """What is there under this name; else what it matches as a pattern."""
    if "\0" not in argument and os.path.lexists(argument):
        return [Path(argument)]
    matches = glob.glob(argument, recursive=True) if PATTERN & set(argument) else []  # noqa: PTH207  may be absolute
    if not matches:
        raise UsageError(f"There is nothing called {argument!r}, nor like it.", HINT)
    return sorted(map(Path, matches))


def _add_folder(top: Path, found: Found) -> None:
    """Links are followed, each folder once."""
    seen: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        found.broken[Path(error.filename)] = error.strerror or str(error)

    for place, folders, files in os.walk(top, onerror=refused, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = sorted(name for name in files if is_image(name) and not name.startswith("."))
        found.files.extend(Path(place, name) for name in shown)


def predict(
    classifier: Classifier, files: Sequence[Path], broken: dict[Path, str], top: int
) -> Iterator[list[Prediction]]:
    """Batch by batch, in the order of the files.

    Args:
        broken: files that cannot be read are noted in it with the reason, and left out.
        top: how many classes to name for each image.

    Raises:
        AdvssError: the model fails.
    """
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        for begin in range(0, len(files), classifier.batch):
            piece = files[begin : begin + classifier.batch]
            paths: list[Path] = []
            pixels: list[Pixels] = []
            for path, image in zip(piece, _decoded(pool, piece, classifier.image_size), strict=True):
                if isinstance(image, str):
                    broken[path] = image
                else:
                    paths.append(path)
                    pixels.append(image[0])
            if pixels:
                images = np.stack(pixels).astype(np.float32) / np.float32(255)
                yield _most_probable(paths, softmax(classifier.logits(images), classifier.temperature), top)


def _decoded(pool: ThreadPoolExecutor, files: Sequence[Path], side: int) -> list[tuple[Pixels, Facts] | str]:
    with warnings.catch_warnings(action="ignore"):  # Pillow's, about files that are named anyway
        return list(pool.map(lambda path: decoding.read(path, side), files))


def _most_probable(paths: Sequence[Path], probabilities: NDArray[np.float64], top: int) -> list[Prediction]:
    """Of all classes (N,K) the first: there may be a thousand, and of images millions."""
    classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    kept = np.take_along_axis(probabilities, classes, axis=1)
    return [Prediction(*each) for each in zip(paths, classes.tolist(), kept.tolist(), strict=True)]


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Rows of logits (N,K) to rows of probabilities."""
    exponents = logits.astype(np.float64) / temperature
    powers: NDArray[np.float64] = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
