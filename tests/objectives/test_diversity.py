"""The log-determinant regulariser: its values, its derivatives, and what becomes of it in the joint objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advss_zoo.adversaries.pgd import Pgd
from advss_zoo.attacks.ascent import input_gradient
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.models.modes import frozen
from advss_zoo.objectives import joint
from advss_zoo.objectives.diversity import diversity
from advss_zoo.objectives.jigsaw import Jigsaw
from advss_zoo.objectives.joint import Joint
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.objectives.selfie import Selfie

TASKS = (Selfie(transformer="mini", double_softmax=False), Jigsaw(), Rotation())


def with_cosine(cosine):
    """Three vectors with this cosine between any two, of different lengths."""
    gram = torch.full((3, 3), float(cosine), dtype=torch.float64)
    gram.fill_diagonal_(1.0)
    vectors = torch.linalg.cholesky(gram)
    return [vectors[i : i + 1] * (10.0**i) for i in range(3)]


@pytest.mark.parametrize(
    ("cosine", "value"), [(0.1, -0.028), (0.3, -0.243), (0.5, -0.693), (0.9, -3.58), (0.99, -8.12)]
)
def test_values_by_cosine(cosine, value):
    assert diversity(with_cosine(cosine)).item() == pytest.approx(value, rel=2e-3, abs=5e-4)


def test_orthogonal_gradients_leave_only_the_jitter():
    assert diversity(with_cosine(0)).item() == pytest.approx(3e-5, rel=1e-4)


def test_parallel_gradients_are_bounded_by_the_jitter():
    same = torch.randn(2, 3, 4, 4)
    assert diversity([same, same, same]).tolist() == pytest.approx([-21.92] * 2, abs=0.01)


def test_a_vanished_gradient_counts_for_nothing_and_gives_no_nan():
    gradients = [torch.randn(2, 5, requires_grad=True) for _ in range(2)]
    dead = torch.tensor([[0.0] * 5, [1.0] * 5], requires_grad=True)
    value = diversity([*gradients, dead])
    assert value[0] == 0
    assert value[1] != 0
    value.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in [*gradients, dead])


def test_two_derivatives_agree_with_finite_differences():
    torch.manual_seed(0)
    inputs = tuple(torch.randn(2, 6, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(lambda *g: diversity(g), inputs)
    assert torch.autograd.gradgradcheck(lambda *g: diversity(g), inputs)


@pytest.fixture
def prepared(request):
    """A smooth joint network in float64: with kinks of ReLU near, finite differences would mean nothing."""
    torch.manual_seed(0)
    objective = Joint(tasks=TASKS, diversity={"inner": 0.5, "outer": 0.5, "frame": request.param})
    model = objective.build(ResNetV2Architecture(depth=18, width=2)).double().eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "relu", torch.nn.functional.softplus)
        images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
        batch = objective.transform(images, torch.zeros(2).long(), torch.arange(2), seed=1)
        with frozen(model):
            yield objective, model, batch


def directional(loss, x, direction, step=1e-6):
    with torch.enable_grad():
        ahead, behind = (loss((x + s * direction).requires_grad_()).item() for s in (step, -step))
    return (ahead - behind) / (2 * step)


@pytest.mark.parametrize("prepared", ["task", "image"], indirect=True)
def test_the_attack_gradient_agrees_with_finite_differences_second_order_part_included(prepared):
    objective, model, batch = prepared
    loss = objective.attack_loss(model, batch)
    gradient = input_gradient(loss, batch.inputs)
    plain = input_gradient(objective.validation_objective.attack_loss(model, batch), batch.inputs)
    second_order = gradient - plain
    direction = second_order / second_order.norm()
    expected = directional(loss, batch.inputs, direction)
    assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-4)
    # Along the direction of the second-order part alone, the first-order gradient would be far off.
    assert (plain * direction).sum().item() != pytest.approx(expected, rel=2e-1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("prepared", ["task", "image"], indirect=True)
def test_the_gradient_of_the_weights_agrees_with_finite_differences_second_order_part_included(prepared, sign):
    """What is minimised holds gradients of images, so what the weights follow holds second derivatives."""
    objective, model, batch = prepared
    options = objective.diversity.model_copy(update={"outer_sign": sign})
    objective = objective.model_copy(update={"diversity": options})
    inputs = (batch.inputs + 0.01 * torch.randn_like(batch.inputs)).clamp(0, 1)
    weights = [weight.requires_grad_() for name, weight in model.named_parameters() if name.startswith("trunk.")]
    whole, first_order = (
        torch.autograd.grad(each.training_loss(model, inputs, batch, 0.5), weights)
        for each in (objective, objective.validation_objective)
    )
    second_order = [one - other for one, other in zip(whole, first_order, strict=True)]
    length = torch.cat([part.flatten() for part in second_order]).norm()
    direction = [part / length for part in second_order]

    def along(gradients):
        return sum((one * other).sum() for one, other in zip(gradients, direction, strict=True)).item()

    def loss_at(step):
        with torch.no_grad():
            for weight, towards in zip(weights, direction, strict=True):
                weight += step * towards
        loss = objective.training_loss(model, inputs, batch, 0.5).item()
        with torch.no_grad():
            for weight, towards in zip(weights, direction, strict=True):
                weight -= step * towards
        return loss

    expected = (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6
    assert along(whole) == pytest.approx(expected, rel=1e-4)
    # Along the direction of the second-order part alone, the first-order gradient would be far off.
    assert along(first_order) != pytest.approx(expected, rel=2e-1)


@pytest.mark.parametrize("options", [None, {"inner": 0, "outer": 0.1}], ids=["apse", "apdpe"])
def test_without_lambda_the_joint_attack_is_one_attack_a_task(options):
    torch.manual_seed(0)
    objective = Joint(tasks=TASKS, diversity=options)
    model = objective.build(ResNetV2Architecture(depth=18, width=2)).double().eval()
    images = torch.rand(4, 3, 32, 32, dtype=torch.float64)  # in which rounding turns no sign of a gradient
    batch = objective.transform(images, torch.zeros(4).long(), torch.arange(4), seed=1)
    attack = Pgd(steps=3)
    with frozen(model):
        together = attack.perturb(
            objective.attack_loss(model, batch), batch.inputs, index=batch.index, seed=2, progress=0
        )
        for task, part, share in zip(TASKS, batch.parts, together.chunk(3), strict=True):
            branch = joint.Branch(model, model.head[task.name])
            alone = attack.perturb(task.attack_loss(branch, part), part.inputs, index=part.index, seed=2, progress=0)
            assert torch.allclose(alone, share, rtol=0, atol=1e-12)


def test_weights_of_the_outer_problem():
    torch.manual_seed(0)
    losses = {}
    for name, options in {
        "none": None,
        "plus": {"outer": 10},
        "minus": {"outer": 10, "outer_sign": -1},
        "off": {"outer": 0},
    }.items():
        objective = Joint(tasks=TASKS, diversity=options)
        torch.manual_seed(1)
        model = objective.build(ResNetV2Architecture(depth=18, width=2)).eval()
        batch = objective.transform(torch.rand(4, 3, 32, 32), torch.zeros(4).long(), torch.arange(4), seed=1)
        losses[name] = objective.training_loss(model, batch.inputs, batch, 0.5).item()
    assert losses["off"] == losses["none"]
    assert losses["plus"] < losses["none"] < losses["minus"], "the log-determinant is negative"
    assert losses["plus"] + losses["minus"] == pytest.approx(2 * losses["none"], rel=1e-5)


@pytest.mark.parametrize(("weights", "shares"), [((), (1, 1, 1)), ((1, 2, 3), (0.5, 1, 1.5))])
def test_every_task_has_its_share_of_the_loss(weights, shares):
    torch.manual_seed(0)
    objective = Joint(tasks=TASKS, weights=weights)
    model = objective.build(ResNetV2Architecture(depth=18, width=2)).eval()
    batch = objective.transform(torch.rand(4, 3, 32, 32), torch.zeros(4).long(), torch.arange(4), seed=1)
    parts = [
        task.loss(joint.Branch(model, model.head[task.name]), part.inputs, part).item()
        for task, part in zip(TASKS, batch.parts, strict=True)
    ]
    expected = float(np.dot(shares, parts)) / 3
    assert objective.loss(model, batch.inputs, batch).item() == pytest.approx(expected, rel=1e-5)
    attacked = [
        task.attack_loss(joint.Branch(model, model.head[task.name]), part)(part.inputs).item()
        for task, part in zip(TASKS, batch.parts, strict=True)
    ]
    expected = float(np.dot(shares, attacked))
    assert objective.attack_loss(model, batch)(batch.inputs).item() == pytest.approx(expected, rel=1e-5)


def trained_once(options):
    """The buffers of a joint network in training mode after one loss and its gradients, and that loss."""
    torch.manual_seed(0)
    objective = Joint(tasks=TASKS, diversity=options)
    model = objective.build(ResNetV2Architecture(depth=18, width=2)).train()
    batch = objective.transform(torch.rand(4, 3, 32, 32), torch.zeros(4).long(), torch.arange(4), seed=1)
    loss = objective.training_loss(model, batch.inputs, batch, 0.5)
    loss.backward()
    return dict(model.named_buffers()), loss.item()


def test_diversity_takes_no_forward_pass_of_its_own():
    """So running statistics move as often as without it, and its gradients see the loss's own dropout."""
    plain, without = trained_once(None)
    diverse, with_little = trained_once({"outer": 1e-9})
    assert {name for name in plain if not torch.equal(plain[name], diverse[name])} == set()
    assert with_little == pytest.approx(without, abs=1e-6)
