"""Runs by name: what is one, which checkpoint it stands for, and who comes first where a name is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.zoo import runs, sources
from advss_zoo.zoo.reference import parse_reference


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(name: str, *checkpoints: str, deployed: object = "best-ra") -> Path:
    folder = Path("runs", name)
    config = json.dumps({"provenance": {"deployed": deployed}})
    for checkpoint in checkpoints:
        (folder / checkpoint).mkdir(parents=True)
        (folder / checkpoint / "config.json").write_text(config)
        (folder / checkpoint / "model.safetensors").write_bytes(b"weights")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").touch()
    return folder


@pytest.mark.parametrize("deployed", ["best-ra", "best-ta", "average", "last"])
def test_a_run_stands_for_the_deployed_weights(deployed: str) -> None:
    made = run("mine.mini", "best-ra", "best-ta", "average", "last", deployed=deployed)
    for said in ("mine.mini", "mine"):
        fetched = sources.fetch(said)
        assert (fetched.full_name, fetched.path, fetched.source) == ("mine.mini", made / deployed, "run")
    assert runs.checkpoint_in(made) == made / deployed
    assert runs.checkpoint_in(made / "last") == made / "last", "a checkpoint's folder is taken as it is"


def test_an_ensembles_run_stands_for_the_ensemble() -> None:
    folder = Path("runs/both.mini")
    (folder / "ensemble").mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    with pytest.raises(UsageError, match=r"not finished\. Resume it: repeat its command with --resume"):
        parse_reference("both")
    (folder / "ensemble" / "config.json").write_text("{}")
    assert (runs.find("both"), runs.checkpoint_in(folder)) == (folder, folder / "ensemble")
    (folder / "plan.json").unlink()  # `advss train` leaves none
    assert runs.checkpoint_in(folder) == folder / "ensemble"


def test_an_unfinished_run_says_how_to_go_on() -> None:
    run("mine.mini", "best-ra")
    with pytest.raises(UsageError, match=r"advss train runs/mine.mini/recipe.yaml --out runs/mine.mini --resume"):
        parse_reference("mine")
    run("my own.mini", "best-ra")
    with pytest.raises(UsageError, match=r"'runs/my own.mini/recipe.yaml' --out 'runs/my own.mini' --resume"):
        parse_reference(Path("runs/my own.mini"))


def test_two_runs_of_one_name_need_their_tags() -> None:
    run("mine.mini", "best-ra", "last")
    run("mine.r50", "best-ra", "last")
    with pytest.raises(UsageError, match=r"'mine' is ambiguous\. Choose from mine\.mini, mine\.r50\."):
        parse_reference("mine")
    assert parse_reference("mine.r50").path == Path("runs/mine.r50/best-ra")


@pytest.mark.parametrize("name", ["", "..", "../mine.mini", "runs/mine.mini", "Mine.mini", "mine.*", "a\0b", "a" * 300])
def test_a_name_is_no_path(name: str) -> None:
    run("mine.mini", "best-ra", "last")
    assert runs.find(name) is None


@pytest.mark.parametrize("deployed", ["", None, "../../elsewhere", ["last"], {}])
def test_a_configuration_that_was_tampered_with_leads_nowhere(deployed: object) -> None:
    run("mine.mini", "best-ra", "last", deployed=deployed)
    with pytest.raises(CheckpointError):
        sources.fetch("mine.mini")


def test_what_is_no_run() -> None:
    Path("runs/eval").mkdir(parents=True)
    assert runs.find("eval") is None
    assert not runs.is_run(run("mine.mini", "last") / "last")
    damaged = Path("damaged")  # a checkpoint without its configuration, which training again would not mend
    damaged.mkdir()
    for name in ("recipe.yaml", "model.safetensors"):
        (damaged / name).touch()
    with pytest.raises(UsageError, match=r"damaged is not a checkpoint \(a folder with config\.json"):
        parse_reference(damaged)
    with pytest.raises(UsageError, match="Unknown checkpoint 'eval'"):
        parse_reference("eval")
    with pytest.raises(CheckpointError, match="runs/nowhere does not exist"):
        parse_reference("runs/nowhere")
