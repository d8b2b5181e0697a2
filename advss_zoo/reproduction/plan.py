"""What has to be made before a checkpoint has its numbers, in order, what to type for it and how long it takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.results import RESULT_FILE
from advss_zoo.evaluation.store import PROGRESS_FILE
from advss_zoo.files import read_json
from advss_zoo.reproduction.ours import DATA, ON_FEWER, PROTOCOL, OurResults, images_of
from advss_zoo.reproduction.standing import AnyRecipe, Profile, differences, load_recipe
from advss_zoo.training import cost, recipe
from advss_zoo.zoo import CONFIG, load, sources
from advss_zoo.zoo.ensembles import combined_sha256
from advss_zoo.zoo.places import folder_name
from advss_zoo.zoo.runs import ENSEMBLE, LAST, RECIPE, RUNS, checkpoint_in


@dataclass(frozen=True)
class Step:
    """One command, or why there is none: no recipe makes the checkpoint, or a run is in the way."""

    name: str
    action: Literal["train", "evaluate"]
    command: str | None
    obstacle: str | None = None
    protocol: str | None = None  # by which it is evaluated
    pick: str | None = None  # which weights of the run are, where they are not those that it ships


def steps(full_names: Iterable[str], ours: OurResults, protocol: str = PROTOCOL) -> list[Step]:
    """Return everything between what there is and complete results, parents first, each step once."""
    found: dict[Step, None] = {}
    for name in full_names:
        if not ours.is_complete(name, protocol):
            found |= dict.fromkeys(_for_result(name, ours, protocol))
    return list(found)


def picks(full_names: Iterable[str], ours: OurResults) -> list[Step]:
    """Return the evaluations of what validation picked in finished runs, by TA and by RA, beside what they ship."""
    return [
        Step(name, "evaluate", _evaluation(name, ours, pick=pick), protocol=PROTOCOL, pick=pick)
        for name in full_names
        for pick in ours.unmeasured_picks(name)
    ]


def seconds(step: Step, device: str, *, profile: Profile = "fast") -> float | None:
    """Estimate how long a step takes on a free machine; None where nobody knows."""
    if step.command is None or step.name not in recipe.names():
        return None
    found = load_recipe(step.name, profile)
    if step.protocol is None:
        return cost.estimate(found, device=device).seconds if isinstance(found, recipe.Recipe) else None
    parts = [protocols.parse(part) for part in protocols.expand(step.protocol)]
    made = [recipe.load(name) for name in found.members] if isinstance(found, recipe.EnsembleRecipe) else [found]
    images = images_of(step.protocol)
    return sum(cost.evaluation(each, part, images, device=device) for each in made for part in parts)


def weights(full_name: str, ours: OurResults, pick: str | None = None) -> Path:
    """Return the checkpoint folder of the zoo, or the one that a run has left; with `pick` always the run's.

    Raises:
        CheckpointError: the zoo's is not on this machine.
    """
    return sources.fetch(full_name).path if ours.entry(full_name) and not pick else _folder(full_name, ours, pick)


def place(full_name: str, ours: OurResults, protocol: str = PROTOCOL, pick: str | None = None) -> Path:
    """Return where results of a checkpoint go: the folder that `advss eval` takes by itself, or one beside it.

    The latter where the former holds results of other weights, as of a run that has been made again since.
    """
    usual = ours.runs / "eval" / folder_name(full_name, data_of(protocol), pick=pick)
    sha256 = _sha256(full_name, ours, pick)
    there = {_owner(path) for file in (RESULT_FILE, PROGRESS_FILE) for path in usual.glob(f"*/{file}")}
    return usual if sha256 is None or there <= {sha256} else usual.with_name(f"{usual.name}-{sha256[:8]}")


def data_of(protocol: str) -> str:
    """Return the name of the test images that a protocol is measured on."""
    return ON_FEWER.get(protocol, DATA[0])


def _for_result(full_name: str, ours: OurResults, protocol: str) -> list[Step]:
    making = _for_weights(full_name, ours)
    if any(step.command is None for step in making):
        return making
    return [*making, Step(full_name, "evaluate", _evaluation(full_name, ours, protocol), protocol=protocol)]


def _for_weights(full_name: str, ours: OurResults) -> list[Step]:
    if ours.entry(full_name) or _is_finished(full_name, ours):
        return []
    if full_name not in recipe.names():
        return [Step(full_name, "train", None, "no recipe makes it")]
    found = load_recipe(full_name, ours.standing.profile)
    before = [step for name in _parents(found) for step in _for_weights(name, ours)]
    obstacle = _in_the_way(found, ours)
    if blocked := [step.name for step in before if step.command is None]:
        obstacle = f"needs {', '.join(blocked)}"
    return [*before, Step(full_name, "train", None if obstacle else _training(found, ours.runs), obstacle)]


def _is_finished(full_name: str, ours: OurResults) -> bool:
    """Is there a whole run of the recipe as it stands, and of an ensemble one of what its members ship now?"""
    assembled = ours.assembled(full_name)
    if assembled:
        return combined_sha256(assembled) in ours.weights(full_name)
    folder = ours.runs / full_name / LAST
    return (folder / CONFIG).is_file() and not ours.standing.changes(full_name, load.read_config(folder).sha256)


def _in_the_way(wanted: AnyRecipe, ours: OurResults) -> str | None:
    """Why a run cannot be begun or resumed: there is one by another recipe, or from another parent."""
    folder = ours.runs / wanted.full_name
    if isinstance(wanted, recipe.EnsembleRecipe) or not (folder / RECIPE).is_file():
        return None
    changes = tuple(differences(recipe.load(folder / RECIPE), wanted))
    if not changes and (folder / LAST / CONFIG).is_file():
        changes = ours.standing.changes(wanted.full_name, load.read_config(folder / LAST).sha256)
    return f"{folder} was made otherwise ({'; '.join(changes)}): move it away" if changes else None


def _parents(found: AnyRecipe) -> list[str]:
    if isinstance(found, recipe.EnsembleRecipe):
        return found.members
    return [found.parent] if found.parent else []


def _folder(full_name: str, ours: OurResults, pick: str | None = None) -> Path:
    """Which of the folders of a run, whether it is there or not, is the checkpoint that it ships or has picked."""
    run = ours.runs / full_name
    if pick:
        return run / pick
    if (run / LAST / CONFIG).is_file():
        return checkpoint_in(run)
    found = load_recipe(full_name, ours.standing.profile)
    return run / (ENSEMBLE if isinstance(found, recipe.EnsembleRecipe) else found.deployed)


def _sha256(full_name: str, ours: OurResults, pick: str | None) -> str | None:
    """Of weights that are there; None of those that have not been made yet."""
    if (entry := ours.entry(full_name)) and pick is None:
        return entry.sha256
    folder = _folder(full_name, ours, pick)
    return load.read_config(folder).sha256 if (folder / CONFIG).is_file() else None


def _owner(path: Path) -> str | None:
    """The sha256 of the weights that a result, or the beginning of one, is about; None if it does not say."""
    try:
        return str(read_json(path)["model"]["sha256"])
    except (AdvssError, LookupError, TypeError):
        return None


def _training(found: AnyRecipe, runs: Path) -> str:
    folder, options = runs / found.full_name, []
    if isinstance(found, recipe.Recipe):
        options += ["profile=paper"] * (found.profile == "paper") + ["--resume"] * folder.exists()
    return shlex.join(["advss", "train", found.full_name, *options, *_out(folder, RUNS / found.full_name)])


def _evaluation(full_name: str, ours: OurResults, protocol: str = PROTOCOL, *, pick: str | None = None) -> str:
    in_zoo = ours.entry(full_name) and pick is None
    subject = [full_name] if in_zoo else [str(_folder(full_name, ours, pick))]
    attack, data = [] if protocol == PROTOCOL else ["--attack", protocol], data_of(protocol)
    out = _out(place(full_name, ours, protocol, pick), RUNS / "eval" / folder_name(full_name, data, pick=pick))
    return shlex.join(["advss", "eval", *subject, *attack, "--data", data, *out])


def _out(folder: Path, default: Path) -> list[str]:
    """Where the commands put things by themselves needs no option."""
    return [] if folder == default else ["--out", str(folder)]
