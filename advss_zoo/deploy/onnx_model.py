"""An ONNX file through onnxruntime. Importing this imports neither torch nor onnxruntime, and torch is never needed."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from advss_zoo.deploy.metadata import MARK, MOST_PIXELS, Metadata
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.files import read_bytes
from advss_zoo.models.outputs import check_logits

MOST_BYTES = 2**30  # ten times the largest network here
INSTALL = "Run `pip install 'advss-zoo[onnx]'`; in a source checkout `pip install -e '.[onnx]'`."
FLOATS = "tensor(float)"
# TF32 has a precision of three digits, and a search for the fastest kernels finds others in every process.
CUDA = ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
CPU = "CPUExecutionProvider"


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """Images (N,3,H,W) in [0,1] to logits (N,K), normalisation inside.

    `sha256` is that of the file, `device` where the session really computes. `metadata` is None for a file that is not
    ours, `image_size` for one that takes several.
    """

    name: str
    sha256: str
    metadata: Metadata | None
    image_size: int | None
    device: Literal["cpu", "cuda"]
    session: Any

    @classmethod
    def read(cls, path: Path, device: str = "auto") -> OnnxModel:
        """Open an ONNX file.

        Raises:
            CheckpointError: it is no ONNX file, takes no images, or says what cannot be true of itself.
            UsageError: a GPU was asked for, and onnxruntime cannot use one.
            AdvssError: it cannot be read, or onnxruntime is not installed.
        """
        if not path.exists():
            raise CheckpointError(f"{path} does not exist.", f"Export a model to it: advss export NAME --to {path}")
        return cls.parse(read_bytes(path, MOST_BYTES), str(path), device)

    @classmethod
    def parse(cls, content: bytes, path: str, device: str = "auto") -> OnnxModel:
        """Open the bytes of an ONNX file; `path` is used in errors."""
        session = _session(content, path, device)
        try:
            size, outputs = _image_size(session, path), _outputs(session, path)
            props = session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path} cannot be trusted. Its metadata is not valid UTF-8.") from error
        metadata = _metadata(props, path) if MARK in props else None
        if metadata and outputs not in (None, len(metadata.classes)):
            raise CheckpointError(f"{path} declares {len(metadata.classes)} classes, but has {outputs} outputs.")
        if metadata and size not in (None, metadata.image_size):
            raise CheckpointError(f"{path} declares images of {metadata.image_size} pixels, but takes {size}.")
        return cls(
            name=metadata.name if metadata else Path(path).name,
            sha256=hashlib.sha256(content).hexdigest(),
            metadata=metadata,
            image_size=metadata.image_size if metadata else size,
            device="cuda" if session.get_providers()[0] == CUDA[0] else "cpu",
            session=session,
        )

    def __deepcopy__(self, memo: object) -> OnnxModel:
        """Nothing in it changes, and onnxruntime copies no session."""
        return self

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute logits (N,K) of images (N,3,H,W) in [0,1].

        Raises:
            AdvssError: it fails on such images, or returns something else.
        """
        try:
            (found,) = self.session.run(None, {self.session.get_inputs()[0].name: images})
        except Exception as error:  # onnxruntime's errors have no common base
            raise AdvssError(f"{self.name} fails on images of shape {images.shape}: {_reason(error)}.") from error
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
            session = start(CUDA, CPU)
        except Exception:  # what is wrong with the file itself shows below
            session = None
        if session and session.get_providers()[0] == CUDA[0]:
            return session
    if device.startswith("cuda"):
        raise UsageError("onnxruntime cannot use a GPU.", "Leave out --device.")
    try:
        return start(CPU)
    except Exception as error:
        raise CheckpointError(
            f"onnxruntime cannot run {path}: {_reason(error)}.",
            "Export the weights inside the file: torch.onnx.export(..., external_data=False)."
            if "External data" in str(error)
            else None,
        ) from error


def _has_driver() -> bool:
    """Is there a GPU's driver at all? Without one CUDA's libraries are not worth a look."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _image_size(session: Any, path: str) -> int | None:
    """Pixels a side of the images it takes; None where any will do.

    Raises:
        CheckpointError: it does not take images, any number at once.
    """
    found = session.get_inputs()
    shape = found[0].shape if len(found) == 1 else []
    if len(shape) == 4 and found[0].type == FLOATS:
        count, channels, height, width = (side if isinstance(side, int) else None for side in shape)
        fits = count is None and channels in (None, 3) and height == width
        if fits and (height is None or 0 < height <= MOST_PIXELS):
            return height
    raise CheckpointError(
        f"{path} takes {_described(found)}, expected one float input of shape (batch, 3, N, N).",
        "Make the batch dimension dynamic.",
    )


def _outputs(session: Any, path: str) -> int | None:
    """How many classes it tells apart; None where the file does not say.

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
    """Without onnxruntime's name and number for it."""
    return _plain(re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))).rstrip(".")


def _plain(text: str) -> str:
    """What a file says, on a line, short enough to read, and without what steers a terminal."""
    line = "".join(character if character.isprintable() else " " for character in " ".join(text.split()))
    return line if len(line) <= 300 else line[:300] + "..."
