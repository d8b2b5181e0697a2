"""What is published of a checkpoint: its files, everything in them verified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.repocard_data import model_index_to_eval_results

from advss_zoo import plain_yaml
from advss_zoo.errors import CheckpointError
from advss_zoo.evaluation import results
from advss_zoo.evaluation.results import Result
from advss_zoo.files import read_bytes
from advss_zoo.workflows.release import describe
from advss_zoo.zoo import CARD, CONFIG, RESULTS, cards, checkpoint, ensembles, index, load, metadata, sources
from advss_zoo.zoo.facts import check_card
from advss_zoo.zoo.index import Entry
from advss_zoo.zoo.reference import Reference, parse_reference
from advss_zoo.zoo.runs import CURVES, LOG
from advss_zoo.zoo.snapshot import PREFIX, belongs, digest

LONGEST_CARD = 2**20  # bytes

Content = Path | bytes


@dataclass(frozen=True)
class Bundle:
    """What is published of a checkpoint, by its name in the repository; `entry` if it is the zoo's.

    `digests`: the sha256 that each file had when it was verified.
    """

    full_name: str
    files: Mapping[str, Content]
    digests: Mapping[str, str]
    entry: Entry | None = None


def collect(reference: Reference | str | Path, address: str | None = None) -> Bundle:
    """Collect the files of a checkpoint, everything in it verified.

    Args:
        address: hf://ORG/NAME where it will be, for the card that is written where a run has none.

    Raises:
        UsageError: there is no such checkpoint.
        CheckpointError: the weights are not those of the configuration or the card, or a number is not borne out.
    """
    reference = parse_reference(reference)
    if reference.kind == "zoo":
        return _from_zoo(index.find(reference.text))
    return _from_folder(sources.fetch(reference).path, address)


def collect_all() -> list[Bundle]:
    """Collect the whole zoo."""
    return [_from_zoo(entry) for entry in index.entries()]


def _from_zoo(entry: Entry) -> Bundle:
    """The numbers of the card are those of its JSON, and those must be what the result files give."""
    folder = sources.fetch(entry.full_name).path
    full_name, sha256 = _identity(folder)
    if (full_name, sha256) != (entry.full_name, entry.sha256):
        raise CheckpointError(
            f"{folder} has the weights {sha256} of {full_name}, the card is for {entry.sha256} of {entry.full_name}."
        )
    found, recorded = _results(folder, sha256), [Result.from_dict(document) for document in entry.results]
    for result in recorded:
        if result not in found.values():
            raise CheckpointError(
                f"The card of {entry.full_name} has a number for {result.protocol.label} on {result.data.name} "
                f"that is not supported by the results in {folder / RESULTS}."
            )
    check_card(entry, folder)
    kept = {path: result for path, result in found.items() if result in recorded}
    return _bundle(folder, full_name, kept, index.card(full_name), entry)


def _from_folder(folder: Path, address: str | None) -> Bundle:
    """The card is the folder's own, or written from what the run and its results say."""
    full_name, sha256 = _identity(folder)
    found = _results(folder, sha256)
    path = folder / CARD
    if path.is_file():
        card = read_card(path)
        borne_out = metadata.numbers(_documents(found.values()))
        if unfounded := [each for each in claims(card, path) if each not in borne_out]:
            names = ", ".join(f"{each.metric_name} {each.metric_value} on {each.dataset_name}" for each in unfounded)
            raise CheckpointError(
                f"The results in {folder / RESULTS} do not support the front matter of {path}: {names}.",
                "Data set, protocol, settings and number must all match.",
            )
    else:
        card = _written(folder, found.values(), address or f"{PREFIX}ORG/{full_name}")
    return _bundle(folder, full_name, found, card)


def _bundle(
    folder: Path, full_name: str, found: Mapping[Path, Result], card: str, entry: Entry | None = None
) -> Bundle:
    files = _files(folder, found, card)
    digests = {name: digest(content) for name, content in files.items()}
    load.check(folder)  # after the digests: weights that change from here on have another
    return Bundle(full_name, files, digests, entry)


def _identity(folder: Path) -> tuple[str, str]:
    """The full name and the sha256 of the weights, which are there and are what the configuration says."""
    load.check(folder)
    config = load.read_config(folder)
    if config.sha256 is None:
        raise CheckpointError(f"The sha256 of the weights is missing in {folder / CONFIG}.")
    return config.full_name, config.sha256


def _results(folder: Path, sha256: str) -> dict[Path, Result]:
    """The results in a checkpoint folder, each borne out by its verdicts and of these weights."""
    found: dict[Path, Result] = {}
    names: dict[str, Path] = {}
    for path in sorted((folder / RESULTS).glob(f"*/{results.RESULT_FILE}")):
        result = results.check(path)
        if result.model.sha256 != sha256:
            raise CheckpointError(f"{path} is a result of other weights: {result.model.sha256}.")
        found[path.parent] = result
        if (other := names.setdefault(result.slug(), path.parent)) != path.parent:
            raise CheckpointError(
                f"{other} and {path.parent} would both be {RESULTS}/{result.slug()}.",
                f"Move one of them out of {folder / RESULTS}.",
            )
    return found


def _files(folder: Path, found: Mapping[Path, Result], card: str) -> dict[str, Content]:
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    content: dict[str, Content] = {
        name: path for name, path in names.items() if belongs(name) and not name.startswith((f"{RESULTS}/", "."))
    }
    for path, result in found.items():
        for name in (results.RESULT_FILE, results.VERDICTS_FILE):
            content[f"{RESULTS}/{result.slug()}/{name}"] = path / name
    if (folder.parent / LOG).is_file() and (folder.parent / CURVES).is_file():
        content[CURVES] = folder.parent / CURVES
    named = {result.slug(): result.to_dict() for result in found.values()}
    return content | metadata.evaluation_files(named) | {CARD: card.encode()}


def _documents(found: Iterable[Result]) -> list[dict[str, Any]]:
    return [result.to_dict() for result in found]


def read_card(path: Path) -> str:
    """
    Raises:
        CheckpointError: it is not text, or too long for a card.
    """
    try:
        return read_bytes(path, LONGEST_CARD).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not valid UTF-8.") from error


def claims(card: str, path: Path) -> list[EvalResult]:
    """List the numbers in the front matter of a card, which is found as the Hub and its client find it.

    Raises:
        CheckpointError: the Hub could not read it.
    """
    match = REGEX_YAML_BLOCK.match(card.replace("\ufeff", ""))  # a space to the Hub, though not to Python
    try:
        front = plain_yaml.read(match[2]) if match else None
        model_index = front.get("model-index") if isinstance(front, dict) else None
        return model_index_to_eval_results(model_index)[1] if model_index else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"The Hub cannot read the front matter of {path}.") from error


def _written(folder: Path, found: Iterable[Result], address: str) -> str:
    """A card for the checkpoint of a run that nobody has described."""
    if ensembles.is_ensemble(folder) or not (folder.parent / LOG).is_file():
        raise _undescribed(folder, f"the {LOG} of its run, to write one from, is missing")
    if checkpoint.read_config(folder).provenance is None:
        raise _undescribed(folder, "its training is not recorded")
    about = describe(folder, machine="an unrecorded machine")
    return cards.render(
        about
        | {
            "address": address,
            "licence": "other",
            "summary": f"Made with advss-zoo by the recipe {about['training']['recipe']}.",
            "limits": f"Trained on {about['training']['data']}.",
            "paper": None,
            "control": None,
            "results": _documents(found),
        }
    )


def _undescribed(folder: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{CARD} is missing in {folder}, and {reason}.", f"Write {folder / CARD}.")
