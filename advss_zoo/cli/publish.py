"""`advss publish`: put checkpoints on the Hugging Face Hub, or into a folder of the same layout."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import JsonOption, ModelArgument, examples, the_model
from advss_zoo.cli.output import out, size
from advss_zoo.errors import UsageError
from advss_zoo.texts import counted

if TYPE_CHECKING:
    from advss_zoo.workflows.publish import PublishedCheckpoint

EXAMPLES = examples(
    "advss publish p1f4.mini --to hf://ORG/p1f4.mini",
    "advss publish runs/mine --to hf://ME/mine --private",
    "advss publish --all --to hf://ORG --dry-run",
    "advss publish p1f4.mini --to exported/p1f4.mini",
)


def command(
    target: Annotated[
        str, typer.Option("--to", metavar="TARGET", help="hf://ORG/REPO, a folder, or with --all hf://ORG.")
    ],
    model: ModelArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Publish every checkpoint of the zoo.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files to send.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make new repositories private.")] = False,
    gated: Annotated[
        bool, typer.Option("--gated", help="Gate new repositories: downloads need your approval.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Publish a checkpoint with its card, recipe and results.

    Refuses weights that are not those of the card, and numbers that the result files do not support. Includes the
    results in results/ of the checkpoint's folder, where `advss eval --out` writes them. Unchanged files are not sent
    again. Each repository gets one commit and the tag of this release; the index of a source checkout records the
    commit, so that others can pull the checkpoint. Log in first with `hf auth login`.
    """
    if everything == (model is not None):
        raise UsageError("Give a MODEL to publish, or --all.", "For example: advss publish p1f4 --to DIR")
    out.json = json
    reference = None if everything else the_model(model)
    import_torch()
    from advss_zoo.workflows.publish import TAG, PublishedZoo, publish, publish_zoo

    wishes = {"private": private, "gated": gated, "dry_run": dry_run}
    one = PublishedZoo((publish(reference, target, **wishes),)) if reference else None
    done = one or publish_zoo(target, **wishes)
    rows = [row for each in done.checkpoints for row in (_files(each) if dry_run else [_row(each)])]
    out.table(rows, document=[_document(each) for each in done.checkpoints])
    if dry_run:
        out.hint("Nothing was sent." if rows else "Nothing to send: the target is up to date.")
        return
    if done.page:
        out.hint(f"All on one page: {done.page}")
    for each in done.checkpoints:
        for line in _remarks(each, TAG):
            out.hint(line)


def _row(done: PublishedCheckpoint) -> dict[str, str]:
    return {
        "checkpoint": done.full_name,
        "changed": counted(len(done.changes), "file") if done.changes else "nothing",
        "to": f"{done.target}@{done.commit}" if done.commit else done.target,
    }


def _files(done: PublishedCheckpoint) -> list[dict[str, str]]:
    return [
        {"to": done.target, "change": change, "size": size(done.sizes.get(name, 0), "B"), "file": name}
        for name, change in done.changes.items()
    ]


def _document(done: PublishedCheckpoint) -> dict[str, Any]:
    return asdict(done) | {"recorded": done.recorded and str(done.recorded)}


def _remarks(done: PublishedCheckpoint, tag: str) -> list[str]:
    remarks = []
    if done.tagged != done.commit:
        remarks.append(f"{done.full_name}: the tag {tag} stays at {done.tagged}; a new release gets a new tag.")
    if done.recorded:
        remarks.append(
            f"{done.full_name}: the commit is recorded in {done.recorded}; commit that file so that others can pull it."
        )
    return remarks
