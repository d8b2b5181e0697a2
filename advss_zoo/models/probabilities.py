"""From logits to the probabilities that people are shown. Imports no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_TEMPERATURE = 1e6  # beyond it all classes are equally probable anyway


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Turn rows of logits (N,K) into rows of probabilities."""
    exponents = logits.astype(np.float64) / temperature
    powers: NDArray[np.float64] = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
