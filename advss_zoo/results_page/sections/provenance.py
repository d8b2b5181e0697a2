"""Where every number came from: the command, the date, versions, sums and constants of each result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from advss_zoo.results_page.evidence import Evaluation
from advss_zoo.results_page.figure import NOTHING, Section
from advss_zoo.results_page.report_data import ReportData
from advss_zoo.texts import format_eps, visible

SIZES = ("eps", "step_size")
CHECKED = {
    True: "derived again from the stored verdicts when this page was made",
    False: "as stated by the result; its verdicts are missing",
}


@dataclass(frozen=True)
class ResultOrigin:
    """One result: what its numbers are, and facts by name."""

    anchor: str
    heading: str
    scores: str
    warnings: tuple[str, ...]
    facts: dict[str, str]


@dataclass(frozen=True)
class Group:
    model: str
    origins: tuple[ResultOrigin, ...]


def section(report_data: ReportData) -> Section:
    groups: dict[str, list[ResultOrigin]] = {}
    for evaluation in report_data.evaluations:
        groups.setdefault(report_data.name(evaluation), []).append(_origin(report_data, evaluation))
    return Section(
        "provenance",
        "Where the numbers come from",
        "Every result with its command. The same command reproduces the same verdicts.",
        template="provenance.html.j2",
        context=tuple(Group(model, tuple(origins)) for model, origins in groups.items()),
    )


def _origin(report_data: ReportData, evaluation: Evaluation) -> ResultOrigin:
    model, data = evaluation.model, evaluation.data
    facts = {
        "command": evaluation.command,
        "date": evaluation.date,
        "numbers": CHECKED[evaluation.checked],
        "images": f"{evaluation.n:,} of {data.name}, {data.split or 'no split'}, {data.indices}",
        "protocol": ", ".join(f"{key.replace('_', ' ')} {_shown(key, value)}" for key, value in _constants(evaluation)),
        "seed": str(evaluation.seed),
        "device": evaluation.device,
        "speed": f"{evaluation.images_per_second:,.3g} images a second, {evaluation.seconds:,.0f} s",
        "versions": ", ".join(f"{name} {version}" for name, version in evaluation.versions.items()),
        "sha256 of the file": model.sha256 or NOTHING,
        "sha256 of the weights": model.weights_sha256,
        "sha256 of the images": data.content_sha256,
        "sha256 of the verdicts": evaluation.verdicts_file.sha256,
        "folder": visible(str(evaluation.folder)),
    }
    heading = f"{evaluation.protocol.label} on {data.name}"
    return ResultOrigin(report_data.anchor(evaluation), heading, _scores(evaluation), tuple(evaluation.warnings), facts)


def _scores(evaluation: Evaluation) -> str:
    found = {"TA": evaluation.ta, "RA": evaluation.ra, "corruptions": evaluation.details.corruption_accuracy}
    told = [f"{name} {100 * value:.2f}" for name, value in found.items() if value is not None]
    return ", ".join([*told, f"n = {evaluation.n:,}"])


def _constants(evaluation: Evaluation) -> list[tuple[str, Any]]:
    return [item for item in evaluation.protocol.to_dict().items() if item[0] not in ("name", "label")]


def _shown(key: str, value: Any) -> str:
    if key in SIZES and isinstance(value, float):
        return format_eps(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
