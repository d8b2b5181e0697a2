"""Finished parts of a pass: kept whole or not at all, and taken for nothing else."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.evaluation.record import Record

OF = torch.tensor([3, 1, 4])


def fails():
    raise AssertionError("computed again")


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "parts" / "00000064"


def test_a_finished_part_is_read_back_bit_for_bit(prefix):
    value = torch.rand(3, 2, 2).transpose(0, 1)
    assert torch.equal(Record(prefix).part("square", OF, lambda: value), value)
    record = Record(prefix)
    assert torch.equal(record.part("square", OF, fails), value)
    assert record.effort.seconds > 0


@pytest.mark.parametrize(("name", "of", "pass_"), [("fab-t", OF, 64), ("square", OF + 1, 64), ("square", OF, 128)])
def test_a_part_of_something_else_is_computed(name, of, pass_, prefix):
    Record(prefix).part("square", OF, lambda: torch.zeros(1))
    other = Record(prefix.with_name(f"{pass_:08d}"))
    assert other.part(name, of, lambda: torch.ones(1)).item() == 1
    assert other.effort.seconds == 0


def test_an_interrupted_part_leaves_nothing(prefix):
    def dies():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Record(prefix).part("square", OF, dies)
    assert not prefix.parent.exists()


def test_parts_are_announced_whether_or_not_they_are_done(prefix):
    said = []
    for _ in range(2):
        Record(prefix, said.append).part("square", OF, lambda: torch.zeros(1))
    assert said == ["square", "square"]


def test_without_a_place_everything_is_computed():
    record = Record()
    assert [record.part("square", OF, lambda n=n: torch.tensor(n)).item() for n in (1, 2)] == [1, 2]
