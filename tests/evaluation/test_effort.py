"""What verdicts took, over all who took part."""

from __future__ import annotations

import json

import torch

from advss_zoo.evaluation.effort import Effort, describe_device, versions

FIRST = Effort(seconds=1.5, device="cuda (H100)", versions={"torch": "2.14", "numpy": "2.0"})
SECOND = Effort(seconds=2.0, device="cpu (1 threads)", versions={"torch": "2.15", "numpy": "2.0", "scipy": "1.16"})


def test_seconds_are_added_and_everything_else_is_named_once() -> None:
    assert dict(FIRST + SECOND + FIRST) == {
        "seconds": 5.0,
        "device": "cuda (H100), cpu (1 threads)",
        "versions": {"torch": "2.14, 2.15", "numpy": "2.0", "scipy": "1.16"},
    }
    assert Effort() + FIRST == FIRST


def test_it_is_read_as_it_was_written_and_as_it_was_written_at_first() -> None:
    assert Effort.model_validate(json.loads(json.dumps((FIRST + SECOND).model_dump()))) == FIRST + SECOND
    assert Effort.model_validate({"seconds": 3, "fingerprint": "of progress.json"}) == Effort(seconds=3.0)


def test_that_of_this_process_is_its_own() -> None:
    cpu = torch.device("cpu")
    assert dict(Effort.here(1.0, cpu)) == {"seconds": 1.0, "device": describe_device(cpu), "versions": versions()}
