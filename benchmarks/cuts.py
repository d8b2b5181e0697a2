"""That no verdict depends on how many images are attacked at once, or on how many processes share the work.

    python benchmarks/cuts.py p1f4.mini --attack pgd20 --data cifar10
    python benchmarks/cuts.py p1f4.mini --attack autoattack --limit 1000 --out runs/cuts

Runs `advss eval` with every size of passes and every number of processes, and counts the verdicts that are not those of
the first run. With --out it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from advss_zoo.evaluation.verdicts import Verdicts


def verdicts(command: list[str], out: Path, batch_size: int, processes: int) -> Verdicts:
    cut = ["--batch-size", str(batch_size), "--processes", str(processes)]
    folder = out / f"{batch_size}-{processes}"
    subprocess.run([*command, *cut, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
    (found,) = folder.rglob("verdicts.npz")
    return Verdicts.read(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--attack", default="pgd20")
    parser.add_argument("--data", default="cifar10-1k")
    parser.add_argument("--limit", help="the first images only")
    parser.add_argument("--sizes", default="64,16,256,1024", help="of passes, with commas")
    parser.add_argument("--processes", default="1,2,3", help="with commas")
    parser.add_argument("--out", type=Path, help="keeps the results; left out: a folder that is deleted")
    options = parser.parse_args()
    command = [sys.executable, "-m", "advss_zoo", "eval", options.name, "--attack", options.attack]
    command += ["--data", options.data, *(["--limit", options.limit] if options.limit else [])]
    sizes, processes = (list(map(int, text.split(","))) for text in (options.sizes, options.processes))
    # Every number of processes with the first size, and every size with the last number.
    cuts = dict.fromkeys([*((sizes[0], number) for number in processes), *((size, processes[-1]) for size in sizes)])
    with ExitStack() as until_the_end:
        out = options.out or Path(until_the_end.enter_context(tempfile.TemporaryDirectory()))
        first: Verdicts | None = None
        print("| images at once | processes | RA | other verdicts | other images robust |\n|---|---|---|---|---|")
        for size, number in cuts:
            found = verdicts(command, out, size, number)
            first = first or found
            other = [
                np.sum(getattr(found, part) != getattr(first, part)) for part in ("attacked_prediction", "standing")
            ]
            print(f"| {size} | {number} | {100 * found.standing.mean():.2f} | {other[0]} | {other[1]} |", flush=True)


if __name__ == "__main__":
    main()
