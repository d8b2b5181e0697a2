from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from advss_zoo.errors import CheckpointError
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.objectives.jigsaw import Jigsaw
from advss_zoo.objectives.joint import Joint
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.zoo import checkpoint


def test_class_frequencies():
    """Class 0 gets 0.1 on top of its share of the rest: 0.1 + 0.9/31."""
    index = torch.arange(40_000)
    images = torch.zeros(len(index), 1, 4, 4)
    kinds = Jigsaw().transform(images, index, index, seed=0).targets
    shares = kinds.bincount(minlength=31) / len(index)
    assert len(shares) == 31
    assert abs(shares[0] - 0.129) < 0.007
    assert ((shares[1:] - 0.029).abs() < 0.0035).all()


def test_pieces_go_where_the_permutation_says():
    objective = Jigsaw(unshuffled=0.0)
    images = torch.arange(16.0).repeat_interleave(64).view(16, 8, 8)  # piece l is full of l
    image = torch.cat([torch.cat(list(images[row * 4 : row * 4 + 4]), dim=1) for row in range(4)])
    batch = objective.transform(image.expand(5, 3, 32, 32), torch.zeros(5), torch.arange(5), seed=0)
    for view, kind in zip(batch.inputs, batch.targets, strict=True):
        found = [view[0, 8 * (j // 4), 8 * (j % 4)].item() for j in range(16)]
        assert found == objective.orders()[kind].tolist()


def test_orders_are_permutations_that_the_checkpoint_carries():
    objective = Jigsaw()
    orders = objective.orders()
    assert orders.shape == (31, 16)
    assert torch.equal(orders[0], torch.arange(16))
    assert (orders.sort(dim=1).values == torch.arange(16)).all()
    assert len(orders.unique(dim=0)) == 31
    stored = objective.build(ResNetV2Architecture(depth=18, width=2)).state_dict()["head.permutations"]
    assert torch.equal(stored, orders)
    assert not torch.equal(Jigsaw(permutation_seed=1).orders(), orders)


@pytest.mark.parametrize(
    ("objective", "key"),
    [
        (Jigsaw(), "head.permutations"),
        (Joint(tasks=(Jigsaw(), Rotation())), "head.jigsaw.permutations"),
    ],
    ids=["jigsaw", "joint"],
)
def test_weights_for_other_permutations_are_not_loaded(objective, key, tmp_path):
    architecture = ResNetV2Architecture(depth=18, width=2)
    network = objective.build(architecture)
    config = checkpoint.Config(
        name="j", tag="t", kind="trunk", scenario="p3", architecture=architecture, objective=objective
    )
    state = network.state_dict()
    checkpoint.save(tmp_path / "same", state, config)
    checkpoint.load(tmp_path / "same")
    checkpoint.save(tmp_path / "other", state | {key: Jigsaw(permutation_seed=1).orders()}, config)
    with pytest.raises(CheckpointError, match=rf"{key} .* differs from the permutations of permutation_seed 22"):
        checkpoint.load(tmp_path / "other")
    deepcopy(network).load_state_dict(state)
