"""PGD-20 and AutoAttack by advss-zoo and by its peers, on one model and the same images.

    pip install --no-deps torchattacks
    pip install foolbox adversarial-robustness-toolbox        # if they are to take part in PGD-20
    python benchmarks/attacks.py p1f4.mini --attack pgd20 --images 256 --threads 2
    python benchmarks/attacks.py p1f4.mini --attack autoattack --images 128 --threads 2 --only pyautoattack,advss
    python benchmarks/attacks.py p1f4.mini --attack autoattack --images 200 --keep kept \
        --only "pyautoattack,pyautoattack seed 1,advss"       # hours; may be stopped at any time
    python benchmarks/attacks.py p1f4.mini --attack autoattack --images 128 --threads 2 --keep kept \
        --only "pyautoattack,pyautoattack seed 1,advss in processes,advss --search bf16 in processes,\
autoattack-sampled16 in processes,quick-malt in processes"    # 25 minutes on two free cores

Prints a table in Markdown. All sides take the same steps and restarts, and the verdicts of all come from the same
judge: an image is broken if it is misclassified clean, or if what the attack made of it lies in the ball and is
misclassified in float32. Every side is alone on the machine in a process of its own with so many threads, or in so many
processes with a thread each, and is timed from images in memory to verdicts. With several rounds the sides take turns
and medians are shown. `differ` counts the images whose verdict is not that of the first side, which are named below
the table; how many that are between two seeds of the same attack is in the table, too.

With `--keep FOLDER` the sides take turns after every pass of 64 images a thread, and what is finished stays in that
folder: the same command goes on where it was stopped, unless weights, code or settings are others by then. The
verdicts of advss are those of one evaluation of all images.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from advss_zoo import load_model
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import load_data
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.ball import Ball
from advss_zoo.evaluation.passes import MOST_IMAGES, Padded
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.files import read_json, slug, write_json
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.model import unwrapped
from advss_zoo.models.modes import frozen

EPS, STEP, STEPS = 8 / 255, 2 / 255, 20
BATCH = 256

# Model, images and a folder to adversarial images.
Attack = Callable[[nn.Module, ImageSet, Path], Tensor]


@dataclass(frozen=True)
class Side:
    attack: Attack
    needs: str = "advss_zoo"
    shared: bool = False  # by as many processes as there are threads


def ours(name: str, search: str) -> Attack:
    def attack(model: nn.Module, images: ImageSet, folder: Path) -> Tensor:
        evaluate(
            model, images, protocols.parse(name, search=search), out=folder, device=place(model), save_adversarial=True
        )
        return load_file(folder / "adversarial.safetensors")["x_adv"]

    return attack


def place(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def tensors(model: nn.Module, images: ImageSet) -> tuple[Tensor, Tensor]:
    """Where the model is."""
    x, y = images
    return x.to(place(model)), y.to(place(model))


def in_batches(make: Callable[[nn.Module], Callable[[Tensor, Tensor], Tensor]], seed: int = 0) -> Attack:
    def attack(model: nn.Module, images: ImageSet, folder: Path) -> Tensor:
        torch.manual_seed(seed)
        np.random.seed(seed)  # ART draws from it
        run, (x, y) = make(model), tensors(model, images)
        return torch.cat([run(*part) for part in zip(x.split(BATCH), y.split(BATCH), strict=True)])

    return attack


def torchattacks_pgd(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    import torchattacks

    return torchattacks.PGD(model, eps=EPS, alpha=STEP, steps=STEPS, random_start=True)


def foolbox_pgd(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    import foolbox

    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=True)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    return lambda x, y: attack(wrapped, x, y, epsilons=EPS)[1]


def art_pgd(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    def run(x: Tensor, y: Tensor) -> Tensor:
        classifier = PyTorchClassifier(
            model,
            nn.CrossEntropyLoss(),
            tuple(x.shape[1:]),
            10,
            clip_values=(0, 1),
            device_type="cpu" if place(model).type == "cpu" else "gpu",
        )
        attack = ProjectedGradientDescentPyTorch(
            classifier, np.inf, EPS, STEP, max_iter=STEPS, num_random_init=1, batch_size=BATCH, verbose=False
        )
        made = attack.generate(x.cpu().numpy(), nn.functional.one_hot(y, 10).cpu().numpy())
        return torch.from_numpy(made).to(x.device)

    return run


def authors_autoattack(seed: int) -> Attack:
    def attack(model: nn.Module, images: ImageSet, folder: Path) -> Tensor:
        from pyautoattack import AutoAttack

        x, y = tensors(model, images)
        standard = AutoAttack(model, norm="Linf", eps=EPS, version="standard", seed=seed, device=place(model))
        return standard.run_standard_evaluation(x, y, batch_size=BATCH)[0]

    return attack


def torchattacks_autoattack(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    import torchattacks

    return torchattacks.AutoAttack(model, norm="Linf", eps=EPS, version="standard", n_classes=10, seed=0)


def sides_of_advss(name: str) -> dict[str, Side]:
    return {
        "advss": Side(ours(name, "fp32")),
        "advss in processes": Side(ours(name, "fp32"), shared=True),
        "advss --search bf16": Side(ours(name, "bf16")),
        "advss --search bf16 in processes": Side(ours(name, "bf16"), shared=True),
    }


def quicker(name: str) -> dict[str, Side]:
    """A protocol that is less than AutoAttack."""
    return {name: Side(ours(name, "fp32")), f"{name} in processes": Side(ours(name, "fp32"), shared=True)}


SIDES: dict[str, dict[str, Side]] = {
    "pgd20": {
        "torchattacks": Side(in_batches(torchattacks_pgd), "torchattacks"),
        "torchattacks seed 1": Side(in_batches(torchattacks_pgd, seed=1), "torchattacks"),
        "foolbox": Side(in_batches(foolbox_pgd), "foolbox"),
        "art": Side(in_batches(art_pgd), "art"),
        **sides_of_advss("pgd20"),
    },
    "autoattack": {  # foolbox has none, that of ART is made of other attacks
        "pyautoattack": Side(authors_autoattack(0), "pyautoattack"),
        "pyautoattack seed 1": Side(authors_autoattack(1), "pyautoattack"),
        "torchattacks": Side(in_batches(torchattacks_autoattack), "torchattacks"),
        **sides_of_advss("autoattack"),
        **quicker("autoattack-sampled16"),
        **quicker("quick-malt"),
    },
}


@torch.no_grad()
def standing(model: nn.Module, images: ImageSet, adversarial: Tensor) -> Tensor:
    """Which images an attack has not broken, bool (N,) on the CPU."""
    x, y = tensors(model, images)
    model, adversarial = Padded(model), adversarial.to(x.device)
    verdicts = []
    with frozen(model):
        for part, labels, made in zip(
            *(tensor.split(MOST_IMAGES["cpu"]) for tensor in (x, y, adversarial)), strict=True
        ):
            wrong = Ball(eps=EPS).contains(made, part) & (model(made).argmax(dim=1) != labels)
            verdicts.append((model(part).argmax(dim=1) == labels) & ~wrong)
    return torch.cat(verdicts).cpu()


def child(options: argparse.Namespace) -> None:
    """One process of a side: it says when it is ready, is told to go, and says what came out."""
    side = SIDES[options.attack][options.child]
    model = unwrapped(load_model(options.name, options.device))
    images = load_data(options.data, "test").take(range(*options.part))
    model(tensors(model, images)[0][: MOST_IMAGES["cpu"]])  # the first forward pass takes longer
    importlib.import_module(side.needs)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.process_time()
    adversarial = side.attack(model, images, options.folder)
    verdicts = None if side.needs == "advss_zoo" else standing(model, images, adversarial)  # ours have them already
    print(json.dumps({"cpu": time.process_time() - started}), flush=True)
    verdicts = standing(model, images, adversarial) if verdicts is None else verdicts
    print(json.dumps(verdicts.tolist()), flush=True)


@dataclass(frozen=True)
class Run:
    wall: float  # seconds
    cpu: float  # seconds, summed over processes
    standing: list[bool]

    def __add__(self, more: Run) -> Run:
        return Run(self.wall + more.wall, self.cpu + more.cpu, self.standing + more.standing)


def run(name: str, shared: bool, threads: int, part: range) -> Run:
    processes, bounds = threads if shared else 1, (str(part.start), str(part.stop))
    environment = os.environ | {"OMP_NUM_THREADS": str(threads // processes), "WORLD_SIZE": str(processes)}
    with tempfile.TemporaryDirectory() as folder:
        children = [
            subprocess.Popen(
                [sys.executable, *sys.argv, *("--child", name), *("--folder", folder), "--part", *bounds],
                env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(processes)
        ]
        for process in children:
            said(process)
        started = time.perf_counter()
        for process in children:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        cpu = sum(json.loads(said(process))["cpu"] for process in children)
        wall = time.perf_counter() - started
        verdicts = [json.loads(said(process)) for process in children]
        for process in children:
            process.wait()
    return Run(wall, cpu, verdicts[0])


def said(process: subprocess.Popen[str]) -> str:
    """The next line of a child, peers' chatter left out."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(("ready", "{", "[")):
            return line
    raise SystemExit("A side failed.")


def circumstances(name: str, **settings: Any) -> dict[str, Any]:
    """All that a measurement of the checkpoint depends on, beside the machine and the side."""
    return {"weights_sha256": weights_sha256(unwrapped(load_model(name))), "torch": str(torch.__version__), **settings}


def code(package: str) -> str:
    """sha256 of a package's modules; of a checkout a version says little."""
    (folder,) = importlib.import_module(package).__path__
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(folder).rglob("*.py")))).hexdigest()


def kept(path: Path, under: dict[str, Any], measure: Callable[[], Run]) -> Run:
    """What was measured before under the same circumstances and is in the file, or what is measured now.

    Raises:
        SystemExit: the file holds a measurement of something else.
    """
    if not path.exists():
        write_json(path, {"under": under, "run": asdict(measure())})
    found = read_json(path)
    if found.get("under") != under:
        raise SystemExit(f"{path} was measured under other circumstances. Delete it, or give --keep another folder.")
    return Run(**found["run"])


def differences(runs: dict[str, list[Run]]) -> str:
    """A line for each side: whose verdict is another than that of the first."""
    (first, (expected, *_)), *others = runs.items()
    lines = []
    for name, (one, *_) in others:
        pairs = zip(one.standing, expected.standing, strict=True)
        places = [str(place) for place, (mine, theirs) in enumerate(pairs) if mine != theirs]
        lines.append(f"{name} differs from {first} at images: {', '.join(places) or 'none'}")
    return "\n".join(lines)


def parts(images: int, size: int) -> Sequence[range]:
    return [range(first, min(first + size, images)) for first in range(0, images, size)]


def table(runs: dict[str, list[Run]], images: int) -> str:
    wall = {name: statistics.median(one.wall for one in of) for name, of in runs.items()}
    cpu = {name: statistics.median(one.cpu for one in of) for name, of in runs.items()}
    first = next(iter(runs))
    lines = ["| | RA | differ | images/s | ratio | CPU s an image | ratio |", "|---|---|---|---|---|---|---|"]
    for name, (one, *_) in runs.items():
        differ = sum(mine != theirs for mine, theirs in zip(one.standing, runs[first][0].standing, strict=True))
        cells = (
            f"{100 * sum(one.standing) / images:.2f}",
            f"{differ}",
            f"{images / wall[name]:.3g}",
            f"{wall[first] / wall[name]:.2f}",
            f"{cpu[name] / images:.3g}",
            f"{cpu[first] / cpu[name]:.2f}",
        )
        lines.append(f"| {' | '.join((name, *cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--attack", choices=SIDES, default="pgd20")
    parser.add_argument("--data", default="cifar10-1k")
    parser.add_argument("--images", type=int, default=64, help="the first so many test images")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", help="sides, with commas; left out: all whose package is installed")
    parser.add_argument("--keep", type=Path, help="a folder for what is finished")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--part", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return

    sides = SIDES[options.attack]
    only = list(sides) if options.only is None else options.only.split(",")
    if unknown := [name for name in only if name not in sides]:
        parser.error(f"--only: no side is called {', '.join(unknown)}; there are {', '.join(sides)}")
    chosen = {
        name: side
        for name, side in sides.items()
        if name in only and (options.threads > 1 or not side.shared) and importlib.util.find_spec(side.needs)
    }
    settings = {key: getattr(options, key) for key in ("attack", "data", "threads", "device")}
    constants = {"eps": EPS, "step": STEP, "steps": STEPS, "batch": BATCH}
    common = circumstances(options.name, **settings, **constants) if options.keep else {}
    under = {name: common | {"code": code(side.needs)} for name, side in chosen.items()}
    runs: dict[str, list[Run]] = {name: [] for name in chosen}
    of = f"{options.attack} {options.name} {options.data} {options.device} {options.threads} threads"
    for number in range(options.rounds):
        for part in parts(options.images, MOST_IMAGES["cpu"] * options.threads if options.keep else options.images):
            for name, side in chosen.items():
                measure = partial(run, name, side.shared, options.threads, part)
                file = f"{slug(f'{of} {number} {part.start}-{part.stop} {name}')}.json"
                one = kept(options.keep / file, under[name], measure) if options.keep else measure()
                told = f"{name}: {sum(one.standing)} of {len(part)} standing after {one.wall:.1f} s"
                print(told, file=sys.stderr, flush=True)
                runs[name][number:] = [runs[name][number] + one] if part.start else [one]
    print(
        f"{options.attack}, {options.name}, the first {options.images} images of {options.data}, "
        f"{options.threads} threads or processes, {options.device}, torch {torch.__version__}\n"
    )
    print(table(runs, options.images))
    print(f"\n{differences(runs)}")


if __name__ == "__main__":
    main()
