"""The `advss` command. Only the entry point is here, so that Ctrl-C is met with one sentence from the first moment."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from advss_zoo.cli.interrupts import INTERRUPTED
from advss_zoo.cli.streams import open_closed


def main() -> NoReturn:
    """Run the command of `sys.argv` and end the process: status 0, 1 failure, 2 wrong usage, 130 Ctrl-C."""
    open_closed()
    status = execute()
    if status == INTERRUPTED:
        # Not sys.exit: there Python kills itself with SIGINT if Ctrl-C fell into an exec(), as dataclasses use it.
        # Nor is there a thread that it would be right to wait for.
        with suppress(OSError):  # nobody reads them any more
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def execute() -> int:
    """Run the command of `sys.argv`; returns the exit status."""
    try:
        from advss_zoo.cli.app import run

        run(sys.argv[1:])
    except SystemExit:
        raise
    except BaseException as error:
        # All that is left is a sentence: a second Ctrl-C must not turn it into a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from advss_zoo.cli.errors import report

        return report(error)
    return 0
