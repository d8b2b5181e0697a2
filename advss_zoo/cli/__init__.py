"""The `advss` command. Only the entry point is here, so that Ctrl-C is met with one sentence from the first moment."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run one command; exit status 0, 1 for a failure, 2 for a wrong request, 130 after Ctrl-C."""
    status = 0
    try:
        from advss_zoo.cli.app import run

        run(sys.argv[1:])
    except SystemExit:
        raise
    except BaseException as error:
        # All that is left is a sentence: a second Ctrl-C must not turn it into a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from advss_zoo.cli.errors import report

        status = report(error)
    sys.exit(status)
