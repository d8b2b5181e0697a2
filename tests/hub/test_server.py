"""The tests' Hub keeps to the Hub's contract: its answers by plain HTTP, with no client that could be lenient."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from hub.server import Hub, Repository, git_blob

ID = "acme/net"
CARD = b"---\ntags:\n- robust\n---\n# A net\n"
WEIGHTS = b"\x08\0\0\0\0\0\0\0" + bytes(range(200))
OID = hashlib.sha256(WEIGHTS).hexdigest()
OWNER = "hf_owner"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Plain:
    def __init__(self, hub: Hub) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=5)

    def __call__(self, method: str, path: str, body: Any = None, token: str | None = OWNER, **headers: str) -> Answer:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        self.connection.request(method, path, content, headers)
        answer = self.connection.getresponse()
        return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())


@pytest.fixture
def ask(hub: Hub) -> Plain:
    return Plain(hub)


@pytest.fixture
def repository(hub: Hub) -> Repository:
    hub.repositories[ID] = Repository()
    hub.repositories[ID].commit({"README.md": CARD, "model.safetensors": WEIGHTS})
    return hub.repositories[ID]


def test_creating_a_repository_that_is_there_already_is_a_conflict_with_its_address(hub, ask):
    wanted = {"name": "net", "organization": "acme", "visibility": "private"}
    first, second = ask("POST", "/api/repos/create", wanted), ask("POST", "/api/repos/create", wanted)
    assert (first.status, second.status) == (200, 409)
    assert first.json["url"] == second.json["url"] == f"{hub.url}/{ID}"
    assert hub.repositories[ID].private
    assert ask("POST", "/api/repos/create", wanted, token=None).status == 401
    assert ask("POST", "/api/repos/create", wanted, token="hf_reader").status == 403


def test_metadata_is_validated(ask):
    def validated(card: str) -> Answer:
        return ask("POST", "/api/validate-yaml", {"repoType": "model", "content": card})

    assert validated(CARD.decode()).json == {"errors": [], "warnings": []}
    assert validated("---\ntags: [\n---\n").json["errors"]


def test_preupload_says_where_each_file_goes_and_what_is_there(ask, repository):
    files = [{"path": path, "sample": "", "size": 1} for path in ("README.md", "model.safetensors", "config.json")]
    answer = ask("POST", f"/api/models/{ID}/preupload/main", {"files": files})
    told = {file["path"]: file for file in answer.json["files"]}
    assert {path: file["uploadMode"] for path, file in told.items()} == {
        "README.md": "regular",
        "model.safetensors": "lfs",
        "config.json": "regular",
    }
    assert all(file["shouldIgnore"] is False for file in told.values())
    assert told["README.md"]["oid"] == hashlib.sha1(b"blob 31\0" + CARD).hexdigest()
    assert told["model.safetensors"]["oid"] == OID
    assert "oid" not in told["config.json"]


def test_lfs_takes_what_it_does_not_have_and_only_the_right_bytes(ask, repository):
    wanted = {"operation": "upload", "objects": [{"oid": OID, "size": len(WEIGHTS)}]}
    batch = ask("POST", f"/{ID}.git/info/lfs/objects/batch", wanted).json
    (told,) = batch["objects"]
    assert (batch["transfer"], told["oid"], told["size"]) == ("basic", OID, len(WEIGHTS))
    upload, verify = (urlsplit(told["actions"][action]["href"]).path for action in ("upload", "verify"))
    sums = {"oid": OID, "size": len(WEIGHTS)}
    assert ask("POST", verify, sums).status == 404
    assert ask("PUT", upload, b"something else", token=None).status == 400
    assert ask("PUT", upload, WEIGHTS, token=None).status == 200
    assert ask("POST", verify, sums).status == 200
    assert ask("POST", verify, sums | {"size": 1}).status == 404
    assert "actions" not in ask("POST", f"/{ID}.git/info/lfs/objects/batch", wanted).json["objects"][0]


def commit(ask: Plain, *lines: tuple[str, Any]) -> Answer:
    body = b"\n".join(json.dumps({"key": key, "value": value}).encode() for key, value in lines)
    return ask("POST", f"/api/models/{ID}/commit/main", body)


def test_a_commit_adds_and_deletes_on_top_of_its_parent(hub, ask, repository):
    before = repository.head
    hub.objects[OID] = WEIGHTS
    answer = commit(
        ask,
        ("header", {"summary": "all at once", "parentCommit": before}),
        ("file", {"path": "config.json", "content": base64.b64encode(b"{}").decode(), "encoding": "base64"}),
        ("lfsFile", {"path": "results/a/verdicts.npz", "algo": "sha256", "oid": OID, "size": len(WEIGHTS)}),
        ("deletedFile", {"path": "README.md"}),
    )
    assert answer.status == 200
    assert answer.json["commitOid"] == repository.head != before
    assert answer.json["commitUrl"].endswith(repository.head)
    assert repository.commits[repository.head] == {
        "config.json": b"{}",
        "model.safetensors": WEIGHTS,
        "results/a/verdicts.npz": WEIGHTS,
    }
    assert commit(ask, ("header", {"summary": "late", "parentCommit": before})).status == 412
    assert commit(ask, ("header", {"summary": "x"}), ("deletedFolder", {"path": "results/"})).status == 200
    assert "results/a/verdicts.npz" not in repository.commits[repository.head]


@pytest.mark.parametrize("revision", ["", "/revision/main", "/revision/v1", "/revision/{commit}"])
def test_what_is_told_of_a_repository(ask, repository, revision):
    repository.tags["v1"] = repository.head
    path = f"/api/models/{ID}{revision.format(commit=repository.head)}"
    told = ask("GET", path).json
    assert (told["id"], told["sha"], told["private"], told["gated"]) == (ID, repository.head, False, False)
    assert told["siblings"] == [{"rfilename": "README.md"}, {"rfilename": "model.safetensors"}]
    assert (told["cardData"], told["tags"]) == ({"tags": ["robust"]}, ["robust"])
    card, weights = ask("GET", path + "?blobs=true").json["siblings"]
    assert (card["size"], card["blobId"]) == (len(CARD), git_blob(CARD))
    assert weights["lfs"]["sha256"] == OID
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(WEIGHTS)}\n".encode()
    assert (weights["blobId"], weights["lfs"]["pointerSize"]) == (git_blob(pointer), len(pointer))


def test_the_tree(ask, repository):
    card, weights = ask("GET", f"/api/models/{ID}/tree/main").json
    assert card == {"type": "file", "path": "README.md", "size": len(CARD), "oid": git_blob(CARD)}
    assert (weights["lfs"]["oid"], weights["lfs"]["size"]) == (OID, len(WEIGHTS))


@pytest.mark.parametrize(
    ("path", "content", "tag"), [("README.md", CARD, git_blob(CARD)), ("model.safetensors", WEIGHTS, OID)]
)
def test_downloads_say_what_they_are_and_may_begin_anywhere(ask, repository, path, content, tag):
    address = f"/{ID}/resolve/{repository.head}/{path}"
    head, whole, rest = ask("HEAD", address), ask("GET", address), ask("GET", address, Range="bytes=10-")
    for answer in (head, whole):
        assert answer.status == 200
        assert answer.headers["x-repo-commit"] == repository.head
        assert answer.headers["etag"].strip('"') == tag
        assert answer.headers["content-length"] == str(len(content))
    assert (head.body, whole.body) == (b"", content)
    assert (rest.status, rest.body) == (206, content[10:])
    assert rest.headers["content-range"] == f"bytes 10-{len(content) - 1}/{len(content)}"


def test_a_redirect_to_storage_tells_of_the_file_behind_it(ask, hub, repository):
    with Hub() as storage:
        storage.objects[OID] = WEIGHTS
        hub.storage = storage.url
        answer = ask("HEAD", f"/{ID}/resolve/main/model.safetensors")
        assert answer.status == 302
        assert answer.headers["x-linked-etag"].strip('"') == OID
        assert (answer.headers["x-linked-size"], answer.headers["content-length"]) == (str(len(WEIGHTS)), "0")
        address = urlsplit(answer.headers["location"])
        assert f"http://{address.netloc}" == storage.url
        assert Plain(storage)("GET", address.path, token=None).body == WEIGHTS


def test_errors_have_codes(ask, hub, repository):
    def refusal(path: str, token: str | None = "hf_reader") -> tuple[int, str | None]:
        answer = ask("GET", path, token=token)
        return answer.status, answer.headers.get("x-error-code")

    assert refusal("/api/models/acme/nothing") == (404, "RepoNotFound")
    assert refusal("/api/models/acme/nothing", token=None) == (401, "RepoNotFound")
    assert refusal(f"/api/models/{ID}/revision/v9") == (404, "RevisionNotFound")
    assert refusal(f"/{ID}/resolve/main/nothing") == (404, "EntryNotFound")
    assert ask("HEAD", f"/{ID}/resolve/main/nothing").headers["x-repo-commit"] == repository.head
    assert refusal(f"/api/models/{ID}", token="hf_expired") == (401, None)
    repository.gated = True
    assert refusal(f"/api/models/{ID}") == (200, None)
    assert refusal(f"/{ID}/resolve/main/README.md") == (403, "GatedRepo")
    assert refusal(f"/{ID}/resolve/main/README.md", token=None) == (401, "GatedRepo")
    repository.members.add("reader")
    assert refusal(f"/{ID}/resolve/main/README.md") == (200, None)
    repository.private = True
    assert refusal(f"/api/models/{ID}") == (404, "RepoNotFound")
    assert refusal(f"/api/models/{ID}", token=None) == (401, "RepoNotFound")
    assert ask("GET", f"/api/models/{ID}").status == 200


def test_tags_stay_where_they_are(ask, repository):
    first = repository.head
    assert ask("POST", f"/api/models/{ID}/tag/{first}", {"tag": "v1"}).status == 200
    second = repository.commit({})
    assert ask("POST", f"/api/models/{ID}/tag/{second}", {"tag": "v1"}).status == 409
    refs = ask("GET", f"/api/models/{ID}/refs").json
    assert refs["branches"] == [{"name": "main", "ref": "refs/heads/main", "targetCommit": second}]
    assert refs["tags"] == [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": first}]


def test_a_collection_has_each_item_once(ask, repository):
    wanted = {"title": "Zoo", "namespace": "acme", "private": False}
    first, second = ask("POST", "/api/collections", wanted), ask("POST", "/api/collections", wanted)
    assert (first.status, second.status) == (200, 409)
    slug = first.json["slug"]
    assert second.json["slug"] == slug
    item = {"item": {"id": ID, "type": "model"}}
    assert [ask("POST", f"/api/collections/{slug}/items", item).status for _ in range(2)] == [200, 409]
    assert [item["id"] for item in ask("GET", f"/api/collections/{slug}").json["items"]] == [ID]


def test_it_can_be_slow_fail_and_break_off(ask, hub, repository):
    hub.fail("/api/models/", 503)
    assert [ask("GET", f"/api/models/{ID}").status for _ in range(2)] == [503, 200]
    hub.delay("/api/models/", 0.1)
    began = time.monotonic()
    assert ask("GET", f"/api/models/{ID}").status == 200
    assert time.monotonic() - began > 0.1
    hub.cut("model.safetensors", after=20)
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask("GET", f"/{ID}/resolve/main/model.safetensors")
    assert cut.value.partial == WEIGHTS[:20]


def test_answers_come_at_once(ask, repository):
    """With Nagle's algorithm each would wait 40 ms for an acknowledgement."""
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        ask("GET", f"/api/models/{ID}")
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.02
