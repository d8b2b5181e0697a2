"""The commands of `advss`, one module each. Importing them imports no torch: `advss --help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from advss_zoo.cli import (
    cache,
    claim,
    data,
    doctor,
    eval,
    export,
    finetune,
    import_,
    list,
    predict,
    publish,
    pull,
    report,
    reproduce,
    show,
    suite,
    train,
    verify,
)
from advss_zoo.cli.options import examples
from advss_zoo.cli.output import out

COMMANDS = {
    "list": list,
    "show": show,
    "pull": pull,
    "import": import_,
    "eval": eval,
    "claim": claim,
    "suite": suite,
    "finetune": finetune,
    "train": train,
    "reproduce": reproduce,
    "report": report,
    "predict": predict,
    "export": export,
    "verify": verify,
    "publish": publish,
    "cache": cache,
    "doctor": doctor,
}

# Plain help: it reads the same in a pipe, and rich would double the time it takes.
app = typer.Typer(
    name="advss",
    help="Adversarially robust classifiers: get them, attack them, train them.",
    epilog=examples("advss list", "advss eval p1f4 --attack pgd20 --limit 100", "advss COMMAND --help"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # Typer looks up pydantic to turn an absent --help into a bool; a default spares every command 0.1 s.
    context_settings={
        "max_content_width": 100,
        "default_map": {"help": False, **{command: {"help": False} for command in COMMANDS}},
    },
)
for name, module in COMMANDS.items():
    app.command(name, epilog=module.EXAMPLES)(module.command)
app.add_typer(data.app, name="data")


def _show_version(wanted: bool) -> None:
    if wanted:
        from advss_zoo.version import __version__

        out.line(f"advss-zoo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str]) -> None:
    """Run one command. Unlike `app()` this lets every exception through, for `errors.report` to put into words."""
    out.json = False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows a question mark, not a traceback
    group = get_command(app)
    with group.make_context("advss", [*arguments]) as context:
        group.invoke(context)
    sys.stdout.flush()  # here, so that a reader who has gone is noticed while we can still keep quiet about it
