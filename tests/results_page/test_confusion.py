"""Confusion matrices: of whom, of which result, and that their numbers are those of the verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from results_page import fabricated

from advss_zoo.data.load import load_data
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.results_page.collect import collect
from advss_zoo.results_page.figure import Figure
from advss_zoo.results_page.page import Report
from advss_zoo.zoo.ensembles import combined_sha256

CLASSES = load_data("cifar10-1k", "test").classes


def configured(folder: Path, name: str = "p1f4.mini", classes: tuple[str, ...] = CLASSES) -> None:
    """The checkpoint of whoever has this name in `fabricated`."""
    fabricated.config(folder / name, fabricated.sha256_of(name), classes)


def matrices(folder: Path) -> list[Figure]:
    return [figure for figure in Report(collect([folder])).figures if figure.name.startswith("confusion")]


def test_the_numbers_are_those_of_the_verdicts(tmp_path: Path) -> None:
    configured(tmp_path)
    path = fabricated.result(tmp_path / "results")
    found = Verdicts.read(path.with_name("verdicts.npz"))
    clean, attacked = matrices(tmp_path)
    assert [figure.title for figure in (clean, attacked)] == [
        "p1f4.mini: clean images",
        "p1f4.mini: images under pgd20",
    ]
    for figure, predictions in ((clean, found.clean_prediction), (attacked, found.attacked_prediction)):
        assert tuple(row[0] for row in figure.table.rows) == CLASSES
        counts = np.array([row[1:] for row in figure.table.rows])
        expected = np.zeros((10, 10), int)
        np.add.at(expected, (found.label, predictions), 1)
        np.testing.assert_array_equal(counts, expected)
        tips = {mark.tip for mark in figure.scene.marks if mark.tip}
        share = 100 * expected[3, 3] / expected[3].sum()
        assert f"cat, cat: {share:.2f}" in tips


def test_of_a_models_results_the_usual_one_on_most_images_is_shown(tmp_path: Path) -> None:
    configured(tmp_path)
    fabricated.result(tmp_path / "results", fabricated.pgd(levels=2))
    fabricated.result(tmp_path / "results", n=10)
    fabricated.result(tmp_path / "results")
    assert [figure.note for figure in matrices(tmp_path)] == ["n = 40."] * 2
    assert "under pgd20" in matrices(tmp_path)[1].title


@pytest.mark.parametrize("classes", [CLASSES[:3], tuple(f"class {number}" for number in range(21))])
def test_classes_that_are_too_few_or_too_many(classes: tuple[str, ...], tmp_path: Path) -> None:
    configured(tmp_path, classes=classes)
    fabricated.result(tmp_path / "results")
    assert matrices(tmp_path) == []


def test_an_ensemble_is_known_by_its_members(tmp_path: Path) -> None:
    sums = [fabricated.sha256_of(name) for name in ("one", "other")]
    document = {
        "name": "both", "tag": "test", "kind": "ensemble", "scenario": "p3f4", "classes": CLASSES,
        "members": [{"name": "one.test", "sha256": sums[0]}, {"name": "other.test", "sha256": sums[1]}],
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(document))
    model = {"name": "both.test", "sha256": combined_sha256(sums), "weights_sha256": "0" * 64}
    fabricated.result(tmp_path / "results", model=model)
    assert len(matrices(tmp_path)) == 2


def test_a_row_without_images_has_no_shares(tmp_path: Path) -> None:
    configured(tmp_path, classes=(*CLASSES, "unicorn"))
    fabricated.result(tmp_path / "results")
    tips = {mark.tip for mark in matrices(tmp_path)[0].scene.marks if mark.tip}
    assert "unicorn, cat: no value" in tips


def test_images_that_are_given_are_shown_and_a_path_in_a_result_is_not_followed(tmp_path: Path) -> None:
    fabricated.saved(tmp_path / "results", data="pets-12345678")
    images = replace(load_data("cifar10-1k", "test").first(fabricated.N), name="pets-12345678")
    with_images, without = (Report(collect([tmp_path], given)).html() for given in ([images], []))
    assert 'alt="clean image' in with_images
    assert 'alt="clean image' not in without
    others = replace(images, images=images.images[::-1].copy())
    assert 'alt="clean image' not in Report(collect([tmp_path], [others])).html(), "of the same name, but not the same"


def test_one_model_on_two_data_sets_is_told_apart(tmp_path: Path) -> None:
    """And of CIFAR-10 and its thousand images the larger is shown."""
    configured(tmp_path)
    fabricated.result(tmp_path, n=20)
    fabricated.result(tmp_path, data="cifar10")
    fabricated.result(tmp_path, data="mine")
    assert [figure.title for figure in matrices(tmp_path)] == [
        *("p1f4.mini, cifar10: clean images", "p1f4.mini, cifar10: images under pgd20"),
        *("p1f4.mini, mine: clean images", "p1f4.mini, mine: images under pgd20"),
    ]
