"""What the Hub reads of a card, as its own client reads it."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCardData, parse_eval_result_entries
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from advss_zoo import resources
from advss_zoo.files import read_json
from advss_zoo.zoo import index, metadata

ENTRIES = index.entries()


def values(entry):
    return read_json(resources.folder("cards") / f"{entry.full_name}.json")


def result(ta, ra, label, data="cifar10", n=10_000, **details):
    protocol = {"name": label, "label": label, "version": 1, "eps": 0.03125, "corruptions": {"benchmark": []}}
    about = {"data": {"name": data, "split": "test"}, "n": n, "date": "2026-01-01T00:00:00+00:00"}
    return about | {"protocol": protocol, "ta": ta, "ra": ra, "details": details or None}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.full_name)
def test_every_card_says_the_same_to_the_client_of_the_hub(entry):
    front = yaml.safe_load(metadata.front_matter(values(entry)))
    data = ModelCardData(**front)
    assert data.library_name == "advss-zoo"
    assert (data.license, data.pipeline_tag) == ("mit", front["pipeline_tag"])
    assert data.pipeline_tag == ("image-feature-extraction" if entry.kind == "trunk" else "image-classification")
    parent = entry.training["parent"]
    assert data.base_model == ([f"advss-zoo/{parent}"] if parent else data.base_model)
    if entry.results:
        whole = [metric for metric in data.eval_results if metric.dataset_split == "test"]
        accuracies = {metric.metric_name: metric.metric_value for metric in whole}
        assert accuracies["TA (clean)"] == round(100 * entry.ta, 2)
        assert accuracies["RA (pgd20)"] == round(100 * entry.ra, 2)
        assert eval_results_to_model_index(*model_index_to_eval_results(front["model-index"])) == front["model-index"]
    else:
        assert "model-index" not in front


def test_results_on_one_data_set_share_a_block_and_ta_is_said_once():
    results = [
        result(0.7, None, "clean"),
        result(0.7, 0.4, "pgd20"),
        result(0.7, 0.38, "autoattack"),
        result(0.72, 0.41, "pgd20", data="cifar10-1k", n=1000),
        result(0.7, None, "corruptions", corruption_accuracy=0.6),
    ]
    ((block, thousand),) = [named["results"] for named in metadata.model_index("net.mini", results)]
    assert [(metric["name"], metric["value"]) for metric in block["metrics"]] == [
        ("TA (clean)", 70.0),
        ("RA (pgd20)", 40.0),
        ("RA (autoattack)", 38.0),
        ("Corrupted (corruptions)", 60.0),
    ]
    assert block["metrics"][1]["args"] == {"version": 1, "eps": 0.03125}
    assert (block["dataset"]["split"], thousand["dataset"]["split"]) == ("test", "test[:1000]")
    assert metadata.model_index("net.mini", []) == []


def test_one_file_a_result_on_data_that_the_hub_has():
    files = metadata.evaluation_files(
        {"cifar10-pgd20": result(0.7, 0.4, "pgd20"), "mine": result(0.9, 0.8, "pgd20", data="my photos")}
    )
    assert list(files) == [".eval_results/cifar10-pgd20.yaml"]
    (entry,) = parse_eval_result_entries(yaml.safe_load(files[".eval_results/cifar10-pgd20.yaml"]))
    assert (entry.dataset_id, entry.task_id) == ("uoft-cs/cifar10", "pgd20")
    assert (entry.value, entry.date) == (40.0, "2026-01-01T00:00:00+00:00")
    assert entry.notes == "RA (pgd20); test; version 1; eps 0.03125"


def test_what_it_was_made_of_is_told_by_the_weights():
    """A run of one's own may be called like a checkpoint of the zoo; what the zoo lacks has no repository."""
    zoos, mine = index.find("selfie-p3.mini").sha256, "0" * 64
    for training, bases in (
        ({"parent": "selfie-p3.mini", "parent_sha256": zoos}, ["advss-zoo/selfie-p3.mini"]),
        ({"parent": "selfie-p3.mini", "parent_sha256": mine}, []),
        ({"parent": "selfie-p3.mini"}, []),
        ({"parent": "photos-rotation-p3f4.mini", "parent_sha256": mine}, []),
        ({"parent": None, "parent_sha256": None}, []),
    ):
        assert metadata.base_models({"training": training, "members": []}) == bases


def test_an_ensemble_was_made_of_the_zoos_members_or_of_their_parents():
    one, other = (index.find(name) for name in ("p1f4.mini", "selfie-p3.mini"))
    of_the_zoo = [{"name": each.full_name, "sha256": each.sha256} for each in (one, other)]
    of_ones_own = [
        {"name": f"photos-{name}.mini", "parent": name, "parent_sha256": sha256}
        for name, sha256 in (("p1f4", one.sha256), ("again", one.sha256), ("other", "0" * 64), ("scratch", None))
    ]
    for members, bases in (
        (of_the_zoo, ["advss-zoo/p1f4.mini", "advss-zoo/selfie-p3.mini"]),
        (of_ones_own, ["advss-zoo/p1f4.mini"]),
        ([{"name": "a.mini"}, {"name": "p1f4.mini"}], []),
    ):
        assert metadata.base_models({"training": {"parent": None}, "members": members}) == bases


def test_nothing_is_written_as_an_alias():
    same = [result(0.7, 0.4, "pgd20"), result(0.7, 0.4, "pgd20", data="cifar100")]
    assert "&" not in metadata.front_matter(values(ENTRIES[0]) | {"results": same})
