"""Publishing: checkpoints, verified, to repositories on the Hub or to folders of the same layout."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, EvalResult, constants
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.repocard_data import model_index_to_eval_results
from huggingface_hub.utils.tqdm import disable_progress_bars

from advss_zoo import plain_yaml
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.evaluation import results
from advss_zoo.evaluation.results import Result
from advss_zoo.files import explained, read_bytes, write_atomically
from advss_zoo.training import release
from advss_zoo.version import __version__
from advss_zoo.zoo import CARD, CONFIG, RESULTS, cards, checkpoint, ensembles, hub, index, load, metadata, sources
from advss_zoo.zoo.index import Entry
from advss_zoo.zoo.reference import Reference, parse_reference
from advss_zoo.zoo.runs import CURVES
from advss_zoo.zoo.snapshot import PREFIX, Address, Snapshot, belongs, digest
from advss_zoo.zoo.verify import check_card

LOG = "log.jsonl"
TAG = f"v{__version__}"
LONGEST_CARD = 2**20  # bytes
COLLECTION = "advss-zoo"
ABOUT = "Adversarially robust classifiers and trunks, with their recipes and the verdicts behind their numbers."

Content = Path | bytes
Change = Literal["new", "changed", "removed"]


@dataclass(frozen=True)
class Bundle:
    """What is published of a checkpoint, by its name in the repository; `entry` if it is the zoo's.

    `digests`: the sha256 that each file had when it was verified.
    """

    full_name: str
    files: Mapping[str, Content]
    digests: Mapping[str, str]
    entry: Entry | None = None


@dataclass(frozen=True)
class Outcome:
    """What publishing changed, or with a dry run would. On the Hub there is a commit, and what the tag stands at."""

    full_name: str
    target: str
    changes: Mapping[str, Change]
    commit: str | None = None
    tagged: str | None = None
    recorded: Path | None = None


# --- what is published ------------------------------------------------------------------------------------------------


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
    """The whole zoo."""
    return [_from_zoo(entry) for entry in index.entries()]


def _from_zoo(entry: Entry) -> Bundle:
    """The numbers of the card are those of its JSON, and those must be what the result files give."""
    folder = sources.fetch(entry.full_name).path
    full_name, sha256 = _identity(folder)
    if (full_name, sha256) != (entry.full_name, entry.sha256):
        raise CheckpointError(
            f"{folder} is {full_name} with the weights {sha256}, the card is of {entry.full_name} with {entry.sha256}."
        )
    found, recorded = _results(folder, sha256), [Result.from_dict(document) for document in entry.results]
    for result in recorded:
        if result not in found.values():
            raise CheckpointError(
                f"The card of {entry.full_name} has a number for {result.protocol.label} on {result.data.name} "
                f"that no result in {folder / RESULTS} bears out."
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
        card = _read_card(path)
        borne_out = metadata.numbers(_documents(found.values()))
        if unfounded := [each for each in _claims(card, path) if each not in borne_out]:
            names = ", ".join(f"{each.metric_name} {each.metric_value} on {each.dataset_name}" for each in unfounded)
            raise CheckpointError(
                f"No result in {folder / RESULTS} bears out what the front matter of {path} says: {names}.",
                "Data set, protocol and its settings count as much as the number.",
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
        raise CheckpointError(f"{folder / CONFIG} does not say which weights it is for: it has no sha256.")
    return config.full_name, config.sha256


def _results(folder: Path, sha256: str) -> dict[Path, Result]:
    """The results in a checkpoint folder, each borne out by its verdicts and of these weights."""
    found: dict[Path, Result] = {}
    names: dict[str, Path] = {}
    for path in sorted((folder / RESULTS).glob(f"*/{results.RESULT_FILE}")):
        result = results.check(path)
        if result.model.sha256 != sha256:
            raise CheckpointError(f"{path} is of other weights: {result.model.sha256}.")
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
    return content | metadata.evaluation_files(_documents(found.values())) | {CARD: card.encode()}


def _documents(found: Iterable[Result]) -> list[dict[str, Any]]:
    return [result.to_dict() for result in found]


def _read_card(path: Path) -> str:
    try:
        return read_bytes(path, LONGEST_CARD).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not text in UTF-8.") from error


def _claims(card: str, path: Path) -> list[EvalResult]:
    """The numbers in the front matter of a card, if it has any; that is found as the Hub and its client find it."""
    match = REGEX_YAML_BLOCK.match(card.replace("\ufeff", ""))  # a space to the Hub, though not to Python
    try:
        front = plain_yaml.read(match[2]) if match else None
        model_index = front.get("model-index") if isinstance(front, dict) else None
        return model_index_to_eval_results(model_index)[1] if model_index else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"The front matter of {path} is not what the Hub could read.") from error


def _written(folder: Path, found: Iterable[Result], address: str) -> str:
    """A card for the checkpoint of a run that nobody has described."""
    if ensembles.is_ensemble(folder) or not (folder.parent / LOG).is_file():
        raise _undescribed(folder, f"there is no {LOG} of a run to write one from")
    if checkpoint.read_config(folder).provenance is None:
        raise _undescribed(folder, "does not say how it was made")
    about = release.describe(folder, machine="a machine that was not noted")
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
    return CheckpointError(f"{folder} has no {CARD}, and {reason}.", f"Describe it in {folder / CARD}.")


# --- where it goes ----------------------------------------------------------------------------------------------------


def to_folder(bundle: Bundle, folder: Path, *, dry_run: bool = False) -> Outcome:
    """Make `folder` hold the checkpoint; files in it that belong to no checkpoint are left alone.

    Raises:
        UsageError: it holds something else.
        CheckpointError: a file is no longer what was verified.
        AdvssError: it cannot be written to.
    """
    _check_place(folder, bundle.full_name)
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    changes = _changes(bundle, {name: digest(path) for name, path in names.items() if belongs(name)})
    for name in [] if dry_run else sorted(changes, key=lambda name: name != CONFIG):  # which says whose folder it is
        if changes[name] == "removed":
            with explained("delete", folder / name):
                (folder / name).unlink()
        else:
            _write(folder / name, bundle.files[name])
    return Outcome(bundle.full_name, str(folder), changes)


def _check_place(folder: Path, full_name: str) -> None:
    """
    Raises:
        UsageError: the folder is neither new nor empty, nor does it hold this checkpoint.
    """
    with explained("read", folder):
        if not folder.is_dir() or not any(folder.iterdir()):
            return
    with suppress(AdvssError):
        if load.read_config(folder).full_name == full_name:
            return
    raise UsageError(f"{folder} is not empty and holds no {full_name}.", "Choose a new folder.")


def to_hub(
    bundle: Bundle, address: Address, *, private: bool = False, gated: bool = False, dry_run: bool = False
) -> Outcome:
    """Make the repository hold the checkpoint, in one commit, or none where nothing changed; tag and record it.

    Args:
        private: only its owner may see it.
        gated: its owner decides who may download it.

    Raises:
        UsageError: it is to be private or gated, and is there and is not.
        CheckpointError: the Hub cannot be reached, or does not allow it; or a file is no longer what was verified.
    """
    _check_online()
    there = _existing(address)
    if dry_run:
        changes = _changes(bundle, there.files if there else {})
        return Outcome(bundle.full_name, str(address), changes)
    client = hub.api()
    with hub.explained(address):
        if there is None:
            client.create_repo(address.repository, private=private or None, exist_ok=True)
            if gated:
                client.update_repo_settings(address.repository, gated="manual")
        elif private or gated:
            info = client.model_info(address.repository)
            if private and not info.private:
                raise UsageError(
                    f"{address} is there and public.", "Make it private on the Hub, or leave out --private."
                )
            if gated and not info.gated:
                raise UsageError(f"{address} is there and not gated.", "Gate it on the Hub, or leave out --gated.")
    there = there or hub.look_up(address)
    changes = _changes(bundle, there.files)
    if changes:
        there = _commit(bundle, address, there, changes)
    published = replace(there, files=dict(sorted(bundle.digests.items())))
    return Outcome(
        bundle.full_name,
        str(address),
        changes,
        there.commit,
        _tag(address, there.commit),
        index.record(bundle.entry, published) if bundle.entry else None,
    )


def gather(owner: str, repositories: Iterable[str], *, private: bool = False) -> str:
    """Put repositories on one page, the owner's collection; returns its address."""
    _check_online()
    client = hub.api()
    with hub.explained(Address(owner)):
        collection = client.create_collection(
            COLLECTION, namespace=owner, description=ABOUT, private=private, exists_ok=True
        )
        known = {item.item_id for item in collection.items}
        for repository in repositories:
            if repository not in known:
                client.add_collection_item(collection.slug, repository, "model", exists_ok=True)
        return collection.url


def _check_online() -> None:
    """
    Raises:
        UnreachableError: the client is told to ask nobody.
    """
    if constants.is_offline_mode():
        raise hub.UnreachableError("Nothing can be published: HF_HUB_OFFLINE is set.", "Unset it and try again.")


def _changes(bundle: Bundle, there: Mapping[str, str]) -> dict[str, Change]:
    """
    Raises:
        CheckpointError: a file is no longer what was verified.
    """
    changes: dict[str, Change] = {}
    for name, content in sorted(bundle.files.items()):
        if digest(content) != bundle.digests[name]:
            raise CheckpointError(
                f"{bundle.full_name}: {name} has changed since it was verified.", "Run the same command again."
            )
        if name not in there:
            changes[name] = "new"
        elif digest(content, like=there[name]) != there[name]:
            changes[name] = "changed"
    return changes | dict.fromkeys(sorted(set(there) - set(bundle.files)), "removed")


def _existing(address: Address) -> Snapshot | None:
    try:
        return hub.look_up(address)
    except hub.MissingError:
        return None


def _commit(bundle: Bundle, address: Address, there: Snapshot, changes: Mapping[str, Change]) -> Snapshot:
    """One commit on top of what was compared with; afterwards the Hub must say that it has every file."""
    operations: list[Any] = [
        CommitOperationDelete(name) if change == "removed" else CommitOperationAdd(name, bundle.files[name])
        for name, change in changes.items()
    ]
    with hub.explained(address), nullcontext() if sys.stderr.isatty() else disable_progress_bars():
        done = hub.api().create_commit(
            address.repository,
            operations,
            commit_message=f"{bundle.full_name} of advss-zoo {__version__}",
            parent_commit=there.commit,
        )
    made = hub.look_up(replace(address, revision=done.oid))
    if left := _changes(bundle, made.files):
        raise CheckpointError(f"{made} does not hold what was sent: {', '.join(left)}.", hub.AGAIN)
    return made


def _tag(address: Address, commit: str) -> str:
    """Give the commit this release's tag, unless another has it already: a tag does not move. Returns who has it."""
    client = hub.api()
    with hub.explained(address):
        known = {ref.name: ref.target_commit for ref in client.list_repo_refs(address.repository).tags}
        if TAG not in known:
            client.create_tag(address.repository, tag=TAG, revision=commit, exist_ok=True)
    return known.get(TAG, commit)


def _write(path: Path, content: Content) -> None:
    def fill(file: BinaryIO) -> None:
        if isinstance(content, bytes):
            file.write(content)
            return
        with content.open("rb") as source:
            shutil.copyfileobj(source, file)

    write_atomically(path, fill)
