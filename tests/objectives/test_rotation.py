from __future__ import annotations

import torch

from advss_zoo.objectives.rotation import Rotation, rotated


def test_turns_are_counter_clockwise():
    square = torch.arange(9.0).view(1, 1, 3, 3)
    assert rotated(square, torch.tensor([1])).view(-1).tolist() == [2, 5, 8, 1, 4, 7, 0, 3, 6]


def test_turning_on_to_a_full_circle_gives_the_original():
    images, turns = torch.rand(8, 3, 6, 6), torch.arange(8) % 4
    assert torch.equal(rotated(rotated(images, turns), 4 - turns), images)


def test_all_turns_are_equally_likely():
    index = torch.arange(20_000)
    images = torch.zeros(len(index), 1, 2, 2)
    turns = Rotation().transform(images, index, index, seed=0).targets
    shares = turns.bincount() / len(index)
    assert len(shares) == 4
    assert ((shares - 0.25).abs() < 0.012).all()  # 4 standard deviations
