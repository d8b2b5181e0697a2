"""Further processes of the command that is running, to share its work as those of a launcher would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading

from advss_zoo.process import cores

PASS = 64  # images of the size of CIFAR's, on a CPU, `evaluation.passes.MOST_IMAGES`, which would import torch
MOST = 8  # processes that nobody asked for: each holds torch and the model
FOLLOWS = "ADVSS_FOLLOWS"  # set in a companion, whose standard input ends with the process that it follows
_companions: list[subprocess.Popen[bytes]] = []  # kept, or their standard input would end


def one_a_core(images: int | None) -> int:
    """Return how many processes share an evaluation of so many images (None: of many) where nobody said how many.

    Processes of one thread each never wait for each other: on free cores they are faster than threads (docs/speed.md),
    and a core that others use costs them its share and no more. A GPU works for one, and whoever chose a number of
    threads has divided the cores already.
    """
    if "OMP_NUM_THREADS" in os.environ or shutil.which("nvidia-smi"):
        return 1
    parts = MOST if images is None else -(-images // PASS)
    return min(cores(), parts, MOST)


def share_among(processes: int) -> None:
    """Start processes that repeat this command line, so that several share its work and the cores.

    To be called before torch is imported, which asks for its number of threads then. The others end with this one.
    """
    if FOLLOWS in os.environ:
        threading.Thread(target=_end_with_standard_input, daemon=True).start()
    if processes == 1 or "RANK" in os.environ:  # one process, or all of them have been started already
        return
    threads = str(max(1, cores() // processes))
    os.environ.update(WORLD_SIZE=str(processes), RANK="0", LOCAL_RANK="0")
    os.environ.setdefault("OMP_NUM_THREADS", threads)
    _companions.extend(_start(rank) for rank in range(1, processes))


def _start(rank: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "advss_zoo", *sys.argv[1:]],
        env=os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), FOLLOWS: str(os.getpid())},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _end_with_standard_input() -> None:
    """A process that is killed takes its companions along, too: nobody would know of them."""
    sys.stdin.buffer.read()
    os._exit(1)
