"""The odd files that Pillow's own tests are made of: what it reads is read, and nothing else fails."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import PIL
import pytest
from PIL import Image

from advss_zoo.data.folder import decoding


@pytest.fixture
def odd_files(tmp_path: Path, pytestconfig: pytest.Config) -> list[Path]:
    """Of the installed version, from its source distribution, which is kept in pytest's cache."""
    folder = pytestconfig.cache.mkdir("pillow")  # type: ignore[union-attr]
    name = f"pillow-{PIL.__version__}.tar.gz"
    if not (folder / name).is_file():
        wanted = ["--no-deps", "--no-binary", "pillow", f"pillow=={PIL.__version__}"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *wanted, "--dest", str(folder)]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            pytest.skip(f"Pillow's source distribution cannot be had: {ended.stderr.strip().rpartition(chr(10))[2]}")
    with tarfile.open(folder / name) as file:
        file.extractall(tmp_path, filter="data")
    return sorted(path for path in tmp_path.glob("*/Tests/images/**/*") if path.is_file())


def reads(path: Path) -> bool:
    try:
        with Image.open(path, formats=decoding.FORMATS) as image:
            image.load()
    except Exception:
        return False
    return True


@pytest.mark.nightly
def test_what_pillow_reads_is_read(odd_files: list[Path]) -> None:
    with warnings.catch_warnings(action="ignore"):
        found = {path: decoding.read(path, 32) for path in odd_files}
        readable = [path for path in odd_files if reads(path)]
    assert len(readable) > 700
    assert {path.name: found[path] for path in readable if isinstance(found[path], str)} == {}
    more = {path.name for path in odd_files if not isinstance(found[path], str)} - {path.name for path in readable}
    assert {"unknown_compression_method.png", "png_decompression_dos.png"} <= more
