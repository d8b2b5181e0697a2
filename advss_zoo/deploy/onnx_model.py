"""An ONNX file through onnxruntime. Importing this imports neither torch nor onnxruntime, and torch is never needed."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import re
import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advss_zoo.deploy.metadata import MARK, MOST_PIXELS, Metadata
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.files import read_bytes
from advss_zoo.models.devices import check_device
from advss_zoo.models.outputs import check_logits

MOST_BYTES = 2**30  # ten times the largest network here
MOST_BATCH = 1024  # images that a file takes at once, to which fewer are padded
LONGEST = 600  # characters of a reason; onnxruntime's on versions take 450
INSTALL = "Run `pip install 'advss-zoo[onnx]'`; in a source checkout `pip install -e '.[onnx]'`."
FLOATS = "tensor(float)"
ELEMENTS = {FLOATS: "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(uint8)": "uint8"}
# TF32 has a precision of three digits, and a search for the fastest kernels finds others in every process.
CUDA = ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Intake:
    """The images that a file takes: how many at once, of which size (None: any), kind of number and layout."""

    batch: int | None
    channels: int
    side: int | None
    element: str
    channels_last: bool

    @property
    def said(self) -> tuple[str, ...]:
        """What is done to images (N,C,H,W) in [0,1], as sentences without a subject."""
        told = {
            f"has a fixed batch of {self.batch}, to which images are padded and cut": self.batch is not None,
            "takes 8-bit images; pixel values are multiplied by 255 and rounded": self.element == "uint8",
            f"takes {self.element}, to which images are converted": self.element.startswith("float")
            and self.element != "float32",
            "takes images with the channels last; axes are moved": self.channels_last,
        }
        return tuple(sentence for sentence, is_so in told.items() if is_so)

    def converted(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Return images (N,C,H,W) in [0,1] as the file takes them."""
        images = images.transpose(0, 2, 3, 1) if self.channels_last else images
        images = (images * 255).round() if self.element == "uint8" else images
        return np.ascontiguousarray(images, dtype=self.element)


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """Images (N,C,H,W) in [0,1] to logits (N,K), normalisation inside; of a file of others to what that returns.

    `sha256` is that of the file, `device` where the session really computes. `metadata` is None for a file that is not
    ours, `image_size` for one that takes several. `names` are those of the outputs that are computed.
    """

    name: str
    sha256: str
    metadata: Metadata | None
    image_size: int | None
    device: str
    session: Any
    intake: Intake
    names: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, device: str = "auto", output: str | None = None) -> OnnxModel:
        """Open an ONNX file.

        Args:
            output: the name of the only output that is wanted; None: all.

        Raises:
            CheckpointError: it is no ONNX file, takes no images, or says what cannot be true of itself.
            UsageError: there is no such device, or onnxruntime cannot use it; or there is no such output.
            AdvssError: it cannot be read, or onnxruntime is not installed.
        """
        if not path.exists():
            raise CheckpointError(
                f"{path} does not exist.", f"Export a model to it: advss export NAME --to {shlex.quote(str(path))}"
            )
        return cls.parse(read_bytes(path, MOST_BYTES), str(path), device, output)

    @classmethod
    def parse(cls, content: bytes, path: str, device: str = "auto", output: str | None = None) -> OnnxModel:
        """Open the bytes of an ONNX file; `path` is used in errors."""
        session = _session(content, path, device)
        try:
            intake, names = _intake(session, path), tuple(node.name for node in session.get_outputs())
            props = session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path} cannot be trusted. Its metadata is not valid UTF-8.") from error
        if output not in (None, *names):
            raise UsageError(f"{path} has no output {output!r}.", f"Choose from {_plain(', '.join(names))}.")
        metadata, size = _metadata(props, path) if MARK in props else None, intake.side
        outputs = _classes(session, path) if metadata else None
        if metadata and outputs not in (None, len(metadata.classes)):
            raise CheckpointError(f"{path} declares {len(metadata.classes)} classes, but has {outputs} outputs.")
        if metadata and size not in (None, metadata.image_size):
            raise CheckpointError(f"{path} declares images of {metadata.image_size} pixels, but takes {size}.")
        return cls(
            name=metadata.name if metadata else Path(path).name,
            sha256=hashlib.sha256(content).hexdigest(),
            metadata=metadata,
            image_size=metadata.image_size if metadata else size,
            device=("cuda" if device == "auto" else device) if session.get_providers()[0] == CUDA[0] else "cpu",
            session=session,
            intake=intake,
            names=names if output is None else (output,),
        )

    def __deepcopy__(self, memo: object) -> OnnxModel:
        """Nothing in it changes, and onnxruntime copies no session."""
        return self

    def outputs(self, images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Compute all outputs that are arrays, by name, for images (N,C,H,W) in [0,1].

        Raises:
            AdvssError: it fails on such images.
        """
        given = self.intake.converted(images)
        count = max(1, len(given))  # attacks may ask about no image: the shape of the output is that of one
        batch = self.intake.batch or count
        parts = [self._run(given[begin : begin + batch], batch) for begin in range(0, count, batch)]
        shapes = {name: {part[name].shape[1:] for part in parts} for name in parts[0]}
        return {name: np.concatenate([part[name] for part in parts]) for name in shapes if len(shapes[name]) == 1}

    def _run(self, images: NDArray[Any], batch: int) -> dict[str, NDArray[Any]]:
        """The outputs for at most `batch` images; if there are fewer, they are repeated, and those outputs cut off."""
        padded = images if len(images) == batch else np.resize(images, (batch, *images.shape[1:]))
        try:
            found = self.session.run(list(self.names), {self.session.get_inputs()[0].name: padded})
        except Exception as error:  # onnxruntime's errors have no common base
            raise AdvssError(f"{self.name} fails on images of shape {images.shape}: {_reason(error)}.") from error
        arrays = {name: value for name, value in zip(self.names, found, strict=True) if isinstance(value, np.ndarray)}
        return {name: value[: len(images)] for name, value in arrays.items() if value.ndim}

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute logits (N,K) of images (N,3,H,W) in [0,1] by a file of ours.

        Raises:
            AdvssError: it fails on such images, or returns something else.
        """
        found = next(iter(self.outputs(images).values()), None)
        return check_logits(found, len(images), np.ndarray, len(self.metadata.classes) if self.metadata else None)


def require(package: str) -> Any:
    """Import a package that comes with the extra `onnx`.

    Raises:
        AdvssError: it is not installed, or does not work here.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise AdvssError(f"ONNX needs the package {error.name}, which is not installed.", INSTALL) from error
    except ImportError as error:
        raise AdvssError(f"{package} is installed but cannot be imported: {_reason(error)}.", INSTALL) from error


def _session(content: bytes, path: str, device: str) -> Any:
    """On the GPU if that is wanted and works, else on the CPU."""
    check_device(device)
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised, and then said once
    # No weights from other files: a model is what its sha256 says, and reads nothing of this machine.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)

    def start(*providers: Any) -> Any:
        return runtime.InferenceSession(content, options, providers=list(providers), enable_fallback=0)

    if device != "cpu" and CUDA[0] in runtime.get_available_providers() and _has_driver():
        with redirect_stdout(sys.stderr):
            runtime.preload_dlls()  # CUDA's libraries, which torch has brought
        try:
            session = start((CUDA[0], CUDA[1] | {"device_id": device.partition(":")[2] or "0"}), CPU)
        except Exception:  # what is wrong with the file itself shows below
            session = None
        if session and session.get_providers()[0] == CUDA[0]:
            return session
    if device.startswith("cuda"):
        raise UsageError("onnxruntime cannot use a GPU.", "Leave out --device.")
    try:
        return start(CPU)
    except Exception as error:
        hints = {
            "External data": "Export the weights inside the file: torch.onnx.export(..., external_data=False).",
            "IR version": "Upgrade onnxruntime, or export with a lower IR version.",
            "till opset": "Upgrade onnxruntime, or export with a lower opset.",
        }
        hint = next((hint for sign, hint in hints.items() if sign in str(error)), None)
        raise CheckpointError(f"onnxruntime cannot run {path}: {_reason(error)}.", hint) from error


def _has_driver() -> bool:
    """Is there a GPU's driver at all? Without one CUDA's libraries are not worth a look."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _intake(session: Any, path: str) -> Intake:
    """
    Raises:
        CheckpointError: it does not take square images of 1 or 3 channels.
    """
    found = session.get_inputs()
    shape = found[0].shape if len(found) == 1 and found[0].type in ELEMENTS else []
    if len(shape) == 4:
        count, *rest = (side if isinstance(side, int) else None for side in shape)
        for channels_last, (channels, height, width) in ((False, rest), (True, (rest[2], *rest[:2]))):
            fits = channels in (1, 3) or (channels is None and not channels_last)
            if fits and height == width and _within(height, MOST_PIXELS) and _within(count, MOST_BATCH):
                return Intake(count, channels or 3, height, ELEMENTS[found[0].type], channels_last)
    raise CheckpointError(
        f"{path} takes {_described(found)}, expected one input of images, (batch, 3, N, N) or (batch, N, N, 3), "
        f"in {', '.join(ELEMENTS.values())}, at most {MOST_BATCH} at once.",
        "Export it again with images as its only input.",
    )


def _within(count: int | None, most: int) -> bool:
    return count is None or 0 < count <= most


def _classes(session: Any, path: str) -> int | None:
    """How many classes a file of ours tells apart; None where it does not say.

    Raises:
        CheckpointError: it does not return logits.
    """
    found = session.get_outputs()
    shape = found[0].shape if len(found) == 1 else []
    if len(shape) != 2 or found[0].type != FLOATS:
        raise CheckpointError(
            f"{path} returns {_described(found)}, expected one float output of shape (batch, classes)."
        )
    return shape[1] if isinstance(shape[1], int) else None


def _described(nodes: Any) -> str:
    shown = [f"{node.name} {node.type} of shape ({', '.join(map(str, node.shape))})" for node in nodes]
    return _plain("; ".join(shown)) or "nothing"


def _metadata(props: dict[str, str], path: str) -> Metadata:
    try:
        return Metadata.from_props(props)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be trusted. {error.message}", "Export it again.") from error


def _reason(error: Exception) -> str:
    """Without onnxruntime's name and number for it, and without the place in its source."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    return _plain(re.sub(r"^\S+\.(cc|h):\d+ .*?\) (?=[A-Z])", "", text)).rstrip(". ")


def _plain(text: str) -> str:
    """What a file says, on a line, short enough to read, and without what steers a terminal."""
    line = "".join(character if character.isprintable() else " " for character in " ".join(text.split()))
    return line if len(line) <= LONGEST else line[:LONGEST] + "..."
