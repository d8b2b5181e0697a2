"""A Hugging Face Hub in miniature, on 127.0.0.1, for the real `huggingface_hub` client to talk to.

It answers what the client asks when a model is created, uploaded, tagged, collected, looked up and downloaded, over
plain HTTP without Xet. What the client goes by is not always what one would guess:

- an error is told apart by the header X-Error-Code, not by its status; a repository one may not see does not exist;
- a file's ETag is the git blob sha1 for a file in git and the sha256 for one in LFS, and becomes its name in the cache;
- X-Linked-ETag and X-Linked-Size win over ETag and Content-Length, which on a redirect are those of the redirect;
- an `oid` in the answer to preupload that equals the local one makes the client leave a file out of the commit;
- `shouldIgnore` must be in that answer;
- a commit names the parent it was made for; if that is no longer the newest, the answer is 412.

A test makes it misbehave through `Hub.fault` and sees what was asked in `Hub.requests`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LFS_SUFFIXES = (".safetensors", ".npz", ".png")
TOKENS = {"hf_owner": "owner", "hf_reader": "reader"}
ID = r"(?P<id>[\w.-]+/[\w.-]+)"


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(content: bytes) -> bytes:
    sha256 = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()


def is_lfs(path: str) -> bool:
    return path.endswith(LFS_SUFFIXES)


def etag(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if is_lfs(path) else git_blob(content)


@dataclass
class Repository:
    """Commits by their hash, in order; `main` and tags point at them. `members` may read what is gated."""

    private: bool = False
    gated: bool = False
    members: set[str] = field(default_factory=set)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return self.refs["main"]

    def commit(self, files: dict[str, bytes]) -> str:
        """Put `files` in place of everything on main."""
        told = repr((len(self.commits), sorted((path, git_blob(content)) for path, content in files.items())))
        oid = hashlib.sha1(told.encode()).hexdigest()
        self.commits[oid] = dict(files)
        self.refs["main"] = oid
        return oid

    def resolve(self, revision: str) -> str | None:
        oid = self.refs.get(revision) or self.tags.get(revision) or revision
        return oid if oid in self.commits else None


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]

    @property
    def token(self) -> str | None:
        kind, _, credentials = self.headers.get("authorization", "").partition(" ")
        return credentials if kind == "Bearer" else None


@dataclass
class Fault:
    """What happens in place of an answer to requests whose "METHOD /path" matches; `times` None: each time."""

    pattern: str
    act: Callable[[Handler], bool]  # true: this was the answer
    times: int | None


class Hub:
    """The state of the server and the address it listens at; a context manager."""

    def __init__(self, storage: str | None = None) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}  # what was uploaded to LFS, by sha256
        self.collections: dict[str, dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.served: dict[tuple[str, str], bytes] = {}  # (repository, path): bytes sent in place of the right ones
        self.headers: dict[str, str] = {}  # sent with files, in place of the right ones
        self.storage = storage  # another origin, to which downloads of LFS files are redirected
        self.faults: list[Fault] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Handler", (Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Be gone, for good."""
        self._server.shutdown()
        self._server.server_close()

    def asked(self, pattern: str) -> list[Request]:
        return [request for request in self.requests if re.search(pattern, f"{request.method} {request.path}")]

    # --- misbehaviour -----------------------------------------------------------------------------------------------

    def fault(self, pattern: str, act: Callable[[Handler], bool], times: int | None = 1) -> None:
        self.faults.append(Fault(pattern, act, times))

    def fail(self, pattern: str, status: int, times: int | None = 1) -> None:
        self.fault(pattern, lambda handler: handler.error(status), times)

    def delay(self, pattern: str, seconds: float, times: int | None = 1) -> None:
        self.fault(pattern, lambda handler: bool(time.sleep(seconds)), times)

    def cut(self, path: str, after: int, then: threading.Event | None = None, times: int | None = 1) -> None:
        """Downloads of `path` end after so many bytes; with an event, they rest there until it is set, and go on."""

        def act(handler: Handler) -> bool:
            handler.rest = (after, then)
            return False

        self.fault(rf"^GET /.*/resolve/.*{re.escape(path)}$", act, times)

    def _fault(self, handler: Handler) -> bool:
        for fault in self.faults:
            if fault.times != 0 and re.search(fault.pattern, f"{handler.command} {handler.path}"):
                fault.times = None if fault.times is None else fault.times - 1
                if fault.act(handler):
                    return True
        return False


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits for an acknowledgement, 40 ms
    rest: tuple[int, threading.Event | None] | None = None

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):  # clients are killed
            super().handle_one_request()

    def handle_any(self) -> None:
        self.rest = None
        address = urlsplit(self.path)
        self.query = parse_qs(address.query)
        self.path = unquote(address.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, self.path, headers)
        self.hub.requests.append(request)
        self.user = TOKENS.get(request.token or "")
        if self.hub._fault(self):
            return
        if request.token and not self.user:
            self.error(401, message="Invalid credentials in Authorization header")
            return
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, self.path)
            if match and (self.command == method or (self.command, method) == ("HEAD", "GET")):
                answer(self, **match.groupdict())
                return
        self.error(404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    # --- answers ----------------------------------------------------------------------------------------------------

    def send(self, content: bytes, status: int = 200, **headers: str) -> None:
        if "/resolve/" in self.path:
            headers |= self.hub.headers
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.rest is None:
            self.wfile.write(content)
            return
        after, event = self.rest
        self.wfile.write(content[:after])
        self.wfile.flush()
        if event is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            event.wait()
            self.wfile.write(content[after:])

    def json(self, value: Any, status: int = 200, **headers: str) -> None:
        self.send(json.dumps(value).encode(), status, Content_Type="application/json", **headers)

    def error(self, status: int, code: str | None = None, message: str = "No.", **headers: str) -> bool:
        if code:
            headers["X_Error_Code"] = code
        self.json({"error": message}, status, X_Error_Message=message, **headers)
        return True

    # --- who may do what ----------------------------------------------------------------------------------------------

    def readable(self, id: str) -> Repository | None:
        """The repository if it is there for this user; else the answer is given."""
        repository = self.hub.repositories.get(id)
        if repository is None or (repository.private and self.user != "owner"):
            self.error(404 if self.user else 401, "RepoNotFound", "Repository not found")
            return None
        return repository

    def writable(self, id: str) -> Repository | None:
        repository = self.readable(id)
        if repository is not None and self.user != "owner":
            self.error(403, message="You have no write access")
            return None
        return repository

    def at(self, id: str, revision: str) -> tuple[Repository, str] | None:
        repository = self.readable(id)
        if repository is None:
            return None
        oid = repository.resolve(revision)
        if oid is None:
            self.error(404, "RevisionNotFound", "Invalid rev id")
            return None
        return repository, oid

    # --- the routes ---------------------------------------------------------------------------------------------------

    def create(self) -> None:
        asked = json.loads(self.body)
        if self.user != "owner":
            self.error(401 if self.user is None else 403, message="You may not create a repository here")
            return
        id = f"{asked['organization'] or self.user}/{asked['name']}"
        known = id in self.hub.repositories
        if not known:
            self.hub.repositories[id] = Repository(private=asked.get("visibility") == "private")
            self.hub.repositories[id].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self.json({"url": f"{self.hub.url}/{id}"}, 409 if known else 200)

    def settings(self, id: str) -> None:
        if (repository := self.writable(id)) is not None:
            repository.gated = json.loads(self.body)["gated"] in ("auto", "manual")
            self.json({})

    def validate_yaml(self) -> None:
        _, front, _ = json.loads(self.body)["content"].split("---\n", 2)
        try:
            errors = [] if isinstance(yaml.safe_load(front), dict) else [{"message": "metadata is no mapping"}]
        except yaml.YAMLError as error:
            errors = [{"message": str(error)}]
        self.json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, id: str, revision: str) -> None:
        if self.writable(id) is None or (found := self.at(id, revision)) is None:
            return
        repository, oid = found
        files = []
        for asked in json.loads(self.body)["files"]:
            path, known = asked["path"], repository.commits[oid].get(asked["path"])
            told = {"path": path, "uploadMode": "lfs" if is_lfs(path) else "regular", "shouldIgnore": False}
            files.append(told | ({} if known is None else {"oid": etag(path, known)}))
        self.json({"files": files})

    def lfs_batch(self, id: str) -> None:
        if self.writable(id) is None:
            return
        objects = []
        for asked in json.loads(self.body)["objects"]:
            told = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.objects:
                actions = {name: {"href": f"{self.hub.url}/lfs/{name}/{asked['oid']}"} for name in ("upload", "verify")}
                told["actions"] = actions
            objects.append(told)
        self.json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            self.error(400, message="not the content of this oid")
            return
        self.hub.objects[oid] = self.body
        self.send(b"")

    def lfs_verify(self, oid: str) -> None:
        asked = json.loads(self.body)
        content = self.hub.objects.get(asked["oid"])
        if content is None or len(content) != asked["size"] or asked["oid"] != oid:
            self.error(404, message="Object not found")
        else:
            self.send(b"")

    def commit(self, id: str, revision: str) -> None:
        if (repository := self.writable(id)) is None:
            return
        files = dict(repository.commits[repository.head])
        for line in self.body.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header" and value.get("parentCommit") not in (None, repository.head):
                self.error(412, message="A commit has happened since")
                return
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            elif key == "deletedFolder":
                files = {path: content for path, content in files.items() if not path.startswith(value["path"])}
        oid = repository.commit(files)
        self.json({"commitUrl": f"{self.hub.url}/{id}/commit/{oid}", "commitOid": oid})

    def tag(self, id: str, revision: str) -> None:
        if self.writable(id) is None or (found := self.at(id, revision)) is None:
            return
        repository, oid = found
        name = json.loads(self.body)["tag"]
        known = name in repository.tags
        repository.tags.setdefault(name, oid)
        self.json({}, 409 if known else 200)

    def list_refs(self, id: str) -> None:
        if (repository := self.readable(id)) is None:
            return

        def told(refs: dict[str, str], kind: str) -> list[dict[str, str]]:
            return [{"name": k, "ref": f"refs/{kind}/{k}", "targetCommit": oid} for k, oid in refs.items()]

        self.json({"branches": told(repository.refs, "heads"), "tags": told(repository.tags, "tags"), "converts": []})

    def info(self, id: str, revision: str = "main") -> None:
        if (found := self.at(id, revision)) is None:
            return
        repository, oid = found
        files = repository.commits[oid]
        card = yaml.safe_load(files["README.md"].decode().split("---\n", 2)[1]) if "README.md" in files else None
        siblings = []
        for entry in _tree(files):
            sibling = {"rfilename": entry["path"]}
            if "blobs" in self.query:
                sibling |= {"size": entry["size"], "blobId": entry["oid"]}
                if "lfs" in entry:
                    lfs = entry["lfs"]
                    sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
            siblings.append(sibling)
        gated = "auto" if repository.gated else False
        told = {"id": id, "sha": oid, "private": repository.private, "gated": gated, "siblings": siblings}
        self.json(told | {"cardData": card, "tags": (card or {}).get("tags", [])})

    def tree(self, id: str, revision: str) -> None:
        if (found := self.at(id, revision)) is not None:
            self.json(_tree(found[0].commits[found[1]]))

    def download(self, id: str, revision: str, path: str) -> None:
        if (found := self.at(id, revision)) is None:
            return
        repository, oid = found
        if repository.gated and self.user not in {"owner", *repository.members}:
            self.error(403 if self.user else 401, "GatedRepo", "Access to this model is restricted")
            return
        content = repository.commits[oid].get(path)
        if content is None:
            self.error(404, "EntryNotFound", "Entry not found", X_Repo_Commit=oid)
            return
        tag = f'"{etag(path, content)}"'
        content = self.hub.served.get((id, path), content)
        if self.hub.storage and is_lfs(path):
            address = f"{self.hub.storage}/objects/{tag.strip(chr(34))}"
            linked = {"X_Linked_ETag": tag, "X_Linked_Size": str(len(content)), "Location": address}
            self.send(b"", 302, X_Repo_Commit=oid, ETag='"of-the-redirect"', **linked)
            return
        self.ranged(content, X_Repo_Commit=oid, ETag=tag)

    def stored(self, oid: str) -> None:
        """A file in LFS, asked for by its sha256 alone, as from a storage that knows of no users."""
        self.ranged(self.hub.objects[oid], ETag=f'"{oid}"')

    def ranged(self, content: bytes, **headers: str) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match is None:
            self.send(content, **headers)
            return
        start = int(match[1])
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(content[start:], 206, Content_Range=span, **headers)

    def create_collection(self) -> None:
        asked = json.loads(self.body)
        slug = f"{asked['namespace']}/{asked['title'].lower()}-0123456789abcdef01234567"
        known = slug in self.hub.collections
        owner = {"type": "org", "name": asked["namespace"], "fullname": "", "avatarUrl": "", "isEnterprise": False}
        defaults = {"owner": owner, "description": None, "position": 0, "theme": "orange", "upvotes": 0, "items": []}
        told = {"slug": slug, "title": asked["title"], "private": asked["private"], "lastUpdated": WHEN}
        collection = self.hub.collections.setdefault(slug, defaults | told)
        self.json(collection, 409 if known else 200)

    def collection(self, slug: str) -> None:
        self.json(self.hub.collections[slug])

    def collect(self, slug: str) -> None:
        asked = json.loads(self.body)["item"]
        collection = self.hub.collections[slug]
        if any(item["id"] == asked["id"] for item in collection["items"]):
            self.error(409, message="already there")
            return
        number = len(collection["items"])
        collection["items"].append({"_id": f"{number:024}", "id": asked["id"], "type": "model", "position": number})
        self.json(collection)


WHEN = "2026-01-01T00:00:00.000Z"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", r"/api/repos/create", Handler.create),
    ("PUT", rf"/api/models/{ID}/settings", Handler.settings),
    ("POST", r"/api/validate-yaml", Handler.validate_yaml),
    ("POST", rf"/api/models/{ID}/preupload/(?P<revision>.+)", Handler.preupload),
    ("POST", rf"/{ID}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", r"/lfs/upload/(?P<oid>\w+)", Handler.lfs_upload),
    ("POST", r"/lfs/verify/(?P<oid>\w+)", Handler.lfs_verify),
    ("POST", rf"/api/models/{ID}/commit/(?P<revision>.+)", Handler.commit),
    ("POST", rf"/api/models/{ID}/tag/(?P<revision>.+)", Handler.tag),
    ("GET", rf"/api/models/{ID}/refs", Handler.list_refs),
    ("GET", rf"/api/models/{ID}/tree/(?P<revision>.+)", Handler.tree),
    ("GET", rf"/api/models/{ID}/revision/(?P<revision>.+)", Handler.info),
    ("GET", rf"/api/models/{ID}", Handler.info),
    ("GET", rf"/{ID}/resolve/(?P<revision>[^/]+|refs/pr/\d+)/(?P<path>.+)", Handler.download),
    ("GET", r"/objects/(?P<oid>\w+)", Handler.stored),
    ("POST", r"/api/collections", Handler.create_collection),
    ("GET", r"/api/collections/(?P<slug>.+)", Handler.collection),
    ("POST", r"/api/collections/(?P<slug>.+)/items", Handler.collect),
]


def _tree(files: dict[str, bytes]) -> list[dict[str, Any]]:
    entries = []
    for path, content in sorted(files.items()):
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
        if is_lfs(path):
            pointer = lfs_pointer(content)
            lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": len(pointer)}
            entry |= {"oid": git_blob(pointer), "lfs": lfs}
        entries.append(entry)
    return entries
