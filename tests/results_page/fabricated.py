"""Results and runs of every kind that nobody measured, such that their numbers follow from their verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from advss_zoo.data.corruptions import BENCHMARK, CORRUPTIONS
from advss_zoo.data.load import load_data
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import write_json
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.zoo.checkpoint import Config, Provenance

N = 40
CLASSES = 10


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def verdicts(ta: float, ra: float | None, n: int = N, evidence: dict[str, Any] | None = None) -> Verdicts:
    """Of n images of cifar10-1k the first share `ta` is right clean, and the first share `ra` attacked."""
    index, label = np.arange(n), load_data("cifar10-1k", "test").labels[:n]
    wrong = (label + 1) % CLASSES
    clean = np.where(index < round(ta * n), label, wrong)
    attacked = None if ra is None else np.where(index < round(ra * n), label, wrong).astype(np.int32)
    small = {name: np.asarray(array).astype(np.int8) for name, array in (evidence or {}).items()}
    return Verdicts(index.astype(np.int32), label.astype(np.int32), clean.astype(np.int32), attacked, small)


def result(
    folder: Path,
    protocol: dict[str, Any] | None = None,
    *,
    name: str = "p1f4.mini",
    ta: float = 0.75,
    ra: float | None = 0.4,
    n: int = N,
    data: str = "cifar10-1k",
    evidence: dict[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Leave a result of `protocol`, PGD-20 if none is given, in a folder of its own; returns its path."""
    protocol = protocol or pgd()
    found = verdicts(ta, ra, n, evidence)
    images = load_data("cifar10-1k", "test").first(n)
    known: dict[str, Any] = {
        "seconds": 2.0,
        "model": {"name": name, "sha256": sha256_of(name), "weights_sha256": sha256_of(f"weights of {name}")},
        "data": {
            "name": data,
            "split": "test",
            "n": n,
            "indices": f"first {n}",
            "content_sha256": images.content_sha256,
        },
        "protocol": protocol,
        "seed": 0,
        "device": "cpu (2 threads)",
        "versions": {"torch": "2.14"},
        "command": f"advss eval {name} --attack {protocol['name']}",
        "date": "2026-01-02T03:04:05+00:00",
        "fingerprint": sha256_of(f"{name} {protocol} {n}"),
    }
    folder = folder / f"{len(list(folder.glob('*'))) if folder.exists() else 0:03d}"
    found.write(folder / "verdicts.npz")
    made, path = Result.from_verdicts(found, **(known | facts)), folder / "result.json"
    path.write_text(json.dumps(made.to_dict()))  # escapes what UTF-8 has no code for, unlike `Result.write`
    return path


def config(folder: Path, sha256: str | None, classes: tuple[str, ...], epochs: float = 32.0) -> Path:
    """Leave the config.json of a classifier with weights of this sha256; returns its path."""
    made_by = {"recipe": "p1f4.mini", "recipe_sha256": "", "profile": "fast", "data": "cifar10", "split": "train"}
    made = Config(
        name="mine",
        tag="mini",
        scenario="p1f4",
        architecture=ResNetV2Architecture(depth=18, width=2, num_classes=len(classes)),
        classes=classes,
        sha256=sha256,
        provenance=Provenance(**made_by, picked="last", deployed="last", epochs=epochs),
    )
    path = folder / "config.json"
    write_json(path, made.model_dump(mode="json"))
    return path


# --- one of each kind -------------------------------------------------------------------------------------------------


def pgd(steps: int = 20, levels: int = 8, norm: str = "linf") -> dict[str, Any]:
    label = f"pgd{steps}" if (levels, norm) == (8, "linf") else f"pgd{steps} ({norm}, eps {levels}/255)"
    return {
        "name": f"pgd{steps}",
        "label": label,
        "version": 1,
        "norm": norm,
        "eps": levels / 255,
        "steps": steps,
        "step_size": 2 / 255,
        "iterate": "last",
        "restarts": 1,
        "seed": 0,
    }


def clean(folder: Path, **facts: Any) -> Path:
    return result(folder, {"name": "clean", "label": "clean", "version": 1}, ra=None, **facts)


def autoattack(folder: Path, **facts: Any) -> Path:
    """The first of its attacks breaks all that fall but three."""
    names = "apgd-ce", "apgd-t", "fab-t", "square"
    protocol = {
        "name": "autoattack",
        "label": "autoattack",
        "version": 1,
        "attacks": [{"name": name} for name in names],
    }
    index = np.arange(N)
    broken = np.where((index >= 0.3 * N) & (index < 0.75 * N), 0, -1)
    broken[round(0.3 * N) :][:3] = 3
    return result(folder, protocol, ra=0.3, evidence={"broken_by": broken}, **facts)


def unforeseen(folder: Path, attack: str, strength: int, ra: float = 0.5, **facts: Any) -> Path:
    name = f"unforeseen-{attack}-eps{strength}"
    return result(folder, {"name": name, "label": name, "version": 1, "attack": attack, "steps": 200}, ra=ra, **facts)


def corruptions(folder: Path, **facts: Any) -> Path:
    """At severity s the images at the front are right, fewer as s grows."""
    extra = [name for name in CORRUPTIONS if name not in BENCHMARK]
    protocol = {
        "name": "corruptions",
        "label": "corruptions",
        "version": 1,
        "source": "generated",
        "corruptions": {"benchmark": list(BENCHMARK), "extra": extra},
        "severities": 5,
    }
    index = np.arange(N)
    right = {
        name: sum((index < (place + 10 - 3 * severity) % N).astype(int) << severity for severity in range(5))
        for place, name in enumerate(CORRUPTIONS)
    }
    return result(folder, protocol, ra=None, evidence=right, **facts)


MEMBERS = ("selfie-p3f4.mini", "rotation-p3f4.mini", "jigsaw-p3f4.mini")


def transfer(folder: Path, members: Iterable[str] = MEMBERS, **facts: Any) -> Path:
    """Each member is wrong on every fourth image clean, and on more of those made to fool it than of others'."""
    members, index, chance = list(members), np.arange(N), np.random.default_rng(7)
    evidence = {"wrong_clean": sum((index % 4 == 0).astype(int) << place for place in range(len(members)))}
    ensemble = (index >= 0.4 * N) & (index < 0.75 * N)  # what falls, by the verdicts
    for source, name in enumerate(members):
        wrong = [chance.random(N) < (0.7 if source == target else 0.4) for target in range(len(members))]
        evidence[f"from_{name}"] = sum(
            bits.astype(int) << place for place, bits in enumerate([*wrong, ensemble | (index >= 0.75 * N)])
        )
    protocol = {**pgd(), "name": "transfer", "label": "transfer"}
    return result(folder, protocol, name="+".join(members), evidence=evidence, **facts)


def ensemble_worst(folder: Path, **facts: Any) -> Path:
    index = np.arange(N)
    falls = (index >= 0.4 * N) & (index < 0.75 * N)
    parts = {"log-mean-probability": falls & (index % 3 > 0), "mean-logits": falls & (index % 2 > 0), "from a": falls}
    evidence = {f"part_{name}": broken for name, broken in parts.items()}
    protocol = {**pgd(), "name": "ensemble-worst", "label": "ensemble-worst"}
    return result(folder, protocol, evidence=evidence, **facts)


def saved(folder: Path, **facts: Any) -> Path:
    """PGD-20 with its adversarial images, at most 8/255 from those of cifar10-1k."""
    path = result(folder, **facts)
    found = Verdicts.read(path.with_name("verdicts.npz"))
    images = load_data("cifar10-1k", "test").first(len(found)).images.astype(np.float32) / 255
    noise = np.random.default_rng(1).choice([-1, 1], images.shape).astype(np.float32) * np.float32(8 / 255)
    tensors = {"x_adv": np.clip(images + noise, 0, 1), "index": found.index.astype(np.int64)}
    path.with_name("adversarial.safetensors").write_bytes(safetensors.numpy.save(tensors))
    return path


def run(folder: Path, name: str = "p1f4.mini") -> Path:
    """The log of a run that was killed while it wrote a line."""
    records: list[dict[str, Any]] = [
        {"step": step, "epoch": step / 100, "loss": 2 / (1 + step / 100)} for step in range(10, 400, 10)
    ]
    records += [
        {"step": 100 * epoch, "epoch": float(epoch), "validation": {"ta": 0.2 * epoch, "ra": 0.1 * epoch}}
        for epoch in range(1, 5)
    ]
    path = folder / name / "log.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records) + '{"step": 5')
    return path


def everything(folder: Path) -> Path:
    """A folder with all that a report knows, of several models."""
    saved(folder)
    result(folder, name="selfie-p3f4.mini", ta=0.8, ra=0.45)
    for name, more in (("p1f4.mini", 0.0), ("selfie-p3f4.mini", 0.05)):
        clean(folder, name=name)
        for levels in (2, 4, 16):
            result(folder, pgd(levels=levels), name=name, ra=0.75 - levels * 0.04 + more)
        for steps in (1, 5, 50):
            result(folder, pgd(steps), name=name, ra=0.6 - steps * 0.004 + more)
        for place, attack in enumerate(("linf", "fog", "gabor", "snow")):
            unforeseen(folder, attack, 3, ra=0.2 + 0.1 * place + more, name=name)
        autoattack(folder, name=name)
        corruptions(folder, name=name)
    transfer(folder)
    ensemble_worst(folder, name="+".join(MEMBERS))
    run(folder)
    return folder
