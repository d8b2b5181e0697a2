"""No card: what counts in these tests is what they make up."""

from __future__ import annotations

import pytest

from advss_zoo.zoo import index


@pytest.fixture(autouse=True)
def _no_cards(monkeypatch):
    monkeypatch.setattr(index, "entries", lambda: ())
