"""`advss publish`: put checkpoints on the Hugging Face Hub, or into a folder of the same layout."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import JsonOption, ModelArgument, examples, the_model
from advss_zoo.cli.output import out
from advss_zoo.errors import UsageError

if TYPE_CHECKING:
    from advss_zoo.zoo.publish import Bundle, Outcome

EXAMPLES = examples(
    "advss publish p1f4.mini --to hf://ORG/p1f4.mini",
    "advss publish runs/mine --to hf://ME/mine --private",
    "advss publish --all --to hf://ORG --dry-run",
    "advss publish p1f4.mini --to exported/p1f4.mini",
)


def command(
    target: Annotated[
        str, typer.Option("--to", metavar="TARGET", help="hf://ORG/REPO or a folder; with --all, hf://ORG or a folder.")
    ],
    model: ModelArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Every checkpoint of the zoo.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which files would go.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make new repositories private.")] = False,
    gated: Annotated[bool, typer.Option("--gated", help="Gate new repositories: you say who may download.")] = False,
    json: JsonOption = False,
) -> None:
    """Publish a checkpoint with its card, recipe and results.

    Weights that are not those of the card, and numbers that the result files do not bear out, are refused. Results go
    along that lie in results/ of the checkpoint's folder, where `advss eval --out` puts them. What has not changed is
    not sent again. Each repository gets one commit and the tag of this release; the index of a source checkout notes
    the commit, so that others can pull the checkpoint. Log in before with `hf auth login`.
    """
    if everything == (model is not None):
        raise UsageError("Give a MODEL to publish, or --all.", "For example: advss publish p1f4 --to DIR")
    _check_target(target, everything)
    out.json = json
    reference = None if everything else the_model(model)
    import_torch()
    from advss_zoo.zoo import publish

    address = target if _is_on_hub(target) else None
    bundles = [publish.collect(reference, address)] if reference else publish.collect_all()
    wishes = {"private": private, "gated": gated, "dry_run": dry_run}
    outcomes = [_publish(bundle, target, everything, **wishes) for bundle in bundles]
    rows = _files(bundles, outcomes) if dry_run else [_row(outcome) for outcome in outcomes]
    out.table(rows, document=[_document(outcome) for outcome in outcomes])
    if dry_run:
        out.hint("Nothing was sent." if rows else "Nothing would be sent: it is all there.")
        return
    if everything and _is_on_hub(target):
        names = [bundle.full_name for bundle in bundles]
        owner = target.removeprefix("hf://")
        out.hint(f"Together: {publish.gather(owner, [f'{owner}/{name}' for name in names], private=private)}")
    for outcome in outcomes:
        for line in _remarks(outcome, publish.TAG):
            out.hint(line)


def _is_on_hub(target: str) -> bool:
    return "://" in target  # whatever other than hf:// it begins with is refused, and made no folder of


def _check_target(target: str, everything: bool) -> None:
    from advss_zoo.zoo import snapshot

    if not _is_on_hub(target):
        return
    address = snapshot.parse(target) if everything else snapshot.parse_repository(target)
    if everything and address.name:
        raise UsageError(f"--all makes a repository for each checkpoint, and {target} is one.", f"hf://{address.owner}")
    if address.revision:
        raise UsageError(f"{target} names a revision, but a new one is made.", f"Write hf://{address.repository}.")


def _publish(bundle: Bundle, target: str, everything: bool, *, dry_run: bool, **wishes: bool) -> Outcome:
    from advss_zoo.zoo import publish, snapshot

    place = f"{target.rstrip('/')}/{bundle.full_name}" if everything else target
    if not _is_on_hub(target):
        return publish.to_folder(bundle, Path(place), dry_run=dry_run)
    return publish.to_hub(bundle, snapshot.parse_repository(place), dry_run=dry_run, **wishes)


def _row(outcome: Outcome) -> dict[str, str]:
    count = len(outcome.changes)
    return {
        "checkpoint": outcome.full_name,
        "changed": f"{count} file{'s' * (count != 1)}" if count else "nothing",
        "to": f"{outcome.target}@{outcome.commit}" if outcome.commit else outcome.target,
    }


def _files(bundles: list[Bundle], outcomes: list[Outcome]) -> list[dict[str, str]]:
    from advss_zoo.cli.output import size

    rows = []
    for bundle, outcome in zip(bundles, outcomes, strict=True):
        for name, change in outcome.changes.items():
            content = bundle.files.get(name, b"")  # what is removed has no size here
            count = content.stat().st_size if isinstance(content, Path) else len(content)
            rows.append({"to": outcome.target, "change": change, "size": size(count, "B"), "file": name})
    return rows


def _document(outcome: Outcome) -> dict[str, Any]:
    return asdict(outcome) | {"recorded": outcome.recorded and str(outcome.recorded)}


def _remarks(outcome: Outcome, tag: str) -> list[str]:
    remarks = []
    if outcome.tagged != outcome.commit:
        remarks.append(f"{outcome.full_name}: the tag {tag} stays at {outcome.tagged}; a new release gets a new one.")
    if outcome.recorded:
        remarks.append(f"{outcome.full_name}: the commit is noted in {outcome.recorded}, for others to pull from.")
    return remarks
