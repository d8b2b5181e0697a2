"""Names of repositories and files on the Hub: what is meant is understood, and nothing becomes a path."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.zoo.snapshot import Address, Snapshot, belongs, digest, parse, parse_repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WORD = st.from_regex(r"[A-Za-z0-9_]{1,8}([.-][A-Za-z0-9_]{1,8}){0,2}", fullmatch=True)


@given(owner=WORD, name=WORD, revision=st.none() | WORD | st.lists(WORD, min_size=2, max_size=3).map("/".join))
def test_an_address_is_understood(owner, name, revision):
    written = Address(owner, name, revision)
    assert parse_repository(str(written)) == written
    assert written.repository == f"{owner}/{name}"
    assert parse(f"hf://{owner}") == Address(owner)


@given(st.text() | st.text("hf:/@.\\-_ab").map("hf://".__add__))
def test_whatever_else_is_refused_or_leads_nowhere_else(text):
    try:
        address = parse(text)
    except UsageError:
        return
    assert str(address) == text
    for part in (address.owner, address.name or "x", *(address.revision or "x").split("/")):
        assert part not in ("", ".", "..")
        assert not set(part) & set("/\\\0:")


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "config.json", "model.safetensors", "recipe.yaml", "curves.png"),
        *("results/cifar10-pgd20-l2-eps-0.5/result.json", "results/a/verdicts.npz"),
        *("members/p1f4.mini/model.safetensors", ".eval_results/cifar10-clean.yaml"),
    ],
)
def test_what_belongs_to_a_checkpoint(name):
    assert belongs(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "model.pt", "model.safetensors\n", "/config.json", "../config.json", "a/config.json", "config.json/"),
        *("results/../config.json", "results/a/../../result.json", "results/.a/result.json", "results//result.json"),
        *("results/a/b/result.json", "results\\a\\result.json", "members/../config.json", "members/p1f4/config.json"),
        *("modeling.py", ".gitattributes", "results/" + "a" * 300 + "/result.json"),
    ],
)
def test_what_does_not(name):
    assert not belongs(name)


@given(st.text() | st.text("results/members.a\\"))
def test_no_file_of_a_checkpoint_leads_out_of_its_folder(name):
    if belongs(name):
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert str(path) == name


def test_a_snapshot_comes_back_as_it_was_written():
    snapshot = Snapshot("acme/net", COMMIT, {"config.json": "a" * 40, "model.safetensors": "b" * 64})
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    assert str(snapshot) == f"hf://acme/net@{COMMIT}"
    assert parse_repository(str(snapshot)) == snapshot.address


@pytest.mark.parametrize(
    "change",
    [
        *({"commit": "main"}, {"commit": COMMIT[:39]}, {"commit": None}, {"repository": "acme"}),
        *({"repository": "acme/../x"}, {"files": None}, {"files": {"../x": "a" * 64}}, {"files": {"a.py": "a" * 64}}),
        *({"files": {"config.json": "a"}}, {"files": {"config.json": None}}, {"files": {"config.json": "Z" * 64}}),
    ],
)
def test_a_snapshot_that_is_none(change):
    whole = {"repository": "acme/net", "commit": COMMIT, "files": {}}
    assert Snapshot.from_json(whole)
    with pytest.raises(AdvssError):
        Snapshot.from_json(whole | change)
    for key in change:
        with pytest.raises(CheckpointError):
            Snapshot.from_json({name: value for name, value in whole.items() if name != key})


def test_digests(tmp_path):
    """Of the empty file and of "hello", as git and sha256sum print them."""
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    for content in (path, b"hello\n"):
        assert digest(content, "0" * 40) == "ce013625030ba8dba906f756967f9e9ca394464a"
        assert digest(content, "0" * 64) == digest(content) == hashlib.sha256(b"hello\n").hexdigest()
    assert digest(b"", "0" * 40) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
