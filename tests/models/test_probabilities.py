"""Probabilities."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advss_zoo.models.probabilities import softmax


@given(arrays(np.float32, (3, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_probabilities_are_probabilities_however_large_the_logits(logits: np.ndarray) -> None:
    found = softmax(logits)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    np.testing.assert_array_equal(found.max(axis=1), found[np.arange(3), logits.argmax(axis=1)])
