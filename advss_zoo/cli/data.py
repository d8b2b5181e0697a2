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


@app.command(
    epilog=examples(
        "advss data get cifar10",
        "advss data get cifar100 --from ~/datasets",
        "advss data get edm-150k --from ~/1m.npz",
        "advss data get restricted-imagenet --from ~/imagenet",
    )
)
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set; cifar10-1k is always there.")],
    source: Annotated[
        Path | None, typer.Option("--from", metavar="PATH", help="Make it from this folder or file of yours.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch a data set and verify it; print the file it is kept in.

    cifar10, cifar100: taken from $ADVSS_DATA or ./data if it is there in torchvision's layout, else downloaded.

    cifar10-5k, cifar10-15k: a class-balanced part of CIFAR-10's 45,000 training images, and the same 5,000 for
    validation.

    edm-1m: a million images like CIFAR-10's from a diffusion model (3 GB). edm-30k, edm-50k, edm-150k: so many of them
    to train on, and 10,000 for validation. Downloaded from the Hugging Face Hub, or made from its 1m.npz.

    restricted-imagenet: 203 classes of ImageNet as 9, at 224x224 pixels (39 GB), made from a folder with train/ and
    val/. Not the 10 superclasses of Chen et al., whose list could not be found.
    """
    from advss_zoo.data.get import get
    from advss_zoo.data.reporting import Reporter

    out.json = json
    path = get(name, source, Reporter(out.hint, out.progress))
    out.line(str(path), {"name": name, "path": str(path), "bytes": path.stat().st_size})
