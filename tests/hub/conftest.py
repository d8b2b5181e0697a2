"""A Hub of the tests' own, and the client made to know no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub.constants
import pytest
import torch
from hub.server import Hub, Repository

from advss_zoo import resources
from advss_zoo.cli import execute
from advss_zoo.data.catalogue import CIFAR10
from advss_zoo.files import read_json
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.workflows.publish import sending
from advss_zoo.zoo import cards, checkpoint, index, sources
from advss_zoo.zoo.snapshot import Snapshot, digest

OWNER = "hf_owner"  # a token that may write
ROOT = Path(__file__).parents[2]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield server


@pytest.fixture(autouse=True)
def client(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of this process: what it reads from the environment when it is imported is set here afterwards."""
    for name, value in environment(hub, tmp_path).items():
        monkeypatch.setenv(name, value)
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    for switch in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setattr(constants, switch, True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def environment(hub: Hub, home: Path, token: str = OWNER) -> dict[str, str]:
    return {
        "ADVSS_CACHE": str(home / "cache"),
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of cards as the code renders them now."""
    place = tmp_path_factory.mktemp("rendered") / "cards"
    shutil.copytree(resources.folder("cards"), place)
    for values in place.glob("*.json"):
        values.with_suffix(".md").write_text(cards.render(read_json(values)))
    return place


@pytest.fixture
def checkout(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A source checkout whose index may be written to, and which the zoo's index is read from."""
    place = tmp_path / "checkout"
    shutil.copytree(rendered, place / "cards")
    monkeypatch.setattr(resources, "CHECKOUT", place)
    monkeypatch.setattr(sending, "ORGANISATION", "acme")
    index.entries.cache_clear()
    yield place
    index.entries.cache_clear()


@pytest.fixture
def elsewhere(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine to which no weights came with the package."""
    monkeypatch.setattr(sources, "SOURCES", {})


@pytest.fixture
def installed(checkout: Path, tmp_path: Path) -> Callable[[], Path]:
    """The package as it would be installed for somebody else now: with the index, without any weights."""

    def install() -> Path:
        place = tmp_path / "installed"
        ignored = shutil.ignore_patterns("bundled", "__pycache__")
        shutil.copytree(ROOT / "advss_zoo", place / "advss_zoo", ignore=ignored, dirs_exist_ok=True)
        shutil.copytree(checkout / "cards", place / "advss_zoo" / "cards", dirs_exist_ok=True)
        return place

    return install


@pytest.fixture
def start(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command in a process of its own, with the package that lies in `package`."""

    def start(*arguments: str, package: Path = ROOT, token: str = OWNER, **variables: str) -> subprocess.Popen[str]:
        variables = {**os.environ, **environment(hub, tmp_path, token), "PYTHONPATH": str(package), **variables}
        command = [sys.executable, "-m", "advss_zoo", *arguments]
        pipe: Any = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path, env=variables)

    return start


class Outcome(NamedTuple):
    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture
def advss(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Outcome]:
    """Run a command in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["advss", *arguments])
        return Outcome(execute(), *capsys.readouterr())

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A checkpoint folder with a classifier that nobody has trained."""
    torch.manual_seed(0)
    architecture = ResNetV2Architecture(depth=18, width=4)
    config = checkpoint.Config(
        name="tiny", tag="test", scenario="p1f3", architecture=architecture, classes=CIFAR10.classes
    )
    folder = tmp_path / "tiny"
    checkpoint.save(folder, ResNetV2(architecture).state_dict(), config)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, as the Hub has them."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def on_hub(hub: Hub, tiny: Path) -> Repository:
    """The tiny checkpoint as acme/tiny, without a card."""
    repository = hub.repositories["acme/tiny"] = Repository()
    repository.commit(contents(tiny))
    return repository


@pytest.fixture
def in_zoo(hub: Hub, elsewhere: None) -> Repository:
    """p1f4.mini on the Hub, its commit in the index, and its weights nowhere else."""
    return put(hub, "p1f4.mini")


def put(hub: Hub, full_name: str) -> Repository:
    """A bundled checkpoint on the Hub, and its commit in the index."""
    entry = index.find(full_name)
    files = contents(resources.PACKAGE / "bundled" / full_name)
    repository = hub.repositories[f"acme/{full_name}"] = Repository()
    commit = repository.commit(files)
    digests = {name: digest(content) for name, content in files.items()}
    index.record(entry, Snapshot(f"acme/{full_name}", commit, digests))
    return repository
