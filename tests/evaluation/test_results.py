"""Result files: whole, and no number that does not follow from the verdicts."""

from __future__ import annotations

import json
import shutil

import pytest
from evaluation.helpers import quick

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.results import Result, check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.model import Model

COMMAND = {"command": "advss eval mine"}


@pytest.fixture(params=["pgd2", "clean", "apgd-ce"])
def folder(request, tmp_path, patches, pictures):
    evaluate(Model(patches, "mine", "00ff"), pictures, quick(request.param), out=tmp_path / "a", **COMMAND)
    return tmp_path / "a"


def test_read_back(folder):
    result = Result.read(folder / "result.json")
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert check(folder / "result.json") == result


def test_the_file_says_what_was_measured_and_how(folder, pictures):
    value = json.loads((folder / "result.json").read_text())
    attacked = value["protocol"]["name"] != "clean"
    assert (value["schema"], value["n"], value["seed"], value["command"]) == (1, 150, 0, "advss eval mine")
    assert (value["model"]["name"], value["model"]["sha256"]) == ("mine", "00ff")
    assert value["data"] == {
        "name": "made-up",
        "split": "test",
        "n": 150,
        "indices": "first 150",
        "content_sha256": pictures.content_sha256,
    }
    assert Result.read(folder / "result.json").slug() == f"made-up-{value['protocol']['name']}"
    assert value["device"].startswith("cpu")
    assert set(value["versions"]) == {"advss_zoo", "torch", "python", "numpy", "scipy", "pillow"}
    assert value["verdicts"]["file"] == "verdicts.npz"
    assert value["images_per_second"] == pytest.approx(150 / value["seconds"])
    assert value["ta_ci95"][0] < value["ta"] < value["ta_ci95"][1]
    assert (value["ra"] is not None) == (value["ra_ci95"] is not None) == attacked
    assert not attacked or 0 <= value["ra"] < value["ta"]
    assert ("details" in value) == attacked


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ta", lambda ta: ta + 1 / 150),
        ("ra", lambda ra: 0.5 if ra is None else ra + 1 / 150),
        ("ta_ci95", lambda interval: [interval[0] + 1e-6, interval[1]]),
        ("ra_ci95", lambda interval: [0.1, 0.2]),
        ("n", lambda n: n + 1),
        ("verdicts", lambda verdicts: {**verdicts, "sha256": "0" * 64}),
        ("schema", lambda schema: schema + 1),
        ("details", lambda details: {"ra_8bit": 0.5}),
    ],
)
def test_a_number_that_does_not_follow_is_found(folder, name, change):
    path = folder / "result.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, name: change(value.get(name))}))
    with pytest.raises(AdvssError, match=rf"{name}|sha256"):
        check(path)


def test_details_follow_from_the_verdicts_too(patches, pictures, tmp_path):
    evaluate(patches, pictures, quick("apgd-ce"), out=tmp_path)
    path = tmp_path / "result.json"
    value = json.loads(path.read_text())
    assert value["details"]["attacks"][0]["accuracy"] == value["ra"]
    value["details"]["attacks"][0]["accuracy"] += 1 / 150
    path.write_text(json.dumps(value))
    with pytest.raises(AdvssError, match="says details"):
        check(path)


def test_verdicts_of_another_run_are_found(folder):
    verdicts = Verdicts.read(folder / "verdicts.npz")
    verdicts.clean_prediction[:2] = (verdicts.clean_prediction[:2] + 1) % 10
    verdicts.write(folder / "verdicts.npz")
    with pytest.raises(AdvssError, match="does not hold the verdicts"):
        check(folder / "result.json")


def test_a_result_does_not_choose_which_file_is_read(folder, tmp_path):
    path = folder / "result.json"
    value = json.loads(path.read_text())
    shutil.move(folder / "verdicts.npz", tmp_path / "elsewhere.npz")
    value["verdicts"]["file"] = "../elsewhere.npz"
    path.write_text(json.dumps(value))
    with pytest.raises(AdvssError, match="Cannot read"):
        check(path)


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"schema": 1}', '{"schema": 1, "ta": 1}'])
def test_what_is_no_result_is_a_sentence(content, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(AdvssError, match=r"result\.json"):
        Result.read(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": []}, "model: must be a map of keys"),
        ({"data": {"name": 5}}, "data.name"),
        ({"verdicts": {}}, "verdicts.sha256"),
        ({"ta": "high"}, "ta: Input should be a valid number"),
        ({"ra_ci95": [0.5]}, "ra_ci95"),
        ({"versions": {"torch": 2}}, "versions.torch"),
        ({"details": [1]}, "details"),
        (
            {"protocol": {"name": "a", "label": "a", "corruptions": 5}},
            "protocol.corruptions: must be a map of keys, got 5",
        ),
        (
            {
                "protocol": {
                    "name": "a",
                    "label": "a",
                    "severities": 10**12,
                    "corruptions": {"benchmark": [], "extra": []},
                }
            },
            "protocol.severities: Input should be less than or equal to 7",
        ),
    ],
)
def test_what_strangers_may_write_is_a_sentence(change, complaint, folder):
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(AdvssError, match=complaint):
        check(path)


def test_the_verdicts_are_those_beside_it_and_read_when_they_are_asked_for(folder):
    result = Result.read(folder / "result.json")
    assert result.folder == folder
    assert result.verdicts == Verdicts.read(folder / "verdicts.npz")
    later = Result.read(folder / "result.json")
    (folder / "verdicts.npz").unlink()
    with pytest.raises(AdvssError, match=r"Cannot read .*verdicts\.npz"):
        _ = later.verdicts
    with pytest.raises(AdvssError, match="without its folder"):
        _ = Result.from_dict(later.to_dict()).verdicts


def test_a_result_that_was_not_written_has_its_verdicts(patches, pictures, tmp_path):
    result = evaluate(patches, pictures, "pgd2")
    assert (result.folder, result.verdicts.sha256) == (None, result.verdicts_file.sha256)
    assert result.verdicts.scores()["ra"] == result.ra
    first = evaluate(patches, pictures.first(50), "pgd2")
    cut = result.first(first.data)
    assert (cut.n, cut.ta, cut.ra, cut.details) == (50, first.ta, first.ra, first.details)
    assert cut.verdicts == first.verdicts


def test_constants_that_nothing_depends_on_are_kept(folder):
    path = folder / "result.json"
    value = json.loads(path.read_text())
    value["protocol"]["of a newer version"] = {"deep": [1, 2.5, None]}
    path.write_text(json.dumps(value))
    result = Result.read(path)
    assert result.to_dict() == value
    result.write(path)
    assert json.loads(path.read_text()) == value


def test_a_name_that_is_not_valid_unicode_is_written_all_the_same(patches, pictures, tmp_path):
    odd = Model(patches, "odd\udcff")
    result = evaluate(odd, pictures, "clean", out=tmp_path, command="advss eval \udcff")
    assert (result.model.name, result.command) == ("odd?", "advss eval ?")
    assert Result.read(tmp_path / "result.json") == result
