"""`advss data`: put data sets where every other command finds them, and look at your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advss_zoo.cli.options import GroupByOption, JsonOption, PartsOption, TruncatedOption, examples, parsed
from advss_zoo.cli.output import out

app = typer.Typer(help="Fetch and check data sets.", no_args_is_help=True, rich_markup_mode=None)


@app.command(
    epilog=examples(
        "advss data get cifar10",
        "advss data get cifar100 --from ~/datasets",
        "advss data get edm-150k --from ~/1m.npz",
        "advss data get restricted-imagenet --from ~/imagenet",
    )
)
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data set; cifar10-1k is always available.")],
    source: Annotated[
        Path | None, typer.Option("--from", metavar="PATH", help="Local folder or file to make it from.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch and verify a data set; print its file.

    cifar10, cifar100: read from $ADVSS_DATA or ./data (torchvision's layout), else downloaded.

    cifar10-5k, cifar10-15k: class-balanced subsets of CIFAR-10's 45,000 training images, with the same 5,000 validation
    images.

    edm-1m: a million CIFAR-10-like images from a diffusion model (3 GB). edm-30k, edm-50k, edm-150k: 30,000 to 150,000
    of them for training, and 10,000 for validation. Downloaded from the Hugging Face Hub, or made from its 1m.npz.

    restricted-imagenet: 203 classes of ImageNet as 9, at 224x224 pixels (39 GB), made from a folder with train/ and
    val/. Chen et al. use 10 superclasses, whose list is not published.
    """
    from advss_zoo.data.get import get
    from advss_zoo.progress import Reporter

    out.json = json
    with out.steps() as steps:
        path = get(name, source, Reporter(steps.say, steps))
    out.line(str(path), {"name": name, "path": str(path), "bytes": path.stat().st_size})


@app.command(
    epilog=examples(
        "advss data check mydir",
        "advss data check labels.csv --html images.html",
        "advss data check mydir --json",
    )
)
def check(
    data: Annotated[str, typer.Argument(metavar="DIR", help="Class folders, or a CSV or JSONL of path,label.")],
    image_size: Annotated[int, typer.Option(metavar="N", min=16, max=1024, help="Pixels per side in use.")] = 32,
    parts: PartsOption = None,
    group_by: GroupByOption = None,
    truncated: TruncatedOption = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with pictures.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what is in a folder of images.

    Reports what `advss finetune` would do with it: images by class and split and why, the order of classes, sizes,
    modes and values, images that are nearly uniform, copies and near copies, and files that cannot be read or are not
    used. The page shows pictures of each class and of everything odd. Decoded images are kept for `advss finetune` and
    `advss eval`.
    """
    from advss_zoo.workflows.check import check_data

    out.json = json
    with out.steps() as steps:
        found = check_data(
            data,
            image_size,
            parts=parsed(parts),
            group_by=group_by,
            truncated=truncated,
            html=html,
            progress=steps,
            say=steps.say,
        )
    if json:
        out.line("", found.to_json())
    for line in found.data.summary.lines():
        out.line(line)
    out.hint(f"Every image: {found.data.images_file}  Not used or odd: {found.data.unused_file}")
    if found.page:
        out.hint(f"Page: {found.page}")
