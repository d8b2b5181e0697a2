"""Every objective, found in the package: its losses agree with its own idea of what is correct."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

import advss_zoo.objectives
from advss_zoo.adversaries.pgd import Pgd
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.models.modes import frozen
from advss_zoo.objectives.base import Batch, Objective
from advss_zoo.objectives.classification import Classification
from advss_zoo.objectives.jigsaw import Jigsaw
from advss_zoo.objectives.joint import Joint
from advss_zoo.objectives.oneshot import OneShot
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.objectives.selfie import Selfie
from advss_zoo.objectives.trades import Trades
from advss_zoo.registry import subclasses

ARCHITECTURE = ResNetV2Architecture(depth=18, width=2)
COUNT = 6
# The transformer of the paper is too large for this net; everything else has its defaults.
SMALL = {
    Selfie: {"transformer": "mini"},
    Joint: {"tasks": (Selfie(transformer="mini"), Jigsaw(), Rotation()), "diversity": {}},
}


@pytest.fixture(params=subclasses(advss_zoo.objectives, Objective), ids=lambda cls: cls.__name__)
def objective(request):
    return request.param(**SMALL.get(request.param, {}))


@pytest.fixture
def prepared(objective):
    torch.manual_seed(0)
    model = objective.build(ARCHITECTURE)
    images = torch.rand(COUNT, 3, 32, 32)
    batch = objective.transform(images, torch.arange(COUNT), torch.arange(COUNT) + 100, seed=1)
    return objective, model, images, batch


def test_losses_are_finite_scalars_that_reach_every_weight(prepared):
    objective, model, _, batch = prepared
    loss = objective.training_loss(model, batch.inputs, batch, clean_weight=0.5)
    loss.backward()
    assert loss.ndim == 0
    assert loss.isfinite()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_the_adversary_finds_what_raises_the_attack_loss(prepared):
    objective, model, _, batch = prepared
    with frozen(model):
        loss = objective.attack_loss(model, batch)
        attacked = Pgd(steps=3).perturb(loss, batch.inputs, index=batch.index, seed=0, progress=0)
        assert loss(attacked.requires_grad_()) > loss(batch.inputs.requires_grad_())
    assert (attacked - batch.inputs).abs().max() <= 8 / 255 + 1e-6


def test_what_is_correct_is_decided_image_by_image(prepared):
    objective, model, _, batch = prepared
    model.eval()
    with torch.no_grad():
        right = objective.correct(model, batch.inputs, batch)
    assert right.dtype == torch.bool
    assert len(right) == COUNT
    if len(batch.inputs) == COUNT:  # one view an image
        some = torch.tensor([4, 1])
        with torch.no_grad():
            alone = objective.correct(
                model, batch.inputs[some], Batch(batch.inputs[some], batch.targets[some], batch.index[some])
            )
        assert torch.equal(alone, right[some])


def test_the_transform_is_a_function_of_image_and_seed(objective):
    images, labels, index = torch.rand(COUNT, 3, 32, 32), torch.arange(COUNT), torch.arange(COUNT)
    first, again = (objective.transform(images, labels, index, seed=5) for _ in range(2))
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets, again.targets)
    assert len(first.index.unique()) == len(first.inputs), "every view has a random start of its own"


def test_undoing_the_transform_gives_the_images_back(objective):
    images = torch.rand(COUNT, 3, 32, 32)
    batch = objective.transform(images, torch.arange(COUNT), torch.arange(COUNT), seed=3)
    if len(batch.inputs) == COUNT:
        assert torch.equal(objective.undo(batch.inputs, batch), images)


def test_what_ships_is_part_of_what_was_trained(objective):
    trained, shipped = objective.build(ARCHITECTURE).state_dict(), objective.deployed.build(ARCHITECTURE).state_dict()
    assert shipped.keys() <= trained.keys()
    assert {name.partition(".")[0] for name in shipped} == {"trunk", "head"}


def test_options_survive_being_written_down(objective):
    assert type(objective).model_validate(objective.model_dump(mode="json")) == objective
    assert objective.model_dump(exclude_defaults=True)["name"] == objective.name


def test_classification_smooths_the_training_loss_only():
    logits, labels = torch.randn(4, 10), torch.arange(4)
    objective = Classification(label_smoothing=0.1)
    batch = objective.transform(torch.rand(4, 3, 2, 2), labels, torch.arange(4), seed=0)
    smooth = objective.loss(lambda _: logits, batch.inputs, batch)
    hard = objective.attack_loss(lambda _: logits, batch)(batch.inputs)
    assert smooth.item() == pytest.approx(cross_entropy(logits, labels, label_smoothing=0.1).item())
    assert hard.item() == pytest.approx(4 * cross_entropy(logits, labels).item(), rel=1e-5)


def test_clean_and_attacked_losses_are_mixed():
    objective = Classification()
    batch = objective.transform(torch.zeros(4, 3, 2, 2), torch.arange(4), torch.arange(4), seed=0)

    def model(inputs):
        return torch.eye(4) * (1 + inputs.sum())

    clean, attacked = (objective.loss(model, inputs, batch) for inputs in (batch.inputs, batch.inputs + 1))
    mixed = objective.training_loss(model, batch.inputs + 1, batch, clean_weight=0.25)
    assert mixed.item() == pytest.approx(0.25 * clean.item() + 0.75 * attacked.item())


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_is_the_clean_loss_plus_a_divergence(beta):
    clean, attacked, labels = torch.randn(5, 10), torch.randn(5, 10), torch.arange(5)
    images = torch.zeros(5, 3, 2, 2)

    def model(inputs):
        return clean if inputs is images else attacked

    objective = Trades(beta=beta)
    batch = objective.transform(images, labels, torch.arange(5), seed=0)
    p, q = clean.softmax(1), attacked.softmax(1)
    divergence = (p * (p / q).log()).sum(1)
    assert objective.loss(model, images + 1, batch).item() == pytest.approx(
        (cross_entropy(clean, labels) + beta * divergence.mean()).item(), rel=1e-4
    )
    assert objective.attack_loss(model, batch)(images + 1).item() == pytest.approx(divergence.sum().item(), rel=1e-4)


def test_trades_runs_attacked_images_before_clean_ones():
    """As every objective does, so that running statistics end on the clean batch; each goes through once."""
    seen = []

    def model(inputs):
        seen.append("clean" if inputs is images else "attacked")
        return torch.zeros(5, 10)

    images = torch.zeros(5, 3, 2, 2)
    batch = Trades().transform(images, torch.arange(5), torch.arange(5), seed=0)
    Trades().loss(model, images + 1, batch)
    assert seen == ["attacked", "clean"]


def test_validation_of_trades_maximises_the_cross_entropy():
    logits, labels = torch.randn(5, 10), torch.arange(5)
    validated = Trades(beta=6).validation_objective
    batch = validated.transform(torch.zeros(5, 3, 2, 2), labels, torch.arange(5), seed=0)
    found = validated.attack_loss(lambda _: logits, batch)(batch.inputs)
    assert found.item() == pytest.approx(5 * cross_entropy(logits, labels).item(), rel=1e-5)


def test_oneshot_turns_every_image_in_all_four_ways():
    images = torch.rand(3, 3, 4, 4)
    batch = OneShot().transform(images, torch.tensor([7, 8, 9]), torch.arange(3), seed=0)
    assert batch.targets.tolist() == [7, 8, 9, *[0] * 3, *[1] * 3, *[2] * 3, *[3] * 3]
    assert torch.equal(batch.inputs[:3], batch.inputs[3:6])
    assert torch.equal(batch.inputs[6], torch.rot90(images[0], 1, (1, 2)))


def test_validation_of_oneshot_finds_the_same_without_the_turned_copies():
    """In double precision, in which the size of a batch does not show."""
    torch.manual_seed(0)
    objective = OneShot(label_smoothing=0.1)
    model = objective.build(ARCHITECTURE).eval().double()
    images, index = torch.rand(6, 3, 32, 32, dtype=torch.float64), torch.arange(6) + 40
    labels = model(images).argmax(dim=1)
    labels[0] = (labels[0] + 1) % 10
    found = []
    for judge in (objective, objective.validation_objective):
        batch = judge.transform(images, labels, index, seed=3)
        attack = Pgd(steps=3, eps=4 / 255, step_size=2 / 255)
        attacked = attack.perturb(judge.attack_loss(model, batch), batch.inputs, index=batch.index, seed=5, progress=1)
        right = [judge.correct(model, inputs, batch) for inputs in (batch.inputs, attacked)]
        found.append((len(batch.inputs), attacked[:6], torch.stack(right)))
    (five, theirs, expected), (one, ours, measured) = found
    assert (five, one) == (30, 6)
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(measured, expected)
    assert measured[0].tolist() == [False] + [True] * 5


def test_oneshot_smooths_the_labels_of_the_data_in_training_only():
    torch.manual_seed(0)
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    losses = {}
    for smoothing in (0.0, 0.2):
        objective = OneShot(label_smoothing=smoothing, rotation_weight=0, attack_rotation_weight=0)
        torch.manual_seed(1)
        model = objective.build(ARCHITECTURE).eval()
        batch = objective.transform(images, labels, torch.arange(4), seed=0)
        logits = model(images)
        losses[smoothing] = objective.attack_loss(model, batch)(batch.inputs).item()
        expected = cross_entropy(logits, labels, label_smoothing=smoothing)
        assert objective.loss(model, batch.inputs, batch).item() == pytest.approx(expected.item(), rel=1e-4)
    assert losses[0.0] == losses[0.2]


def test_a_joint_objective_has_each_task_once():
    with pytest.raises(ValueError, match="twice"):
        Joint(tasks=(Rotation(), Rotation()))
    with pytest.raises(ValueError, match="`weights` must be 2, one for each task, got 1"):
        Joint(tasks=(Rotation(), Jigsaw()), weights=(1,))
