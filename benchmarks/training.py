"""A step of adversarial training by advss-zoo and by the loop that everyone writes first, taking turns.

    python benchmarks/training.py p1f4.mini            # a recipe: its network, batch, precision and attack
    python benchmarks/training.py p1f4.r50 --batch 32

The plain loop is eager float32 in PyTorch's default memory order, with the attack on the training module as it is:
training mode, gradients of the weights computed and thrown away. Prints images per second of an attack step (one
gradient of the images), of an update of the weights, and of both together, with as many attack steps to an update as
the recipe takes in the mean; and the ratios. The first attack step after an update is timed apart from a further one,
for it is there that a copy of the new weights is made for the attack to follow.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from advss_zoo.attacks.ascent import input_gradient
from advss_zoo.errors import AdvssError
from advss_zoo.models import fused
from advss_zoo.models.modes import frozen
from advss_zoo.objectives.base import Batch
from advss_zoo.training import recipe
from advss_zoo.training.cost import attack_passes
from advss_zoo.training.recipe import Recipe

Step = Callable[[], object]


def ours(made_by: Recipe, batch: Batch, device: str) -> tuple[Step, Step]:
    """The two steps as the trainer takes them."""
    objective = made_by.objective
    model = objective.build(made_by.architecture).to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    batch = Batch(batch.inputs.contiguous(memory_format=torch.channels_last), batch.targets, batch.index)
    dtype = torch.bfloat16 if made_by.precision == "bf16" else torch.float32
    precision = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=made_by.precision == "bf16")

    fusible = fused.suits(model, dtype)
    network: nn.Module = model

    def attack() -> None:
        with frozen(model), precision:
            input_gradient(objective.attack_loss(network, batch), batch.inputs)

    def update() -> None:
        nonlocal network
        optimizer.zero_grad()
        with precision:
            loss = objective.training_loss(model, batch.inputs, batch, made_by.clean_weight)
        loss.backward()
        optimizer.step()
        network = fused.FusedNetwork(model, dtype) if fusible else model

    return attack, update


def plain(made_by: Recipe, batch: Batch, device: str) -> tuple[Step, Step]:
    """The two steps as they are written first."""
    model = made_by.objective.build(made_by.architecture).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    images, labels = batch.inputs.contiguous(), batch.targets

    def attack() -> None:
        x = images.clone().requires_grad_()
        cross_entropy(model(x), labels).backward()

    def update() -> None:
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()

    return attack, update


def seconds(step: Step, device: str) -> float:
    started = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()

    try:
        made_by = recipe.load(options.recipe)
    except AdvssError as error:
        parser.error(str(error))
    if made_by.objective.name != "classification":
        parser.error(f"{options.recipe} does not train by cross-entropy alone, which is all that the plain loop knows.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    count, size = options.batch or made_by.batch_size, made_by.architecture.image_size
    index = torch.arange(count, device=device)
    images = torch.rand(count, 3, size, size, device=device)
    batch = made_by.objective.transform(images, index % made_by.architecture.num_classes, index, seed=0)
    sides = {"plain": plain(made_by, batch, device), "ours": ours(made_by, batch, device)}

    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(2 + options.rounds):
        for side, steps in sides.items():
            attack, update = steps
            for kind, step in ("first", attack), ("further", attack), ("update", update):
                taken = seconds(step, device)
                if turn >= 2:  # the first turns warm up
                    times.setdefault((kind, side), []).append(taken)
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"{made_by.full_name}, {count} images a step, torch {torch.__version__}, {where}")
    medians = {key: statistics.median(taken) for key, taken in times.items()}
    passes = attack_passes(made_by)
    for kind, counts in (
        ("the first attack step", {"first": 1}),
        ("a further attack step", {"further": 1}),
        ("an update", {"update": 1}),
        (f"{passes:.3g} attack steps and an update", {"first": 1, "further": passes - 1, "update": 1}),
    ):
        before, after = (
            sum(count * medians[part, side] for part, count in counts.items()) for side in ("plain", "ours")
        )
        rates = f"plain {count / before:,.0f} images/s, ours {count / after:,.0f} images/s"
        print(f"{kind}: {rates}, ratio {before / after:.2f}")


if __name__ == "__main__":
    main()
