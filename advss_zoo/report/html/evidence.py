"""What the report believes of the files it reads. Anyone may have written them: types, ranges and texts are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from advss_zoo.errors import AdvssError, all_mistakes
from advss_zoo.evaluation import results
from advss_zoo.evaluation.details import cautions
from advss_zoo.evaluation.results import VERDICTS_FILE, Result
from advss_zoo.texts import visible

Fraction = Annotated[float, Field(ge=0, le=1)]  # which NaN is not
Positive = Annotated[float, Field(ge=0, le=1e12)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Interval = tuple[Fraction, Fraction]


class Believed(BaseModel):
    """Unknown keys are left aside: a newer version may have written them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Model(Believed):
    name: str
    sha256: str | None
    weights_sha256: str


class Data(Believed):
    name: str
    split: str | None
    indices: str
    content_sha256: str


class Protocol(Believed):
    """`constants` are all that the file gives, these among them."""

    name: str
    label: str
    norm: str | None = None
    eps: Positive | None = None
    steps: int | None = Field(None, ge=1, le=10**9)
    step_size: Positive | None = None
    iterate: str | None = None
    restarts: Count = 1
    attack: str | None = None
    source: str | None = None
    constants: dict[str, Any]

    @classmethod
    def of(cls, constants: dict[str, Any]) -> Self:
        return cls.model_validate({**constants, "constants": constants})


class Attack(Believed):
    name: str
    broken: Count
    accuracy: Fraction


class Part(Believed):
    name: str
    accuracy: Fraction


class Transfer(Believed):
    """Rows are sources, columns targets."""

    sources: list[str] = Field(min_length=1)
    targets: list[str] = Field(min_length=1)
    asr: list[list[Fraction]]
    asr_of_right: list[list[Fraction | None]]

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        for rates in (self.asr, self.asr_of_right):
            if [len(row) for row in rates] != [len(self.targets)] * len(self.sources):
                raise ValueError("there is not one rate for each source and target")
        return self


class Venn(Believed):
    """How many images fool both targets, and each alone."""

    targets: tuple[str, str]
    both: Count
    only: tuple[Count, Count]


class Details(Believed):
    """`advss_zoo.evaluation.details` says what these are."""

    attacks: list[Attack] = []
    parts: list[Part] = []
    corruptions: dict[str, Annotated[list[Fraction], Field(min_length=1)]] = {}
    corruption_accuracy: Fraction | None = None
    corruption_accuracy_ci95: Interval | None = None
    ra_8bit: Fraction | None = None
    transfer: Transfer | None = None
    venn: dict[str, list[Venn]] = {}

    @model_validator(mode="after")
    def _as_many_severities(self) -> Self:
        if len({len(row) for row in self.corruptions.values()}) > 1:
            raise ValueError("the corruptions do not have the same severities")
        return self


class Evaluation(Believed):
    """A result; accuracies and their intervals are fractions."""

    model: Model
    data: Data
    protocol: Protocol
    seed: int
    n: int = Field(ge=1, le=10**12)
    ta: Fraction
    ra: Fraction | None
    ta_ci95: Interval
    ra_ci95: Interval | None
    images_per_second: Positive
    seconds: Positive
    device: str
    versions: dict[str, str]
    command: str
    date: str
    verdicts: dict[str, str]
    fingerprint: str
    details: Details = Details()
    cautions: list[str]
    folder: Path
    checked: bool  # were the numbers derived again from the verdicts beside them?

    @property
    def weights(self) -> tuple[str, str]:
        """What was evaluated: a name, and the sha256 of the weights, for one name may stand for several."""
        return self.model.name, self.model.weights_sha256


class Validation(Believed):
    ta: Fraction
    ra: Fraction | None = None


class Record(Believed):
    """A line of the log of a run."""

    step: Count
    epoch: Positive
    loss: float | None = None
    validation: Validation | None = None


class Provenance(Believed):
    epochs: Positive


class Config(Believed):
    """What the report wants of a checkpoint's config.json."""

    sha256: str | None = None
    classes: tuple[str, ...] = ()
    provenance: Provenance | None = None


def cleaned(value: Any) -> Any:
    """A JSON document with `visible` texts and keys."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(item) for item in value]
    return value


def read(path: Path) -> Evaluation:
    """The result at `path`, derived again from its verdicts if they are beside it.

    Raises:
        AdvssError: it is damaged, of another schema, makes no sense, or its verdicts say otherwise.
    """
    checked = path.with_name(VERDICTS_FILE).is_file()
    try:
        result = results.check(path) if checked else Result.read(path)
        facts = cleaned(result.to_json())
        ours = {"folder": path.parent, "checked": checked, "cautions": cautions(facts.get("details"), result.n)}
        return Evaluation.model_validate({**facts, "protocol": Protocol.of(facts["protocol"]), **ours})
    except AdvssError:
        raise
    except ValidationError as error:
        raise AdvssError(f"{path} is no result: {all_mistakes(error)}.") from error
    except Exception as error:  # what is no result at all can fail in any way
        raise AdvssError(f"{path} is no result ({type(error).__name__}: {error}).") from error
