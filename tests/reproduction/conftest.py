"""A folder of runs, and no card: what counts in these tests is what they make up."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
from reproduction import made_up

from advss_zoo.reproduction.ours import OurResults
from advss_zoo.training import cost
from advss_zoo.zoo import index


@pytest.fixture(autouse=True)
def _no_cards(monkeypatch):
    monkeypatch.setattr(index, "entries", lambda: ())


@pytest.fixture(autouse=True)
def _nothing_is_timed(monkeypatch):
    monkeypatch.setattr(cost, "estimate", lambda recipe, device: SimpleNamespace(seconds=60.0))
    monkeypatch.setattr(cost, "evaluation", lambda recipe, protocol, images, device: 1.0 + protocol.steps)


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def measure(runs):
    return partial(made_up.measure, runs)


@pytest.fixture
def transfer(runs):
    return partial(made_up.transfer, runs)


@pytest.fixture
def unforeseen(runs):
    return partial(made_up.unforeseen, runs)


@pytest.fixture
def ours(runs):
    """What is there when it is called."""
    return lambda: OurResults(runs)
