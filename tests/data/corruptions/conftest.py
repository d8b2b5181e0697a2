from __future__ import annotations

import pytest

from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.subset import load_subset


@pytest.fixture(scope="session")
def clean() -> ImageSet:
    """The first 100 test images of CIFAR-10."""
    return load_subset().first(100)
