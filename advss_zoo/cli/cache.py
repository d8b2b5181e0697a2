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
    prune: Annotated[bool, typer.Option("--prune", help="Delete what nothing refers to; show what that was.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what the cache holds.

    Checkpoints that were pulled, data sets, and what was left unfinished. Nothing refers to a checkpoint that the zoo
    of this version has in another commit, to all but the newest pulled of any other repository, and to downloads
    that have ended half-way. ADVSS_CACHE says where the cache is.
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
