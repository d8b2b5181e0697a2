"""`advss publish`, `pull`, `eval` and `cache` as they are typed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from hub.conftest import contents, put

from advss_zoo import load_model
from advss_zoo.zoo import cache, index, sources
from advss_zoo.zoo import hub as client

NAME = "p1f4.mini"


# --- publish ----------------------------------------------------------------------------------------------------------


def test_publishing_says_what_went_where(hub, checkout, advss):
    first = advss("publish", NAME, "--to", f"hf://acme/{NAME}")
    assert first.status == 0
    repository = hub.repositories[f"acme/{NAME}"]
    commit = repository.head
    files = len(repository.commits[commit].keys() - {".gitattributes"})
    assert first.stdout == f"checkpoint\tchanged\tto\n{NAME}\t{files} files\thf://acme/{NAME}@{commit}\n"
    assert f"the commit is recorded in {checkout / 'cards' / NAME}.json" in first.stderr
    assert "%" not in first.stderr  # no progress bars where nobody watches
    again = advss("publish", NAME, "--to", f"hf://acme/{NAME}", "--json").json
    assert [(each["changes"], each["commit"], each["tagged"]) for each in again] == [({}, commit, commit)]


def test_a_dry_run_lists_files(hub, checkout, advss):
    shown = advss("publish", NAME, "--to", f"hf://acme/{NAME}", "--dry-run")
    rows = [line.split("\t") for line in shown.stdout.splitlines()]
    assert rows[0] == ["to", "change", "size", "file"]
    assert ["hf://acme/p1f4.mini", "new", "1.43 MB", "model.safetensors"] in rows
    assert shown.stderr == "Nothing was sent.\n"
    assert hub.repositories == {}


def test_results_that_lie_with_a_checkpoint_go_along(hub, tiny, advss):
    (tiny / "README.md").write_text("---\n{}\n---\n# Tiny\n")
    evaluated = ("--attack", "clean", "--limit", "8", "--out", str(tiny / "results"))
    assert advss("eval", str(tiny), *evaluated).status == 0
    assert advss("publish", str(tiny), "--to", "hf://acme/tiny").status == 0
    repository = hub.repositories["acme/tiny"]
    there = {name for name in repository.commits[repository.head] if name.startswith((".eval_results/", "results/"))}
    slug = "cifar10-1k-clean"
    assert there == {f".eval_results/{slug}.yaml", f"results/{slug}/result.json", f"results/{slug}/verdicts.npz"}


def test_the_whole_zoo(hub, checkout, advss, monkeypatch, tmp_path):
    for path in (checkout / "cards").glob("*.json"):
        if path.stem not in (NAME, "jigsaw-p3.mini"):
            path.unlink()
    index.entries.cache_clear()
    done = advss("publish", "--all", "--to", "hf://acme", "--private")
    assert done.status == 0, done.stderr
    assert sorted(hub.repositories) == ["acme/jigsaw-p3.mini", f"acme/{NAME}"]
    assert all(repository.private for repository in hub.repositories.values())
    (page,) = hub.collections
    assert f"All on one page: {hub.url}/collections/{page}" in done.stderr
    assert hub.collections[page]["private"]
    assert all(entry.hub for entry in index.entries())
    advss("publish", "--all", "--to", "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["jigsaw-p3.mini", NAME]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([NAME, "--to", "hf://acme"], "names an owner, not a repository"),
        (["--all", "--to", f"hf://acme/{NAME}"], "is one repository, but each checkpoint gets its own"),
        ([NAME, "--to", f"hf://acme/{NAME}@v1"], "names a revision"),
        (["--to", f"hf://acme/{NAME}"], "Give a MODEL to publish, or --all"),
        ([NAME, "--all", "--to", "hf://acme"], "Give a MODEL to publish, or --all"),
        ([NAME, "--to", "HF://acme/x"], "'HF://acme/x' is not a Hub repository"),
        ([NAME, "--to", "https://huggingface.co/acme/x"], "is not a Hub repository"),
        ([NAME], "--to"),
        (["p1f44", "--to", "hf://acme/x"], "Unknown checkpoint"),
    ],
)
def test_wrong_usage(hub, advss, arguments, says):
    status, stdout, stderr = advss("publish", *arguments)
    assert (status, stdout) == (2, "")
    assert says in stderr
    assert hub.requests == []


def test_a_gated_repository(hub, checkout, advss):
    assert advss("publish", NAME, "--to", f"hf://acme/{NAME}", "--gated").status == 0
    assert hub.repositories[f"acme/{NAME}"].gated


# --- pull and eval ----------------------------------------------------------------------------------------------------


def test_a_repository_is_pulled_and_looked_at(hub, on_hub, advss):
    pulled = advss("pull", "hf://acme/tiny", "--json").json
    assert (pulled["name"], pulled["source"]) == (f"hf://acme/tiny@{on_hub.head}", "hub")
    assert sorted(contents(Path(pulled["path"]))) == ["config.json", "model.safetensors"]
    files = dict(on_hub.commits[on_hub.head])
    config = json.loads(files["config.json"])
    config["architecture"]["width"] = 8
    on_hub.commit(files | {"config.json": json.dumps(config).encode()})
    refused = advss("pull", "hf://acme/tiny")
    assert (refused.status, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: The weights do not fit the model; misshapen: ")


def test_a_repository_is_evaluated_under_its_address(hub, on_hub, advss, tmp_path):
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    done = advss("eval", f"hf://acme/tiny@{on_hub.head}", "--attack", "clean", "--limit", "8", "--json")
    assert done.status == 0, done.stderr
    assert done.json["model"]["name"] == f"hf://acme/tiny@{on_hub.head}"
    assert Path(done.json["out"]).parts[:2] == ("runs", "eval")
    assert len(Path(done.json["out"]).parts) == 3


def test_an_ensemble_is_pulled_with_its_members(hub, checkout, advss, monkeypatch):
    x = torch.rand(4, 3, 32, 32)
    expected = load_model("ensemble-p3f4")(x)
    members = ["selfie-p3f4.mini", "rotation-p3f4.mini", "jigsaw-p3f4.mini"]
    for name in ["ensemble-p3f4.mini", *members]:
        put(hub, name)
    monkeypatch.setattr(sources, "SOURCES", {})
    pulled = advss("pull", "ensemble-p3f4", "--json")
    assert pulled.status == 0, pulled.stderr
    assert (pulled.json["name"], pulled.json["source"]) == ("ensemble-p3f4.mini", "hub")
    hub.requests.clear()
    assert torch.equal(load_model("ensemble-p3f4")(x), expected)
    assert hub.requests == []


def test_what_is_no_address_is_refused_at_once(hub, advss):
    assert advss("eval", "p1f4+hf://acme/a/b").status == 2
    assert advss("eval", "hf://acme/x+zebra").status == 2
    assert hub.requests == []


# --- cache ------------------------------------------------------------------------------------------------------------


def names(items: list[cache.Item]) -> set[tuple[str, str]]:
    return {(item.kind, item.name) for item in items}


def test_an_empty_cache(advss, tmp_path):
    shown = advss("cache")
    assert (shown.status, shown.stdout, shown.stderr) == (0, "", f"{tmp_path / 'cache'}: 0 B.\n")
    assert advss("cache", "--prune").stderr == "Deleted: 0 B.\n"


def test_what_nothing_refers_to_is_pruned_and_the_rest_stays(hub, on_hub, in_zoo, tiny, advss, tmp_path):
    old = on_hub.head
    sources.fetch("hf://acme/tiny")
    kept = sources.fetch("p1f4")
    in_zoo.commit(in_zoo.commits[in_zoo.head] | {"recipe.yaml": b"{}"})
    sources.fetch("hf://acme/p1f4.mini")
    on_hub.commit(contents(tiny) | {"config.json": (tiny / "config.json").read_bytes() + b"\n"})
    newest = sources.fetch("hf://acme/tiny")
    data = tmp_path / "cache" / "data" / "cifar10.safetensors"
    data.parent.mkdir()
    data.write_bytes(bytes(1000))
    unreferenced = {
        ("checkpoint", f"hf://acme/p1f4.mini@{in_zoo.head}"),
        ("checkpoint", f"hf://acme/tiny@{old}"),
    }
    found = cache.items()
    assert names([item for item in found if item.kept is None]) == unreferenced
    assert names(found) - unreferenced == {
        ("checkpoint", kept.full_name if kept.full_name.startswith("hf") else f"hf://acme/p1f4.mini@{kept.path.name}"),
        ("checkpoint", newest.full_name),
        ("data", "cifar10"),
    }
    document = advss("cache", "--prune", "--json").json
    assert {(item["kind"], item["name"]) for item in document} == unreferenced
    assert cache.prune() == []
    hub.requests.clear()
    assert sources.fetch("p1f4") == kept
    assert sources.fetch(newest.full_name) == newest
    assert hub.requests == []
    assert not (client.folder() / "models--acme--tiny" / "snapshots" / old).exists()
    assert data.exists()
    sources.fetch(f"hf://acme/tiny@{old}")
    assert hub.requests


def test_downloads_that_died_are_pruned_and_those_that_live_are_not(hub, on_hub, tmp_path):
    folder = sources.fetch("hf://acme/tiny").path
    dead, alive, part = folder / ".aa.part", folder / ".bb.part", tmp_path / "cache" / "data" / ".x.1.part"
    part.parent.mkdir()
    for path in (dead, alive, part):
        path.write_bytes(b"half")
    then = time.time() - cache.ABANDONED_AFTER - 1
    for path in (dead, part):
        os.utime(path, (then, then))
    assert {item.path.name for item in cache.prune()} == {dead.name, part.name}
    assert (dead.exists(), part.exists(), alive.exists()) == (False, False, True)


@pytest.mark.parametrize("note", ["", "{}", "[]", '{"commit": 1}'])
def test_a_damaged_note_is_pruned(hub, on_hub, advss, note):
    kept = sources.fetch("hf://acme/tiny")
    damaged, whole = sorted(client.records().rglob("*.json"))
    damaged.write_text(note)
    assert advss("cache", "--prune").stderr == "Deleted: 0 B.\n"
    assert (damaged.exists(), whole.exists()) == (False, True)
    assert sources.fetch("hf://acme/tiny") == kept


@pytest.mark.parametrize("looks", [0, 1, 2])
@pytest.mark.parametrize("name", [".x.1.part", "a.safetensors"])
def test_what_goes_while_the_cache_is_looked_at_is_no_error(advss, tmp_path, monkeypatch, name, looks):
    """A writer beside us renames or deletes a file, when it has been looked at so many times."""
    path = tmp_path / "cache" / "data" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    stat, seen = Path.stat, []

    def gone(self: Path, **options: bool) -> os.stat_result:
        if self == path:
            if len(seen) == looks:
                path.unlink(missing_ok=True)
            seen.append(self)
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", gone)
    shown = advss("cache")
    assert shown.status == 0, shown.stderr


def test_what_makes_no_sense_is_pruned(hub, on_hub):
    folder = sources.fetch("hf://acme/tiny").path
    (folder.parent / "stray").touch()
    assert names(cache.prune()) == {("damaged", "models--acme--tiny")}
    assert sources.fetch("hf://acme/tiny").path == folder
