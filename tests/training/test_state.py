"""The saved state is whole or it is refused."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.errors import AdvssError
from advss_zoo.training import log, state


def test_what_is_saved_comes_back_exactly(tmp_path):
    groups = {"model": {"a.b": torch.randn(3, 4), "count": torch.tensor(7)}, "momentum": {"a.b": torch.randn(3, 4)}}
    state.save(tmp_path / "state", groups, {"step": 3, "best": {"ta": 0.1}})
    found, facts = state.load(tmp_path / "state")
    assert facts == {"step": 3, "best": {"ta": 0.1}}
    for group, tensors in groups.items():
        assert found[group].keys() == tensors.keys()
        assert all(torch.equal(found[group][name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:20], lambda b: b"\x80\x02" + b])
def test_damaged_files_are_refused(tmp_path, damage):
    path = tmp_path / "state"
    state.save(path, {"model": {"a": torch.ones(5)}}, {"step": 1})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(AdvssError, match="state"):
        state.load(path)


def test_a_log_forgets_what_comes_after_the_state_and_a_torn_line(tmp_path):
    path = tmp_path / "log.jsonl"
    for step in (1, 2, 3):
        log.append(path, {"step": step})
    with path.open("ab") as file:
        file.write(b'{"step": 4, "lo')
    assert [record["step"] for record in log.read(path)] == [1, 2, 3]
    log.rewind(path, 2)
    log.append(path, {"step": 3, "again": True})
    assert log.read(path) == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]


@pytest.mark.parametrize("kept", [[], [{"step": 1}]])
def test_a_torn_line_does_not_tear_the_next_one(kept, tmp_path):
    path = tmp_path / "log.jsonl"
    for record in kept:
        log.append(path, record)
    with path.open("ab") as file:
        file.write(b'{"step": 4, "lo')
    log.append(path, {"step": 5})
    assert log.read(path) == [*kept, {"step": 5}]
