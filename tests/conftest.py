"""One thread a process: the tests run in as many processes as there are cores, and launch more."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
