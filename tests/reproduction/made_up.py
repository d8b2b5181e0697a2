"""Runs and results that nobody trained or measured, as `advss train` and `advss eval` would leave them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import write_json
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.reproduction.ours import members
from advss_zoo.training.recipe import Recipe, load
from advss_zoo.zoo import checkpoint
from advss_zoo.zoo.ensembles import EnsembleConfig, Member, combined_sha256

RECIPE = load("p1f4.mini").to_yaml()
PICKS = ("average", "best-ta", "best-ra", "last")


def sha256_of(name: str, picked: str) -> str:
    """Of one net; of an ensemble by its members."""
    parts = members(name) or name.split("+")
    if len(parts) > 1:
        return combined_sha256([sha256_of(part, picked) for part in parts])
    return hashlib.sha256(f"{name} {picked}".encode()).hexdigest()


def verdicts(ta: float, ra: float, n: int, shift: int = 0) -> Verdicts:
    """Of n images a share `ta` is right clean and a share `ra` attacked, in one stretch from image `shift` on."""
    place = np.roll(np.arange(n), shift)
    label = np.arange(n) % 10
    clean, attacked = (np.where(place < round(share * n), label, (label + 1) % 10) for share in (ta, ra))
    return Verdicts(*(array.astype(np.int32) for array in (np.arange(n), label, clean, attacked)))


def result(name: str, found: Verdicts, *, sha256: str, label: str = "pgd20", data: str = "cifar10") -> Result:
    return Result.from_verdicts(
        found,
        seconds=1.0,
        model={"name": name, "sha256": sha256, "weights_sha256": sha256},
        data={"name": data, "split": "test", "n": len(found), "indices": "", "content_sha256": ""},
        protocol={"name": "pgd20", "label": label, "version": 1},
        seed=0,
        device="cpu",
        versions={},
        command="advss eval",
        date="2026-01-01T00:00:00+00:00",
        fingerprint="",
    )


def measure(runs, name, ta, ra, *, n=10_000, picked="average", epochs=16.0, shift=0, trained=True, **facts) -> Path:
    """Leave an evaluation, and the run of what was evaluated; returns the folder of the result."""
    if trained:
        train(runs, name, picked, epochs)
    found = verdicts(ta, ra, n, shift)
    folder = runs / "eval" / f"{name}-{picked}-{n}" / facts.get("label", "pgd20")
    found.write(folder / "verdicts.npz")
    result(name, found, sha256=sha256_of(name, picked), **facts).write(folder / "result.json")
    return folder


def train(runs: Path, name: str, picked: str, epochs: float, **changes: object) -> None:
    """Leave a run of the recipe of that name, and one of its parent.

    Args:
        changes: what the recipe is changed in.
    """
    made = recipe_of(name).model_copy(update=changes)
    parent = made.parent
    if parent and not (runs / parent / "last").exists():
        train(runs, parent, "last", 8.0)
    base, _, tag = name.partition(".")
    config = checkpoint.Config(
        name=base,
        tag=tag,
        scenario="p1f4",
        architecture=ResNetV2Architecture(depth=18, width=2),
        classes=tuple("abcdefghij"),
        sha256=sha256_of(name, picked),
        provenance=checkpoint.Provenance(
            recipe=name,
            recipe_sha256=made.sha256,
            profile="fast",
            parent=parent,
            parent_sha256=parent and sha256_of(parent, "last"),
            data="cifar10",
            split="train",
            picked=picked,
            deployed="average",
            epochs=epochs,
        ),
    )
    folder, text = runs / name / picked, made.to_yaml()
    write_json(folder / "config.json", config.model_dump(mode="json"))
    for place in (folder, folder.parent):
        (place / "recipe.yaml").write_text(text)


def recipe_of(name: str) -> Recipe:
    """The one of that name, else that of the control with another name."""
    try:
        return load(name)
    except UsageError:
        return load("p1f4.mini").model_copy(update=dict(zip(("name", "tag"), name.split("."), strict=True)))


def retrain(runs: Path, name: str, picked: str = "average") -> None:
    """Give one of the weights of a run another sha256."""
    config = runs / name / picked / "config.json"
    config.write_text(config.read_text().replace(sha256_of(name, picked), sha256_of(name, f"another {picked}")))


def assemble(runs: Path, name: str, picked: str = "average") -> None:
    """Leave the run of an ensemble of the paper."""
    base, _, tag = name.partition(".")
    parts = tuple(Member(name=part, sha256=sha256_of(part, picked)) for part in members(name))
    config = EnsembleConfig(name=base, tag=tag, scenario="p3f4", classes=tuple("abcdefghij"), members=parts)
    write_json(runs / name / "ensemble" / "config.json", config.model_dump(mode="json"))


TASKS = ("selfie-p3f4.mini", "rotation-p3f4.mini", "jigsaw-p3f4.mini")
# Of a hundred images: those made on each, and which of them each of the three and the ensemble gets wrong.
WRONG = {
    TASKS[0]: (range(50), range(40), range(10, 45), range(38)),
    TASKS[1]: (range(35), range(52), range(36), range(30)),
    TASKS[2]: (range(37), range(33), range(54), range(31)),
}


def wrong_of(n: int) -> dict[str, tuple[range, ...]]:
    """The same shares of n images."""
    times = n // 100
    return {
        source: tuple(range(times * own.start, times * own.stop) for own in wrong) for source, wrong in WRONG.items()
    }


def unforeseen(runs: Path, name: str, accuracies: dict[str, float], *, n: int = 100, picked: str = "average") -> None:
    """Leave results of unforeseen attacks, by protocol, on weights of a pick, and the run of what was attacked."""
    train(runs, name, picked, 16.0)
    for label, accuracy in accuracies.items():
        found = verdicts(1.0, accuracy, n)
        folder = runs / "eval" / f"{name}-{picked}-{n}" / label
        found.write(folder / "verdicts.npz")
        result(name, found, sha256=sha256_of(name, picked), label=label).write(folder / "result.json")


def transfer(
    runs: Path,
    *,
    sources: tuple[str, ...] = TASKS,
    wrong: dict[str, tuple[range, ...]] = WRONG,
    n: int = 100,
    weights: str = "average",
    data: str = "cifar10",
    trained: bool = True,
) -> Path:
    """Leave a result of `transfer`, and the runs of its sources; returns its folder.

    Args:
        wrong: by source, for each of them and the ensemble the images that it gets wrong.
        weights: of which pick of the sources.
    """
    for source in sources if trained else ():
        train(runs, source, weights, 16.0)
    label = np.arange(n) % 10
    evidence = {"wrong_clean": np.zeros(n, np.int8)}
    for source in sources:
        bits = np.zeros(n, np.uint8)
        for place, images in enumerate(wrong[source]):
            bits[images] |= 1 << place
        evidence[f"from_{source}"] = bits.view(np.int8)
    fooled = np.isin(np.arange(n), [image for source in sources for image in wrong[source][-1]])
    arrays = np.arange(n), label, label, np.where(fooled, (label + 1) % 10, label)
    found = Verdicts(*(array.astype(np.int32) for array in arrays), evidence)
    folder = runs / "eval" / f"{'+'.join(sources)}-{weights}-{n}" / "transfer"
    found.write(folder / "verdicts.npz")
    sha256 = combined_sha256([sha256_of(source, weights) for source in sources])
    result("+".join(sources), found, sha256=sha256, label="transfer", data=data).write(folder / "result.json")
    return folder
