"""Submitted models: python docs/site/submissions.py submissions/NAME checks one, as docs/submit.md says.

Afterwards `advss verify` repeats a sample of its results. Prints the model, pinned to a commit of the Hub.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from advss_zoo import resources
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import results
from advss_zoo.evaluation.results import RESULT_FILE, Result
from advss_zoo.zoo import RESULTS, index, sources

FOLDER = resources.CHECKOUT / "submissions"
MODEL = "model.txt"
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
PINNED = re.compile(r"hf://[\w.-]+/[\w.-]+@[0-9a-f]{40}", re.ASCII)
NEEDED = ("clean", "pgd20", "autoattack")


def folders() -> list[Path]:
    """List the folders of all submissions."""
    return sorted(path.parent for path in FOLDER.glob(f"*/{MODEL}"))


def reference(folder: Path) -> str:
    """Return the model of a submission.

    Raises:
        UsageError: there is none, or it is not a commit of a repository on the Hub.
    """
    if not (folder / MODEL).is_file():
        raise UsageError(f"{folder} has no {MODEL}.")
    text = (folder / MODEL).read_text(encoding="utf-8").strip()
    if not PINNED.fullmatch(text):
        raise UsageError(
            f"{folder / MODEL} must have the form hf://ORG/NAME@COMMIT with 40 digits, got {text[:200]!r}."
        )
    return text


def check(folder: Path) -> str:
    """Check that the results of a submission are those of its model on the Hub; returns the model.

    Raises:
        AdvssError: they are not, a protocol of the leaderboard is missing, or numbers differ from their verdicts.
    """
    if not NAME.fullmatch(folder.name):
        raise UsageError(f"The name must have lowercase letters, digits, dots and dashes, got {folder.name!r}.")
    model = reference(folder)
    fetched = sources.fetch(model)
    published = [Result.read(path) for path in fetched.path.glob(f"{RESULTS}/*/{RESULT_FILE}")]
    submitted = [results.check(path) for path in sorted(folder.glob(f"{RESULTS}/*/{RESULT_FILE}"))]
    if missing := set(NEEDED) - {result.protocol.label for result in submitted if on_test_images(result)}:
        raise AdvssError(f"Results on CIFAR-10 are missing for {', '.join(sorted(missing))}.")
    for result in submitted:
        if result.model.sha256 != fetched.sha256:
            raise AdvssError(f"{result.protocol.label} was measured on other weights: {result.model.sha256}.")
        if result not in published:
            raise AdvssError(f"{result.protocol.label} on {result.data.name} differs from what {model} holds.")
    return model


def on_test_images(result: Result) -> bool:
    """Tell whether a result is one of the leaderboard's, on test images of CIFAR-10."""
    return result.data.split == "test" and result.data.name in (index.HEADLINE_DATA, index.SUBSET)


if __name__ == "__main__":
    try:
        print(check(Path(sys.argv[1])))
    except AdvssError as error:
        raise SystemExit(error.message) from error
