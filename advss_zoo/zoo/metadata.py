"""What the Hub reads of a checkpoint: the front matter of its card, and its results in the Hub's two formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index

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

Document = Mapping[str, Any]  # a result as its JSON


def front_matter(values: Mapping[str, Any]) -> str:
    """Return the YAML at the top of a card, of the values that the card is rendered from."""
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
    """Return what of the zoo this was made of: parents of trunks, or members of an ensemble.

    It is told by the weights alone: a run of one's own may have any name, that of a checkpoint of the zoo included.
    """
    published = {entry.sha256: f"{ORGANISATION}/{entry.full_name}" for entry in index.entries()}
    parts = (values["training"], *values["members"])
    made_of = dict.fromkeys(part.get(key) for part in parts for key in ("parent_sha256", "sha256"))
    return [published[sha256] for sha256 in made_of if sha256 in published]


def model_index(full_name: str, results: Iterable[Document]) -> list[dict[str, Any]]:
    """Return all `numbers` as the Hub's `model-index`, one block for each data set; nothing where there are none."""
    found = numbers(results)
    return eval_results_to_model_index(full_name, found) if found else []


def numbers(results: Iterable[Document]) -> list[EvalResult]:
    """List TA and the `_headline` of each result, in percent; none twice."""
    found: list[EvalResult] = []
    for result in results:
        for number in (_number(result, "TA (clean)", result["ta"]), _headline(result)):
            if number not in found:
                found.append(number)
    return found


def evaluation_files(results: Mapping[str, Document]) -> dict[str, bytes]:
    """Return all numbers on data sets that the Hub has as files of `.eval_results/`, by name; one file a result.

    `results` are known by the names of their files.

    The Hub ranks numbers of one task of one data set. Each protocol is a task here, so that what is left under attack
    is never ranked beside accuracies on clean images.
    """
    found = {}
    for name, result in results.items():
        if result["data"]["name"] not in DATASETS:
            continue
        number = _headline(result)
        constants = (f"{key.replace('_', ' ')} {value}" for key, value in (number.metric_args or {}).items())
        entry = {
            "dataset": {"id": number.dataset_type, "task_id": slug(result["protocol"]["label"])},
            "value": number.metric_value,
            "date": result["date"],
            "notes": "; ".join([str(number.metric_name), str(number.dataset_split), *constants]),
        }
        found[f".eval_results/{name}.yaml"] = _yaml([entry]).encode()
    return found


def _headline(result: Document) -> EvalResult:
    """The number that a protocol is about: RA, the accuracy on corrupted images, or TA where nothing was done."""
    protocol = result["protocol"]
    constants = {k: v for k, v in protocol.items() if k not in ("name", "label") and isinstance(v, str | int | float)}
    corrupted = (result.get("details") or {}).get("corruption_accuracy")
    if result["ra"] is not None:
        return _number(result, f"RA ({protocol['label']})", result["ra"], constants)
    if corrupted is not None:
        return _number(result, f"Corrupted ({protocol['label']})", corrupted, constants)
    return _number(result, "TA (clean)", result["ta"])


def _number(result: Document, name: str, fraction: float, constants: dict[str, Any] | None = None) -> EvalResult:
    """On a data set by its name on the Hub, its title, and the split as `datasets` would take it."""
    (data, title, total), split = _dataset(result["data"]["name"]), result["data"]["split"]
    return EvalResult(
        task_type="image-classification",
        task_name="Image Classification",
        dataset_type=data,
        dataset_name=title,
        dataset_split=split if total in (result["n"], None) else f"{split}[:{result['n']}]",
        metric_type="accuracy",
        metric_value=round(100 * fraction, 2),
        metric_name=name,
        metric_args=constants,
    )


def _dataset(name: str) -> tuple[str, str, int | None]:
    return DATASETS.get(name, (slug(name), name, None))


class _Plain(yaml.SafeDumper):
    """What is said twice is written twice, not as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=1000)
