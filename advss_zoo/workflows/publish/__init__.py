"""Checkpoints, verified, on the Hugging Face Hub or in folders of the same layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from advss_zoo.errors import UsageError
from advss_zoo.workflows.publish.collecting import collect, collect_all
from advss_zoo.workflows.publish.sending import TAG, PublishedCheckpoint, gather, to_folder, to_hub
from advss_zoo.zoo import snapshot
from advss_zoo.zoo.reference import Reference

__all__ = ["TAG", "PublishedCheckpoint", "PublishedZoo", "publish", "publish_zoo"]


@dataclass(frozen=True)
class PublishedZoo:
    """What publishing each checkpoint changed, and the address of the page on the Hub that lists them."""

    checkpoints: tuple[PublishedCheckpoint, ...]
    page: str | None = None


def publish(
    reference: Reference | str | Path,
    to: str | Path,
    private: bool = False,
    gated: bool = False,
    dry_run: bool = False,
) -> PublishedCheckpoint:
    """Publish a checkpoint with its card, recipe and results.

    Weights that are not those of the card, and numbers that the results do not bear out, are refused. What has not
    changed is not sent again. On the Hub there is one commit, which gets the tag of this release; the index of a source
    checkout notes it.

    Args:
        reference: a checkpoint, as `load_model` takes it.
        to: hf://ORG/REPO, or a folder.
        private: make a new repository private.
        gated: gate a new repository: its owner decides who may download it.
        dry_run: only tell which files would go.

    Raises:
        UsageError: there is no such checkpoint; or `to` names no repository, or a revision, or holds something else.
        CheckpointError: something in it is not borne out; or the Hub cannot be reached, or does not allow it.
    """
    if not _is_on_hub(to):
        return to_folder(collect(reference), Path(to), dry_run=dry_run)
    address = snapshot.parse_repository(str(to))
    if address.revision:
        raise UsageError(
            f"{address} names a revision, but publishing makes a new one.", f"Write hf://{address.repository}."
        )
    return to_hub(collect(reference, str(to)), address, private=private, gated=gated, dry_run=dry_run)


def publish_zoo(to: str | Path, private: bool = False, gated: bool = False, dry_run: bool = False) -> PublishedZoo:
    """Publish every checkpoint of the zoo, on the Hub with one page that lists them; see `publish`.

    Args:
        to: hf://ORG, or a folder of which each gets a folder.

    Raises:
        UsageError, CheckpointError: as `publish`.
    """
    if not _is_on_hub(to):
        copied = (to_folder(each, Path(to, each.full_name), dry_run=dry_run) for each in collect_all())
        return PublishedZoo(tuple(copied))
    owner = snapshot.parse(str(to))
    if owner.name:
        raise UsageError(f"{to} is one repository, but each checkpoint gets its own.", f"Write hf://{owner.owner}.")
    bundles = collect_all()
    addresses = [snapshot.Address(owner.owner, each.full_name) for each in bundles]
    done = [
        to_hub(bundle, address, private=private, gated=gated, dry_run=dry_run)
        for bundle, address in zip(bundles, addresses, strict=True)
    ]
    page = None if dry_run else gather(owner.owner, [each.repository for each in addresses], private=private)
    return PublishedZoo(tuple(done), page)


def _is_on_hub(to: str | Path) -> bool:
    return "://" in str(to)  # whatever other than hf:// it begins with is refused, and made no folder of
