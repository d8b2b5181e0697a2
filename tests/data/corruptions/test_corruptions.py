"""What holds for every corruption that is registered, under every severity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advss_zoo.data.corruptions import BENCHMARK, CORRUPTIONS, corrupt, generated
from advss_zoo.data.corruptions.base import SEVERITIES
from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("error")

DETERMINISTIC = {
    "defocus_blur",
    "zoom_blur",
    "gaussian_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
    "saturate",
}
each = pytest.mark.parametrize("name", CORRUPTIONS)
each_severity = pytest.mark.parametrize("severity", SEVERITIES)


@pytest.fixture(scope="module")
def eight(clean: ImageSet) -> ImageSet:
    return clean.first(8)


@each
@each_severity
def test_an_image_does_not_depend_on_its_batch(name: str, severity: int, eight: ImageSet) -> None:
    whole = generated(eight, name, severity)
    assert (whole.images.dtype, whole.images.shape) == (np.uint8, (8, 3, 32, 32))
    assert (whole.images != eight.images).any(axis=(1, 2, 3)).all()
    part = [6, 1, 3]
    np.testing.assert_array_equal(generated(eight.take(part), name, severity).images, whole.images[part])
    np.testing.assert_array_equal(generated(eight.take([6]), name, severity).images, whole.images[[6]])


@each
def test_large_batches_are_worked_on_in_pieces(name: str, eight: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = generated(eight, name, 3).images
    monkeypatch.setattr("advss_zoo.data.corruptions.PIECE", 3 * 32 * 32)
    np.testing.assert_array_equal(generated(eight, name, 3).images, whole)


@each
def test_what_random_numbers_are_a_function_of(name: str, eight: ImageSet) -> None:
    """The image's index and the seed; of the same image, corruptions that draw none always make the same."""
    same = np.repeat(eight.images[:1], 3, axis=0)
    index = np.array([0, 1, 0])
    zero, one, again = corrupt(same, name, 3, index, 0)
    other = corrupt(same[:1], name, 3, index[:1], 1)[0]
    assert (zero == again).all()
    assert (zero == one).all() == (zero == other).all() == (name in DETERMINISTIC)


def test_severities_and_corruptions_have_random_numbers_of_their_own(clean: ImageSet) -> None:
    """Noise that was the same would make the errors under two severities proportional."""
    grey = np.full((1, 3, 32, 32), 128, np.uint8)
    errors = [
        corrupt(grey, name, severity, np.zeros(1, np.int64), 0).ravel() - 128.0
        for name in ("gaussian_noise", "speckle_noise")
        for severity in (4, 5)
    ]
    correlation = np.corrcoef(errors)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() < 0.1


@each
@pytest.mark.parametrize(("height", "width"), [(3, 3), (20, 45), (64, 64)])
@pytest.mark.parametrize("level", [0, 255, None], ids=["black", "white", "noise"])
def test_any_size_and_content(name: str, height: int, width: int, level: int | None) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, height, width), dtype=np.uint8)
    if level is not None:
        images[:] = level
    for severity in (1, 3, 5):
        corrupted = corrupt(images, name, severity, np.arange(2), 0)
        assert (corrupted.dtype, corrupted.shape) == (np.uint8, images.shape)


@pytest.mark.parametrize(
    "name", ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur", "elastic_transform"]
)
def test_what_only_moves_or_mixes_pixels_leaves_flat_grey_as_it_is(name: str) -> None:
    grey = np.full((1, 3, 32, 32), 100, np.uint8)
    for severity in SEVERITIES:
        assert np.abs(corrupt(grey, name, severity, np.zeros(1, np.int64), 0).astype(int) - 100).max() <= 1


def test_what_scales_with_the_image_keeps_its_proportions(eight: ImageSet) -> None:
    """An image twice as large is displaced twice as far, so that it looks the same from twice the distance."""
    large = eight.images.repeat(2, axis=2).repeat(2, axis=3)
    for name in ("elastic_transform", "fog", "frost"):
        errors = [
            np.abs(corrupt(images, name, 3, np.arange(8), 0).astype(int) - images).mean()
            for images in (eight.images, large)
        ]
        assert errors[1] == pytest.approx(errors[0], rel=0.25), name


def test_the_benchmark_is_15_of_19() -> None:
    assert len(BENCHMARK) == 15
    assert set(CORRUPTIONS) - set(BENCHMARK) == {"speckle_noise", "gaussian_blur", "spatter", "saturate"}


def test_a_generated_set_says_so(eight: ImageSet) -> None:
    snow = generated(eight.take([2, 5]), "snow", 3)
    assert snow.name == "cifar10-1k-c generated snow 3"
    assert generated(eight, "snow", 3, seed=7).name == "cifar10-1k-c generated snow 3 seed 7"
    assert snow.index.tolist() == [2, 5]
    assert snow.labels.tolist() == eight.labels[[2, 5]].tolist()
    assert snow.content_sha256 != eight.content_sha256


def test_no_images(eight: ImageSet) -> None:
    assert generated(eight.take([]), "fog", 1).images.shape == (0, 3, 32, 32)


def test_images_that_are_a_read_only_view(eight: ImageSet) -> None:
    view = np.broadcast_to(eight.images[:1], (2, 3, 32, 32))
    corrupted = generated(replace(eight.first(2), images=view), "contrast", 1).images
    assert (corrupted[0] == corrupted[1]).all()
    assert corrupted.flags.writeable


@pytest.mark.parametrize(
    ("name", "severity", "complaint"),
    [
        ("gausian_noise", 1, r"Unknown corruption 'gausian_noise' \(did you mean gaussian_noise\?\)"),
        ("fog", 0, "Severity must be 1 to 5, got 0"),
        ("fog", 6, "Severity must be 1 to 5, got 6"),
    ],
)
def test_what_does_not_exist(name: str, severity: int, complaint: str, eight: ImageSet) -> None:
    with pytest.raises(UsageError, match=complaint):
        generated(eight, name, severity)


def test_images_that_are_too_small() -> None:
    with pytest.raises(DataError, match="got 2 x 9"):
        corrupt(np.zeros((1, 3, 2, 9), np.uint8), "fog", 1, np.zeros(1, np.int64), 0)
