"""Seeds for everything random, each a function of what it is for."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, purpose: str, moment: int) -> int:
    """Derive an independent 56-bit seed for each purpose and each moment of a piece of work."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{moment}".encode()).digest()[:7])
