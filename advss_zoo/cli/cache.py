"""`advss cache`: what has been downloaded, and making room."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from advss_zoo.cli.options import JsonOption, examples
from advss_zoo.cli.output import out, size
from advss_zoo.files import cache_folder

EXAMPLES = examples("advss cache", "advss cache --prune", "advss cache --json")


def command(
    prune: Annotated[bool, typer.Option("--prune", help="Delete unused entries and list them.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what the cache holds.

    Lists pulled checkpoints, data sets and unfinished downloads. Unused entries are zoo checkpoints at another commit
    than this version's, all but the newest commit of other repositories, and incomplete downloads. Set ADVSS_CACHE
    to move the cache.
    """
    from advss_zoo.zoo import cache

    out.json = json
    items = cache.prune() if prune else cache.items()
    rows = [
        {"kind": item.kind, "size": size(item.bytes, "B"), "kept as": item.kept or "", "name": item.name}
        for item in items
    ]
    out.table(rows, document=[asdict(item) | {"path": str(item.path)} for item in items])
    total = size(sum(item.bytes for item in items), "B") or "nothing"
    out.hint(f"Deleted: {total}." if prune else f"{cache_folder()}: {total}.")
