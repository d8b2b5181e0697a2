"""What a command costs on a machine that does other work, too: wall and CPU seconds beside 0, 1 and 3 busy processes.

    pip install --no-deps torchattacks
    python benchmarks/busy.py                       # `advss eval`, as it is and with threads that spin; torchattacks
    python benchmarks/busy.py --others 0,3 --images 256 --only "advss eval"
    python benchmarks/busy.py --command "advss train p1f4.mini epochs=1"

Each command starts anew, so its seconds include the import of torch. A busy process counts in a loop. Run it on a
Linux machine that is calm apart from that.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MODEL = "p1f4.mini"
ATTACKS = Path(__file__).with_name("attacks.py")
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")
BECOME_SUBREAPER = 36  # of prctl(2)


@dataclass(frozen=True)
class Side:
    command: list[str]
    environment: dict[str, str]


def sides(images: int) -> dict[str, Side]:
    advss = [sys.executable, "-m", "advss_zoo", "eval", MODEL, "--attack", "pgd20", "--limit", str(images)]
    peer = [sys.executable, str(ATTACKS), MODEL, "--attack", "pgd20", "--images", str(images), "--only", "torchattacks"]
    return {
        "advss eval": Side(advss, {}),
        "advss eval --processes 1": Side([*advss, "--processes", "1"], {}),
        "advss eval --processes 1, spinning": Side([*advss, "--processes", "1"], {"OMP_WAIT_POLICY": "ACTIVE"}),
        "torchattacks": Side([*peer, "--threads", str(os.cpu_count())], {}),
    }


@contextmanager
def busy(processes: int) -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def seconds(side: Side, others: int) -> tuple[float, float]:
    """Of the clock and of the cores, those of the processes that the command starts included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(side.command, cwd=folder, env=os.environ | side.environment, check=True, capture_output=True)
    wall = time.perf_counter() - start
    while len(CHILDREN.read_text().split()) > others:  # orphans of the command come to us, see `main`
        os.waitpid(-1, os.WNOHANG)
        time.sleep(0.01)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--others", default="0,1,3", help="numbers of busy processes")
    parser.add_argument("--only", default="", help="one side of the table")
    parser.add_argument("--command", help="another one in their place, run in an empty folder")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(BECOME_SUBREAPER, 1)
    print("| | busy | wall s | CPU s |\n|---|---|---|---|")
    measured = {options.command: Side(shlex.split(options.command), {})} if options.command else sides(options.images)
    for name, side in measured.items():
        if options.only not in ("", name):
            continue
        for others in map(int, options.others.split(",")):
            with busy(others):
                wall, cores = seconds(side, others)
            print(f"| {name} | {others} | {wall:.1f} | {cores:.1f} |", flush=True)


if __name__ == "__main__":
    main()
