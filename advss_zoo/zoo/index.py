"""What is in the zoo: one JSON file a checkpoint, beside its card. Importing this imports no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from advss_zoo import resources
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import explained, read_json
from advss_zoo.zoo import names

# What `advss eval` takes when no name is given: the first of these that the zoo has.
PREFERRED = ("selfie-p3f4", "p1f4")
HEADLINE_DATA = "cifar10"


@dataclass(frozen=True)
class Entry:
    """One checkpoint of the zoo, as cards/NAME.TAG.json describes it; accuracies are fractions."""

    name: str
    tag: str
    default: bool  # is this what NAME without a tag means?
    kind: Literal["trunk", "classifier", "ensemble"]
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

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.tag}"

    @property
    def ta(self) -> float | None:
        return self._headline("pgd20", "ta")

    @property
    def ra(self) -> float | None:
        return self._headline("pgd20", "ra")

    @property
    def aa(self) -> float | None:
        return self._headline("autoattack", "ra")

    def _headline(self, protocol: str, key: str) -> float | None:
        """The accuracy under a protocol at its default constants on CIFAR-10's test images."""
        for result in self.results:
            if result["protocol"]["label"] == protocol and result["data"]["name"] == HEADLINE_DATA:
                return float(result[key])
        return None


@cache
def entries() -> tuple[Entry, ...]:
    """All checkpoints, by name.

    Raises:
        AdvssError: a file of the index is damaged.
    """
    return tuple(_read(path) for path in sorted(resources.folder("cards").glob("*.json")))


def _read(path: Path) -> Entry:
    values = read_json(path)
    try:
        return Entry(**{field.name: values[field.name] for field in fields(Entry)})
    except (KeyError, TypeError) as error:
        raise AdvssError(f"{path} does not describe a checkpoint ({error!r}).", "Reinstall advss-zoo.") from error


def find(text: str) -> Entry:
    """The entry that NAME or NAME.TAG means.

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
    hint = f"Did you mean {' or '.join(near)}?" if near else f"The zoo has: {', '.join(known)}."
    raise UsageError(f"There is no checkpoint {text!r}.", f"{hint} See `advss list`.")


def default_name() -> str:
    """The full name of the zoo's default classifier.

    Raises:
        AdvssError: this installation has lost its index.
    """
    present = {entry.name for entry in entries()}
    for name in PREFERRED:
        if name in present:
            return find(name).full_name
    raise AdvssError("This installation lists no checkpoint.", "Reinstall advss-zoo.")


def card(text: str) -> str:
    """The card of NAME or NAME.TAG, in Markdown.

    Raises:
        UsageError: there is no such checkpoint.
    """
    path = resources.folder("cards") / f"{find(text).full_name}.md"
    with explained("read", path):
        return path.read_text(encoding="utf-8")
