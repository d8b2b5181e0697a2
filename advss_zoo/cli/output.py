"""Everything the commands print goes through `out`: data on stdout, all else on stderr.

Data is shown as a table or text on a terminal, as tab-separated lines in a pipe, and as exactly one JSON document
with --json. Rich is imported only for a terminal: it is slow to import, and guesses 80 columns in a pipe.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from advss_zoo.cli.streams import written_to_stderr, written_to_stdout
from advss_zoo.texts import duration, visible

if TYPE_CHECKING:
    import rich.progress

GAP = 2  # blanks between the columns of a table
NARROWEST = 20  # characters that the last column of a table must have
LINE_EVERY = 10.0  # seconds between lines of progress in a log
LAYOUT = "\n\t"  # the only characters without a picture that reach a terminal: others command it
RED, PLAIN = "\033[1;31m", "\033[0m"


class Output:
    """Where a command sends what it has to say; `json` is set by commands that take --json."""

    def __init__(self) -> None:
        self.json = False

    # --- data, on stdout --------------------------------------------------------------------------------------------

    @written_to_stdout()
    def table(self, rows: Sequence[Mapping[str, str]], document: Any) -> None:
        """Print rows of cells under their keys for people; `document` for machines."""
        if not is_first_process():
            return
        if self.json:
            self._document(document)
        elif rows and sys.stdout.isatty():
            _terminal_table(rows)
        elif rows:
            for cells in ([*rows[0]], *([*row.values()] for row in rows)):
                print("\t".join(" ".join(visible(cell, LAYOUT).split()) for cell in cells))

    @written_to_stdout()
    def line(self, text: str, document: Any = None) -> None:
        """Print one line of data; with --json `document` instead, or nothing."""
        if not is_first_process():
            return
        if not self.json:
            print(visible(text, LAYOUT))
        elif document is not None:
            self._document(document)

    @written_to_stdout()
    def markdown(self, text: str) -> None:
        """Print Markdown, rendered on a terminal, plain in a pipe."""
        if not sys.stdout.isatty():
            print(text)
            return
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))

    @written_to_stdout()
    def flush(self) -> None:
        """Write what is buffered, so that a reader who has gone is noticed while we can still keep quiet about it."""
        sys.stdout.flush()

    def _document(self, document: Any) -> None:
        print(json.dumps(document, indent=1, allow_nan=False))

    # --- everything else, on stderr -----------------------------------------------------------------------------------

    def hint(self, text: str) -> None:
        """Print something worth knowing: the next step, an assumption."""
        if is_first_process():
            _say(text)

    @written_to_stderr()
    def error(self, text: str, hint: str | None = None) -> None:
        plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
        print("Error:" if plain else f"{RED}Error:{PLAIN}", visible(text, LAYOUT), file=sys.stderr, flush=True)
        if hint:
            _say(hint)

    def steps(self) -> Steps:
        """Return a context manager to be called with (label, unit, done, total, note), as workflows do."""
        return Steps(self)


class Progress:
    """A bar with the time left on a terminal; in a log a line at most every 10 seconds, and a last one.

    The first call, and any with less done than before, tells where the work starts: a resumed run is not taken for a
    fast one. A log has its first line as soon as a part of the work that has a name is begun.
    """

    def __init__(self, label: str, unit: str) -> None:
        self._label, self._unit = label, unit
        self._start: tuple[float, int] | None = None
        self._done = 0
        self._pending: str | None = None
        self._printed, self._spoke = time.monotonic(), False
        self._bar: rich.progress.Progress | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if self._start is None or done < self._done:
            self._start = (now, done)
        self._done = done
        status = self._status(now, done, total, note)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, status=status)
            return
        begun = done == self._start[1] and note != ""
        if done == total or done > self._start[1] or begun:
            self._pending = f"{self._label}: {status}"
        if self._pending and (now - self._printed >= LINE_EVERY or (begun and not self._spoke)):
            self._print_line(now)

    def _status(self, now: float, done: int, total: int, note: str) -> str:
        parts = [f"{done:,}/{total:,} {self._unit}"]
        began, first = self._start or (now, done)
        if done > first and now > began:
            rate = (done - first) / (now - began)
            parts.append(f"{rate_text(rate)}/s")
            if done < total:
                parts.append(f"{duration((total - done) / rate)} left")
        return ", ".join([*parts, note] if note else parts)

    def _print_line(self, now: float) -> None:
        assert self._pending is not None
        if is_first_process():
            _say(self._pending)
        self._pending, self._printed, self._spoke = None, now, True

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and is_first_process():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}")
            self._bar = Bar(*columns, console=Console(stderr=True), refresh_per_second=4)
            self._bar.add_task(self._label, total=None, status="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._pending is not None:
            self._print_line(time.monotonic())


class Steps:
    """The progress of one thing after the other; `say` ends that of the last thing and prints a line."""

    def __init__(self, output: Output) -> None:
        self._output, self._label = output, ""
        self._progress: Progress | None = None

    def __call__(self, label: str, unit: str, done: int, total: int, note: str) -> None:
        if self._progress is None or label != self._label:
            self._end()
            self._label, self._progress = label, Progress(label, unit).__enter__()
        self._progress(done, total, note)

    def say(self, text: str) -> None:
        self._end()
        self._output.hint(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._progress is not None:
            progress, self._progress = self._progress, None
            progress.__exit__(None, None, None)


def is_first_process() -> bool:
    """Tell whether this is the process that prints, of several started by a launcher (torchrun, accelerate launch)."""
    return os.environ.get("RANK", "0") == "0"


def size(count: int | None, unit: str = "") -> str:
    """Format a number of bytes (unit "B") or parameters: 2,814,000 as 2.8 M."""
    if count is None:
        return ""
    value, prefixes = float(count), ["", "k", "M", "G", "T"]
    while value >= 999.5 and len(prefixes) > 1:
        value /= 1000
        prefixes.pop(0)
    return f"{value:.3g} {prefixes[0]}{unit}".strip()


def rate_text(per_second: float) -> str:
    return f"{per_second:.3g}" if per_second < 100 else f"{per_second:,.0f}"


def _terminal_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Columns where they fit, only the last of them wrapped; else row after row, a line a cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    *fixed, last = (max(len(heading), *(len(row[heading]) for row in rows)) for heading in rows[0])
    if sum(fixed) + GAP * len(fixed) + min(last, NARROWEST) > console.width:
        for row in rows:
            _print_aligned({heading: cell for heading, cell in row.items() if cell})
            print()
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for position, heading in enumerate(rows[0]):
        numeric = all(row[heading][:1].isdigit() for row in rows if row[heading])
        wraps = position == len(fixed)
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=not wraps, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell, LAYOUT)) for cell in row.values()))
    console.print(table)


def _print_aligned(pairs: Mapping[str, str]) -> None:
    width = max(map(len, pairs), default=0)
    for key, value in pairs.items():
        print(f"{key:<{width}}  {visible(value, LAYOUT)}")


@written_to_stderr()
def _say(text: str) -> None:
    print(visible(text, LAYOUT), file=sys.stderr, flush=True)


out = Output()
