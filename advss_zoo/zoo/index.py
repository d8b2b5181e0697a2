"""What is in the zoo: one JSON file a checkpoint, beside its card. Importing this imports no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from advss_zoo import resources
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import explained, read_json, write_json
from advss_zoo.zoo import names
from advss_zoo.zoo.snapshot import Snapshot

# What `advss eval` takes when no name is given: the first of these that the zoo has.
PREFERRED = ("selfie-p3f4", "p1f4")
# What `advss finetune` starts from, likewise: measured on 1,400 images, see docs/finetuning.md.
PREFERRED_TRUNKS = ("jigsaw-p3", "rotation-p3")
HEADLINE_DATA = "cifar10"
SUBSET = "cifar10-1k"  # of its test images, for attacks that take long; `data.catalogue` would import numpy


Kind = Literal["trunk", "classifier", "ensemble"]


@dataclass(frozen=True)
class Entry:
    """One checkpoint of the zoo, as cards/NAME.TAG.json describes it; accuracies are fractions."""

    name: str
    tag: str
    default: bool  # is this what NAME without a tag means?
    kind: Kind
    task: str | None
    scenario: str
    parameters: int
    bytes: int
    sha256: str
    stored: Literal["bundled", "checkout"]
    licence: str
    training: dict[str, Any]
    paper: dict[str, float] | None  # TA and RA in percent that the paper reports for this scenario
    results: list[dict[str, Any]]
    hub: Snapshot | None = None  # where `advss publish` put it

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.tag}"

    @property
    def ta(self) -> float | None:
        return self._accuracy("ta", "pgd20", HEADLINE_DATA)

    @property
    def ra(self) -> float | None:
        return self._accuracy("ra", "pgd20", HEADLINE_DATA)

    @property
    def aa(self) -> float | None:
        """Under AutoAttack on the first `aa_images`."""
        return self._accuracy("ra", "autoattack", HEADLINE_DATA, SUBSET)

    @property
    def aa_images(self) -> int | None:
        result = self._result("autoattack", HEADLINE_DATA, SUBSET)
        return int(result["n"]) if result else None

    def _accuracy(self, key: str, protocol: str, *data: str) -> float | None:
        result = self._result(protocol, *data)
        return float(result[key]) if result else None

    def _result(self, protocol: str, *data: str) -> dict[str, Any] | None:
        """That of a protocol at its default constants, on the first of the data sets that it was measured on."""
        known = {result["data"]["name"]: result for result in self.results if result["protocol"]["label"] == protocol}
        return next((known[name] for name in data if name in known), None)


@cache
def entries() -> tuple[Entry, ...]:
    """List all checkpoints, by name.

    Raises:
        AdvssError: a file of the index is damaged.
    """
    return tuple(_read(path) for path in sorted(resources.folder("cards").glob("*.json")))


def list_models(pattern: str | None = None, tag: str | None = None, kind: str | None = None) -> list[str]:
    """List the full names of the zoo's checkpoints.

    Args:
        pattern: of names, with or without their tag, such as "*f4*" (see `fnmatch`); None: all.
        tag: such as "mini".
        kind: "trunk", "classifier" or "ensemble".

    Raises:
        UsageError: there is no such kind.
    """
    if kind not in (None, *get_args(Kind)):
        raise UsageError(f"unknown kind {kind!r}; choose from {', '.join(get_args(Kind))}.")
    return [
        entry.full_name
        for entry in entries()
        if (pattern is None or fnmatchcase(entry.full_name, pattern) or fnmatchcase(entry.name, pattern))
        and tag in (None, entry.tag)
        and kind in (None, entry.kind)
    ]


def _read(path: Path) -> Entry:
    values = read_json(path)
    try:
        hub = Snapshot.from_json(values["hub"]) if values.get("hub") else None
        entry = Entry(**{field.name: values[field.name] for field in fields(Entry) if field.name != "hub"}, hub=hub)
        names.parse(entry.full_name)
        _ = entry.ta, entry.ra, entry.aa, entry.aa_images  # what everybody asks of an entry has an answer
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise AdvssError(f"{path} does not describe a checkpoint ({error!r}).", "Reinstall advss-zoo.") from error
    return entry


def record(entry: Entry, published: Snapshot) -> Path | None:
    """Note in the index of a source checkout where a checkpoint lies on the Hub; returns the file that says so.

    The card is not touched: it lies in the commit that is noted, and cannot name it. An installed package has no index
    that would be passed on to others, and None is returned.

    Raises:
        AdvssError: the file cannot be written.
    """
    folder = resources.folder("cards")
    if folder != resources.CHECKOUT / "cards":
        return None
    path = folder / f"{entry.full_name}.json"
    write_json(path, read_json(path) | {"hub": published.to_json()})
    entries.cache_clear()
    return path


def find(text: str) -> Entry:
    """Find the entry that NAME or NAME.TAG means.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    wanted = names.parse(text)
    for entry in entries():
        if entry.name == wanted.name and (entry.default if wanted.tag is None else entry.tag == wanted.tag):
            return entry
    known = [entry.full_name for entry in entries()]
    spellings = {spelling: name for name in known for spelling in (name, name.partition(".")[0])}
    near = dict.fromkeys(spellings[match] for match in difflib.get_close_matches(text, spellings, n=3, cutoff=0.5))
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose from {', '.join(known)}."
    raise UsageError(f"Unknown checkpoint {text!r}.", f"{hint} See `advss list`.")


def knows(text: str) -> bool:
    """Tell whether NAME or NAME.TAG means a checkpoint of the zoo."""
    try:
        find(text)
    except UsageError:
        return False
    return True


def default_name() -> str:
    """Return the full name of the zoo's default classifier.

    Raises:
        AdvssError: this installation has lost its index.
    """
    return _first_of(PREFERRED)


def default_trunk() -> str:
    """Return the full name of the trunk that fine-tuning starts from.

    Raises:
        AdvssError: this installation has lost its index.
    """
    return _first_of(PREFERRED_TRUNKS)


def _first_of(preferred: tuple[str, ...]) -> str:
    present = {entry.name for entry in entries()}
    for name in preferred:
        if name in present:
            return find(name).full_name
    raise AdvssError("The index of this installation is empty.", "Reinstall advss-zoo.")


def card(text: str) -> str:
    """Return the card of NAME or NAME.TAG, in Markdown.

    Raises:
        UsageError: there is no such checkpoint.
    """
    path = resources.folder("cards") / f"{find(text).full_name}.md"
    with explained("read", path):
        return path.read_text(encoding="utf-8")
