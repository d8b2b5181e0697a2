"""Images like those of CIFAR-10 from a diffusion model (Wang et al. 2023).

Subsets of them (`data.balanced`) stand in for those of 80 Million Tiny Images that Chen et al. 2020 pretrain on (their
Table 7).
"""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from advss_zoo.data.cache import Pixels, cache_file, write
from advss_zoo.data.catalogue import GeneratedDataset
from advss_zoo.errors import AdvssError, DataError
from advss_zoo.files import check_not_pointer, explained
from advss_zoo.network import open_client
from advss_zoo.progress import Progress, Reporter

IMAGE = (32, 32, 3)  # as the file of the authors has them: rows, columns, channels
PIECE = 8_192  # images in memory at once


def fetch(dataset: GeneratedDataset, source: Path | None, reporter: Reporter) -> None:
    """Write the whole data set from the file `source` (or one in that folder), else from the Hugging Face Hub.

    What was downloaded is kept until it is converted; a download that was stopped starts again.

    Raises:
        DataError: the file cannot be had, is damaged, or holds something else.
    """
    if source is not None:
        _convert(dataset, _given(dataset, source), reporter)
        return
    folder = cache_file(dataset).with_suffix(".download")
    file = _download(dataset, folder, reporter)
    try:
        _convert(dataset, file, reporter)
    except DataError:
        shutil.rmtree(folder)  # the Hub's client would take the same bytes for the right ones again
        raise
    shutil.rmtree(folder)


def _given(dataset: GeneratedDataset, source: Path) -> Path:
    file = source / Path(dataset.file).name if source.is_dir() else source
    if not file.is_file():
        raise DataError(f"File {file} does not exist.", f"Give --from a copy of {_url(dataset)}")
    return file


def _download(dataset: GeneratedDataset, folder: Path, reporter: Reporter) -> Path:
    reporter.say(f"{dataset.title}: downloading {_url(dataset)}")
    open_client()
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(dataset.repository, dataset.file, repo_type="dataset", local_dir=folder))
    except Exception as error:  # what the Hub's client raises has no common base
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(
            f"Cannot download {_url(dataset)}: {reason}.",
            "Run the same command again, or give it a copy of that file with --from.",
        ) from error


def _url(dataset: GeneratedDataset) -> str:
    return f"https://huggingface.co/datasets/{dataset.repository}/resolve/main/{dataset.file}"


def _convert(dataset: GeneratedDataset, path: Path, reporter: Reporter) -> None:
    labels = _labels(path, dataset)
    write(dataset, {"train_images": _images(path, dataset, reporter.progress), "train_labels": [labels]})


def _labels(path: Path, dataset: GeneratedDataset) -> NDArray[np.uint8]:
    with _reading(path) as archive, archive.open("label.npy") as file:
        labels = npy.read_array(file, allow_pickle=False)
        if labels.shape != (dataset.count,) or not np.isin(labels, range(len(dataset.classes))).all():
            raise ValueError(f"its labels are not {dataset.count:,} integers from 0 to {len(dataset.classes) - 1}")
    return labels.astype(np.uint8)


def _images(path: Path, dataset: GeneratedDataset, progress: Progress) -> Iterator[Pixels]:
    """Pieces (n, 3, 32, 32) of all images, in the order of the file."""
    with _reading(path) as archive, archive.open("image.npy") as file:
        npy.read_magic(file)
        found = npy.read_array_header_1_0(file)
        if found != ((dataset.count, *IMAGE), False, np.dtype(np.uint8)):
            raise ValueError(f"its images are {found[2]} {found[0]}, expected uint8 {(dataset.count, *IMAGE)}")
        for begin in range(0, dataset.count, PIECE):
            end = min(begin + PIECE, dataset.count)
            piece = np.frombuffer(file.read((end - begin) * math.prod(IMAGE)), np.uint8)
            yield piece.reshape(end - begin, *IMAGE).transpose(0, 3, 1, 2)
            progress(f"{dataset.title}: converting", "images", end, dataset.count, "")


@contextmanager
def _reading(path: Path) -> Iterator[zipfile.ZipFile]:
    """An .npz file, whose members are checked by their CRC-32 as they are read."""
    check_not_pointer(path)
    try:
        with explained("read", path), zipfile.ZipFile(path) as archive:
            yield archive
    except AdvssError:
        raise
    except Exception as error:  # what damaged bytes make zipfile, zlib and numpy raise has no common base
        raise DataError(f"{path} cannot be used: {error}.") from error
