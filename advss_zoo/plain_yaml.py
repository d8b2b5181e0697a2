"""YAML that others may have written: the safe loader, and of that only what is plain data of a sensible size.

In a module of its own because loading a model has no need of yaml.
"""

from __future__ import annotations

from typing import Any

import yaml

from advss_zoo import documents

MOST_BYTES = 2**20  # a recipe has a thousandth of that
MOST_TEXT = 10_000  # characters of one value: a number of more digits takes minutes to read
TIMESTAMP = "tag:yaml.org,2002:timestamp"


def read(content: bytes | str) -> Any:
    """Parse YAML by the safe loader; dates stay text.

    Raises:
        ValueError: it is not YAML, has aliases, or is no plain data (see `documents.check`).
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"{len(content):,} bytes exceed the limit of {MOST_BYTES:,}")
    try:
        return documents.check(yaml.load(content, _Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise documents.too_deep() from None


class _Loader(yaml.SafeLoader):
    """Takes no aliases: a few of them, each of the one before, can stand for more than fits into memory."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (read by yaml's code, which declares it)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MOST_TEXT:
            raise yaml.YAMLError(f"a value has more than {MOST_TEXT:,} characters")
        return super().compose_node(parent, index)
