"""The commands of `advss`, one module each. Importing them imports no torch: `advss --help` answers at once."""

from __future__ import annotations

import functools
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

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
from advss_zoo.errors import ModelWarning
from advss_zoo.files import expanded

COMPLETE = "_ADVSS_COMPLETE"  # the variable of typer's completion scripts, see docs/install.md
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


def _complete(group: Any) -> None:  # typer's own click has no public name
    """Answer a shell that asks for its completion script or for completions, and exit."""
    if asked := os.environ.get(COMPLETE):
        from typer.completion import get_completion_inspect_parameters, shell_complete

        get_completion_inspect_parameters()  # registers the shells; typer has nothing else in public that does
        sys.exit(shell_complete(group, {}, "advss", COMPLETE, asked))


def _show_warning(usual: Callable[..., None], said: set[str], message: Warning | str, *where: Any, **more: Any) -> None:
    """What this package has to say of a model is a line for a person, once; where in the code it says so is no use."""
    if isinstance(message, ModelWarning):
        if str(message) not in said:
            said.add(str(message))
            out.hint(str(message))
    else:
        usual(message, *where, **more)


@functools.cache
def _group() -> Any:
    return get_command(app)


def run(arguments: Sequence[str]) -> None:
    """Run one command. Unlike `app()` this lets every exception through, for `errors.report` to put into words."""
    out.json = False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows a question mark, not a traceback
    group = _group()
    _complete(group)
    expanded_arguments = [_with_home(argument) for argument in arguments]
    with group.make_context("advss", expanded_arguments) as context, warnings.catch_warnings():
        warnings.showwarning = functools.partial(_show_warning, warnings.showwarning, set())
        warnings.simplefilter("always", ModelWarning)
        group.invoke(context)
    out.flush()


def _with_home(argument: str) -> str:
    """Expand the `~` or `~user` of a path, which a shell leaves alone in `--out=~/x`. Every path comes by here."""
    found = re.fullmatch(r"([\w.-]+=)?(~|~[\w.-]*/.*)", argument, re.DOTALL)
    return f"{found[1] or ''}{expanded(found[2])}" if found else argument
