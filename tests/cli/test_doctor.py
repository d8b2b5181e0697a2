"""`advss doctor`: what it finds, and what it says to do."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from advss_zoo.cli.doctor import required
from advss_zoo.cli.errors import TORCHVISION_MISMATCH
from advss_zoo.resources import CHECKOUT

Advss = Callable[..., Any]


def _checks(outcome: Any) -> dict[str, Any]:
    return {check["name"]: check for check in outcome.json["checks"]}


def test_every_dependency_is_looked_at() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in project["dependencies"]}
    assert names == {*required(), "torch", "torchvision"}


def test_a_healthy_machine(advss: Advss, tmp_path: Path) -> None:
    outcome = advss("doctor", "--json")
    assert outcome.status == 0
    assert outcome.json["ok"] is True
    checks = _checks(outcome)
    assert {"python", "torch", "torchvision", "cpu", "safetensors", "cache", "cifar10", "cifar100", "npm"} <= set(
        checks
    )
    assert str(tmp_path / "cache") in checks["cache"]["found"]
    assert "bfloat16" in checks["cpu"]["found"]
    assert checks["cifar10"]["found"] == "not downloaded"
    assert "advss data get cifar10" in checks["cifar10"]["fix"]
    assert list(tmp_path.iterdir()) == []  # looking changes nothing


@pytest.mark.parametrize("option", [("--eps", "8/255"), ("--limit", "32"), ("--device", "cpu")])
def test_options_for_a_model_without_a_model(advss: Advss, option: tuple[str, str]) -> None:
    outcome = advss("doctor", *option)
    assert outcome.status == 2
    assert f"{option[0]} is for a model, and none is given." in outcome.stderr


def test_a_torchvision_that_does_not_fit_torch(advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> ModuleType:
        if name == "torchvision":
            raise RuntimeError(TORCHVISION_MISMATCH)
        return genuine(name)

    genuine = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", import_module)
    outcome = advss("doctor", "--json")
    assert outcome.status == 1
    check = _checks(outcome)["torchvision"]
    assert not check["ok"]
    assert "pip install" in check["fix"]
    assert "from one index" in check["fix"]


def test_a_missing_package(advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return genuine(name)

    genuine = metadata.version
    monkeypatch.setattr(metadata, "version", version)
    status, stdout, _ = advss("doctor")
    assert status == 1
    assert "scipy\tBROKEN\tnot installed. Run `pip install scipy`." in stdout.splitlines()


def test_a_cache_that_cannot_be_written(advss: Advss, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("ADVSS_CACHE", str(blocked / "cache"))
    outcome = advss("doctor", "--json")
    assert outcome.status == 1
    assert "ADVSS_CACHE" in _checks(outcome)["cache"]["fix"]


def test_a_file_of_the_hubs_cache_counts_once(advss: Advss, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There a snapshot is a folder of links to the files."""
    cache = tmp_path / "hub's"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / "0").write_bytes(bytes(1_000_000))
    (cache / "config.json").symlink_to(Path("blobs") / "0")
    monkeypatch.setenv("ADVSS_CACHE", str(cache))
    assert f"{cache}: 1 MB used" in _checks(advss("doctor", "--json"))["cache"]["found"]
