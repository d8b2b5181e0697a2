"""What the report reads. Anyone may have written the files, so their texts are cleaned before they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation import results
from advss_zoo.evaluation.results import VERDICTS_FILE, Result
from advss_zoo.evaluation.schema import Count, Fraction, Positive
from advss_zoo.texts import visible


class Evaluation(Result):
    """A result with `visible` texts; `checked`: were its numbers derived again from the verdicts beside it?"""

    checked: bool

    @property
    def folder(self) -> Path:
        assert self._folder is not None  # `read` knows it
        return self._folder

    @property
    def weights(self) -> tuple[str, str]:
        """What was evaluated: a name, and the sha256 of the weights, for one name may stand for several."""
        return self.model.name, self.model.weights_sha256


class LogValidation(BaseModel):
    model_config = ConfigDict(frozen=True)

    ta: Fraction
    ra: Fraction | None = None


class LogRecord(BaseModel):
    """A line of the log of a run."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    step: Count
    epoch: Positive
    loss: float | None = None
    validation: LogValidation | None = None


def cleaned(value: Any) -> Any:
    """Return a JSON document with `visible` texts and keys."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(item) for item in value]
    return value


def read(path: Path) -> Evaluation:
    """Read the result at `path`, derived again from its verdicts if they are beside it.

    Raises:
        AdvssError: it is damaged, of another schema, makes no sense, or its verdicts say otherwise.
    """
    checked = path.with_name(VERDICTS_FILE).is_file()
    result = results.check(path) if checked else Result.read(path)
    try:
        return Evaluation.from_dict(cleaned(result.to_dict()) | {"checked": checked}, path.parent)
    except AdvssError as error:
        raise AdvssError(f"{path}: {error.message}", error.hint) from error
