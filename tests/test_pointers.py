"""A Git LFS pointer where a file should be is said wherever files are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from advss_zoo.data.folder import decoding
from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import read_json
from advss_zoo.zoo import checkpoint, imports, names

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a" * 16 + "\nsize 44796930\n"
READERS: dict[str, Callable[[Path], object]] = {
    "model.safetensors": checkpoint.read_weights,
    "model.onnx": OnnxModel.read,
    "weights.pt": lambda path: imports.import_file(path, path.parent / "out", names.parse("mine")),
    "config.json": read_json,
    "verdicts.npz": Verdicts.read,
}


@pytest.mark.parametrize("name", READERS)
def test_a_pointer_is_not_taken_for_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(AdvssError, match=rf"{name} is a Git LFS pointer, not the file\. Run `git lfs pull`"):
        READERS[name](tmp_path / name)


def test_nor_in_a_checkpoint_whose_sha256_is_known(tmp_path: Path) -> None:
    bundled = Path(checkpoint.__file__).parents[1] / "bundled" / "p1f4.mini"
    (tmp_path / "config.json").write_bytes((bundled / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_text(POINTER)
    with pytest.raises(AdvssError, match=r"model\.safetensors is a Git LFS pointer"):
        checkpoint.load(tmp_path)


def test_an_image_that_is_one_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text(POINTER)
    assert decoding.read(tmp_path / "a.png", 8) == "a Git LFS pointer, not the file: run `git lfs pull`"
