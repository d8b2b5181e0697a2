"""Commands in a process that has no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # whoever imports it fails
from advss_zoo.cli import main
main()
"""


def without_torch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`advss` in a process in which nobody can import torch."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
