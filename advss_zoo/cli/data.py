"""`advss data`: put data sets where every other command finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advss_zoo.cli.options import JsonOption, examples
from advss_zoo.cli.output import out

app = typer.Typer(help="Fetch and verify data sets.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _data() -> None:
    # Without a callback typer takes a lone command for the whole group.
    pass


@app.command(epilog=examples("advss data get cifar10", "advss data get cifar100 --from ~/datasets"))
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="cifar10 or cifar100; cifar10-1k is always there.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Take it from this folder in torchvision's layout."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch a data set and verify it; print the file it is kept in.

    Taken from $ADVSS_DATA or ./data if it is there in torchvision's layout, else downloaded.
    """
    from advss_zoo.data.cifar import get

    out.json = json
    path = get(name, source, progress=out.hint)
    out.line(str(path), {"name": name, "path": str(path), "bytes": path.stat().st_size})
