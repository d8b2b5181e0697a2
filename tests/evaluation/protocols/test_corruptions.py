"""The corruptions as protocols: every number by an independent loop, interruptions, and the published archive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from advss_zoo.data.catalogue import CIFAR10
from advss_zoo.data.corruptions import BENCHMARK, CORRUPTIONS, corrupt, generated
from advss_zoo.errors import AdvssError, DataError, UsageError
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.protocols.corruptions import find_baseline, mean_corruption_error
from advss_zoo.evaluation.results import check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.schema import Constants
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.model import Model

COUNT = 12


@pytest.fixture(name="few", scope="module")
def _few(pictures):
    return pictures.first(COUNT)


@pytest.fixture(name="result")
def _result(patches, few):
    return evaluate(patches, few, "corruptions")


def accuracy(model, images):
    with torch.no_grad():
        predicted = model(torch.from_numpy(images.images).float() / 255).argmax(dim=1).numpy()
    return (predicted == images.labels).mean()


def test_every_number_is_the_accuracy_on_a_generated_set(patches, few, result):
    expected = {
        name: tuple(accuracy(patches, generated(few, name, severity)) for severity in range(1, 6))
        for name in CORRUPTIONS
    }
    assert result.details.corruptions == expected
    benchmark = [value for name in BENCHMARK for value in expected[name]]
    assert len(benchmark) == 75
    assert result.details.corruption_accuracy == pytest.approx(np.mean(benchmark))
    low, high = result.details.corruption_accuracy_ci95
    assert 0 <= low < np.mean(benchmark) < high <= 1
    assert result.ta == accuracy(patches, few)
    assert (result.ra, result.ra_ci95) == (None, None)


def test_the_evidence_is_a_bit_a_severity(patches, few, tmp_path):
    evaluate(patches, few, "corruptions", out=tmp_path)
    evidence = Verdicts.read(tmp_path / "verdicts.npz").evidence
    assert set(evidence) == set(CORRUPTIONS)
    for severity in (1, 5):
        images = generated(few, "contrast", severity)
        with torch.no_grad():
            predicted = patches(torch.from_numpy(images.images).float() / 255).argmax(dim=1).numpy()
        assert (evidence["contrast"] >> (severity - 1) & 1).tolist() == (predicted == few.labels).tolist()
    assert check(tmp_path / "result.json").details


def test_interruptions_change_no_verdict(patches, pictures, tmp_path, monkeypatch):
    images = pictures.first(10)  # two passes
    whole = evaluate(patches, images, "corruptions")

    def stop_at_fog(done, total, part):
        if part == "fog":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(patches, images, "corruptions", out=tmp_path, progress=stop_at_fog, batch_size=8)
    made = []

    def counted(pixels, name, *more):
        made.append(name)
        return corrupt(pixels, name, *more)

    monkeypatch.setattr("advss_zoo.evaluation.protocols.corruptions.corrupt", counted)
    resumed = evaluate(patches, images, "corruptions", out=tmp_path, batch_size=8)
    assert resumed.verdicts == whole.verdicts
    assert made.count("gaussian_noise") == 5, "the first pass had it already"
    assert made.count("fog") == 10


def test_images_may_be_floats_of_any_size(patches):
    images = torch.randint(0, 256, (3, 3, 40, 48), dtype=torch.uint8)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 10)).eval()
    labels = torch.tensor([0, 9, 4])
    as_bytes, as_floats = (evaluate(model, (x, labels), "corruptions") for x in (images, images.float() / 255))
    assert as_bytes.verdicts == as_floats.verdicts


def test_a_result_says_which_constants_large_images_were_corrupted_with(patches, few):
    images = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 10)).eval()
    found = evaluate(model, (images, torch.tensor([0])), "corruptions").protocol.to_dict()
    assert found["constants"] == "ImageNet-C"
    assert "constants" not in parse("corruptions").for_images(few.images.shape[1:]).constants()


def test_images_without_colour_are_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(DataError, match="3 channels, got 1"):
        evaluate(model, (torch.rand(2, 1, 8, 8), torch.tensor([0, 9])), "corruptions")


def test_output_that_is_not_finite_is_found(patches, few):
    """For images brighter than any that is not corrupted."""
    brightest = few.images.mean(axis=(1, 2, 3)).max() / 255 + 0.01

    class Brittle(nn.Module):
        def forward(self, x):
            return patches(x) / (x.mean(dim=(1, 2, 3)) < brightest).float()[:, None]

    with pytest.raises(AdvssError, match="NaN or infinite"):
        evaluate(Brittle(), few, "corruptions")


def test_the_seed_is_that_of_the_corruptions(patches, few, result):
    other = evaluate(patches, few, parse("corruptions", seed=1))
    assert other.protocol.seed == other.seed == 1
    assert other.fingerprint != result.fingerprint
    assert other.details.corruptions["contrast"] == result.details.corruptions["contrast"]
    assert other.details != result.details


@pytest.mark.parametrize("name", ["corruptions", "corruptions-archive"])
@pytest.mark.parametrize("setting", [{"eps": 0.1}, {"norm": "l2"}, {"step_size": 0.1}, {"restarts": 2}])
def test_settings_of_attacks_are_refused(name, setting):
    with pytest.raises(UsageError, match="cannot be used with"):
        parse(name, **setting)


def test_the_label_and_the_constants_say_who_made_the_images():
    made, published = parse("corruptions"), parse("corruptions-archive")
    assert (made.label(), made.constants()["source"]) == ("corruptions", "generated")
    assert (published.label(), published.constants()["source"]) == ("corruptions-archive", "archive")
    assert made.constants()["corruptions"]["benchmark"] == list(BENCHMARK)
    assert parse("corruptions", seed=3).slug() == "corruptions-seed-3"


@pytest.fixture(name="published")
def _published(publish, few):
    return publish(few)


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("chosen", [range(COUNT), [7, 2, 9]], ids=["all", "some"])
def test_the_archive_is_read_by_the_images_index(chosen, patches, few):
    images = few.take(list(chosen))
    found = evaluate(patches, images, "corruptions-archive")
    assert found.details == evaluate(patches, images, parse("corruptions", seed=5)).details
    assert found.protocol.archive == "CIFAR-10-C"


@pytest.mark.usefixtures("published")
def test_images_that_are_not_those_of_the_archive_are_refused(patches, pictures, few):
    others = replace(few, labels=(few.labels + 1) % 10)
    for images in (others, pictures.first(COUNT + 1)):
        with pytest.raises(DataError, match="got other images"):
            evaluate(patches, images, "corruptions-archive")


def test_an_archive_that_is_not_here_is_missed_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path))
    monkeypatch.delenv("ADVSS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="CIFAR-100-C is not on this machine"):
        parse("corruptions-archive").for_classes(100)
    with pytest.raises(UsageError, match="of 7 classes are not published"):
        parse("corruptions-archive").for_classes(len(CIFAR10.classes) - 3)


def test_mean_corruption_error(result, few):
    """By hand: half of the baseline's error under each corruption, and once as much."""

    def scaled(share, fog=None):
        errors = {name: [1 - share / 2] * 5 for name in CORRUPTIONS} | ({"fog": [fog] * 5} if fog is not None else {})
        return result.model_copy(update={"details": result.details.model_copy(update={"corruptions": errors})})

    baseline = scaled(1)
    assert mean_corruption_error(baseline, baseline) == pytest.approx(1)
    assert mean_corruption_error(scaled(0.5), baseline) == pytest.approx(0.5)
    assert mean_corruption_error(scaled(0.5, fog=0), baseline) == pytest.approx((14 * 0.5 + 2) / 15)
    with pytest.raises(UsageError, match="makes no errors under some corruption"):
        mean_corruption_error(baseline, scaled(1, fog=1))
    others = result.model_copy(update={"data": result.data.model_copy(update={"indices": "first 7"})})
    with pytest.raises(UsageError, match="on the same images"):
        mean_corruption_error(others, baseline)
    clean = result.model_copy(update={"protocol": Constants(name="clean", label="clean")})
    with pytest.raises(UsageError, match="on the same images"):
        mean_corruption_error(clean, clean)


def test_the_error_under_a_corruption_is_summed_over_severities_first(result):
    def having(accuracies):
        found = result.details.model_copy(update={"corruptions": dict.fromkeys(CORRUPTIONS, accuracies)})
        return result.model_copy(update={"details": found})

    found = mean_corruption_error(having([0.5, 1, 1, 1, 1]), having([0, 0.5, 0.5, 0.5, 0.5]))
    assert found == pytest.approx(0.5 / 3)


def test_the_baseline_is_that_of_the_same_protocol_and_images(patches, few, tmp_path):
    made = {}
    for place, (images, seed) in enumerate([(few.first(5), 0), (few, 1), (few, 0)]):
        folder = tmp_path / "deep" / str(place)
        made[len(images), seed] = evaluate(patches, images, parse("corruptions", seed=seed), out=folder)
    for (count, seed), result in made.items():
        found = find_baseline(tmp_path, parse("corruptions", seed=seed), few.first(count))
        assert found == result
    with pytest.raises(UsageError, match=r"deep contains no result of corruptions on these images"):
        find_baseline(tmp_path / "deep", parse("corruptions"), few.first(3))  # of a folder at any size
    (folder / "verdicts.npz").unlink()
    with pytest.raises(AdvssError, match="verdicts"):
        find_baseline(tmp_path, parse("corruptions"), few)


def test_a_baseline_on_more_images_is_cut_to_these(patches, few, tmp_path):
    """Its numbers are those of an evaluation on these images alone; the images shipped are the first of CIFAR-10."""
    every = replace(few, name="cifar10")
    evaluate(patches, every, "corruptions", out=tmp_path)
    for images in (every.first(5), replace(few.first(5), name="cifar10-1k")):
        found, alone = find_baseline(tmp_path, parse("corruptions"), images), evaluate(patches, images, "corruptions")
        assert found.details == alone.details
        assert (found.data, found.n, found.ta, found.ta_ci95) == (alone.data, 5, alone.ta, alone.ta_ci95)


def test_a_baseline_on_other_images_or_on_fewer_is_none(patches, few, tmp_path):
    every = replace(few, name="cifar10")
    evaluate(patches, every.first(5), "corruptions", out=tmp_path)
    labels = np.concatenate([(every.labels[:1] + 1) % 10, every.labels[1:]])
    others = [
        every,
        every.take([1, 0]),
        replace(every, labels=labels).first(3),
        replace(every, name="cifar100").first(3),
        replace(every, split="train").first(3),
    ]
    for images in others:
        with pytest.raises(UsageError, match="no result of corruptions on these images"):
            find_baseline(tmp_path, parse("corruptions"), images)


def test_baselines_of_several_models_in_one_folder_are_not_chosen_from(patches, few, tmp_path):
    """Of whatever comes first in the alphabet nobody has said that it is meant."""
    for name, model in (("one", patches), ("other", nn.Sequential(patches, nn.BatchNorm1d(10)))):
        evaluate(Model(model, name), few, "corruptions", out=tmp_path / name)
    with pytest.raises(UsageError, match=r"contains results of corruptions for one and other.*Give the folder of one"):
        find_baseline(tmp_path, parse("corruptions"), few)
    assert find_baseline(tmp_path / "other", parse("corruptions"), few).model.name == "other"
