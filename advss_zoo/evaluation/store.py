"""The folder of an evaluation, from its first verdict to its result, over any number of interruptions.

While the work lasts it holds `verdicts.npz`, the verdicts so far, and `progress.json`, which says whose they are; at
the end `result.json` takes the place of the latter.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.images import Images
from advss_zoo.evaluation.results import RESULT_FILE, VERDICTS_FILE, Result, check
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import explained, read_json, write_json

PROGRESS_FILE = "progress.json"


def fingerprint(model: dict[str, Any], data: dict[str, Any], protocol: dict[str, Any]) -> str:
    """sha256 of all that determines the verdicts. A model's name does not: the same weights may go by two."""
    decisive = {
        "model": [model["sha256"], model["weights_sha256"]],
        "data": [data["content_sha256"], data["indices"]],
        "protocol": protocol,
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Store:
    """The folder at `path`, of the evaluation that `facts` (model, data, protocol, fingerprint) describe."""

    path: Path
    facts: dict[str, Any]

    def result(self) -> Result | None:
        """The result, if the work is done already.

        Raises:
            UsageError: the folder holds another evaluation's.
            AdvssError: the result is not that of the verdicts beside it.
        """
        path = self.path / RESULT_FILE
        if not path.exists():
            return None
        self._check_owner(Result.read(path).to_json())
        return check(path)

    def resume(self, images: Images) -> tuple[Verdicts | None, float]:
        """The verdicts so far, if there are any, and the seconds they took.

        Raises:
            UsageError: the folder holds another evaluation's.
            AdvssError: the verdicts are damaged.
        """
        path, progress_path = self.path / VERDICTS_FILE, self.path / PROGRESS_FILE
        if not path.exists():
            return None, 0.0
        if not progress_path.exists():
            raise UsageError(f"{path} does not say what it was measured on.", self._way_out)
        progress = read_json(progress_path)
        self._check_owner(progress)
        found = Verdicts.read(path)
        part = slice(len(found))
        expected = images.index[part], images.labels[part]
        if not all(map(np.array_equal, (found.index, found.label), expected)):
            raise AdvssError(f"{path} is not about the images it should be.", self._way_out)
        return found, float(progress["seconds"])

    def save(self, verdicts: Verdicts, seconds: float) -> None:
        # In this order: verdicts on disk always have an owner and have been paid for.
        write_json(self.path / PROGRESS_FILE, {**self.facts, "seconds": seconds})
        verdicts.write(self.path / VERDICTS_FILE)

    def finish(self, result: Result) -> None:
        result.write(self.path / RESULT_FILE)
        with explained("delete", self.path / PROGRESS_FILE):
            (self.path / PROGRESS_FILE).unlink(missing_ok=True)

    def _check_owner(self, found: Any) -> None:
        try:
            if found["fingerprint"] == self.facts["fingerprint"]:
                return
            whose = f"{found['protocol']['label']} for {found['model']['name']} on {found['data']['name']}"
        except (KeyError, TypeError):
            whose = "an unknown evaluation"
        raise UsageError(f"{self.path} holds results of another run: {whose}.", self._way_out)

    @property
    def _way_out(self) -> str:
        return "Choose another --out, or delete that folder."
