"""What the Hub reads of a checkpoint: the front matter of its card, and its results in the Hub's two formats.

The formats are those of huggingface_hub's ModelCardData and EvalResultEntry, whose code is not needed to write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from advss_zoo.evaluation.results import result_slug
from advss_zoo.files import slug
from advss_zoo.zoo import index
from advss_zoo.zoo.snapshot import ORGANISATION

# What our data sets are called on the Hub, by people, and how many test images they have.
DATASETS = {
    "cifar10": ("uoft-cs/cifar10", "CIFAR-10", 10_000),
    "cifar10-1k": ("uoft-cs/cifar10", "CIFAR-10", 10_000),
    "cifar100": ("uoft-cs/cifar100", "CIFAR-100", 10_000),
    "restricted-imagenet": ("ILSVRC/imagenet-1k", "Restricted ImageNet", None),
}
TASK = {"type": "image-classification", "name": "Image Classification"}

Result = Mapping[str, Any]  # a result as its JSON


def front_matter(values: Mapping[str, Any]) -> str:
    """The YAML at the top of a card, of the values that the card is rendered from."""
    trunk = values["kind"] == "trunk"
    described = {
        "license": values["licence"].lower(),
        "library_name": "advss-zoo",
        "pipeline_tag": "image-feature-extraction" if trunk else "image-classification",
        "datasets": [_dataset(values["training"]["data"])[0]],
        "base_model": base_models(values),
        "tags": ["adversarial-robustness", *filter(None, [values["task"]]), values["scenario"], values["tag"]],
        "model-index": model_index(f"{values['name']}.{values['tag']}", values["results"]),
    }
    return _yaml({key: value for key, value in described.items() if value})


def base_models(values: Mapping[str, Any]) -> list[str]:
    """What of the zoo this was made of: parents of trunks, or members of an ensemble.

    It is told by the weights alone: a run of one's own may have any name, that of a checkpoint of the zoo included.
    """
    published = {entry.sha256: f"{ORGANISATION}/{entry.full_name}" for entry in index.entries()}
    parts = (values["training"], *values["members"])
    made_of = dict.fromkeys(part.get(key) for part in parts for key in ("parent_sha256", "sha256"))
    return [published[sha256] for sha256 in made_of if sha256 in published]


def model_index(full_name: str, results: Iterable[Result]) -> list[dict[str, Any]]:
    """All numbers as the Hub's `model-index`, in percent, one block for each data set; nothing where there are none."""
    blocks: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        name, title, split = _evaluated(result)
        new = {"task": TASK, "dataset": {"name": title, "type": name, "split": split}, "metrics": []}
        metrics = blocks.setdefault((name, split), new)["metrics"]
        for metric in (_metric("TA (clean)", result["ta"]), _headline(result)):
            if metric not in metrics:
                metrics.append(metric)
    return [{"name": full_name, "results": list(blocks.values())}] if blocks else []


def evaluation_files(results: Iterable[Result]) -> dict[str, bytes]:
    """All numbers on data sets that the Hub has as files of `.eval_results/`, by name; one file a result.

    The Hub ranks numbers of one task of one data set. Each protocol is a task here, so that what is left under attack
    is never ranked beside accuracies on clean images.
    """
    found = {}
    for result in results:
        if result["data"]["name"] not in DATASETS:
            continue
        name, _, split = _evaluated(result)
        metric = _headline(result)
        constants = (f"{key.replace('_', ' ')} {value}" for key, value in metric.get("args", {}).items())
        entry = {
            "dataset": {"id": name, "task_id": slug(result["protocol"]["label"])},
            "value": metric["value"],
            "date": result["date"],
            "notes": "; ".join([metric["name"], split, *constants]),
        }
        label = result_slug(result["data"]["name"], result["protocol"]["label"])
        found[f".eval_results/{label}.yaml"] = _yaml([entry]).encode()
    return found


def _headline(result: Result) -> dict[str, Any]:
    """The number that a protocol is about: RA, the accuracy on corrupted images, or TA where nothing was done."""
    protocol = result["protocol"]
    corrupted = (result.get("details") or {}).get("corruption_accuracy")
    if result["ra"] is not None:
        metric = _metric(f"RA ({protocol['label']})", result["ra"])
    elif corrupted is not None:
        metric = _metric(f"Corrupted ({protocol['label']})", corrupted)
    else:
        return _metric("TA (clean)", result["ta"])
    unsaid = ("name", "label")
    constants = {k: v for k, v in protocol.items() if k not in unsaid and isinstance(v, str | int | float)}
    return metric | {"args": constants}


def _metric(name: str, fraction: float) -> dict[str, Any]:
    return {"type": "accuracy", "value": round(100 * fraction, 2), "name": name}


def _evaluated(result: Result) -> tuple[str, str, str]:
    """On which data set: its name on the Hub, its title, and the split as `datasets` would take it."""
    data = result["data"]
    name, title, total = _dataset(data["name"])
    return name, title, data["split"] if result["n"] == total or total is None else f"{data['split']}[:{result['n']}]"


def _dataset(name: str) -> tuple[str, str, int | None]:
    return DATASETS.get(name, (slug(name), name, None))


class _Plain(yaml.SafeDumper):
    """What is said twice is written twice, not as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=1000)
