"""Publishing: what goes is whole and true, goes in one commit, and does not go twice."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hub.conftest import contents
from hub.server import TOKENS, Hub, Repository
from huggingface_hub import ModelCard, constants, parse_eval_result_entries

from advss_zoo import load_model, resources
from advss_zoo.data.catalogue import CIFAR10
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.evaluation import results
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.files import read_json, sha256_of
from advss_zoo.models.model import Model
from advss_zoo.training import recipe
from advss_zoo.workflows.publish import collecting, sending
from advss_zoo.zoo import cards, checkpoint, ensembles, index, metadata, sources
from advss_zoo.zoo import hub as client
from advss_zoo.zoo.snapshot import Address, belongs, parse_repository

NAME = "p1f4.mini"
TARGET = parse_repository(f"hf://acme/{NAME}")
TINY = parse_repository("hf://acme/tiny")


def sent(hub: Hub) -> list[str]:
    """What changed something, of what was asked."""
    return [request.path for request in hub.requests if request.method not in ("GET", "HEAD")]


@pytest.fixture
def described(tiny: Path) -> Path:
    """The tiny checkpoint with a result and a card of its owner's."""
    model, config = checkpoint.load(tiny)
    images = np.random.default_rng(0).integers(0, 256, (16, 3, 32, 32), dtype=np.uint8), np.arange(16) % 10
    evaluate(Model(model, config.full_name, config.sha256), images, "clean", out=tiny / "results" / "mine")
    (tiny / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return tiny


@pytest.fixture
def damaged(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the zoo's checkpoint, for the taking apart."""
    folder = tmp_path / NAME
    shutil.copytree(resources.PACKAGE / "bundled" / NAME, folder)
    monkeypatch.setattr(sources, "SOURCES", {"copy": lambda entry: folder})
    return folder


# --- to the Hub -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_the_zoo_goes_whole_in_one_commit(hub, checkout):
    outcome = sending.to_hub(collecting.collect(NAME), TARGET)
    repository = hub.repositories[TARGET.repository]
    there = repository.commits[repository.head]
    here = contents(resources.PACKAGE / "bundled" / NAME)
    assert len(hub.asked("^POST .*/commit/")) == 1
    assert {name: there[name] for name in here if name != "README.md"} == {
        name: content for name, content in here.items() if name != "README.md"
    }
    assert there["README.md"].decode() == index.card(NAME)
    extra = set(there) - set(here)
    measured = (resources.PACKAGE / "bundled" / NAME / "results").iterdir()
    assert extra == {".gitattributes", *(f".eval_results/{folder.name}.yaml" for folder in measured)}
    assert ".eval_results/cifar10-pgd20.yaml" in extra
    assert not repository.private
    assert set(outcome.changes) == set(there) - {".gitattributes"}
    assert set(outcome.changes.values()) == {"new"}
    assert (outcome.commit, outcome.tagged) == (repository.head, repository.head)
    assert repository.tags == {sending.TAG: repository.head}


def test_the_index_notes_the_commit_and_every_file(hub, checkout):
    before = read_json(checkout / "cards" / f"{NAME}.json")
    outcome = sending.to_hub(collecting.collect(NAME), TARGET)
    values = checkout / "cards" / f"{NAME}.json"
    published = index.find(NAME).hub
    assert outcome.recorded == values
    assert (published.repository, published.commit) == (TARGET.repository, outcome.commit)
    assert published.files["model.safetensors"] == index.find(NAME).sha256
    assert set(published.files) == set(outcome.changes)
    assert {key: value for key, value in read_json(values).items() if key != "hub"} == before


@pytest.mark.parametrize("owner", ["somebody", "acme-zoo"])
def test_the_index_notes_only_what_the_organisation_of_the_zoo_has(hub, checkout, owner):
    before = contents(checkout)
    outcome = sending.to_hub(collecting.collect(NAME), Address(owner, NAME))
    assert (outcome.recorded, contents(checkout)) == (None, before)
    assert hub.repositories[f"{owner}/{NAME}"].head == outcome.commit


def test_what_is_there_is_not_sent_again(hub, checkout):
    first = sending.to_hub(collecting.collect(NAME), TARGET)
    hub.requests.clear()
    again = sending.to_hub(collecting.collect(NAME), TARGET)
    assert (again.changes, again.commit, again.tagged) == ({}, first.commit, first.commit)
    assert sent(hub) == []


def test_only_what_changed_is_sent_and_what_is_gone_is_removed(hub, described):
    sending.to_hub(collecting.collect(str(described)), TINY)
    repository = hub.repositories[TINY.repository]
    first = repository.head
    repository.commit(repository.commits[first] | {"notes.txt": b"somebody else's"})
    (described / "README.md").write_text("---\nlicense: mit\n---\n# Smaller\n")
    shutil.rmtree(described / "results")
    hub.requests.clear()
    outcome = sending.to_hub(collecting.collect(str(described)), TINY)
    assert outcome.changes == {
        "README.md": "changed",
        **dict.fromkeys([name for name in repository.commits[first] if name.startswith("results/")], "removed"),
    }
    assert len(outcome.changes) == 3
    assert len(hub.asked("^POST .*/commit/")) == 1
    assert not hub.asked("/lfs/")
    assert repository.commits[repository.head]["notes.txt"] == b"somebody else's"


def test_the_tag_of_a_release_does_not_move(hub, described):
    first = sending.to_hub(collecting.collect(str(described)), TINY)
    (described / "README.md").write_text("---\nlicense: mit\n---\n# Other\n")
    second = sending.to_hub(collecting.collect(str(described)), TINY)
    assert second.commit != first.commit == second.tagged


def test_a_dry_run_shows_what_would_go_and_sends_nothing(hub, described):
    bundle = collecting.collect(str(described))
    outcome = sending.to_hub(bundle, TINY, dry_run=True)
    assert set(outcome.changes) == set(bundle.files)
    assert sent(hub) == []
    assert hub.repositories == {}
    sending.to_hub(bundle, TINY)
    hub.requests.clear()
    assert sending.to_hub(bundle, TINY, dry_run=True).changes == {}
    assert sent(hub) == []


def test_a_private_repository(hub, described):
    bundle = collecting.collect(str(described))
    sending.to_hub(bundle, TINY, private=True)
    assert hub.repositories[TINY.repository].private
    assert sending.to_hub(bundle, TINY, private=True).changes == {}
    hub.repositories[TINY.repository].private = False
    with pytest.raises(UsageError, match="already exists and is public"):
        sending.to_hub(bundle, TINY, private=True)


def test_a_gated_repository_can_be_published_to(hub, described):
    hub.repositories[TINY.repository] = Repository(gated=True)
    hub.repositories[TINY.repository].commit({})
    assert sending.to_hub(collecting.collect(str(described)), TINY).commit
    assert hub.repositories[TINY.repository].gated


def test_a_new_repository_can_be_gated(hub, described):
    bundle = collecting.collect(str(described))
    sending.to_hub(bundle, TINY, gated=True)
    assert hub.repositories[TINY.repository].gated
    hub.requests.clear()
    assert sending.to_hub(bundle, TINY, gated=True).changes == {}
    assert sent(hub) == []
    hub.repositories[TINY.repository].gated = False
    with pytest.raises(UsageError, match="already exists and is not gated"):
        sending.to_hub(bundle, TINY, gated=True)


def test_without_the_hub_nothing_is_published(hub, described, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    bundle = collecting.collect(str(described))
    for act in (lambda: sending.to_hub(bundle, TINY), lambda: sending.gather("acme", [])):
        with pytest.raises(AdvssError, match="Publishing needs the network, but HF_HUB_OFFLINE is set"):
            act()


def test_what_has_changed_since_it_was_verified_is_not_published(hub, described, tmp_path):
    bundle = collecting.collect(str(described))
    path = described / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x01")
    for act in (lambda: sending.to_hub(bundle, TINY), lambda: sending.to_folder(bundle, tmp_path / "out")):
        with pytest.raises(CheckpointError, match=r"model\.safetensors has changed since it was verified"):
            act()
    assert hub.asked("^POST .*/commit/") == []
    assert not (tmp_path / "out").exists()
    path.write_bytes(content)

    def change(_: object) -> bool:
        (described / "config.json").write_text("{}")
        return False

    hub.fault("^POST .*/preupload/", change)
    with pytest.raises(CheckpointError, match=r"config\.json has changed since it was verified"):
        sending.to_hub(bundle, TINY)
    assert hub.repositories[TINY.repository].tags == {}


def test_weights_that_change_while_they_are_verified(described, monkeypatch):
    check = results.check

    def change(path):
        (described / "model.safetensors").write_bytes(b"other")
        return check(path)

    monkeypatch.setattr(results, "check", change)
    with pytest.raises(CheckpointError, match="has been changed or damaged"):
        collecting.collect(str(described))


def test_results_are_called_so_that_they_can_be_fetched(hub, described):
    path = next(described.glob("results/*/result.json"))
    document = read_json(path)
    for name in (".hidden", "d" * 195, "кошки", "???"):
        path.write_text(json.dumps(document | {"data": document["data"] | {"name": name}}))
        bundle = collecting.collect(str(described))
        assert all(belongs(file) for file in bundle.files)
        sending.to_hub(bundle, TINY)


def test_two_results_of_one_name_are_not_taken_for_one(described):
    path = next(described.glob("results/*/result.json")).parent
    shutil.copytree(path, described / "results" / "again")
    with pytest.raises(CheckpointError, match=r"results/again and .*results/mine would both be results/arrays-clean"):
        collecting.collect(str(described))


@pytest.mark.parametrize(
    ("token", "says"), [("hf_reader", "denied access to acme/tiny"), ("hf_expired", "token is missing or invalid")]
)
def test_who_may_not_write_is_told(hub, described, token, says, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(CheckpointError, match=says) as refused:
        sending.to_hub(collecting.collect(str(described)), TINY)
    assert "auth login" in refused.value.hint
    assert token not in str(refused.value)


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(hub, described):
    hub.repositories[TINY.repository] = Repository()
    hub.repositories[TINY.repository].commit({})

    def somebody(_: object) -> bool:
        hub.repositories[TINY.repository].commit({"model.safetensors": b"theirs"})
        return False

    hub.fault("^POST .*/commit/", somebody)
    with pytest.raises(CheckpointError, match="has changed since it was read"):
        sending.to_hub(collecting.collect(str(described)), TINY)
    assert sending.to_hub(collecting.collect(str(described)), TINY).changes["model.safetensors"] == "changed"


def test_what_the_hub_does_not_keep_is_noticed(hub, described):
    def forget(handler: object) -> bool:
        handler.body = b"\n".join(line for line in handler.body.splitlines() if b"config.json" not in line)
        return False

    hub.fault("^POST .*/commit/", forget)
    with pytest.raises(CheckpointError, match=r"does not hold what was sent: config\.json"):
        sending.to_hub(collecting.collect(str(described)), TINY)


def test_a_card_that_the_hub_cannot_read(hub, described):
    (described / "README.md").write_text("---\n- no mapping\n---\n")
    with pytest.raises(CheckpointError, match="cannot read the front matter of the card for hf://acme/tiny"):
        sending.to_hub(collecting.collect(str(described)), TINY)
    assert not hub.asked("/commit/")


def test_an_upload_that_broke_off_goes_on(hub, described):
    """What has arrived is in storage; the commit, which did not come to be, is made the second time."""
    hub.fail("^POST .*/commit/", 500)
    with pytest.raises(CheckpointError, match=r"returned a server error \(500\)"):
        sending.to_hub(collecting.collect(str(described)), TINY)
    hub.requests.clear()
    assert sending.to_hub(collecting.collect(str(described)), TINY).commit
    assert not hub.asked("^PUT ")


def test_the_whole_zoo_gets_a_page(hub, described):
    repositories = ["acme/a", "acme/b"]
    page = sending.gather("acme", repositories[:1])
    assert sending.gather("acme", repositories) == page
    (collection,) = hub.collections.values()
    assert [item["id"] for item in collection["items"]] == repositories
    assert len(collection["description"] or sending.ABOUT) <= 150


def test_a_password_in_the_address_of_a_mirror_is_not_shown(hub, monkeypatch):
    page = sending.gather("acme", [])
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("://", "://me:secret@"))
    monkeypatch.setitem(TOKENS, "Basic bWU6c2VjcmV0", "owner")
    assert sending.gather("acme", []) == page


def test_an_ensemble_goes_with_the_members_in_its_folder(hub, described, tmp_path):
    """It comes back as one, though the zoo knows none of its members."""
    folder = tmp_path / "pair"
    shutil.copytree(described, folder / "members" / "tiny.test")
    member = ensembles.Member(name="tiny.test", sha256=sha256_of(described / "model.safetensors"))
    config = ensembles.EnsembleConfig(
        name="pair", tag="test", scenario="p1f3", classes=CIFAR10.classes, members=(member, member)
    )
    (folder / "config.json").write_text(config.model_dump_json())
    (folder / "README.md").write_text("---\n{}\n---\n# A pair\n")
    outcome = sending.to_hub(collecting.collect(str(folder)), TINY)
    assert sorted(outcome.changes) == [
        "README.md",
        "config.json",
        "members/tiny.test/config.json",
        "members/tiny.test/model.safetensors",
    ]
    shutil.rmtree(folder)
    assert len(load_model("hf://acme/tiny").network.members) == 2


@pytest.fixture
def run(described: Path, tmp_path: Path) -> Path:
    """The folder of a run that ships its average, which is the tiny checkpoint."""
    folder = tmp_path / "run"
    made_by = recipe.load("p1f4.mini", ["deployed=average"])
    provenance = checkpoint.Provenance(
        recipe=made_by.full_name,
        recipe_sha256=made_by.sha256,
        profile="fast",
        data="cifar10",
        split="train",
        picked="average",
        deployed="average",
        epochs=2.0,
    )
    shutil.copytree(described, folder / "average")
    (folder / "average" / "README.md").unlink()
    model, config = checkpoint.load(described)
    checkpoint.save(folder / "average", model.state_dict(), config.model_copy(update={"provenance": provenance}))
    for place in (folder, folder / "average"):
        (place / "recipe.yaml").write_text(made_by.to_yaml())
    shutil.copytree(folder / "average", folder / "last")
    record = {"step": 1, "epoch": 1.0, "seconds": 60.0, "validation": {"ta": 0.5, "ra": 0.25}}
    (folder / "log.jsonl").write_text(json.dumps(record) + "\n")
    (folder / "curves.png").write_bytes(b"a picture")
    (folder / "state.safetensors").write_bytes(b"what only a resumed run needs")
    return folder


def test_a_run_goes_as_what_its_recipe_ships_with_a_card_written_for_it(hub, run):
    for what in (run, run / "average"):
        files = collecting.collect(str(what)).files
        assert sorted(name for name in files if "/" not in name) == [
            "README.md",
            "config.json",
            "curves.png",
            "model.safetensors",
            "recipe.yaml",
        ]
    there = collecting.collect(str(run), str(TINY)).files["README.md"].decode()
    assert 'load_model("hf://acme/tiny")' in there
    assert there.replace(str(TINY), "hf://ORG/tiny.test") == files["README.md"].decode()
    card = ModelCard(files["README.md"].decode())
    ta = read_json(next(run.glob("average/results/*/result.json")))["ta"]
    assert [result.metric_value for result in card.data.eval_results] == [round(100 * ta, 2)]
    assert "Made with advss-zoo by the recipe p1f4.mini" in card.text
    assert sending.to_hub(collecting.collect(str(run)), TINY).recorded is None


def test_a_run_that_is_not_finished(run):
    shutil.rmtree(run / "last")
    with pytest.raises(UsageError, match="is not finished"):
        collecting.collect(str(run))


def test_a_checkpoint_that_does_not_say_how_it_was_made_has_to_be_described(run):
    shipped = run / "average"
    model, config = checkpoint.load(shipped)
    checkpoint.save(shipped, model.state_dict(), config.model_copy(update={"provenance": None}))
    with pytest.raises(
        CheckpointError, match=r"README\.md is missing in .*, and its training is not recorded"
    ) as raised:
        collecting.collect(str(shipped))
    assert raised.value.hint == f"Write {shipped / 'README.md'}."


# --- to a folder ------------------------------------------------------------------------------------------------------


def test_a_folder_of_the_same_layout(hub, checkout, tmp_path):
    bundle = collecting.collect(NAME)
    first = sending.to_folder(bundle, tmp_path / "out")
    sending.to_hub(bundle, TARGET)
    repository = hub.repositories[TARGET.repository]
    on_hub = {
        name: content for name, content in repository.commits[repository.head].items() if name != ".gitattributes"
    }
    assert contents(tmp_path / "out") == on_hub
    assert set(first.changes) == set(on_hub)
    assert sending.to_folder(bundle, tmp_path / "out").changes == {}


def test_a_folder_is_brought_up_to_date_and_what_is_not_ours_is_left(described, tmp_path):
    out = tmp_path / "out"
    sending.to_folder(collecting.collect(str(described)), out)
    (out / "notes.txt").write_text("mine")
    (out / "recipe.yaml").write_text("stale")
    config = read_json(out / "config.json")
    (out / "config.json").write_text(json.dumps(config | {"sha256": None}))
    bundle = collecting.collect(str(described))
    wanted = {"config.json": "changed", "recipe.yaml": "removed"}
    assert sending.to_folder(bundle, out, dry_run=True).changes == wanted
    assert (out / "recipe.yaml").exists()
    assert sending.to_folder(bundle, out).changes == wanted
    assert sorted(contents(out)) == sorted([*bundle.files, "notes.txt"])


@pytest.mark.parametrize("config", [None, "{}", '{"model_type": "bert"}', "another"])
def test_a_folder_that_holds_something_else_is_left_alone(described, tmp_path, config):
    out = tmp_path / "project"
    out.mkdir()
    bundle = collecting.collect(str(described))
    for name in ("README.md", "recipe.yaml", "model.safetensors"):
        (out / name).write_text("mine")
    if config == "another":
        config = json.dumps(read_json(described / "config.json") | {"name": "another"})
    if config is not None:
        (out / "config.json").write_text(config)
    before = contents(out)
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"is not empty and does not hold tiny\.test"):
            sending.to_folder(bundle, out, dry_run=dry_run)
    assert contents(out) == before
    empty = tmp_path / "empty"
    empty.mkdir()
    assert sending.to_folder(bundle, empty).changes


def test_writing_a_folder_goes_on_where_it_broke_off(described, tmp_path, monkeypatch):
    bundle, write = collecting.collect(str(described)), sending.write_atomically

    def broken(path: Path, content: object) -> None:
        if path.name == "model.safetensors":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(sending, "write_atomically", broken)
    with pytest.raises(KeyboardInterrupt):
        sending.to_folder(bundle, tmp_path / "out")
    monkeypatch.setattr(sending, "write_atomically", write)
    assert "model.safetensors" in sending.to_folder(bundle, tmp_path / "out").changes
    assert set(contents(tmp_path / "out")) == set(bundle.files)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_weights_that_are_not_those_of_the_card(damaged):
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match=r"The weights of p1f4\.mini are damaged"):
        collecting.collect(NAME)


def test_weights_that_are_not_those_of_the_configuration(damaged, described):
    for folder, what in ((damaged, NAME), (described, str(described))):
        path = folder / "config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps(config | {"sha256": "0" * 64}))
        with pytest.raises(CheckpointError, match="has been changed or damaged"):
            collecting.collect(what)
        path.write_text(json.dumps(config | {"sha256": None}))
        with pytest.raises(CheckpointError, match="sha256 of the weights is missing"):
            collecting.collect(what)


def test_a_number_that_its_verdicts_do_not_bear_out(damaged, described):
    for folder, what in ((damaged, NAME), (described, str(described))):
        path = next(folder.glob("results/*/result.json"))
        path.write_text(json.dumps(json.loads(path.read_text()) | {"ta": 0.99}))
        with pytest.raises(AdvssError, match=r"says ta = 0\.99, but its verdicts give"):
            collecting.collect(what)


def test_a_card_with_a_better_number_than_its_result(damaged, checkout):
    values = checkout / "cards" / f"{NAME}.json"
    document = read_json(values)
    document["results"][1]["ra"] = 0.99
    values.write_text(json.dumps(document))
    index.entries.cache_clear()
    with pytest.raises(
        CheckpointError, match=r"has a number for pgd20 on cifar10 that is not supported by the results"
    ):
        collecting.collect(NAME)


def test_a_card_without_its_results(damaged):
    shutil.rmtree(damaged / "results")
    with pytest.raises(CheckpointError, match="is not supported by the results"):
        collecting.collect(NAME)


def test_a_card_that_was_touched_up(checkout):
    card = checkout / "cards" / f"{NAME}.md"
    card.write_text(card.read_text().replace("TA is the accuracy", "TA is not the accuracy"))
    with pytest.raises(CheckpointError, match=r"is not what .* gives"):
        collecting.collect(NAME)


def test_a_result_of_other_weights(described):
    path = next(described.glob("results/*/result.json"))
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"model": document["model"] | {"sha256": "0" * 64}}))
    with pytest.raises(CheckpointError, match="is a result of other weights"):
        collecting.collect(str(described))


def test_a_model_index_with_other_numbers(described):
    document = read_json(next(described.glob("results/*/result.json")))
    path, true = described / "README.md", metadata.model_index("tiny.test", [document])
    better = metadata.model_index("tiny.test", [document | {"ta": 0.99}])
    path.write_text(f"---\n{yaml.safe_dump({'model-index': true})}---\n# Tiny\n")
    assert collecting.collect(str(described)).files["README.md"] == path.read_bytes()
    path.write_text(f"---\n{yaml.safe_dump({'model-index': better})}---\n# Best\n")
    with pytest.raises(CheckpointError, match=r"The results in .* do not support .*: TA \(clean\) 99\.0 on arrays\."):
        collecting.collect(str(described))
    for front in ("[", "model-index: [{}]", "model-index: 99", "model-index: [99]"):
        path.write_text(f"---\n{front}\n---\n")
        with pytest.raises(CheckpointError, match="Hub cannot read the front matter"):
            collecting.collect(str(described))


@pytest.mark.parametrize(
    "written",
    [
        lambda front: f"---\n{front}---\n# Best\n".replace("\n", "\r\n"),
        lambda front: f"\n---\n{front}---\n# Best\n",
        lambda front: f"\ufeff---\n{front}---\n# Best\n",
        lambda front: f"---\n{front}---",
        lambda front: f"---\n{front}---  \n# Best\n",
    ],
)
def test_front_matter_is_found_where_the_hub_finds_it(described, written):
    document = read_json(next(described.glob("results/*/result.json")))
    better = metadata.model_index("tiny.test", [document | {"ta": 0.99}])
    card = written(yaml.safe_dump({"model-index": better}))
    assert [each.metric_value for each in ModelCard(card.lstrip("\ufeff")).data.eval_results] == [99.0]
    (described / "README.md").write_bytes(card.encode())
    with pytest.raises(CheckpointError, match=r"TA \(clean\) 99\.0"):
        collecting.collect(str(described))


def test_a_model_index_with_another_protocol_or_data_set(described, tmp_path):
    """The number is true, what it is said to be the number of is not."""
    model, config = checkpoint.load(described)
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.arange(4)
    out = described / "results" / "pgd"
    evaluate(Model(model, config.full_name, config.sha256), images, "pgd2", out=out)
    true = metadata.model_index("tiny.test", [read_json(out / "result.json")])
    (described / "README.md").write_text(f"---\n{yaml.safe_dump({'model-index': true})}---\n")
    assert collecting.collect(str(described))
    for change in (
        lambda block: block["metrics"][1]["args"].update(eps=0.5, steps=1000),
        lambda block: block["metrics"][1].update(verified=True),
        lambda block: block["metrics"][1].update(type="f1"),
        lambda block: block["dataset"].update(name="ImageNet"),
        lambda block: block["dataset"].update(config="hard"),
    ):
        false = copy.deepcopy(true)
        change(false[0]["results"][0])
        (described / "README.md").write_text(f"---\n{yaml.safe_dump({'model-index': false})}---\n")
        with pytest.raises(CheckpointError, match=r"The results in .* do not support"):
            collecting.collect(str(described))


def change_and_render(checkout: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """What somebody does who knows how cards come to be."""
    values = checkout / "cards" / f"{name}.json"
    document = read_json(values)
    change(document)
    values.write_text(json.dumps(document))
    values.with_suffix(".md").write_text(cards.render(document))
    index.entries.cache_clear()


@pytest.mark.parametrize(
    ("name", "key", "change"),
    [
        ("ensemble-p3f4.mini", "members", lambda card: card["members"][0].update(ra=0.99)),
        ("ensemble-p3f4.mini", "members", lambda card: card["members"].pop()),
        ("ensemble-p3f4.mini", "parameters", lambda card: card.update(parameters=99)),
        ("selfie-p3f4.mini", "control", lambda card: card["control"].update(ra=0.01)),
        ("p1f4.mini", "parameters", lambda card: card.update(parameters=99)),
        ("p1f4.mini", "bytes", lambda card: card.update(bytes=99)),
        ("p1f4.mini", "members", lambda card: card.update(members=[{"name": "x.mini", "ta": 1.0, "ra": 1.0}])),
        ("p1f4.mini", "epochs", lambda card: card["training"].update(epochs=1.0)),
    ],
)
def test_a_card_that_says_something_else_than_the_files_and_other_cards(checkout, name, key, change):
    assert collecting.collect(name)
    change_and_render(checkout, name, change)
    with pytest.raises(CheckpointError, match=f"The card of {name} says {key} = "):
        collecting.collect(name)


def test_folders_that_are_no_checkpoint(tmp_path, tiny):
    with pytest.raises(CheckpointError, match=r"nowhere does not exist"):
        collecting.collect(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="is not a checkpoint"):
        collecting.collect(str(tmp_path))
    with pytest.raises(UsageError, match="Unknown checkpoint 'zebra'"):
        collecting.collect("zebra")
    with pytest.raises(CheckpointError, match=r"README\.md is missing"):
        collecting.collect(str(tiny))


# --- what the Hub reads -----------------------------------------------------------------------------------------------


def test_the_hub_can_read_the_card_and_the_results(checkout):
    files = collecting.collect("selfie-p3f4.mini").files
    card = ModelCard(files["README.md"].decode())
    entry = index.find("selfie-p3f4.mini")
    accuracies = {(each.dataset_split, each.metric_name): each.metric_value for each in card.data.eval_results}
    assert accuracies["test", "TA (clean)"] == round(100 * entry.ta, 2)
    assert accuracies["test", "RA (pgd20)"] == round(100 * entry.ra, 2)
    assert accuracies["test[:1000]", "RA (autoattack)"] == round(100 * entry.aa, 2)
    assert card.data.base_model == ["advss-zoo/selfie-p3.mini"]
    (found,) = parse_eval_result_entries(yaml.safe_load(files[".eval_results/cifar10-pgd20.yaml"]))
    assert (found.dataset_id, found.value) == ("uoft-cs/cifar10", accuracies["test", "RA (pgd20)"])
    assert "norm linf" in found.notes


def test_an_installed_package_keeps_its_index(hub, checkout, monkeypatch, tmp_path):
    installed = tmp_path / "site-packages"
    shutil.copytree(checkout / "cards", installed / "cards")
    shutil.copytree(resources.PACKAGE / "bundled" / NAME, installed / "bundled" / NAME)
    monkeypatch.setattr(resources, "PACKAGE", installed)
    before = contents(installed)
    outcome = sending.to_hub(collecting.collect(NAME), TARGET)
    assert (outcome.commit is not None, outcome.recorded) == (True, None)
    assert contents(installed) == before


def test_a_stale_record_of_the_hub_is_not_needed(hub, in_zoo, checkout):
    """What is fetched from one owner can be published to another."""
    outcome = sending.to_hub(collecting.collect("p1f4"), parse_repository("hf://other/p1f4.mini"))
    assert index.find("p1f4").hub.repository == "acme/p1f4.mini"
    assert client.look_up(parse_repository("hf://other/p1f4.mini")).commit == outcome.commit
