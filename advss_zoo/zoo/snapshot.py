"""Repositories of the Hub in our layout: how they are named, what files they hold, and whether those arrived whole.

Nothing here asks the network, and importing it imports neither torch nor huggingface_hub.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import explained
from advss_zoo.zoo import CONFIG, SEEN, WEIGHTS
from advss_zoo.zoo.names import FULL_NAME

PREFIX = "hf://"
# The organisation that publishes the zoo; the index has the last word on where a checkpoint lies.
ORGANISATION = "advss-zoo"

_PART = r"\w+(?:[.-]\w+)*"  # narrower than the Hub's own rule: what is left is never a path
_ADDRESS = re.compile(
    rf"hf://(?P<owner>{_PART})(?:/(?P<name>{_PART})(?:@(?P<revision>{_PART}(?:/{_PART})*))?)?", re.ASCII
)
_FOLDER = r"[a-z0-9][a-z0-9.-]*"
_FILES = "|".join(map(re.escape, (CONFIG, WEIGHTS, SEEN, "recipe.yaml", "curves.png")))
_LAYOUT = re.compile(
    rf"README\.md|{_FILES}"
    rf"|results/{_FOLDER}/(result\.json|verdicts\.npz)|\.eval_results/{_FOLDER}\.yaml"
    rf"|members/{FULL_NAME.strip('^$')}/({_FILES})"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHA256 = hashlib.sha256().hexdigest()
MAX_LENGTH = 200
MOST_FILES = 1000


@dataclass(frozen=True)
class Address:
    """`hf://OWNER/NAME@REVISION` taken apart; without a NAME it is all that the owner has."""

    owner: str
    name: str | None = None
    revision: str | None = None

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}" if self.name else self.owner

    def __str__(self) -> str:
        text = PREFIX + self.repository
        return f"{text}@{self.revision}" if self.revision else text


def parse(text: str) -> Address:
    """Parse an address on the Hub.

    Raises:
        UsageError: this is no address on the Hub.
    """
    match = _ADDRESS.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise UsageError(
            f"{text[:MAX_LENGTH]!r} is not a Hub repository.",
            "Write hf://ORG/NAME, or hf://ORG/NAME@REVISION for a tag, a branch or a commit.",
        )
    return Address(match["owner"], match["name"], match["revision"])


def parse_repository(text: str) -> Address:
    """Parse the address of a single repository.

    Raises:
        UsageError: this names no single repository on the Hub.
    """
    address = parse(text)
    if address.name is None:
        raise UsageError(f"{text} names an owner, not a repository.", f"Write {text}/NAME.")
    return address


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit: its files and the digest of each.

    A digest of 64 digits is the sha256 of the content. One of 40 is the sha1 that git gives a file, which is all that
    the Hub tells of a file that is not in LFS; what we publish ourselves is known by its sha256.
    """

    repository: str
    commit: str
    files: Mapping[str, str]

    def __str__(self) -> str:
        return str(self.address)

    @property
    def address(self) -> Address:
        owner, _, name = self.repository.partition("/")
        return Address(owner, name, self.commit)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Parse the record of a repository.

        Raises:
            CheckpointError: it is none, or names a file that does not belong to a checkpoint.
        """
        try:
            snapshot = cls(str(value["repository"]), str(value["commit"]), dict(value["files"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"The record of a Hub repository is invalid: {error!r}.") from error
        parse_repository(f"{PREFIX}{snapshot.repository}")
        if not is_commit(snapshot.commit):
            raise CheckpointError(f"{snapshot.commit[:MAX_LENGTH]!r} is not a commit hash of {snapshot.repository}.")
        if len(snapshot.files) > MOST_FILES:
            raise CheckpointError(
                f"{snapshot.repository} has {len(snapshot.files):,} files; the limit is {MOST_FILES:,}."
            )
        for name, expected in snapshot.files.items():
            if not (belongs(name) and isinstance(expected, str) and _DIGEST.fullmatch(expected)):
                raise CheckpointError(f"{name[:MAX_LENGTH]!r} is not a checkpoint file with a digest.")
        return snapshot


def belongs(name: str) -> bool:
    """Tell whether a name is that of a checkpoint file. In particular it leads out of no folder."""
    return len(name) <= MAX_LENGTH and _LAYOUT.fullmatch(name) is not None


def is_commit(revision: str | None) -> bool:
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def digest(content: Path | bytes, like: str = SHA256) -> str:
    """Compute the digest of a file or of bytes, by the function that `like` is a digest of.

    Raises:
        AdvssError: the file cannot be read.
    """
    if isinstance(content, bytes):
        return _digest(io.BytesIO(content), len(content), like)
    with explained("read", content), content.open("rb") as file:
        return _digest(file, content.stat().st_size, like)


def _digest(file: io.BufferedReader | io.BytesIO, size: int, like: str) -> str:
    if len(like) == len(SHA256):
        return hashlib.file_digest(file, "sha256").hexdigest()
    begun = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    return hashlib.file_digest(file, lambda: begun).hexdigest()
