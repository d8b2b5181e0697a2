"""`advss list`: the zoo as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advss_zoo.cli.options import JsonOption, examples
from advss_zoo.cli.output import out, size
from advss_zoo.texts import percent

if TYPE_CHECKING:
    from advss_zoo.zoo.index import Entry

EXAMPLES = examples("advss list", "advss list | cut -f1,4", "advss list --json")


def command(json: JsonOption = False) -> None:
    """Show the zoo as a table.

    Accuracies are in percent. TA: on clean images. RA: under PGD-20. AA: under AutoAttack, on the first 200 to 1,000
    images (--json has the number). A * marks the checkpoint that a name without a tag means.
    """
    from advss_zoo.zoo import index

    out.json = json
    entries = index.entries()
    out.table([_row(entry) for entry in entries], document=[_document(entry) for entry in entries])


def _row(entry: Entry) -> dict[str, str]:
    return {
        "name": entry.full_name,
        "*": "*" if entry.default else "",
        "kind": entry.kind,
        "TA": percent(entry.ta),
        "RA": percent(entry.ra),
        "AA": percent(entry.aa),
        "params": size(entry.parameters),
        "size": size(entry.bytes, "B"),
        "licence": entry.licence or "",
    }


def _document(entry: Entry) -> dict[str, Any]:
    keys = ("default", "kind", "ta", "ra", "aa", "aa_images", "parameters", "bytes", "stored", "licence")
    return {"name": entry.full_name, **{key: getattr(entry, key) for key in keys}}
