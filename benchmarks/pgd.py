"""PGD-20 by advss-zoo and by torchattacks, on one model and the same images, in one process.

    pip install --no-deps torchattacks && python benchmarks/pgd.py p1f4.mini --data cifar10-1k

Prints the robust accuracy of both, the images on which their verdicts differ (their random starts do), and the ratio
of their speeds: the two take turns, chunk by chunk, so that a machine that changes its pace does so for both.
"""

from __future__ import annotations

import argparse
import time

import torch
import torchattacks

from advss_zoo.data.load import load as load_data
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.zoo.load import load_model

CHUNK = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--data", default="cifar10-1k")
    options = parser.parse_args()

    torch.manual_seed(0)
    model, images = load_model(options.name), load_data(options.data, "test")
    protocol = protocols.parse("pgd20")
    peer = torchattacks.PGD(model, eps=8 / 255, alpha=2 / 255, steps=20, random_start=True)
    ours = theirs = 0
    seconds = {"ours": 0.0, "theirs": 0.0}
    for first in range(0, len(images), CHUNK):
        part = images.take(range(first, min(first + CHUNK, len(images))))
        started = time.perf_counter()
        result = evaluate(model, part, protocol)
        ours += round((result.ra or 0) * len(part))
        seconds["ours"] += time.perf_counter() - started

        started = time.perf_counter()
        x, y = torch.from_numpy(part.images).float() / 255, torch.from_numpy(part.labels)
        with torch.no_grad():
            clean = model(x).argmax(1) == y
        adversarial = peer(x, y)
        with torch.no_grad():
            theirs += int((clean & (model(adversarial).argmax(1) == y)).sum())
        seconds["theirs"] += time.perf_counter() - started

    n = len(images)
    print(
        f"{options.name} on {options.data} ({n:,} images), torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    print(f"RA advss-zoo   {100 * ours / n:.2f}   {n / seconds['ours']:.0f} images/s")
    print(f"RA torchattacks {100 * theirs / n:.2f}   {n / seconds['theirs']:.0f} images/s")
    print(f"difference {100 * (ours - theirs) / n:+.2f} points, speed ratio {seconds['theirs'] / seconds['ours']:.2f}")


if __name__ == "__main__":
    main()
