"""`advss reproduce`: ours beside the paper's, in each mode, and what --run makes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from reproduction import made_up

from advss_zoo.data import load as data
from advss_zoo.data.imageset import ImageSet
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.objectives.classification import Classification
from advss_zoo.reproduction import ours, paper
from advss_zoo.training import cost, recipe, trainer
from advss_zoo.workflows import evaluate
from advss_zoo.zoo import checkpoint, index

Advss = Callable[..., Any]
ROOT = Path(__file__).parents[2]
DOCUMENT = {"name", "title", "tag", "metrics", "rows", "claims", "missing", "notes", "unreadable", "figure"}
STEP = {"name", "action", "command", "obstacle", "protocol", "pick", "seconds"}


@pytest.fixture(autouse=True)
def _all_takes_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "estimate", lambda recipe, device: SimpleNamespace(seconds=5400.0))
    monkeypatch.setattr(cost, "evaluation", lambda recipe, protocol, images, device: 60.0)


@pytest.fixture
def _no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "entries", lambda: ())


measure = partial(made_up.measure, Path("runs"))


@pytest.mark.parametrize("table", paper.names())
def test_every_table_is_one_document(table: str, advss: Advss) -> None:
    outcome = advss("reproduce", table, "--tag", "mini", "--json")
    assert outcome.status == 0
    steps = outcome.json["missing"]
    assert all(step.keys() == STEP for step in steps)
    assert outcome.json.keys() == DOCUMENT
    assert (outcome.json["name"], outcome.json["tag"]) == (table, "mini")


@pytest.mark.parametrize("table", paper.names())
def test_every_table_is_tab_separated_in_a_pipe(table: str, advss: Advss) -> None:
    status, stdout, stderr = advss("reproduce", table, "--tag", "r50")
    assert status == 0
    heading, *rows = (line.split("\t") for line in stdout.splitlines())
    assert heading[:2] == ["what", "model"]
    assert {len(row) for row in rows} == {len(heading)}
    assert len(rows) >= sum(2 if cell.values else 1 for cell in paper.load(table).cells)
    assert stderr.startswith(paper.load(table).title)


@pytest.mark.parametrize("columns", ["60", "80"])
def test_a_terminal_may_be_narrow(columns: str, advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for table in paper.names():
        status, stdout, _ = advss("reproduce", table, "--tag", "mini")
        assert status == 0
        plain = re.sub(r"\x1b\[[0-9;]*m", "", stdout)
        assert max(map(len, plain.splitlines())) <= int(columns)


@pytest.mark.usefixtures("_no_cards")
def test_ours_stand_below_the_papers(advss: Advss) -> None:
    measure("p1f4.mini", 0.7298, 0.4339, epochs=32.0)
    measure("selfie-p3f4.mini", 0.75, 0.46, n=1_000, data="cifar10-1k")
    measure("selfie-p3f4.mini", 0.74, 0.47, picked="best-ra")
    rows = [line.split("\t") for line in advss("reproduce", "table3", "--tag", "mini").stdout.splitlines()]
    assert rows[0] == ["what", "model", "TA", "TA 95%", "RA", "RA 95%", "epochs", "n"]
    assert rows[3:5] == [
        ["P1F4 any task", "paper", "84.72", "", "47.22", "", "99", ""],
        ["P1F4 any task", "p1f4.mini", "72.98", "72.1-73.8", "43.39", "42.4-44.4", "32", "10,000"],
    ]
    selfie = [row[1:] for row in rows if row[0] == "P3F4 Selfie"]
    assert [(row[0], row[1], row[3], row[6]) for row in selfie] == [
        ("paper", "86.02", "51.05", ""),
        ("selfie-p3f4.mini", "75.00", "46.00", "1,000"),
        ("selfie-p3f4.mini (best-ra)", "74.00", "47.00", "10,000"),
    ]
    jigsaw = [row[1:5] for row in rows if row[0] == "P3F4 Jigsaw"]
    assert [row[0] for row in jigsaw] == ["paper", "paper, Table 5", "jigsaw-p3f4.mini"]
    assert jigsaw[-1][1:] == ["-", "", "-"]


@pytest.mark.usefixtures("_no_cards")
def test_below_the_table_stand_claims_and_what_is_missing(advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "names", lambda: ["p1f3.mini", "p1f4.mini"])
    measure("p1f3.mini", 0.9, 0.05)
    stderr = advss("reproduce", "table3", "--tag", "mini").stderr
    assert "- does not hold: Full standard fine-tuning" in stderr
    assert "    p1f3.mini 5.00 (4.59 to 5.44)\n" in stderr
    assert "    advss train p1f4.mini    # about 1 h 30 min\n" in stderr
    assert "Missing, no recipe makes it: selfie-p2f3.mini" in stderr
    assert "Note: Jigsaw (P3,F4) is 84.50 / 49.61 in Table 3" in stderr


@pytest.mark.usefixtures("_no_cards")
def test_unforeseen_attacks_stand_one_below_the_other(advss: Advss) -> None:
    for accuracy, task in enumerate(("jigsaw", "rotation", "selfie"), start=1):
        levels = [f"unforeseen-fog-eps{level}" for level in range(1, 7)]
        made_up.unforeseen(Path("runs"), f"{task}-p3f4.mini", dict.fromkeys(levels, accuracy / 10))
    status, stdout, stderr = advss("reproduce", "fig4", "--tag", "mini")
    assert status == 0
    rows = [line.split("\t") for line in stdout.splitlines()]
    assert rows[0] == ["what", "model", "accuracy", "n", "strengths"]
    assert [row[2:] for row in rows if row[0] == "fog Selfie"] == [["30.00", "100", "1 2 3 4 5 6"]]
    assert [row[2:] for row in rows if row[0] == "snow Jigsaw"] == [["-", "", ""]]
    assert "fog 1, 2, 3, 4, 5, 6: selfie-p3f4.mini over rotation-p3f4.mini +10.00 (" in stderr
    assert "advss eval runs/selfie-p3f4.mini/average --attack unforeseen --data cifar10-1k    # about" in stderr


@pytest.mark.usefixtures("_no_cards")
def test_who_fools_whom_stands_below_the_papers(advss: Advss) -> None:
    made_up.transfer(Path("runs"), n=5_000, wrong=made_up.wrong_of(5_000))
    table, figure = (advss("reproduce", name, "--tag", "mini") for name in ("table4", "fig5"))
    rows = [line.split("\t") for line in table.stdout.splitlines()]
    assert rows[0] == ["what", "model", "wrong", "n"]
    assert rows[3:5] == [
        ["Selfie from Rotation", "paper", "37.75", ""],
        ["Selfie from Rotation", "ours", "35.00", "5,000"],
    ]
    assert "- holds: Adversarial images fool the model they were made on most" in table.stderr
    assert "both\tours\t66.67\t5,000\n" in figure.stdout
    assert "- does not hold: Of Selfie's images that fool Rotation or Jigsaw" in figure.stderr


@pytest.mark.usefixtures("_no_cards")
def test_what_was_made_otherwise_is_shown_and_said(advss: Advss) -> None:
    measure("p1f4.mini", 0.7, 0.4)
    made_up.train(Path("runs"), "p1f4.mini", "average", 16.0, seed=21)
    _, stdout, stderr = advss("reproduce", "table3", "--tag", "mini")
    assert "P1F4 any task\tp1f4.mini (not judged)\t70.00\t" in stdout
    assert "Not judged: p1f4.mini: seed=21 (recipe: 20)\n" in stderr


def test_everything_is_written_as_a_page(advss: Advss) -> None:
    status, stdout, _ = advss("reproduce", "all", "--tag", "mini", "--markdown", "results.md")
    assert (status, stdout) == (0, "results.md\n")
    text = Path("results.md").read_text()
    assert all(f"\n## {paper.load(name).title}\n" in text for name in paper.names())
    found = advss("reproduce", "all", "--tag", "mini", "--json").json
    assert [document["name"] for document in found] == paper.names()


def test_the_figure_is_written_where_out_says(advss: Advss) -> None:
    document = advss("reproduce", "fig1", "--tag", "mini", "--out", "somewhere", "--json").json
    assert document["figure"] == str(Path("somewhere/fig1.mini.png"))
    assert Path(document["figure"]).read_bytes().startswith(b"\x89PNG")
    assert "Figure: runs/fig1.mini.png" in advss("reproduce", "fig1", "--tag", "mini").stderr


def test_the_tag_left_out_is_that_of_the_default_checkpoint(advss: Advss) -> None:
    assert advss("reproduce", "table5", "--json").json["tag"] == index.find(index.default_name()).tag


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["tabel3"], "Did you mean table3?"), (["table3", "--tag", "huge"], "Choose from mini, r50"), ([], "TABLE")],
)
def test_wrong_usage_is_a_sentence(arguments: list[str], says: str, advss: Advss) -> None:
    status, stdout, stderr = advss("reproduce", *arguments)
    assert (status, stdout) == (2, "")
    assert says in stderr


def test_help_imports_nothing_slow() -> None:
    code = "import sys; from advss_zoo.cli import execute; execute(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, "reproduce", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.startswith("Usage: advss reproduce")
    assert {"torch", "numpy", "pydantic", "matplotlib", "scipy"}.isdisjoint(done.stderr.split())


# --- --run ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Training that takes no time, of nets that are nearly none, and four images to test them on."""
    seen: list[str] = []

    def train(recipe: recipe.Recipe, out: Path, *, resume: bool, **_: Any) -> Path:
        assert resume
        if recipe.full_name not in seen:
            seen.append(recipe.full_name)
        architecture = ResNetV2Architecture(depth=18, width=2)
        torch.manual_seed(len(seen))
        for picked in ("average", "best-ta", "best-ra", "last"):
            config = checkpoint.Config(
                name=recipe.name,
                tag=recipe.tag,
                scenario=recipe.scenario,
                architecture=architecture,
                classes=tuple("abcdefghij"),
                provenance=checkpoint.Provenance(
                    recipe=recipe.full_name,
                    recipe_sha256=recipe.sha256,
                    profile=recipe.profile,
                    data="cifar10",
                    split="train",
                    picked=picked,
                    deployed=recipe.deployed,
                    epochs=3.0,
                ),
            )
            checkpoint.save(out / picked, Classification().build(architecture).state_dict(), config)
            (out / picked / "recipe.yaml").write_text(recipe.to_yaml())
        (out / "recipe.yaml").write_text(recipe.to_yaml())
        return out / recipe.deployed

    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    four = ImageSet("cifar10", "test", images, np.arange(4), np.arange(4), tuple("abcdefghij"))
    monkeypatch.setattr(trainer, "train", train)
    for module in (data, evaluate):  # both by name: which of them was imported first must not matter
        monkeypatch.setattr(module, "load_data", lambda name, split: four)
    monkeypatch.setattr(ours, "TEST_IMAGES", 4)
    monkeypatch.setattr(recipe, "names", lambda: ["p1f3.mini", "p1f4.mini"])
    return seen


@pytest.mark.usefixtures("_no_cards")
def test_run_makes_what_is_missing_once(advss: Advss, trained: list[str]) -> None:
    outcome = advss("reproduce", "table3", "--tag", "mini", "--run", "--json")
    assert outcome.status == 0
    assert trained == ["p1f3.mini", "p1f4.mini"]
    first, second, *others = outcome.json["rows"]
    for row, name in ((first, "p1f3.mini"), (second, "p1f4.mini")):
        assert (row["ours"]["n"], row["ours"]["values"]["epochs"], row["ours"]["pick"]) == (4, 3.0, None)
        assert row["ours"]["result"] == str(Path(f"runs/eval/{name}-cifar10/pgd20"))
    assert all(row["ours"] is None for row in others)
    trained.clear()
    assert advss("reproduce", "table3", "--tag", "mini", "--run", "--json").json == outcome.json
    assert trained == []


@pytest.mark.usefixtures("_no_cards", "trained")
def test_run_measures_what_was_picked_by_ta_and_by_ra(advss: Advss) -> None:
    row = advss("reproduce", "table3", "--tag", "mini", "--run", "--json").json["rows"][1]
    assert (row["ours"]["pick"], [measured["pick"] for measured in row["other_picks"]]) == (
        None,
        ["best-ra", "best-ta"],
    )
    assert [measured["result"] for measured in row["other_picks"]] == [
        str(Path(f"runs/eval/p1f4.mini-{pick}-cifar10/pgd20")) for pick in ("best-ra", "best-ta")
    ]


@pytest.mark.usefixtures("_no_cards", "trained")
def test_what_eval_leaves_of_a_pick_is_in_nobodys_way(advss: Advss) -> None:
    trainer.train(recipe.load("p1f4.mini"), Path("runs/p1f4.mini"), resume=True)
    for folder in ("best-ta", "best-ra", "average"):
        status, _, stderr = advss("eval", f"runs/p1f4.mini/{folder}", "--data", "cifar10")
        assert status == 0, stderr
    assert sorted(path.name for path in Path("runs/eval").iterdir()) == [
        "p1f4.mini-best-ra-cifar10",
        "p1f4.mini-best-ta-cifar10",
        "p1f4.mini-cifar10",
    ]
    document = advss("reproduce", "table3", "--tag", "mini", "--json").json
    row = document["rows"][1]
    assert [measured["pick"] for measured in (row["ours"], *row["other_picks"])] == [None, "best-ra", "best-ta"]
    assert "p1f4.mini" not in {step["name"] for step in document["missing"]}


@pytest.mark.usefixtures("_no_cards")
def test_run_measures_again_what_was_trained_again(advss: Advss, trained: list[str]) -> None:
    before = advss("reproduce", "table3", "--tag", "mini", "--run", "--json").json["rows"][1]["ours"]
    trained.append("so that the next has another seed")
    trainer.train(recipe.load("p1f4.mini"), Path("runs/p1f4.mini"), resume=True)
    after = advss("reproduce", "table3", "--tag", "mini", "--run", "--json").json["rows"][1]["ours"]
    assert (after["pick"], after["n"]) == (None, 4)
    assert after["sha256"] != before["sha256"]
    assert Path(after["result"]).parent.name == f"p1f4.mini-cifar10-{after['sha256'][:8]}"


@pytest.mark.usefixtures("_no_cards", "trained")
def test_run_trains_by_the_profile_that_was_asked_for(advss: Advss) -> None:
    status, _, stderr = advss("reproduce", "table3", "--tag", "mini", "--run", "--profile", "paper")
    assert (status, "unknown profile 'paper'" in stderr) == (2, True)


@pytest.mark.usefixtures("_no_cards")
def test_run_goes_on_where_it_was_stopped(advss: Advss, trained: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    working = trainer.train

    def stopped(recipe: recipe.Recipe, out: Path, **options: Any) -> Path:
        if recipe.full_name == "p1f4.mini":
            raise KeyboardInterrupt
        return working(recipe, out, **options)

    monkeypatch.setattr(trainer, "train", stopped)
    status, stdout, stderr = advss("reproduce", "table3", "--tag", "mini", "--run", "--json")
    assert (status, stdout) == (130, "")
    assert "Run the same command again to continue." in stderr
    assert Path("runs/eval/p1f3.mini-cifar10/pgd20/result.json").exists()
    monkeypatch.setattr(trainer, "train", working)
    trained.clear()
    assert advss("reproduce", "table3", "--tag", "mini", "--run", "--json").json["rows"][1]["ours"]
    assert trained == ["p1f4.mini"]


@pytest.mark.usefixtures("_no_cards")
def test_run_assembles_ensembles_and_evaluates_them(
    advss: Advss, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, ensemble = [f"{task}-p3f4.mini" for task in ("rotation", "selfie")], "ensemble-selfie-rotation-p3f4.mini"
    base = recipe.load("p1f4.mini")
    known = {name: base.model_copy(update={"name": name.partition(".")[0]}) for name in pair}
    load_any = recipe.load_any
    monkeypatch.setattr(recipe, "names", lambda: [*pair, ensemble])
    monkeypatch.setattr(recipe, "load_any", lambda source, *rest: known.get(str(source)) or load_any(source, *rest))
    rows = advss("reproduce", "table6", "--tag", "mini", "--run", "--json").json["rows"]
    assert [row["ours"] is not None for row in rows] == [False, False, True, False]
    assert rows[2]["ours"]["n"] == 4
    assert trained == pair
    assert Path("runs", ensemble, "ensemble", "config.json").is_file()
    trained.append("so that the next has another seed")
    trainer.train(known[pair[1]], Path("runs", pair[1]), resume=True)
    again = advss("reproduce", "table6", "--tag", "mini", "--run", "--json").json["rows"]
    assert again[2]["ours"]["pick"] is None
    assert again[2]["ours"]["sha256"] != rows[2]["ours"]["sha256"]


@pytest.mark.usefixtures("_no_cards")
def test_run_shows_the_images_of_each_member_to_all(
    advss: Advss, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = recipe.load("p1f4.mini")
    known = {name: base.model_copy(update={"name": name.partition(".")[0]}) for name in made_up.TASKS}
    load_any = recipe.load_any
    monkeypatch.setattr(recipe, "names", lambda: [*made_up.TASKS, "ensemble-p3f4.mini"])
    monkeypatch.setattr(recipe, "load_any", lambda source, *rest: known.get(str(source)) or load_any(source, *rest))
    document = advss("reproduce", "table4", "--tag", "mini", "--run", "--json").json
    assert trained == list(made_up.TASKS)
    assert {(row["ours"]["n"], row["ours"]["pick"]) for row in document["rows"]} == {(4, None)}
    assert {row["ours"]["result"] for row in document["rows"]} == {
        str(Path("runs/eval/ensemble-p3f4.mini-cifar10/transfer"))
    }
    assert document["missing"] == []
    assert all(row["ours"] for row in advss("reproduce", "fig5", "--tag", "mini", "--json").json["rows"])
