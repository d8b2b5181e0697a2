"""From exceptions to sentences and exit statuses."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
import typer

from advss_zoo.cli.errors import TORCHVISION_MISMATCH, explain, report
from advss_zoo.errors import AdvssError, DataError, UsageError


@pytest.mark.parametrize(
    ("error", "sentence", "hint", "status"),
    [
        (UsageError("No such name.", "Try p1f4."), "No such name.", "Try p1f4.", 2),
        (AdvssError("The disk burns."), "The disk burns.", None, 1),
        (DataError("Nothing here.", "Get it."), "Nothing here.", "Get it.", 1),
        (typer.BadParameter("must be odd"), "Invalid value: must be odd", None, 2),
        (KeyboardInterrupt(), "Interrupted. Run the same command again to continue.", None, 130),
        (KeyboardInterrupt("Add --resume."), "Interrupted. Add --resume.", None, 130),
        (typer.Abort(), "Interrupted. Run the same command again to continue.", None, 130),
        (MemoryError(), "Out of memory.", "Free some memory, or choose another --device.", 1),
        (PermissionError(errno.EACCES, "Permission denied", "a.json"), "Permission denied: a.json.", None, 1),
        (OSError("odd"), "odd.", None, 1),
        (typer.Exit(3), None, None, 3),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "The package torch is not installed.",
            "Run `advss doctor` to see what is missing.",
            1,
        ),
        (
            ValueError("two\n  lines"),
            "Unexpected error: ValueError: two lines",
            "Set ADVSS_DEBUG=1 to see the traceback.",
            1,
        ),
    ],
)
def test_every_failure_has_a_sentence(
    error: BaseException, sentence: str | None, hint: str | None, status: int
) -> None:
    assert explain(error) == (sentence, hint, status)


def test_a_wrapped_interrupt_is_an_interrupt() -> None:
    error = RuntimeError("Error calling __set_name__")
    error.__cause__ = KeyboardInterrupt()
    assert explain(error).status == 130


def test_failures_of_torch_are_known_without_importing_it() -> None:
    class OutOfMemoryError(RuntimeError):  # torch.OutOfMemoryError is such a class
        pass

    assert explain(OutOfMemoryError("CUDA out of memory")).sentence == "Out of memory."
    assert explain(RuntimeError("DefaultCPUAllocator: can't allocate memory")).sentence == "Out of memory."
    assert "pip install" in (explain(RuntimeError(TORCHVISION_MISMATCH)).hint or "")


def test_the_traceback_is_shown_on_demand(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert report(UsageError("No such name.")) == 2
    assert capsys.readouterr().err == "Error: No such name.\n"
    monkeypatch.setenv("ADVSS_DEBUG", "1")
    assert report(UsageError("No such name.")) == 2
    assert "advss_zoo.errors.UsageError: No such name." in capsys.readouterr().err


def test_a_wrong_choice_is_said_in_plain_words(advss: Callable[..., Any]) -> None:
    outcome = advss("finetune", "--norm", "l3")
    assert outcome.status == 2
    assert outcome.stderr.startswith("Error: Invalid value for '--norm': 'l3' is not one of 'linf', 'l2'.")
