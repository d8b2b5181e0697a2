from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from advss_zoo.data import edm
from advss_zoo.data.cache import cache_file
from advss_zoo.data.catalogue import EDM_1M
from advss_zoo.data.get import get
from advss_zoo.data.load import load_data
from advss_zoo.data.sources import Arrays
from advss_zoo.errors import DataError
from advss_zoo.progress import Reporter

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("tiny_edm")
class TestFromAFile:
    @pytest.mark.parametrize("named", ["1m.npz", "."])
    def test_the_file_or_its_folder(self, named: str, npz: Path, edm_arrays: Arrays, cache: Path) -> None:
        path = get("edm-1m", npz.parent / named)
        assert path == cache / "data" / "edm-1m.safetensors"
        images = load_data("edm-1m", "train")
        np.testing.assert_array_equal(images.images, edm_arrays["image"].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(images.labels, edm_arrays["label"])
        assert images.classes[:2] == ("airplane", "automobile")
        assert {file.name for file in path.parent.iterdir()} <= {path.name, f"{path.name}.sha256"}

    def test_compressed_and_in_pieces_it_is_the_same(
        self, npz: Path, edm_arrays: Arrays, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sha256 = load_sha256(npz)
        cache_file(EDM_1M).unlink()
        np.savez_compressed(npz, **edm_arrays)
        monkeypatch.setattr(edm, "PIECE", 64)
        counts: list[tuple[int, int]] = []

        def progress(label: str, unit: str, done: int, total: int, note: str) -> None:
            counts.append((done, total))

        get("edm-1m", npz, Reporter(progress=progress))
        assert load_data("edm-1m", "train").content_sha256 == sha256
        assert counts == [(64, 200), (128, 200), (192, 200), (200, 200)]

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"File .*/1m.npz does not exist\. Give --from a copy of https://hugging"):
            get("edm-1m", tmp_path)

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"image": np.zeros((100, 32, 32, 3), np.uint8)}, r"images are uint8 \(100, 32, 32, 3\), expected uint8"),
            ({"image": np.zeros((200, 32, 32, 3))}, r"images are float64"),
            ({"image": np.asfortranarray(np.zeros((200, 32, 32, 3), np.uint8))}, r"images are uint8"),
            ({"label": np.full(200, 10)}, r"labels are not 200 integers from 0 to 9"),
            ({"label": np.zeros(100, np.int64)}, r"labels are not 200 integers from 0 to 9"),
            ({"label": np.array([{}] * 200)}, r"allow_pickle=False"),
        ],
    )
    def test_another_file_is_refused(
        self, changed: dict[str, Any], complaint: str, edm_arrays: Arrays, tmp_path: Path, cache: Path
    ) -> None:
        np.savez(tmp_path / "other.npz", **{**edm_arrays, **changed})
        with pytest.raises(DataError, match=f"other.npz cannot be used: .*{complaint}"):
            get("edm-1m", tmp_path / "other.npz")
        assert not list((cache / "data").iterdir())

    @pytest.mark.parametrize("spoil", ["cut", "a pixel", "text", "no labels"])
    def test_a_damaged_file_is_refused(self, spoil: str, npz: Path, edm_arrays: Arrays, cache: Path) -> None:
        content = bytearray(npz.read_bytes())
        content[5_000] ^= 1
        if spoil == "no labels":
            np.savez(npz, image=edm_arrays["image"])
        else:
            npz.write_bytes({"cut": content[:-100], "a pixel": content, "text": b"<html>"}[spoil])
        with pytest.raises(DataError, match=r"1m.npz cannot be used: "):
            get("edm-1m", npz)
        assert not list((cache / "data").iterdir())


def load_sha256(npz: Path) -> str:
    get("edm-1m", npz)
    return load_data("edm-1m", "train").content_sha256


class Hub(BaseHTTPRequestHandler):
    """What the Hub answers for one file of one data set; `requests` is what it was asked."""

    content: ClassVar[bytes]
    requests: ClassVar[list[str]]
    PATH = "/datasets/P2333/DM-Improves-AT/resolve/main/cifar10/1m.npz"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        if self._answer():
            self.wfile.write(self.content)

    def _answer(self) -> bool:
        self.requests.append(f"{self.command} {self.path}")
        known = self.path == self.PATH
        self.send_response(200 if known else 404)
        self.send_header("X-Repo-Commit", "0" * 40)
        if not known:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("ETag", '"abc"')
        self.send_header("Content-Length", str(len(self.content) if known else 0))
        self.end_headers()
        return known

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(npz: Path) -> Iterator[str]:
    Hub.content, Hub.requests = npz.read_bytes(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class TestFromTheHub:
    """The Hub's own client, in a process of its own because it reads its environment when it is imported."""

    SMALL = (
        "import sys; from dataclasses import replace; from advss_zoo.cli import execute; from advss_zoo.data import "
        "catalogue; small = {'edm-1m': replace(catalogue.EDM_1M, count=200)}; "
        "catalogue.DATASETS = {**catalogue.DATASETS, **small}; "
        "sys.argv = ['advss', 'data', 'get', 'edm-1m']; sys.exit(execute())"
    )

    @pytest.fixture
    def get_from(self, cache: Path, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
        settings = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}

        def run(endpoint: str, **more: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", self.SMALL]
            return subprocess.run(
                command, capture_output=True, text=True, env={**environment, "HF_ENDPOINT": endpoint, **more}
            )

        return run

    @pytest.mark.usefixtures("tiny_edm")
    def test_is_downloaded_and_only_the_converted_file_is_kept(
        self, hub: str, get_from: Callable[..., subprocess.CompletedProcess[str]], edm_arrays: Arrays, cache: Path
    ) -> None:
        outcome = get_from(hub)
        path = cache / "data" / "edm-1m.safetensors"
        assert (outcome.returncode, outcome.stdout) == (0, f"{path}\n"), outcome.stderr
        assert f"downloading https://huggingface.co{Hub.PATH}" in outcome.stderr
        assert f"GET {Hub.PATH}" in Hub.requests
        np.testing.assert_array_equal(load_data("edm-1m", "train").labels, edm_arrays["label"])
        assert {file.name for file in path.parent.iterdir()} <= {path.name, f"{path.name}.sha256"}

    def test_damaged_bytes_are_not_kept(
        self, hub: str, get_from: Callable[..., subprocess.CompletedProcess[str]], cache: Path
    ) -> None:
        Hub.content = Hub.content[:5_000] + b"?" + Hub.content[5_001:]
        outcome = get_from(hub)
        assert outcome.returncode == 1
        assert "1m.npz cannot be used: Bad CRC-32" in outcome.stderr
        assert not list((cache / "data").iterdir())

    def test_without_a_network_it_says_what_else_to_do(
        self, get_from: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        outcome = get_from("http://127.0.0.1:9", HF_HUB_OFFLINE="1")
        assert (outcome.returncode, outcome.stdout) == (1, "")
        assert "Error: Cannot download https://huggingface.co/datasets/P2333/DM-Improves-AT/" in outcome.stderr
        assert "--from" in outcome.stderr.splitlines()[-1]
        assert "Traceback" not in outcome.stderr
