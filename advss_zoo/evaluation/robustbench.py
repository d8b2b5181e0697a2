"""Results in the form RobustBench keeps them in: `model_info/DATA/THREAT/NAME.json`, for a pull request there.

Its schema is that of `robustbench.utils.ModelInfo` (1.1.1): accuracies are strings in percent, what is not known is
null and for the author to fill in.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.schema import Constants
from advss_zoo.files import file_name, write_json
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.model import unwrapped
from advss_zoo.models.network import Network
from advss_zoo.texts import format_eps, percent

PAPER = {
    "link": "https://arxiv.org/abs/2003.12862",
    "name": "Adversarial Robustness: From Self-Supervised Pre-Training to Fine-Tuning",
    "authors": "Tianlong Chen, Sijia Liu, Shiyu Chang, Yu Cheng, Lisa Amini, Zhangyang Wang",
    "additional_data": False,
    "venue": "CVPR 2020",
}
UNKNOWN = dict.fromkeys(PAPER)
THREATS: dict[tuple[str | None, float | None], str] = {("linf", 8 / 255): "Linf", ("l2", 0.5): "L2"}  # by norm and eps
DATA = {"cifar10": 10_000, "cifar10-1k": 10_000, "cifar100": 10_000}  # how many test images its tables are made of

TAKEN = "Its tables need --attack autoattack (linf 8/255 or l2 0.5, search in fp32) or corruptions, on CIFAR."


def takes(protocol: Constants) -> bool:
    """Tell whether RobustBench has a table for results of the protocol with these constants."""
    return protocol.corruptions is not None or (
        protocol.name == "autoattack"
        and "reduced" not in protocol.label
        and protocol.search == "fp32"
        and protocol.eot is None
        and (protocol.norm, protocol.eps) in THREATS
    )


def check(protocols: Iterable[dict[str, Any]], data: str) -> None:
    """Check that results of the protocols with these constants on this data set can be written.

    Raises:
        UsageError: RobustBench has no table for any of them, or the same one for two.
    """
    threats = [_threat(constants) for constants in (Constants(**each) for each in protocols) if takes(constants)]
    if not threats:
        raise UsageError("RobustBench has no table for any of these protocols.", TAKEN)
    if data not in DATA:
        raise UsageError(f"RobustBench has no table for {data}.", "Choose --data cifar10 or cifar100.")
    if len(set(threats)) < len(threats):
        raise UsageError("RobustBench has one number for all corruptions.", "Choose generated images or the archive's.")


def model_info(result: Result, model: nn.Module, *, ours: bool) -> dict[str, Any]:
    """Return the document for one result of AutoAttack or of the corruptions.

    Args:
        model: what was evaluated; its type and members say the architecture.
        ours: is it a checkpoint of the zoo, which reproduces the paper's?

    Raises:
        UsageError: RobustBench has no table for such a result.
    """
    data, model = result.data.name, unwrapped(model)
    if not takes(result.protocol) or data not in DATA:
        label = f"{result.protocol.label} on {data}"
        raise UsageError(f"RobustBench has no table for {label}.", TAKEN)
    return {
        **(PAPER if ours else UNKNOWN),
        "number_forward_passes": len(model.members) if isinstance(model, Ensemble) else 1,
        "dataset": data.removesuffix("-1k"),
        "architecture": _architecture(model),
        "eps": None,
        "clean_acc": percent(result.ta),
        **_scores(result),
        "footnote": " ".join(_footnotes(result)),
    }


def write(result: Result, model: nn.Module, folder: Path, *, ours: bool) -> Path:
    """Write `model_info` to where RobustBench looks for it below `folder`, and say where that is.

    Raises:
        UsageError: RobustBench has no table for such a result.
        AdvssError: the file cannot be written.
    """
    document = model_info(result, model, ours=ours)
    place = folder / "model_info" / document["dataset"] / _threat(result.protocol)
    path = place / f"{file_name(result.model.name)}.json"
    write_json(path, document)
    return path


def _threat(protocol: Constants) -> str:
    """What RobustBench calls the table that takes results of this protocol."""
    return THREATS.get((protocol.norm, protocol.eps), "corruptions")


def _scores(result: Result) -> dict[str, Any]:
    if result.ra is None:
        return {"corruptions_acc": percent(result.details.corruption_accuracy)}
    assert result.protocol.eps is not None
    accuracy = percent(result.ra)
    return {"eps": format_eps(result.protocol.eps), "reported": accuracy, "autoattack_acc": accuracy}


def _footnotes(result: Result) -> list[str]:
    notes = [f"Evaluated by advss-zoo {result.versions['advss_zoo']}."]
    if result.n < DATA[result.data.name]:
        notes.append(f"On {result.n:,} test images only.")
    if result.protocol.source == "generated":
        notes.append("Corrupted images generated, not those of the official archive.")
    return notes


def _architecture(model: nn.Module) -> str:
    if isinstance(model, Ensemble):
        kinds = list(dict.fromkeys(_architecture(member) for member in model.members))
        return f"{len(model.members)} x {' + '.join(kinds)}" if len(kinds) == 1 else " + ".join(kinds)
    return str(model.architecture) if isinstance(model, Network) else type(model).__name__
