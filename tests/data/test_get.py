from __future__ import annotations

from pathlib import Path

import pytest

from advss_zoo.data.get import get
from advss_zoo.errors import UsageError


def test_the_subset_is_there_already(cache: Path) -> None:
    assert get("cifar10-1k").is_file()
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("../cifar10", "Did you mean cifar10"), ("edm-100k", "Did you mean edm-"), ("imagenet", "restricted-imagenet")],
)
def test_unknown_names_bring_the_nearest_and_write_nothing(name: str, hint: str, cache: Path) -> None:
    with pytest.raises(UsageError, match=f"Unknown data set '{name}'.*{hint}"):
        get(name)
    assert not cache.exists()
