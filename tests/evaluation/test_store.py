"""Interruptions: the same verdicts in the end, nothing done twice, no folder mixed up with another's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluation.conftest import patches
from evaluation.helpers import quick, stop_at
from filelock import FileLock

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import protocols, runner
from advss_zoo.evaluation.effort import versions
from advss_zoo.evaluation.protocols import Protocol, Settings, parse
from advss_zoo.evaluation.protocols.corruptions import Published
from advss_zoo.evaluation.protocols.pgd import PgdProtocol
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.model import Model
from advss_zoo.registry import subclasses

ROOT = Path(__file__).parents[2]


class Recorded(PgdProtocol):
    """pgd2, and a note of every image that it was run on."""

    def attack(self, model, x, y, index, record):
        seen.extend(index.tolist())
        return super().attack(model, x, y, index, record)


seen: list[int] = []


@pytest.fixture
def recorded():
    seen.clear()
    return Recorded.create("pgd2", Settings())


def interrupted(patches, pictures, out, after):
    """An evaluation that stops once `after` images are done."""

    with pytest.raises(KeyboardInterrupt):
        evaluate(patches, pictures, "pgd2", out=out, progress=stop_at(after))


@pytest.mark.parametrize(("after", "save_every", "kept"), [(64, 0.0, 64), (128, 0.0, 128), (64, 3_600.0, 0)])
def test_what_was_written_is_not_done_again(
    after, save_every, kept, patches, pictures, recorded, tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "SAVE_EVERY", save_every)
    interrupted(patches, pictures, tmp_path / "cut", after)
    assert not (tmp_path / "cut" / "result.json").exists()
    result = evaluate(patches, pictures, recorded, out=tmp_path / "cut")
    right = Verdicts.read(tmp_path / "cut" / "verdicts.npz").right
    assert sorted(set(seen)) == [index for index in range(kept, 150) if right[index]]
    assert result.verdicts == evaluate(patches, pictures, "pgd2").verdicts
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"result.json", "verdicts.npz"}


def test_the_model_does_not_see_finished_images_again(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, after=128)
    sizes = []
    patches.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    evaluate(patches, pictures, "pgd2", out=tmp_path)
    assert set(sizes) == {8, 24}, "what it returns is tried on 8 images"


def test_a_finished_run_returns_at_once(patches, pictures, recorded, tmp_path):
    first = evaluate(patches, pictures, "pgd2", out=tmp_path)
    calls = []
    again = evaluate(patches, pictures, recorded, out=tmp_path, progress=lambda *call: calls.append(call))
    assert again == first
    assert not seen
    assert calls == [(150, 150, "")]


def test_a_kill_between_the_last_verdict_and_the_result(patches, pictures, recorded, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Result, "write", raises(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate(patches, pictures, "pgd2", out=tmp_path)
    result = evaluate(patches, pictures, recorded, out=tmp_path)
    assert not seen
    assert result.n == 150
    assert result.images_per_second > 0


def test_a_kill_between_the_two_files_of_a_save(patches, pictures, recorded, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Verdicts, "write", raises(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate(patches, pictures, "pgd2", out=tmp_path)
    assert evaluate(patches, pictures, recorded, out=tmp_path).verdicts == evaluate(patches, pictures, "pgd2").verdicts


def raises(error):
    def raise_(*_):
        raise error

    return raise_


def test_seconds_add_up_over_processes(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, after=128)
    before = json.loads((tmp_path / "progress.json").read_text())["seconds"]
    result = evaluate(patches, pictures, "pgd2", out=tmp_path)
    assert result.seconds > before > 0
    assert result.images_per_second == pytest.approx(150 / result.seconds)


def test_a_result_names_every_device_and_version_that_took_part(patches, pictures, tmp_path, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("advss_zoo.evaluation.effort.describe_device", lambda device: "cuda (NVIDIA H100)")
        elsewhere.setattr("advss_zoo.evaluation.effort.versions", lambda: {**versions(), "torch": "1.0"})
        interrupted(patches, pictures, tmp_path, after=128)
    result = evaluate(patches, pictures, "pgd2", out=tmp_path)
    plain = evaluate(patches, pictures, "pgd2")
    assert result.device == f"cuda (NVIDIA H100), {plain.device}"
    assert result.versions == {**plain.versions, "torch": f"1.0, {plain.versions['torch']}"}
    assert plain.versions == versions()


def test_progress_of_an_earlier_version_is_read(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, after=128)
    path = tmp_path / "progress.json"
    progress = json.loads(path.read_text())
    path.write_text(json.dumps({key: progress[key] for key in progress.keys() - {"devices", "versions"}}))
    result = evaluate(patches, pictures, "pgd2", out=tmp_path)
    assert (result.n, result.versions) == (150, versions())


CHILD = """
import sys, time
import torch
from torch import nn
from advss_zoo.evaluation import runner
from advss_zoo.evaluation.runner import evaluate

class Slow(nn.Module):
    pause = 0.0
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(192, 10)
    def forward(self, x):
        time.sleep(self.pause)
        return self.linear(x.flatten(1))

torch.manual_seed(1)
images = torch.rand(400, 3, 8, 8)
data = images, Slow()(images).argmax(dim=1)  # no mistakes: those would not be attacked
if __name__ == "__main__":
    Slow.pause = 0.05
    runner.SAVE_EVERY = 0.0
    evaluate(Slow(), data, "pgd2", out=sys.argv[1])
"""


def test_kill_dash_nine(recorded, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "out")], env=environment)
    verdicts = tmp_path / "out" / "verdicts.npz"
    deadline = time.monotonic() + 60
    while not (verdicts.exists() and len(Verdicts.read(verdicts)) >= 128):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = len(Verdicts.read(verdicts))
    assert kept < 400
    scope: dict[str, object] = {"__name__": "child"}
    exec(CHILD, scope)
    model, data = scope["Slow"](), scope["data"]
    result = evaluate(model, data, recorded, out=tmp_path / "out")
    assert sorted(set(seen)) == list(range(kept, 400))
    assert result.verdicts == evaluate(model, data, "pgd2").verdicts


def test_what_a_kill_left_of_a_file_is_swept(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, after=64)
    (tmp_path / ".adversarial.pt.k9x.part").write_bytes(b"half of it")
    evaluate(patches, pictures, "pgd2", out=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "verdicts.npz"}


def test_what_others_keep_in_the_folder_is_left_alone(patches, pictures, tmp_path):
    others = {".film.mkv.part", "unfinished-business/plan", "sub/.verdicts.npz.x.part"}
    for name in others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for _ in range(2):
        evaluate(patches, pictures, "pgd2", out=tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == others | {"result.json", "verdicts.npz"}


def test_two_processes_do_not_evaluate_in_one_folder(patches, pictures, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(UsageError, match="Another process is evaluating in"):
        evaluate(patches, pictures, "pgd2", out=tmp_path)
    result = evaluate(patches, pictures, "pgd2", out=tmp_path)
    with FileLock(tmp_path / ".lock"):
        assert evaluate(patches, pictures, "pgd2", out=tmp_path) == result, "what is finished can be read"


@pytest.mark.parametrize("attack", ["transfer", "ensemble-worst"])
def test_members_that_are_called_something_else_are_a_sentence(attack, pictures, tmp_path):
    def run(*names, **more):
        model = Ensemble([patches(0), patches(1)], names)
        return evaluate(model, pictures.first(72), quick(attack), out=tmp_path, **more)

    with pytest.raises(KeyboardInterrupt):
        run("a", "b" * 300, progress=stop_at(64))
    with pytest.raises(UsageError, match="Use the same names for the members of the ensemble"):
        run("a", "c")
    assert run("a", "b" * 300).n == 72


# Folders that belong to others.


@pytest.mark.parametrize("state", ["begun", "unfinished", "finished"])
@pytest.mark.parametrize("other", ["weights", "file", "data", "labels", "order", "index", "eps", "seed", "protocol"])
def test_a_folder_of_another_run_is_refused_and_left_alone(other, state, patches, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SAVE_EVERY", 3_600.0 if state == "begun" else 0.0)
    if state == "finished":
        evaluate(patches, pictures, "pgd2", out=tmp_path)
    else:
        interrupted(patches, pictures, tmp_path, 64)
    assert (tmp_path / "verdicts.npz").exists() == (state != "begun")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    protocol, model = parse("pgd2"), Model(patches, "other")
    images, labels = pictures.images.copy(), pictures.labels.copy()
    if other == "weights":
        with torch.no_grad():
            patches[0].bias[0] += 1e-3
    elif other == "file":
        model = Model(patches, "Sequential", "00")
    elif other == "data":
        images[149, 0, 0, 0] ^= 1
    elif other == "labels":
        labels[149] = (labels[149] + 1) % 10
    elif other == "index":
        pictures = replace(pictures, index=pictures.index + 1)
    elif other == "order":
        pictures = pictures.take([*range(148), 149, 148])
        images, labels = pictures.images, pictures.labels
    else:
        changed = {"eps": {"eps": 4 / 255}, "seed": {"seed": 1}, "protocol": {}}[other]
        protocol = parse("pgd2-any" if other == "protocol" else "pgd2", **changed)
    data = replace(pictures, images=images, labels=labels)
    reason = {
        "weights": "weights",
        "file": "code around the same weights",
        "index": "indices of images",
        "eps": "constants: eps",
        "seed": "constants: seed",
        "protocol": "constants: iterate, name",
    }.get(other, "images")
    run = rf"another evaluation: pgd2 for Sequential on made-up \(other {reason}\)\."
    with pytest.raises(UsageError, match=f"holds results of {run}"):
        evaluate(model, data, protocol, out=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_name_of_a_model_is_not_what_it_is(patches, pictures, tmp_path):
    first = evaluate(Model(patches, "a"), pictures, "pgd2", out=tmp_path)
    assert evaluate(Model(patches, "b"), pictures, "pgd2", out=tmp_path) == first


def test_verdicts_without_an_owner_are_refused(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, 64)
    (tmp_path / "progress.json").unlink()
    with pytest.raises(UsageError, match="cannot be resumed"):
        evaluate(patches, pictures, "pgd2", out=tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK damaged"])
def test_damaged_verdicts_are_a_sentence(content, patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, 64)
    (tmp_path / "verdicts.npz").write_bytes(content)
    with pytest.raises(AdvssError, match="does not hold verdicts"):
        evaluate(patches, pictures, "pgd2", out=tmp_path)


def test_verdicts_on_other_images_are_a_sentence(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, 64)
    verdicts = Verdicts.read(tmp_path / "verdicts.npz")
    verdicts.index[5] = 99
    verdicts.write(tmp_path / "verdicts.npz")
    with pytest.raises(AdvssError, match="verdicts on other images"):
        evaluate(patches, pictures, "pgd2", out=tmp_path)


def test_a_result_that_was_tampered_with_is_not_returned(patches, pictures, tmp_path):
    evaluate(patches, pictures, "pgd2", out=tmp_path)
    value = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps({**value, "ra": 0.99}))
    with pytest.raises(AdvssError, match=r"says ra = 0\.99"):
        evaluate(patches, pictures, "pgd2", out=tmp_path)


def test_a_file_where_the_folder_should_be_is_a_sentence(patches, pictures, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(AdvssError, match="Cannot lock"):
        evaluate(patches, pictures, "pgd2", out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("family", subclasses(protocols, Protocol))
def test_every_family_resumes(family, pictures, publish, tmp_path):
    """With larger passes than before, and to the verdicts of a single one."""
    protocol, pictures, out = quick(family.examples[0].replace("20", "2")), pictures.first(12), tmp_path / "out"
    if family is Published:
        publish(pictures)
    model = Ensemble([patches(0), patches(1)], names=["a", "b"])  # which every family takes
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, pictures, protocol, out=out, progress=stop_at(8), batch_size=8)
    assert (out / "verdicts.npz").exists()
    resumed = evaluate(model, pictures, protocol, out=out)
    assert resumed.verdicts == evaluate(model, pictures, protocol).verdicts
