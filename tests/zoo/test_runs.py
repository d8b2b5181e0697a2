"""Runs by name: what is one, which checkpoint it stands for, and who comes first where a name is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.zoo import index, reference, runs, sources


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
        assert sources.parts(said) == [said]
        fetched = sources.fetch(said)
        assert (fetched.full_name, fetched.path, fetched.source) == ("mine.mini", made / deployed, "run")
        assert reference.folder(said) == made / deployed
    assert reference.folder(str(made)) == made / deployed
    assert reference.folder(str(made / "last")) == made / "last", "a checkpoint's folder is taken as it is"
    assert reference.folder(str(made / "last" / "model.safetensors")) == made / "last"


def test_an_ensembles_run_stands_for_the_ensemble() -> None:
    folder = Path("runs/both.mini")
    (folder / "ensemble").mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    with pytest.raises(UsageError, match=r"not finished\. Go on with it: the command that began it, and --resume"):
        sources.parts("both")
    (folder / "ensemble" / "config.json").write_text("{}")
    assert (runs.find("both"), runs.checkpoint_in(folder)) == (folder, folder / "ensemble")
    (folder / "plan.json").unlink()  # `advss train` leaves none
    assert runs.checkpoint_in(folder) == folder / "ensemble"


def test_an_unfinished_run_says_how_to_go_on() -> None:
    run("mine.mini", "best-ra")
    with pytest.raises(UsageError, match=r"advss train runs/mine.mini/recipe.yaml --out runs/mine.mini --resume"):
        sources.fetch("mine")


def test_two_runs_of_one_name_need_their_tags() -> None:
    run("mine.mini", "best-ra", "last")
    run("mine.r50", "best-ra", "last")
    with pytest.raises(UsageError, match=r"'mine' may be mine\.mini or mine\.r50\. Write one of them\."):
        sources.parts("mine")
    assert reference.folder("mine.r50") == Path("runs/mine.r50/best-ra")


def test_the_zoo_comes_first_and_the_run_is_mentioned() -> None:
    made = run("p1f4.mini", "best-ra", "last")
    fetched = sources.fetch("p1f4.mini")
    assert (fetched.source, fetched.sha256) == ("bundled", index.find("p1f4").sha256)
    assert (reference.shadowed("p1f4.mini"), reference.shadowed("p1f4")) == (made, made)
    assert reference.shadowed("p1f3") is None
    assert reference.folder(str(made)) == made / "best-ra"


def test_what_lies_here_comes_before_a_run() -> None:
    run("pets.mini", "best-ra", "last")
    Path("pets").mkdir()
    assert reference.as_path("pets") == Path("pets")
    assert reference.as_path("pets.mini") is None


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
    with pytest.raises(UsageError, match="There is no checkpoint 'eval'"):
        sources.parts("eval")
    with pytest.raises(CheckpointError, match="There is no runs/nowhere"):
        reference.folder("runs/nowhere")
