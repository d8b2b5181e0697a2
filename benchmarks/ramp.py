"""Does eps have to grow from 0 where ordinary weights are fine-tuned to be robust?

    advss data get cifar10
    python benchmarks/ramp.py --out runs/ramp                  # may be stopped at any time
    python benchmarks/ramp.py --out runs/try --standard-epochs 1 --images 200 --epochs 1 --seeds 20 --limit 20

Trains torchvision's ResNet-18 at 32 pixels for standard accuracy on CIFAR-10, and fine-tunes it by `advss finetune`
(F4) on the first training images in class folders, in three ways that differ in `adversary` alone and take the same
number of steps: eps from 0 over the first half, all of eps from the first step, and eps from a half with N-FGSM over
the first third (what `advss finetune` does from robust weights). Prints a table in Markdown: TA and RA (PGD-20) on the
first test images, seed by seed, and the differences from the first way. What is done is kept.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

import advss_zoo as az
from advss_zoo.data.load import load_data
from advss_zoo.training import recipe, trainer

EPS = "8/255"
ATTACK = f"name: pgd, eps: {EPS}, steps: 2, step_size: 5/255"
PGD = f"{{{ATTACK}}}"
WAYS = {
    "eps from 0 over the first half": f"[{{{ATTACK}, until: 0.5, eps_start: 0}}, {PGD}]",
    "all of eps from the first step": f"[{PGD}]",
    "eps from a half over the first third": f"[{{name: n-fgsm, eps: {EPS}, until: 0.3, eps_start: 4/255}}, {PGD}]",
}


def standard(out: Path, epochs: int) -> Path:
    """Train for standard accuracy; returns the checkpoint."""
    values = {
        "name": "standard", "tag": "resnet18", "scenario": "p1f3", "epochs": epochs, "precision": "fp32",
        "architecture": {"family": "torchvision", "model": "resnet18", "img_size": 32, "num_classes": 10},
        "objective": {"name": "classification"}, "adversary": [{"name": "none"}], "schedule": [{"peak": 0.1}],
        "validation": {"images": 1000, "attack": {"name": "pgd", "steps": 1}},
    }  # fmt: skip
    return trainer.train(recipe.from_values(values), out / "standard", resume=True)


def folders(out: Path, count: int) -> Path:
    """Write the first training images as PNGs in class folders."""
    images, place = load_data("cifar10", "train").first(count), out / f"cifar{count}"
    for number, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
        path = place / images.classes[label] / f"{number}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return place


def measured(
    start: Path, data: Path, out: Path, adversary: str, seed: int, epochs: int, limit: int
) -> tuple[float, float]:
    """Fine-tune, and return TA and RA in percent."""
    changes = [f"adversary={adversary}", f"seed={seed}", "precision=fp32", "schedule.0.peak=0.02"]
    run = az.finetune(
        data, start=start, eps=EPS, epochs=epochs, overrides=changes, out=out, resume=out.exists(), device="cpu"
    )
    result = az.evaluate(run.model, "cifar10", "pgd20", eps=EPS, limit=limit)
    return 100 * result.ta, 100 * result.ra


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--standard-epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", default="20,21,22")
    parser.add_argument("--limit", type=int, default=300)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    start, data = standard(asked.out, asked.standard_epochs), folders(asked.out, asked.images)
    before = az.evaluate(start, "cifar10", "pgd20", eps=EPS, limit=asked.limit)
    print(f"Start: TA {100 * before.ta:.1f}, RA {100 * before.ra:.1f}\n\n| adversary | TA | RA |\n|---|---|---|")
    found = {}
    for number, (way, adversary) in enumerate(WAYS.items()):
        found[way] = [
            measured(start, data, asked.out / f"{number}-{seed}", adversary, int(seed), asked.epochs, asked.limit)
            for seed in asked.seeds.split(",")
        ]
        ta, ra = (", ".join(f"{value:.1f}" for value in column) for column in zip(*found[way], strict=True))
        print(f"| {way} | {ta} | {ra} |", flush=True)
    ramp, *others = found
    for way in others:
        gains = [ours[1] - theirs[1] for ours, theirs in zip(found[ramp], found[way], strict=True)]
        shown = ", ".join(f"{gain:+.1f}" for gain in gains)
        print(f"\nRA of the first less that of '{way}', seed by seed: {shown}; mean {statistics.mean(gains):+.1f}.")


if __name__ == "__main__":
    main()
