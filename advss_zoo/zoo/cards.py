"""Cards: what a person reads about a checkpoint, rendered from the JSON that the index is made of.

For maintainers, after a change of the template: `python -m advss_zoo.zoo.cards` renders all of them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from advss_zoo import resources, texts
from advss_zoo.files import read_json, write_bytes
from advss_zoo.texts import format_eps
from advss_zoo.zoo import CARD, index, metadata, sources
from advss_zoo.zoo.index import Entry

TEMPLATE = "card.md.j2"
percent = partial(texts.percent, nothing="-")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MARKUP = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")  # an underscore inside a word is none


def render(values: dict[str, Any], template: str = TEMPLATE) -> str:
    """Return a card in Markdown; a value that the template asks for and the JSON lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader(resources.folder("cards")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {"percent": percent, "accuracy": accuracy, "constants": constants, "markdown": markdown}
    return environment.get_template(template).render(**values, front_matter=metadata.front_matter(values))


def write(full_name: str, checkpoint: Path) -> None:
    """Render the card of a checkpoint to cards/ and into the checkpoint's folder."""
    values = resources.folder("cards") / f"{full_name}.json"
    card = render(read_json(values)).encode()
    for path in (values.with_suffix(".md"), checkpoint / CARD):
        write_bytes(path, card)


def table(shown: Iterable[Entry]) -> str:
    """Return checkpoints as a table in Markdown, one a line."""
    lines = ["| checkpoint | TA | RA | AA | parameters | size |", "|---|---|---|---|---|---|"]
    for entry in shown:
        aa = percent(entry.aa) + (f" of {entry.aa_images:,}" if entry.aa_images else "")
        accuracies = [percent(entry.ta), percent(entry.ra), aa]
        cells = [f"`{entry.full_name}`", *accuracies, f"{entry.parameters:,}", f"{entry.bytes / 1e6:.1f} MB"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def markdown(text: str) -> str:
    """Return a name so that Markdown shows it as it is, on one line and in one cell of a table."""
    return _MARKUP.sub(r"\\\g<0>", _CONTROL.sub(" ", text))


def accuracy(fraction: float | None, bounds: tuple[float, float] | None) -> str:
    """Format an accuracy in percent with its interval: "72.10 (71.21 to 72.97)"."""
    return percent(fraction) + (f" ({percent(bounds[0])} to {percent(bounds[1])})" if bounds else "")


def constants(protocol: dict[str, Any]) -> str:
    """List everything that an attack fixes: "norm linf, eps 8/255, steps 20, ..."; corruptions have a table of
    their own.
    """
    unsaid = ("name", "label", "version", "corruptions", "severities")
    shown = {key: value for key, value in protocol.items() if key not in unsaid}
    sizes = {key: format_eps(shown[key]) for key in ("eps", "step_size") if key in shown}
    return _listed(shown | sizes) or "no attack"


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_said(value)}" for key, value in values.items())


def _said(value: Any) -> str:
    """The attacks of AutoAttack are a list of names with constants of their own: "apgd-ce (n iter 100, ...), ..."."""
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    if isinstance(value, dict):
        rest = {key: constant for key, constant in value.items() if key != "name"}
        return f"{value.get('name', '')} ({_listed(rest)})".lstrip()
    return str(value)


if __name__ == "__main__":
    for known in index.entries():
        write(known.full_name, sources.SOURCES[known.stored](known))
