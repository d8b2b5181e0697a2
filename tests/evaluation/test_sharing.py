"""Several processes in one folder: every pass is done by one of them, and the verdicts are those of a single one."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.effort import Effort
from advss_zoo.evaluation.protocols import Settings
from advss_zoo.evaluation.protocols.pgd import PgdProtocol
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.sharing import Finished, take
from advss_zoo.evaluation.store import Store
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import held

ROOT = Path(__file__).parents[2]
PASSES = 7

# A process of an evaluation of 400 images, 7 passes; it appends a line for every pass that it makes.
PROCESS = """
import sys, time
import torch
from torch import nn
from advss_zoo.evaluation.protocols.pgd import PgdProtocol, Settings
from advss_zoo.evaluation import runner
from advss_zoo.evaluation.runner import evaluate

torch.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
x = torch.rand(400, 3, 8, 8)
data = x, model(x).argmax(dim=1)

class Slow(PgdProtocol):
    def attack(self, model, x, y, index, record=None):
        time.sleep(PAUSE)
        with open(OUT + ".passes", "a") as file:
            file.write(f"{int(index[0])}\\n")
        return super().attack(model, x, y, index, record)

def run(out):
    protocol = Slow.create("pgd2", Settings(eps=4 / 255))
    return evaluate(model, data, protocol, out=out, save_adversarial=True)

if __name__ == "__main__":
    OUT, PAUSE, runner.SAVE_EVERY = sys.argv[1], float(sys.argv[2]), 0.0
    print(run(OUT).verdicts_file.sha256, flush=True)
"""


def start(out, rank, of, pause=0.1):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(of),
    }
    command = [sys.executable, "-c", PROCESS, str(out), str(pause)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def single(out):
    """What one process makes of it."""
    scope = {"__name__": "single", "OUT": str(out), "PAUSE": 0.0}
    exec(PROCESS, scope)
    return scope["run"](out).verdicts_file.sha256, contents(out)


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "result.json"}


def passes(out):
    path = out.with_name(out.name + ".passes")
    return sorted(int(line) for line in path.read_text().split()) if path.exists() else []


def test_two_processes_make_every_pass_once(tmp_path):
    out = tmp_path / "out"
    processes = [start(out, rank, of=2) for rank in range(2)]
    digests = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert passes(out) == [64 * number for number in range(PASSES)]
    digest, files = single(tmp_path / "single")
    assert digests == {digest}
    assert contents(out) == files


def test_all_killed_and_gone_on_with_by_one(tmp_path):
    out = tmp_path / "out"
    processes = [start(out, rank, of=2, pause=0.3) for rank in range(2)]
    while len(passes(out)) < 4:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / "result.json").exists()
    kept, begun = len(list(out.glob("unfinished-*/shared/*.npz"))), len(passes(out))
    assert kept >= 2
    assert single(out) == single(tmp_path / "single")
    assert len(passes(out)) - begun == PASSES - kept


def test_a_process_that_dies_leaves_its_pass_to_others(tmp_path):
    out = tmp_path / "out"
    doomed = start(out, 1, of=2, pause=60)
    while not list(out.glob("unfinished-*/shared/*.lock")):
        time.sleep(0.01)
    time.sleep(0.5)
    alive = start(out, 0, of=2, pause=0.01)
    while len(list(out.glob("unfinished-*/shared/*.npz"))) < PASSES - 1:
        assert alive.poll() is None
        time.sleep(0.01)
    assert alive.poll() is None, "it waits for the pass of the other"
    doomed.kill()
    doomed.wait()
    assert alive.communicate(timeout=60)[0].strip() == single(tmp_path / "single")[0]


# In one process.


@pytest.fixture
def shared(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")


def test_a_process_whose_fellows_do_not_come_does_it_all(patches, pictures, tmp_path, shared):
    calls = []
    result = evaluate(patches, pictures, "pgd2", out=tmp_path, progress=lambda *call: calls.append(call))
    assert result.verdicts == evaluate(patches, pictures, "pgd2").verdicts
    assert [call for call in calls if call[0]] == [(64, 150, ""), (128, 150, ""), (150, 150, "")]
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "verdicts.npz"}
    assert evaluate(patches, pictures, "pgd2", out=tmp_path) == result


def test_without_a_folder_nothing_is_shared(patches, pictures, shared):
    assert evaluate(patches, pictures, "clean").n == 150


def test_seconds_are_those_of_all_processes(patches, pictures, tmp_path, shared, monkeypatch):
    write = Finished.write
    monkeypatch.setattr(
        Finished, "write", lambda self, rows, verdicts, _: write(self, rows, verdicts, Effort(seconds=100.0))
    )
    assert evaluate(patches, pictures, "clean", out=tmp_path).seconds == 300


def test_passes_without_adversarial_images_are_made_again_where_these_are_wanted(patches, pictures, tmp_path, shared):
    class Kill(BaseException):
        pass

    def stop(done, total, part):
        if done == 128:
            raise Kill

    with pytest.raises(Kill):
        evaluate(patches, pictures, "pgd2", out=tmp_path, progress=stop)
    assert len(list(tmp_path.glob("unfinished-*/shared/*.npz"))) == 2
    result = evaluate(patches, pictures, "pgd2", out=tmp_path, save_adversarial=True)
    assert (tmp_path / "adversarial.safetensors").exists()
    assert result.verdicts == evaluate(patches, pictures, "pgd2").verdicts


def test_passes_of_another_size_are_made_again(patches, pictures, tmp_path, shared):
    """They are those of a process on another kind of device."""

    def stop(done, total, part):
        if done == 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(patches, pictures, "pgd2", out=tmp_path, progress=stop)
    result = evaluate(patches, pictures, "pgd2", out=tmp_path, batch_size=40)
    assert result.verdicts == evaluate(patches, pictures, "pgd2").verdicts
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "verdicts.npz"}


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path):
    script = (
        "import pathlib, sys\n"
        "from advss_zoo.files import held\n"
        "for name in ('3', '4'):\n"
        "    with held(pathlib.Path(sys.argv[1]) / name) as mine: print(mine)\n"
    )

    def other():
        command = [sys.executable, "-c", script, str(tmp_path)]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()

    with held(tmp_path / "3") as mine:
        assert mine
        assert other() == ["False", "True"]
    with held(tmp_path / "4", wait=True):
        assert other() == ["True", "False"]
    assert other() == ["True", "True"]


def test_folders_without_locks_are_a_sentence(tmp_path, monkeypatch):
    def refusing(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.FileLock.acquire", refusing)
    with pytest.raises(AdvssError, match=r"Cannot lock .*: No locks available") as caught:
        take(tmp_path, [0], lambda number: False, lambda number: None)
    assert caught.value.hint == "Choose a folder on a disk of this machine."


def test_what_a_pass_has_given_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    finished, rows, part = Finished(tmp_path), range(64, 68), torch.arange(4).int().numpy()
    verdicts = Verdicts(part, part, part, part, {})
    assert finished.read(rows) is None
    with monkeypatch.context() as patch:
        patch.setattr(Verdicts, "write", lambda *_: None)  # killed between the two files
        finished.write(rows, verdicts, Effort(seconds=1.5))
    assert finished.read(rows) is None
    effort = Effort(seconds=2.5, device="cpu", versions={"torch": "1, 2"})
    finished.write(rows, verdicts, effort)
    found, read = finished.read(rows)
    assert (found.sha256, read) == (verdicts.sha256, effort)
    assert finished.read(range(64, 72)) is None, "it is another pass"
    assert finished.among([rows, range(64, 72), range(72, 80)]) == {rows}
    (tmp_path / "00000064-00000068.json").unlink()  # by whoever has joined all passes, between two reads
    assert finished.read(rows) is None


def test_what_another_process_has_finished_in_the_meantime_is_not_done_again(
    patches, pictures, tmp_path, shared, monkeypatch
):
    """As soon as this one looks for a pass to take the other has finished, and deleted what the passes have given."""
    attacked, results = [], []

    class Counted(PgdProtocol):
        def attack(self, model, x, y, index, record):
            attacked.append(int(index[0]))
            return super().attack(model, x, y, index, record)

    def other(done, total, part):
        if not results:
            monkeypatch.setenv("WORLD_SIZE", "1")
            results.append(evaluate(patches, pictures, "pgd2", out=tmp_path))

    protocol = Counted.create("pgd2", Settings())
    assert [evaluate(patches, pictures, protocol, out=tmp_path, progress=other)] == results
    assert not attacked
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "verdicts.npz"}


def test_a_result_that_comes_between_two_looks_is_found(patches, pictures, tmp_path, shared, monkeypatch):
    first, look, looks = evaluate(patches, pictures, "pgd2", out=tmp_path), Store.result, []

    def too_early(self):
        looks.append(self)
        return look(self) if len(looks) > 1 else None

    monkeypatch.setattr(Store, "result", too_early)
    assert evaluate(patches, pictures, "pgd2", out=tmp_path) == first


def test_the_model_is_checked_by_every_process(pictures, tmp_path, shared):
    noisy = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3072, 10))
    noisy[1].register_forward_hook(lambda _, __, output: nn.functional.dropout(output, 0.1))
    with pytest.raises(AdvssError, match="random"):
        evaluate(noisy, pictures, "clean", out=tmp_path)


def test_each_pass_is_asked_about_once_however_many_there_are(tmp_path):
    done, asked = set(range(0, 300, 3)), []

    def is_done(number):
        asked.append(number)
        return number in done

    take(tmp_path, range(300), is_done, done.add)
    assert asked == list(range(300))
    assert done == set(range(300))


@pytest.mark.parametrize("images", [80, 150])
def test_what_passes_have_given_is_read_twice_at_most(images, patches, pictures, tmp_path, shared, monkeypatch):
    """Before a pass is done, for another process may have done it, and when all are joined."""
    read, finished = [], Finished.read
    monkeypatch.setattr(Finished, "read", lambda self, rows: read.append(rows.start) or finished(self, rows))
    evaluate(patches, pictures.first(images), "clean", out=tmp_path)
    assert sorted(read) == sorted([*range(0, images, 64)] * 2)
