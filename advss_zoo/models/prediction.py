"""What is in images: the probabilities of their classes. Imports no torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from advss_zoo.data.folder import decoding, finding
from advss_zoo.data.folder.decoding import Pixels
from advss_zoo.data.folder.walking import Hidden, PassedOver
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.outputs import check_finite, check_logits

if TYPE_CHECKING:
    from advss_zoo.models.model import Model

MOST_IMAGES = 64  # at once
MOST_PIXELS = 2_000_000  # at once
MOST_THREADS = 8  # each may hold an image of 89 million pixels

# A file, a folder of images, a pattern such as "*.jpg", an image that is open in Pillow, or several of these.
ImageSource: TypeAlias = str | Path | Image.Image
Images: TypeAlias = ImageSource | Iterable[ImageSource]


@dataclass(frozen=True)
class Classifier:
    """`logits` takes images (N,3,image_size,image_size) in [0,1] and returns (N,K), K the number of classes."""

    name: str
    sha256: str | None
    classes: tuple[str, ...]
    image_size: int
    device: str
    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    temperature: float = 1.0  # probabilities are softmax(logits / temperature)
    value_range: tuple[float, float] | None = None  # what is 0 and 1 of files with more than 8 bits; None: their own

    @property
    def batch(self) -> int:
        """How many images go through it at once."""
        return max(1, min(MOST_IMAGES, MOST_PIXELS // self.image_size**2))


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image, the most probable first; `path` is None for an image without a file."""

    path: Path | None
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


class Predictions(list[Prediction]):
    """Predictions in the order of the images, by `classifier`.

    `skipped` has the files and folders that cannot be read, with the reason; `passed_over` says how many images are in
    what systems leave in folders, by kind.
    """

    def __init__(self, classifier: Classifier, skipped: dict[Path, str], passed_over: dict[str, Hidden]) -> None:
        super().__init__()
        self.classifier, self.skipped, self.passed_over = classifier, skipped, passed_over


def classifier(model: Model) -> Classifier:
    """Make a classifier of a model, where the model is.

    Raises:
        AdvssError: its classes or the size of its images are not known.
    """
    import torch

    from advss_zoo.models.adapted import adapt

    if model.classes is None or model.image_size is None:
        raise AdvssError(
            f"{model.name} has no class names or image size.",
            "Give them: advss_zoo.Model(module, NAME, classes=..., image_size=N).",
        )
    count = len(model.classes)

    network: Callable[[Any], Any] | None = None

    @torch.no_grad()
    def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal network
        x = torch.from_numpy(images).to(model.device)
        network = network or adapt(model, x, count)
        found: NDArray[np.float32] = check_logits(network(x), len(images), torch.Tensor).float().cpu().numpy()
        return found

    return Classifier(
        model.name,
        model.sha256,
        model.classes,
        model.image_size,
        model.device.type,
        logits,
        model.temperature,
        model.value_range,
    )


class Sources(NamedTuple):
    """Files that are to be images, and open images; `broken` are folders that cannot be read, with the reason."""

    images: list[Path | Image.Image]
    broken: dict[Path, str]
    passed_over: dict[str, Hidden]


def find(images: Images) -> Sources:
    """List the images that are meant, files once each.

    Raises:
        UsageError: nothing of that name is there, or nothing in it is an image.
    """
    sources: dict[Path | int, Path | Image.Image] = {}
    broken: dict[Path, str] = {}
    passed_over = PassedOver()
    for image in [images] if isinstance(images, str | Path | Image.Image) else images:
        if isinstance(image, Image.Image):
            sources[-len(sources)] = image
            continue
        files = finding.find([str(image)])
        sources |= {file: file for file in files.files if file not in sources}
        broken |= files.broken
        passed_over.update(files.passed_over)
    return Sources(list(sources.values()), broken, passed_over.kinds)


def predict(
    classifier: Classifier, sources: Sources, top: int = 3, progress: Callable[[int, int], object] | None = None
) -> Predictions:
    """Name the most probable classes of images; see `advss_zoo.predict`."""
    if top < 1:
        raise UsageError(f"top must be at least 1, got {top}.")
    images, broken = sources.images, dict(sources.broken)
    found = Predictions(classifier, broken, sources.passed_over)
    report, total = progress or (lambda done, total: None), len(images) + len(broken)
    report(len(broken), total)
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        for begin in range(0, len(images), classifier.batch):
            piece = images[begin : begin + classifier.batch]
            paths: list[Path | None] = []
            pixels: list[Pixels] = []
            for source, decoded in zip(piece, _decoded(pool, piece, classifier), strict=True):
                path = source if isinstance(source, Path) else None
                if isinstance(decoded, str):
                    assert path, "what is open in Pillow has pixels"
                    broken[path] = decoded
                else:
                    paths.append(path)
                    pixels.append(decoded)
            if pixels:
                found += _most_probable(classifier, paths, np.stack(pixels), top)
            report(len(found) + len(broken), total)
    return found


def _decoded(pool: ThreadPoolExecutor, sources: Sequence[Path | Image.Image], by: Classifier) -> list[Pixels | str]:
    def decode(source: Path | Image.Image) -> Pixels | str:
        if isinstance(source, Image.Image):
            return decoding.pixels(source, by.image_size, by.value_range)
        found = decoding.read(source, by.image_size, by.value_range)
        return found if isinstance(found, str) else found[0]

    with warnings.catch_warnings(action="ignore"):  # Pillow's, about files that are named anyway
        return list(pool.map(decode, sources))


def _most_probable(classifier: Classifier, paths: Sequence[Path | None], pixels: Pixels, top: int) -> list[Prediction]:
    """Of all classes the first: there may be a thousand, and of images millions."""
    logits = classifier.logits(pixels.astype(np.float32) / np.float32(255))
    check_finite(check_logits(logits, len(pixels), np.ndarray, len(classifier.classes)))
    probabilities = softmax(logits, classifier.temperature)
    numbers = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    kept = np.take_along_axis(probabilities, numbers, axis=1)
    return [
        Prediction(path, tuple(classifier.classes[number] for number in row), tuple(values))
        for path, row, values in zip(paths, numbers.tolist(), kept.tolist(), strict=True)
    ]


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Turn rows of logits (N,K) into rows of probabilities."""
    exponents = logits.astype(np.float64) / temperature
    powers: NDArray[np.float64] = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
