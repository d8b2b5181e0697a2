"""What a person reads when a command fails: a sentence, what to type next, and an exit status; never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import typer

from advss_zoo.cli.interrupts import GO_ON, INTERRUPTED
from advss_zoo.cli.output import is_first_process, out
from advss_zoo.cli.streams import forget
from advss_zoo.errors import AdvssError, UsageError

FAILURE = 1
TORCHVISION_MISMATCH = "operator torchvision::nms does not exist"
TORCHVISION_FIX = "Install both from one index: `pip install --force-reinstall torch torchvision`."


class Explanation(NamedTuple):
    """A failure in words; without a sentence there is nothing to say."""

    sentence: str | None
    hint: str | None = None
    status: int = FAILURE


def _explain_typer(error: typer.TyperException) -> Explanation:
    context = getattr(error, "ctx", None)
    hint = f"Run `{context.command_path} --help` to see its arguments." if context else None
    # Typer passes pydantic's prefix on.
    return Explanation(error.format_message().replace("Value error, ", ""), hint, error.exit_code)


def _explain_os(error: OSError) -> Explanation:
    reason = error.strerror or str(error) or type(error).__name__
    return Explanation(f"{reason}: {error.filename}." if error.filename else f"{reason}.")


def _explain_import(error: ImportError) -> Explanation:
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("advss_zoo"):
        return Explanation(f"The package {error.name} is not installed.", "Run `advss doctor` to see what is missing.")
    return _explain_unexpected(error)


def _explain_runtime(error: RuntimeError) -> Explanation:
    # torch is not imported to look at its exception classes: most failures happen without it.
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
        return _explain_memory(error)
    if TORCHVISION_MISMATCH in str(error):
        return Explanation("The versions of torch and torchvision do not match.", TORCHVISION_FIX)
    return _explain_unexpected(error)


def _explain_value(error: ValueError) -> Explanation:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    if any(frame.f_globals.get("__name__") == "huggingface_hub.constants" for frame in frames):
        return Explanation(f"huggingface_hub cannot be imported: {error}.", "Check the variables HF_*, see `env`.")
    return _explain_unexpected(error)


def _explain_memory(error: BaseException) -> Explanation:
    return Explanation("Out of memory.", "Free some memory, or choose another --device.")


def _explain_unexpected(error: BaseException) -> Explanation:
    detail = " ".join(str(error).split())
    what = f"{type(error).__name__}: {detail}" if detail else type(error).__name__
    return Explanation(f"Unexpected error: {what}", "Set ADVSS_DEBUG=1 to see the traceback.")


# The first line that fits counts.
EXPLANATIONS: tuple[tuple[type[BaseException], Callable[[Any], Explanation]], ...] = (
    (typer.Exit, lambda error: Explanation(None, status=error.exit_code)),
    (KeyboardInterrupt, lambda error: _interrupted(str(error))),
    (typer.Abort, lambda error: _interrupted("")),
    (AdvssError, lambda error: Explanation(error.message, error.hint, error.exit_code)),
    (typer.TyperException, _explain_typer),
    (BrokenPipeError, lambda error: Explanation(None)),
    (MemoryError, _explain_memory),
    (OSError, _explain_os),
    (ImportError, _explain_import),
    (RuntimeError, _explain_runtime),
    (ValueError, _explain_value),
    (BaseException, _explain_unexpected),
)


def _interrupted(hint: str) -> Explanation:
    return Explanation(f"Interrupted. {hint or GO_ON}", status=INTERRUPTED)


def explain(error: BaseException) -> Explanation:
    # Libraries, and Python itself, wrap a KeyboardInterrupt in errors of their own.
    error = next((cause for cause in _causes(error) if isinstance(cause, KeyboardInterrupt)), error)
    return next(explanation(error) for kind, explanation in EXPLANATIONS if isinstance(error, kind))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def report(error: BaseException) -> int:
    """Say on stderr what went wrong; returns the exit status."""
    sentence, hint, status = explain(error)
    if isinstance(error, UsageError) and not is_first_process():
        return status  # every process has found the same mistake
    if isinstance(error, BrokenPipeError):
        forget(sys.stdout)
    if os.environ.get("ADVSS_DEBUG") == "1" and sentence is not None:
        traceback.print_exception(error)
    if type(error).__name__ == "NoArgsIsHelpError":  # not exported by typer; its message is the whole help
        out.hint(str(error))
    elif status == INTERRUPTED and sentence is not None:
        out.hint(f"\n{sentence}")
    elif sentence is not None:
        out.error(sentence, hint)
    return status
