"""What speaks for choices in the arithmetic of evaluations, measured on a checkpoint. Each section prints a table.

    python benchmarks/choices.py p1f4.mini                               # all, on one thread
    python benchmarks/choices.py p1f4.mini --only memory,batches --threads 2
    python benchmarks/choices.py p1f4.mini --only precision,squares --device cuda

memory
    Milliseconds an image in batches of 64, where freed memory goes back to the system and where it is kept
    (`advss_zoo/process.py`).
batches
    Batch sizes in which gradients are not those of a batch of 64 to the last bit (`evaluation/passes.py`).
heads
    The mean error in bfloat16 of margins (the logit of the label less the largest other), and of what a square of 3x3
    pixels changes in them, with every layer in bfloat16 and with linear maps in float32 (`attacks/search.py`).
precision
    How many images each attack of AutoAttack breaks when it searches in float32 and in bfloat16, and the CPU seconds
    of both; what it claims is judged in float32 (`attacks/autoattack_driver.py`).
distances
    The mean size, in 1/255, of the smallest perturbations that FAB finds on its way to one class in float32 and in
    bfloat16, and of how many images these are still misclassified in float32 (`attacks/autoattack_driver.py`).
squares
    CPU seconds of Square on the images that withstand APGD-T, where the network computes everything and where it
    computes what a square changes (`models/local.py`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advss_zoo import load_model
from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.attacks.ascent import input_gradient
from advss_zoo.attacks.search import Precision, Search
from advss_zoo.data.load import load_data
from advss_zoo.models.model import unwrapped
from advss_zoo.models.modes import frozen
from advss_zoo.process import keep_freed_memory

EPS, ROUNDS, BATCH = 8 / 255, 30, 64
SIZES = (*range(1, 73), 100, 128, 200, 256, 333, 512)  # of batches
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
SQUARES = range(4, 28, 8)  # where the 3x3 pixels begin, in both directions


def right_images(model: nn.Module, count: int) -> tuple[Tensor, Tensor]:
    """The first images (count,3,32,32) of CIFAR-10's test set that the model classifies correctly, and their labels."""
    images = load_data("cifar10-1k", "test")
    device = next(model.parameters()).device
    x, y = (tensor.to(device) for tensor in images)
    with torch.no_grad():
        right = torch.cat([model(part).argmax(dim=1) for part in x.split(BATCH)]) == y
    return x[right][:count], y[right][:count]


def slopes(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return input_gradient(lambda x: F.cross_entropy(model(x), y, reduction="sum"), x)


def print_row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def print_header(*cells: str) -> None:
    print()
    print_row(*cells)
    print(f"|{'---|' * len(cells)}")


def memory(name: str, device: str, threads: int, images: int) -> None:
    print_header("freed memory is", "forward, ms", "forward and backward, ms")
    for keep in (False, True):  # there is no way back in a process
        with multiprocessing.get_context("spawn").Pool(1) as process:
            times = process.apply(milliseconds_an_image, (name, threads, keep))
        print_row("kept" if keep else "given back", *(f"{found:.2f}" for found in times))


def milliseconds_an_image(name: str, threads: int, keep: bool) -> list[float]:
    if keep:
        keep_freed_memory()
    torch.set_num_threads(threads)
    model = unwrapped(load_model(name))
    x, y = right_images(model, BATCH)
    with frozen(model), torch.no_grad():
        return [median_time(step) * 1000 / len(x) for step in (lambda: model(x), lambda: slopes(model, x, y))]


def median_time(step: Callable[[], object]) -> float:
    """Seconds."""
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        step()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def batches(name: str, device: str, threads: int, images: int) -> None:
    model = unwrapped(load_model(name, device))
    x, y = right_images(model, max(SIZES))
    with frozen(model):
        expected = torch.cat([slopes(model, *part) for part in zip(x.split(BATCH), y.split(BATCH), strict=True)])
        others = [n for n in SIZES if not torch.equal(slopes(model, x[:n], y[:n]), expected[:n])]
    print_header("threads", "batches with other bits")
    print_row(threads, ", ".join(map(str, others)) or "none")


def heads(name: str, device: str, threads: int, images: int) -> None:
    model = unwrapped(load_model(name, device))
    x, y = right_images(model, images)

    def in_bfloat16(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            found: Tensor = model(x).float()
        return found

    exact = margins(model, x, y)
    print_header("bfloat16", "error of a margin", "error of its change under a square")
    for label, network in (("every layer", in_bfloat16), ("all but linear maps", Search(model, "bf16"))):
        found = margins(network, x, y)
        changes = (found[1:] - found[0]) - (exact[1:] - exact[0])
        print_row(label, f"{(found[0] - exact[0]).abs().mean():.4f}", f"{changes.abs().mean():.4f}")


@torch.no_grad()
def margins(network: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """(1+squares,B), of x (B,C,H,W) and of x under each square."""
    variants = [x]
    for place in SQUARES:
        variants.append(x.clone())
        variants[-1][:, :, place : place + 3, place : place + 3] += EPS
    logits = torch.stack([network(variant.clamp(0, 1)) for variant in variants])
    label = F.one_hot(y, logits.shape[-1]).bool().expand_as(logits)
    return logits[label].view(logits.shape[:2]) - logits.masked_fill(label, -torch.inf).amax(dim=-1)


def precision(name: str, device: str, threads: int, images: int) -> None:
    model = unwrapped(load_model(name, device))
    x, y = right_images(model, images)
    print_header(f"of {len(x)} images", "broken, float32", "broken, bfloat16", "CPU s, float32", "CPU s, bfloat16")
    with frozen(model):
        for attack in driver.STANDARD:
            hits, seconds = zip(*(timed(attack, model, x, y, search) for search in PRECISIONS), strict=True)
            print_row(attack, *hits, *seconds)


def timed(
    attack: str, model: nn.Module, x: Tensor, y: Tensor, search: Precision = "fp32", whole: bool = False
) -> tuple[int, int]:
    """How many images it breaks, and CPU seconds; `whole`: each query goes through the whole network."""
    started = time.process_time()
    found = broken(attack, model, x, y, search, whole)
    return int(found.sum()), round(time.process_time() - started)


def distances(name: str, device: str, threads: int, images: int) -> None:
    from pyautoattack.fab_pt import FABAttack_PT

    model = unwrapped(load_model(name, device))
    x, y = right_images(model, images)
    print_header(f"FAB on {len(x)} images", "mean size, 1/255", "misclassified in float32")
    with frozen(model), torch.no_grad():
        for search in PRECISIONS:
            # In a ball of everything the first target is enough, and what it returns is the nearest that it found.
            attack = FABAttack_PT(
                Search(model, search), norm="Linf", eps=1.0, n_iter=100, n_restarts=1, targeted=True, device=x.device
            )
            found = attack.perturb(x, y)
            wrong = model(found).argmax(dim=1) != y
            sizes = (found - x).abs().amax(dim=(1, 2, 3))[wrong]
            print_row(search, f"{255 * sizes.mean():.3f}", int(wrong.sum()))


def broken(attack: str, model: nn.Module, x: Tensor, y: Tensor, search: Precision, whole: bool) -> Tensor:
    """Which images an attack breaks, bool (B,)."""
    constants = driver.constants(attack, "linf", 10, iterations=100, queries=5000)
    found = driver.run(
        attack,
        model,
        x,
        y,
        torch.arange(len(x), device=x.device),
        norm="linf",
        eps=EPS,
        seed=0,
        constants=constants,
        precision=search,
        bare=None if whole else model,
    )
    with torch.no_grad():
        return model(found).argmax(dim=1) != y


def squares(name: str, device: str, threads: int, images: int) -> None:
    model = unwrapped(load_model(name, device))
    x, y = right_images(model, images)
    with frozen(model):  # of the images that withstand APGD, as in AutoAttack
        x, y = (part[~broken("apgd-t", model, x, y, "fp32", whole=False)] for part in (x, y))
        print_header(f"of {len(x)} images", "broken", "CPU s")
        print_row("every query whole", *timed("square", model, x, y, whole=True))
        print_row("what squares change", *timed("square", model, x, y))


SECTIONS = {section.__name__: section for section in (memory, batches, heads, precision, distances, squares)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas; left out: all")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; memory is that of a CPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=32, help="that are right clean, for all but the first two")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := [name for name in chosen if name not in SECTIONS]:
        parser.error(f"--only: no section is called {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    torch.set_num_threads(options.threads)
    for section in chosen:
        if section != "memory":  # where memory is kept or not does not come into it, and is faster kept
            keep_freed_memory()
        print(f"\n{section}, {options.name}, {options.threads} threads, {options.device}, torch {torch.__version__}")
        SECTIONS[section](options.name, options.device, options.threads, options.images)


if __name__ == "__main__":
    main()
