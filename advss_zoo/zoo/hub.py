"""The Hugging Face Hub: what lies there, and fetching it into our cache. Imported only by what asks the Hub.

Requests and the layout of the cache are those of huggingface_hub. Its own downloads make paths of what a server says in
headers and compare sizes alone; here a file goes where its snapshot says, is compared with its digest each time it is
used, and is deleted if it is something else.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx2  # what huggingface_hub 2 asks with
from huggingface_hub import HfApi, constants, get_session, hf_hub_url
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, but not exported

from advss_zoo import files
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.network import distrust, open_client
from advss_zoo.version import __version__
from advss_zoo.zoo import CONFIG
from advss_zoo.zoo.snapshot import Address, Snapshot, belongs, digest, is_commit

LARGEST = 4 * 2**30  # bytes of all files of a repository: ten times the largest checkpoint of the paper
DOCUMENTS = (".json", ".yaml", ".md")
LARGEST_DOCUMENT = 4 * 2**20  # bytes: in memory they become many times as many
LARGEST_ANSWER = 16 * 2**20  # bytes, where the Hub is only asked what there is
DEFAULT_ENDPOINT = "https://huggingface.co"
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN."
AGAIN = "Run the same command again; complete files are kept."
LIBRARY = "advss-zoo"
PART = ".part"  # ends the name of a file that is being downloaded


class UnreachableError(CheckpointError):
    """The Hub did not answer, or not as it should: what is in the cache may do."""


class MissingError(CheckpointError):
    """There is no such repository, as far as one may see."""


def api() -> HfApi:
    """Return the client, for HF_ENDPOINT as it is now; the token is read by the client itself and never by us.

    A name and a password in HF_ENDPOINT go into the header that they would end in anyway: the client logs addresses.
    """
    endpoint, account = _endpoint()
    name, _, password = account.partition(":")
    basic = b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return HfApi(
        endpoint=endpoint,
        # What is compressed may become a thousand times as large as what arrived.
        headers={"accept-encoding": "identity"} | ({"authorization": f"Basic {basic}"} if account else {}),
        library_name=LIBRARY,
        library_version=__version__,
    )


def _endpoint() -> tuple[str, str]:
    """The address of the Hub, and the account in it, which is never shown.

    Raises:
        UsageError: HF_ENDPOINT is not an address of the web.
    """
    text = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT or DEFAULT_ENDPOINT).rstrip("/")
    parts = urlsplit(text)
    account, _, host = parts.netloc.rpartition("@")
    if parts.scheme not in ("http", "https") or not host:
        shown = text.rpartition("@")[2]
        raise UsageError(
            f"HF_ENDPOINT must begin with https:// or http:// and name a host, got {shown!r}.",
            f"For example: HF_ENDPOINT={DEFAULT_ENDPOINT}",
        )
    return parts._replace(netloc=host).geturl(), account


def folder() -> Path:
    """Return the folder of huggingface_hub's downloads for us."""
    return files.cache_folder() / "hub"


def records() -> Path:
    """Return the folder of notes on repositories that are not in the zoo's index."""
    return files.cache_folder() / "snapshots"


def look_up(address: Address) -> Snapshot:
    """Ask what a repository holds now, in one request, so that an unreachable Hub is noticed at once.

    Raises:
        CheckpointError: it is not there, may not be seen, or is too large; an UnreachableError if the Hub is away.
    """
    with explained(address):
        info = api().model_info(
            address.repository,
            revision=address.revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
        ours = [sibling for sibling in info.siblings or [] if belongs(sibling.rfilename)]
        total = sum(sibling.size or 0 for sibling in ours)
        documents = {each.rfilename: each.size or 0 for each in ours if each.rfilename.endswith(DOCUMENTS)}
        digests = {each.rfilename: each.lfs.sha256 if each.lfs else each.blob_id for each in ours}
    if total > LARGEST:
        raise CheckpointError(f"{address} has {total:,} bytes, which exceeds the limit of {LARGEST:,}.")
    for name, size in documents.items():
        if size > LARGEST_DOCUMENT:
            raise CheckpointError(f"{name} of {address} has {size:,} bytes; the limit is {LARGEST_DOCUMENT:,}.")
    if is_commit(address.revision) and info.sha != address.revision:
        raise CheckpointError(f"{_host()} returned commit {info.sha} instead of {address}.")
    return Snapshot.from_json({"repository": address.repository, "commit": info.sha, "files": digests})


def resolve(address: Address) -> Snapshot:
    """Ask what a repository holds, and remember it: once for a commit, else whenever the Hub can be reached.

    Raises:
        CheckpointError: as `look_up`, if nothing is remembered either.
    """
    known = read_record(_record(address))
    if known is not None and known.commit == address.revision:
        return known
    try:
        snapshot = look_up(address)
    except UnreachableError:
        if known is None:
            raise
        return known
    for revision in (address.revision, snapshot.commit):
        files.write_json(_record(replace(address, revision=revision)), snapshot.to_json())
    return snapshot


def fetch(snapshot: Snapshot) -> Path:
    """Fetch a snapshot into the cache and return its folder; only missing files are downloaded.

    Raises:
        CheckpointError: a file cannot be had, or is not what it should be. It is then not in the cache either.
        AdvssError: the disk is full or the cache cannot be written to.
    """
    if CONFIG not in snapshot.files:
        raise CheckpointError(f"{snapshot} is not a checkpoint: {CONFIG} is missing.")
    # What begins with a dot is for the Hub's own pages.
    missing = [name for name in snapshot.files if not name.startswith(".") and not _is_whole(snapshot, name)]
    if missing:
        _compare(snapshot, look_up(snapshot.address), missing)
    for name in missing:
        _download(snapshot, name)
    place = _place(snapshot, CONFIG).parent
    _remove_others(place, snapshot)
    return place


def _remove_others(folder: Path, snapshot: Snapshot) -> None:
    """What somebody else's account of this commit left behind has been compared with nothing."""
    for path in folder.rglob("*"):
        if not (path.is_dir() or path.suffix == PART) and path.relative_to(folder).as_posix() not in snapshot.files:
            with files.explained("delete", path):
                path.unlink(missing_ok=True)


def _compare(wanted: Snapshot, there: Snapshot, names: list[str]) -> None:
    """Refuse what the Hub itself says is something else, before it is downloaded."""
    for name in names:
        expected, found = wanted.files[name], there.files.get(name)
        if found is None:
            raise CheckpointError(f"{name} has been removed from {wanted}.")
        if len(found) == len(expected) and found != expected:
            raise CheckpointError(f"{name} of {wanted} has changed: its digest is {found}, expected {expected}.")


def _place(snapshot: Snapshot, name: str) -> Path:
    """Where huggingface_hub keeps a file on systems without links."""
    repository = repo_folder_name(repo_id=snapshot.repository, repo_type=constants.REPO_TYPE_MODEL)
    return folder() / repository / "snapshots" / snapshot.commit / name


def _is_whole(snapshot: Snapshot, name: str) -> bool:
    """Has the cache this file as it should be? If it has something else, that is deleted."""
    path, expected = _place(snapshot, name), snapshot.files[name]
    found = _digest(path, expected)
    if found not in (None, expected):
        with files.explained("delete", path), _alone(expected):
            found = _digest(path, expected)  # another process may have put it right in the meantime
            if found not in (None, expected):
                path.unlink(missing_ok=True)
    return found == expected


def _alone(expected: str) -> AbstractContextManager[bool]:
    """While no other process is at a file with this digest."""
    return files.held(folder() / ".locks" / f"{expected}.lock", wait=True)


def _digest(path: Path, like: str) -> str | None:
    with files.ignore_missing():
        return digest(path, like)
    return None


def _download(snapshot: Snapshot, name: str) -> None:
    path, expected, client = _place(snapshot, name), snapshot.files[name], api()
    url = hf_hub_url(snapshot.repository, name, revision=snapshot.commit, endpoint=client.endpoint)
    headers = build_hf_headers(library_name=LIBRARY, library_version=__version__, headers=client.headers)
    part = path.with_name(f".{path.name}{PART}")
    with explained(snapshot.address, name), _alone(expected):
        if _digest(path, expected) == expected:  # by another process
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                http_get(url, file, headers=headers, displayed_filename=name)
            if (found := digest(part, expected)) == expected:
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    if found != expected:
        raise CheckpointError(
            f"Download of {name} of {snapshot} is damaged: its digest is {found}, expected {expected}. It was deleted.",
            "Try again later, or without HF_ENDPOINT if it names a mirror.",
        )


def _record(address: Address) -> Path:
    """What one endpoint says is not the word of another. As a digest: revisions may be too long for a file's name."""
    asked = f"{_host()}@{address.revision or constants.DEFAULT_REVISION}"
    return records() / f"{address.owner}--{address.name}" / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"


def read_record(path: Path) -> Snapshot | None:
    """Read a note in `records`; None if there is none, or a damaged one."""
    try:
        return Snapshot.from_json(files.read_json(path))
    except AdvssError:
        return None


def _largest(file: str | None) -> int:
    if file is None:
        return LARGEST_ANSWER
    return LARGEST_DOCUMENT if file.endswith(DOCUMENTS) else LARGEST


class _OversizedError(Exception):
    """An answer has more bytes than anything that is asked for, or may have once it is unpacked."""


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, most: int) -> None:
        self._stream, self._most = stream, most

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        for piece in self._stream:
            total += len(piece)
            if total > self._most:
                raise _OversizedError(f"more than {self._most:,} bytes")
            yield piece

    def close(self) -> None:
        self._stream.close()


_most: ContextVar[int] = ContextVar("_most", default=LARGEST)  # in threads of the client itself


def _bound(response: httpx2.Response) -> None:
    ours = LIBRARY in response.request.headers.get("user-agent", "")
    if ours and response.headers.get("content-encoding", "identity") != "identity":
        raise _OversizedError("compressed content")
    if ours and isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _Bounded(response.stream, _most.get())


@contextmanager
def _bounded(most: int) -> Iterator[None]:
    """Stop reading any answer, also of an error or a redirect, where it gets longer than `most` bytes.

    The client may be an application's: it does this for our requests alone, and only until they are answered.
    """
    client, token = get_session(), _most.set(most)
    hooks = client.event_hooks
    client.event_hooks = {**hooks, "response": [*hooks["response"], _bound]}
    try:
        yield
    finally:
        client.event_hooks = {**hooks, "response": [hook for hook in hooks["response"] if hook is not _bound]}
        _most.reset(token)


@contextmanager
def explained(address: Address, file: str | None = None) -> Iterator[None]:
    """Put whatever the client raises into a sentence. What a server says is not repeated: it may hold our token.

    Args:
        file: that is downloaded; None: the Hub is only asked.
    """
    what = f"{file} of {address}" if file else str(address)
    try:
        open_client()
    except AdvssError as error:
        raise UnreachableError(error.message, error.hint) from error
    try:
        with _bounded(_largest(file)):
            yield
    except _OversizedError as error:
        raise CheckpointError(f"{_host()} sent {error} for {what}.", "Try again without HF_ENDPOINT.") from error
    except (
        OSError,
        httpx2.HTTPError,
        httpx2.InvalidURL,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        AssertionError,
    ) as error:
        raise _explanation(error, address, what) from error


def _explanation(error: BaseException, address: Address, what: str) -> AdvssError:
    host, page = _host(), f"{_host()}/{address.repository}"
    if isinstance(error, GatedRepoError):
        hint = f"Ask for access on {page}, then {LOG_IN}"
        return CheckpointError(f"{address} is gated: its owners decide who may download it.", hint)
    if isinstance(error, RepositoryNotFoundError):
        hint = f"Check the name; if it is private, {LOG_IN}"
        return MissingError(f"{address.repository} on {host} does not exist or is private.", hint)
    if isinstance(error, RevisionNotFoundError):
        revision = address.revision or constants.DEFAULT_REVISION
        return CheckpointError(f"Revision {revision} of {address.repository} on {host} does not exist.")
    if isinstance(error, RemoteEntryNotFoundError):
        return CheckpointError(f"{what} does not exist on {host}.")
    if isinstance(error, HfHubHTTPError):
        return _refusal(error.response.status_code, address)
    if isinstance(error, OfflineModeIsEnabled):
        return UnreachableError(f"{what} is not in the cache, and HF_HUB_OFFLINE is set.", "Unset it and try again.")
    if isinstance(error, UnicodeEncodeError):  # nothing else in a header is a person's own
        return UnreachableError(f"The token for {host} has characters beyond ASCII.", f"To use another, {LOG_IN}")
    if found := distrust(error):
        return UnreachableError(f"The certificate of {host} is not trusted: {found[0]}.", found[1])
    if isinstance(error, httpx2.HTTPError | ConnectionError):
        hint = "Check the network and HF_ENDPOINT. Checkpoints pulled before work offline."
        return UnreachableError(f"{host} cannot be reached.", hint)
    if isinstance(error, HFValidationError):
        return UsageError(f"{address} is not a valid repository name.", "Check the name on the Hub.")
    if isinstance(error.__cause__, BadRequestError):  # so the client tells of metadata
        return CheckpointError(f"{host} cannot read the front matter of the card for {address}.")
    if isinstance(error, OSError) and error.errno is not None:
        return files.refusal("write", folder(), error)
    if isinstance(error, OSError):
        return CheckpointError(f"Download of {what} is incomplete.", AGAIN)
    return UnreachableError(f"{host} did not answer like the Hub.", "Check HF_ENDPOINT and proxies.")


def _refusal(status: int, address: Address) -> AdvssError:
    """What an answer of HTTP means that has no error of its own."""
    host = _host()
    if status == 401:
        return CheckpointError(f"{host} rejected the request: the token is missing or invalid.", f"Please {LOG_IN}")
    if status == 403:
        return CheckpointError(f"{host} denied access to {address.repository}.", f"To use another account, {LOG_IN}")
    if status == 412:
        return CheckpointError(f"{address.repository} has changed since it was read.", "Run the same command again.")
    if status == 429:
        return UnreachableError(f"{host} received too many requests from this machine.", "Try again later.")
    if status >= 500:
        return UnreachableError(f"{host} returned a server error ({status}).", "Try again later.")
    return CheckpointError(f"{host} refused the request for {address.repository} (status {status}).")


def _host() -> str:
    return _endpoint()[0]
