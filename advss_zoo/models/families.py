"""The `architecture` of a configuration: the record of any family in `models/backbones`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import BeforeValidator

import advss_zoo.models.backbones
from advss_zoo.models.architecture import Architecture
from advss_zoo.registry import any_of

FAMILY = "resnetv2"  # where none is named


def _with_family(values: object) -> object:
    return {"family": FAMILY, **values} if isinstance(values, dict) else values


if TYPE_CHECKING:
    AnyArchitecture: TypeAlias = Architecture
else:
    AnyArchitecture = Annotated[
        any_of(advss_zoo.models.backbones, Architecture, "family"), BeforeValidator(_with_family)
    ]
