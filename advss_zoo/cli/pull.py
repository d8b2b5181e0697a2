"""`advss pull NAME`: fetch and verify a checkpoint."""

from __future__ import annotations

from advss_zoo.cli.options import JsonOption, Name, examples
from advss_zoo.cli.output import out

EXAMPLES = examples("advss pull p1f4", 'ls "$(advss pull p1f4.mini)"', "advss pull p1f4 --json")


def command(name: Name, json: JsonOption = False) -> None:
    """Fetch a checkpoint; print its folder.

    Its sha256 is verified. What has been fetched is kept and can be had offline.
    """
    from advss_zoo.zoo import sources

    out.json = json
    fetched = sources.fetch(name)
    document = {
        "name": fetched.full_name,
        "path": str(fetched.path),
        "sha256": fetched.sha256,
        "source": fetched.source,
    }
    out.line(str(fetched.path), document=document)
