"""What grows with the number of images and of results, beside the network.

    OMP_NUM_THREADS=1 python benchmarks/growth.py images --count 2000,8000   # 50000: a file of 7.5 GB
    OMP_NUM_THREADS=1 python benchmarks/growth.py report --count 300,1200

images
    Evaluates a convolution and a linear layer by --attack on made-up images in a mapped file, in a process for each
    count; labels are what the network says, so that all images are attacked.
    Prints CPU seconds an image, their share outside forward and backward passes, and the memory that the process has
    in the end, less what it had before, without pages of the mapped file.
report
    CPU seconds of a report on so many results of made-up models.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.files import read_json, write_json
from advss_zoo.process import keep_freed_memory
from advss_zoo.workflows.report import report

SIDE, CLASSES, PIECE, PROTOCOLS = 224, 10, 100, 30


class Network(nn.Module):
    """The first layer of a ResNet and a classifier on its means; notes the seconds of its passes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.head = nn.Conv2d(3, 64, 7, 2, 3), nn.Linear(64, CLASSES)
        self.seconds = 0.0

    def timed(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            found = compute(*args, **kwargs)
            self.seconds += time.process_time() - began
            return found

        return run

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.timed(lambda x: self.head(self.convolution(x).mean(dim=(2, 3))))(x)
        return found


def made_up(folder: Path, count: int, network: nn.Module) -> ImageSet:
    path = folder / "images"
    piece = np.random.default_rng(0).integers(0, 256, (PIECE, 3, SIDE, SIDE), dtype=np.uint8)
    with path.open("wb") as file:
        for first in range(0, count, PIECE):
            file.write(piece[: count - first].tobytes())
    with torch.no_grad():
        labels = network(torch.from_numpy(piece).float() / 255).argmax(dim=1).numpy()
    images = np.memmap(path, np.uint8, "r", shape=(count, 3, SIDE, SIDE))
    names = tuple(map(str, range(CLASSES)))
    return ImageSet("made-up", "test", images, np.resize(labels, count), np.arange(count), names)


def own_memory() -> int:
    """Bytes in memory that are of no file."""
    found = psutil.Process().memory_info()
    return int(found.rss - found.shared)


def images(folder: Path, count: int, attack: str = "pgd3") -> None:
    keep_freed_memory()  # as the command does
    found, network = made_up(folder, count, Network()), Network()
    evaluate(Network(), found.first(16), "pgd1")  # what is imported and chosen once
    before, began = own_memory(), time.process_time()
    with patch.object(torch.autograd, "grad", network.timed(torch.autograd.grad)):
        evaluate(network, found, attack, out=folder / "out")
    seconds = time.process_time() - began
    memory = (own_memory() - before) / 1e6
    outside = 1 - network.seconds / seconds
    print(f"| {count:,} | {1000 * seconds / count:.2f} ms | {outside:.1%} | {memory:.0f} MB |", flush=True)


def reported(folder: Path, count: int) -> None:
    """Results of one model, copied under the names of others."""
    data = torch.rand(16, 3, 8, 8), torch.randint(0, CLASSES, (16,))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES))
    for number in range(PROTOCOLS):
        out = folder / "results" / f"0-{number}"
        evaluate(network, data, parse("pgd1", eps=(number + 1) / 255), out=out)
        for model in range(1, -(-count // PROTOCOLS)):
            copy = shutil.copytree(out, folder / "results" / f"{model}-{number}")
            found = read_json(copy / "result.json")
            found["model"] |= {"name": f"model {model}", "weights_sha256": f"{model:064d}"}
            write_json(copy / "result.json", found)
    began = time.process_time()
    page = report([folder / "results"], folder / "report.html").path
    seconds, found = time.process_time() - began, len(list(folder.rglob("result.json")))
    print(f"| {found:,} | {seconds:.1f} s | {page.stat().st_size / 1e6:.1f} MB |", flush=True)


SECTIONS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "images": (images, ("images", "CPU time an image", "outside the network", "memory")),
    "report": (reported, ("results", "CPU seconds", "page")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=SECTIONS)
    parser.add_argument("--count", default="300,1200", help="numbers, with commas")
    parser.add_argument("--attack", default="pgd3", help="on images")
    options = parser.parse_args()
    measure, heads = SECTIONS[options.what]
    more = (options.attack,) if options.what == "images" else ()
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for count in map(int, options.count.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(Path(folder), count, *more))
            process.start()  # in one of its own, whose memory was that of nothing else
            process.join()


if __name__ == "__main__":
    main()
