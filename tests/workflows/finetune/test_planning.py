"""Plans for fine-tuning: what is trained how long, and what they are refused for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from advss_zoo.data.folder.prepared import Prepared
from advss_zoo.data.folder.summary import Summary
from advss_zoo.errors import UsageError
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.training import cost, parents, timing
from advss_zoo.training.assembly import assemble
from advss_zoo.training.recipe import EnsembleRecipe
from advss_zoo.training.timing import Seconds, Work
from advss_zoo.workflows.finetune import planning
from advss_zoo.workflows.finetune.planning import FinetuneOptions, Start
from advss_zoo.zoo import checkpoint, index

EPS = 8 / 255
ARCHITECTURE = ResNetV2Architecture(depth=18, width=2)


def made_of(train: list[int], held_out: int = 20, test: int = 40) -> Prepared:
    """A data set of so many training images in each class."""
    classes = {f"class {number}": {"train": count, "val": 0, "test": 0} for number, count in enumerate(train)}
    parts = {"train": sum(train), "val": held_out, "test": test}
    counts = dict.fromkeys(("groups", "turned", "animated", "copies", "uniform", "on_black", "deep"), 0)
    maps: dict[str, Any] = {key: {} for key in ("passed_over", "columns", "modes", "skipped", "left_out", "odd")}
    lists: dict[str, Any] = {key: [] for key in ("origins", "unused_columns", "notes")}
    sizes: dict[str, Any] = dict.fromkeys(("smallest", "median", "largest"), (8, 8))
    facts: dict[str, Any] = {"classes": classes, "order": "name", "parts": parts, "value_range": None}
    summary = Summary(source="images", root="images", side=32, **counts, **maps, **lists, **sizes, **facts)
    return Prepared("images-1", "key", held_out, summary, Path("nowhere"))


def start(kind: str = "trunk", name: str = "rotation-p3", side: int = 32) -> Start:
    config = checkpoint.Config(
        name=name,
        tag="mini",
        kind=kind,  # type: ignore[arg-type]
        scenario=name.rpartition("-")[2],
        architecture=ARCHITECTURE,
        classes=tuple("abcdefghij") if kind == "classifier" else (),
        image_size=side,
    )
    return Start(f"{name}.mini", config)


def options(**more: object) -> FinetuneOptions:
    return FinetuneOptions(**{"data": "My Pets!", "start": "rotation-p3", "image_size": 32, "eps": EPS, **more})  # type: ignore[arg-type]


def planned(prepared: Prepared, start_: Start | None = None, spent: float = 0, **more: object) -> planning.Plan:
    return planning.plan(options(**more), [start_ or start()], prepared, spent=spent, device="cpu")


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass takes a millisecond."""
    monkeypatch.setattr(timing, "seconds_per_image", lambda work, part, device: Seconds(0.001, 0.001))


@pytest.mark.parametrize(
    ("mode", "trains", "adversary", "ship"),
    [
        ("f1", "head", "none", "best-ta"),
        ("f2", "head", "pgd", "best-ra"),
        ("f3", "all", "none", "best-ta"),
        ("f4", "all", "pgd", "best-ra"),
    ],
)
def test_modes_are_the_papers(mode: str, trains: str, adversary: str, ship: str) -> None:
    (made,) = planned(made_of([70, 70]), mode=mode).recipes
    assert (made.trains, made.adversary[-1].name, made.deployed) == (trains, adversary, ship)
    assert (made.full_name, made.scenario) == (f"my-pets-rotation-p3{mode}.mini", f"p3{mode}")
    assert made.architecture == ARCHITECTURE.model_copy(update={"num_classes": 2})


@pytest.mark.parametrize("mode", ["f3", "f4"])
def test_from_scratch_is_p1_and_has_no_parent(mode: str, tmp_path: Path) -> None:
    (scratch,) = planning.starts(planning.SCRATCH, tmp_path)
    (made,) = planned(made_of([70, 70]), scratch, mode=mode).recipes
    assert (made.name, made.scenario, made.parent, made.task) == (f"my-pets-p1{mode}", f"p1{mode}", None, None)


def test_what_was_fine_tuned_before_says_so() -> None:
    (made,) = planned(made_of([9, 9]), start("classifier", "p1f4")).recipes
    assert (made.name, made.scenario, made.parent) == ("my-pets-p1f4-f4", "p1f4-f4", "p1f4.mini")


def test_a_name_does_not_grow_with_every_round() -> None:
    start_ = start("classifier", "my-pets-rotation-p3f4")
    for _ in range(30):
        (made,) = planned(made_of([9, 9]), start_).recipes
        start_ = start("classifier", made.name)
    assert made.name.startswith("my-pets-")
    assert len(made.name) <= 80
    (made,) = planned(made_of([9, 9]), start("classifier", "my-pets-rotation-p3f4")).recipes
    assert made.name == "my-pets-rotation-p3f4-f4"


@pytest.mark.parametrize("override", ["data=x", "image_size=64", "parent=p1f4.mini", "trains=head", "teacher=self"])
def test_what_the_result_is_judged_by_is_an_option(override: str) -> None:
    with pytest.raises(UsageError, match="is set by the option"):
        planned(made_of([9, 9]), overrides=(override,))


@pytest.mark.parametrize(("side", "shares"), [(32, 1), (64, 1), (256, 4)])
def test_large_images_go_through_the_net_in_shares(side: int, shares: int) -> None:
    mini = start().config.model_copy(update={"architecture": ARCHITECTURE.model_copy(update={"width": 16})})
    (made,) = planned(made_of([6_000, 6_000]), Start("mini", mini), image_size=side).recipes
    assert (made.batch_size, made.accumulation) == (128, shares)


@pytest.mark.parametrize("data", ["кошки", "/tmp/..hidden..", "a" * 300, "x_Y.z/", "..."])
def test_any_folder_gives_a_name(data: str) -> None:
    (made,) = planned(made_of([9, 9]), data=data).recipes
    assert len(made.name) < 100


def test_eps_and_norm_reach_training_and_validation() -> None:
    (made,) = planned(made_of([9, 9]), eps=1.5, norm="l2").recipes
    assert {phase.norm for phase in made.adversary} == {made.validation.attack.norm} == {"l2"}  # type: ignore[attr-defined]
    assert [phase.eps for phase in made.adversary] == [1.5, 1.5]  # type: ignore[attr-defined]
    (made,) = planned(made_of([9, 9]), eps=4 / 255).recipes
    assert made.adversary[-1].eps == made.validation.attack.eps == 4 / 255  # type: ignore[attr-defined]


def test_classes_of_different_sizes_are_weighted() -> None:
    prepared = made_of([100, 100, 10])
    weights = planning.class_weights(prepared)
    assert weights[2] == pytest.approx(10 * weights[0], rel=1e-3)
    assert sum(w * n for w, n in zip(weights, prepared.counts(), strict=True)) == pytest.approx(210, rel=1e-3)
    assert planned(prepared).recipes[0].objective.class_weights == weights  # type: ignore[attr-defined]
    assert planning.class_weights(made_of([100, 80, 70])) == ()
    assert planning.class_weights(made_of([100_000, 5])) == (0.5, planning.MOST_WEIGHT)


def test_trades_is_a_choice() -> None:
    assert planned(made_of([9, 9]), objective="trades").recipes[0].objective.name == "trades"


def test_a_teacher_is_a_choice_whose_numbers_can_be_changed() -> None:
    (made,) = planned(made_of([9, 9]), teacher="self", overrides=("teacher.share=0.8",)).recipes
    assert made.teacher is not None
    assert (made.teacher.model, made.teacher.share, made.objective.name) == ("self", 0.8, "classification")
    assert planned(made_of([9, 9])).recipes[0].teacher is None


def test_a_teacher_of_other_classes_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match=r"has the classes airplane, .*, but the data have class 0, class 1"):
        planned(made_of([9, 9]), teacher="p1f4.mini", objective="rslad")


def test_overrides_have_the_last_word() -> None:
    (made,) = planned(made_of([9, 9]), overrides=("augmentation.flip=false", "seed=21", "epochs=3")).recipes
    assert (made.augmentation.flip, made.seed, made.epochs) == (False, 21, 3)
    with pytest.raises(UsageError, match=r"epoch: unknown key \(did you mean epochs\?\)"):
        planned(made_of([9, 9]), overrides=("epoch=3",))


@pytest.mark.parametrize("images", [2, 5, 40, 1_400, 40_000, 400_000])
def test_few_images_are_seen_more_often(images: int) -> None:
    """At least 6 times, at most 120 times."""
    (made,) = planned(made_of([images // 2, images - images // 2])).recipes
    assert made.epochs == planning.usual_epochs(images) >= planning.usual_epochs(images + 1)
    assert 6 <= made.epochs <= 120
    assert 2 <= made.batch_size <= max(2, images)
    assert (made.augmentation.cutout > 0) == (images < 2_000)


@pytest.mark.parametrize("mode", ["f1", "f2", "f3", "f4"])
def test_training_waits_for_a_better_accuracy_for_half_of_the_looks(mode: str) -> None:
    (made,) = planned(made_of([700, 700]), mode=mode).recipes
    assert made.validation.patience == 4
    assert math.ceil(made.epochs / made.validation.every) in (7, 8)


class TestBudget:
    @pytest.mark.parametrize("budget", [60, 120, 600, 3_000, 100_000])
    @pytest.mark.parametrize("mode", ["f1", "f2", "f3", "f4"])
    def test_what_is_planned_fits(self, budget: float, mode: str, timed: None) -> None:
        plan = planned(made_of([700, 700], 200, 400), budget=budget, mode=mode, spent=5)
        (made,) = plan.recipes
        assert plan.budget is not None
        assert plan.budget.seconds == pytest.approx(planning.SPARE * budget - 5, abs=1)
        training = plan.budget.seconds - plan.budget.after
        seconds = cost.estimate(made, images=1_400).seconds
        assert seconds <= planning.ROOM * training
        assert made.epochs <= 2 * planning.usual_epochs(1_400)
        assert seconds >= 0.7 * training or made.epochs == 2 * planning.usual_epochs(1_400)

    @pytest.mark.parametrize(("tested", "passed"), [(4, 8), (32, 32), (33, 40 + 32), (400, 400 + 32)])
    def test_the_images_of_the_result_are_counted_as_they_go_through_the_net(
        self, tested: int, passed: int, timed: None
    ) -> None:
        """PGD-20 is 20 passes and the predictions one, and an evaluation begins with tries that take about three."""
        plan = planned(made_of([700, 700], 200, tested), budget=600)
        assert plan.budget is not None
        assert plan.budget.after == pytest.approx(planning.AMPLE * 24 * passed * 0.001)
        assert plan.test_images == tested

    def test_one_lucky_pass_does_not_make_a_busy_machine_a_free_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def seconds_per_image(work: Work, part: str, device: torch.device) -> Seconds:
            return Seconds(0.001, 0.001 if work.precision == "fp32" else 0.003)

        monkeypatch.setattr(timing, "seconds_per_image", seconds_per_image)
        plan = planned(made_of([700, 700], 200, 400), budget=600)
        assert plan.budget is not None
        seconds = cost.estimate(plan.recipes[0], images=1_400).seconds_now
        assert seconds + 3 * plan.budget.after <= planning.SPARE * 600

    def test_more_time_buys_a_stronger_adversary(self, timed: None) -> None:
        prepared = made_of([700, 700], 200, 400)
        steps = [planned(prepared, budget=budget).recipes[0].adversary[-1].passes for budget in (60, 600, 1_200, 9_000)]
        assert steps == sorted(steps)
        assert (steps[0], steps[-1]) == (1, 10)

    def test_too_little_is_a_sentence(self, timed: None) -> None:
        with pytest.raises(UsageError, match="The budget is too small: 6 s are left for training"):
            planned(made_of([7_000, 7_000], 200, 0), budget=11, spent=4)

    def test_an_ensemble_shares_it(self, timed: None) -> None:
        starts = [start(), start(name="jigsaw-p3")]
        prepared = made_of([700, 700], 200, 400)
        plan = planning.plan(options(budget=240.0), starts, prepared, spent=0, device="cpu")
        assert sum(cost.estimate(made, images=1_400).seconds for made in plan.recipes) < 240
        assert [made.name for made in plan.recipes] == ["my-pets-rotation-p3f4", "my-pets-jigsaw-p3f4"]


class TestStarts:
    def test_of_the_zoo_by_name(self, tmp_path: Path) -> None:
        (found,) = planning.starts(index.default_trunk(), tmp_path)
        assert (found.reference, found.config.kind) == (index.default_trunk(), "trunk")

    def test_several_joined(self, tmp_path: Path) -> None:
        found = planning.starts("rotation-p3+p1f4", tmp_path)
        assert [each.reference for each in found] == ["rotation-p3.mini", "p1f4.mini"]
        assert planning.image_size(found) == 32

    def test_an_ensembles_folder_is_its_members(self, tmp_path: Path) -> None:
        members = []
        for name in ("one", "two"):
            config = checkpoint.Config(
                name=name, tag="test", scenario="p1f4", architecture=ARCHITECTURE, classes=tuple("abcdefghij")
            )
            members.append(tmp_path / name)
            checkpoint.save(members[-1], ResNetV2(ARCHITECTURE).state_dict(), config)
        made = EnsembleRecipe(name="both", tag="test", scenario="p1f4", members=[str(member) for member in members])
        folder = assemble(made, tmp_path / "runs")
        found = planning.starts(str(folder), tmp_path)
        assert [each.config.name for each in found] == ["one", "two"]
        assert all(Path(each.reference).is_dir() for each in found)

    def test_ones_own_run_of_a_name_of_the_zoo_is_meant_in_an_ensemble_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The members' runs lie below that of the ensemble, and from there the name means the zoo's."""
        monkeypatch.chdir(tmp_path)
        config = checkpoint.Config(
            **{"name": "p1f4", "tag": "mini", "scenario": "p1f4", "classes": tuple("abcdefghij")},
            architecture=ARCHITECTURE,
            provenance=checkpoint.Provenance(
                **{"recipe": "p1f4.mini", "recipe_sha256": "", "profile": "fast", "data": "cifar10", "split": "train"},
                **{"picked": "best-ta", "deployed": "best-ta", "epochs": 1},
            ),
        )
        run = Path("runs/p1f4.mini")
        checkpoint.save(run / "best-ta", ResNetV2(ARCHITECTURE).state_dict(), config)
        checkpoint.save(run / "last", ResNetV2(ARCHITECTURE).state_dict(), config)
        (run / "recipe.yaml").touch()
        found = planning.starts("runs/p1f4.mini+rotation-p3", Path("runs"))
        below = Path("runs/pets-ensemble-f4.mini")
        assert parents.find(str(found[0].reference), below) == run / "best-ta"
        assert found[1].reference == "rotation-p3.mini"

    def test_one_twice_is_no_ensemble(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"different names, got p1f4\.mini, p1f4\.mini"):
            planning.starts("p1f4+p1f4.mini", tmp_path)

    def test_members_of_different_sizes(self) -> None:
        with pytest.raises(UsageError, match="Choose one: --image-size N"):
            planning.image_size([start(), start(name="other", side=64)])


class TestKeptPlan:
    def test_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        plan = planned(made_of([100, 10]), overrides=("seed=3",))
        assert planning.read_plan(tmp_path) is None
        plan.write(tmp_path)
        assert planning.read_plan(tmp_path) == plan

    def test_other_options_and_other_images_are_refused(self) -> None:
        prepared = made_of([9, 9])
        plan = planned(prepared)
        planning.check_same(plan, options(), prepared)
        with pytest.raises(UsageError, match=r"mode was f4, now f2"):
            planning.check_same(plan, options(mode="f2"), prepared)
        changed = Prepared(prepared.name, "another key", prepared.held_out, prepared.summary, prepared.file)
        with pytest.raises(UsageError, match=r"images in My Pets! have changed"):
            planning.check_same(plan, options(), changed)


def test_the_time_of_a_pass_is_that_of_the_size_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[int] = set()
    monkeypatch.setattr(
        timing, "seconds_per_image", lambda work, part, device: asked.add(work.side) or Seconds(1.0, 1.0)
    )
    cost.estimate(planned(made_of([9, 9]), image_size=64).recipes[0], images=18)
    assert asked == {64}


def test_a_pretext_head_is_no_obstacle(tmp_path: Path) -> None:
    """What is fine-tuned is the trunk; the head of its task stays behind."""
    config = checkpoint.Config(
        name="own-p3", tag="test", kind="trunk", scenario="p3", architecture=ARCHITECTURE, objective=Rotation()
    )
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "own", Rotation().build(ARCHITECTURE).state_dict(), config)
    (found,) = planning.starts(str(tmp_path / "own"), tmp_path)
    assert planned(made_of([9, 9]), found).recipes[0].parent == str(tmp_path / "own")
