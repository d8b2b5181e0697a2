"""The tutorial works as it is written, one command after the other, on some of its images and for one epoch."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub import conftest as hub_of_the_tests
from hub.server import Hub
from PIL import Image
from readme import README, TUTORIAL, blocks

TEXT = TUTORIAL.read_text()
SHOWN = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [line for block in SHOWN for line in block.splitlines()]
FINETUNE = "advss finetune --data photos --budget 10m --out robust"
IN_PASSING = {
    "--image-size 64": "advss finetune --data photos --dry-run --image-size 64",
    "augmentation.flip=false": "advss finetune --data photos --dry-run augmentation.flip=false",
    "--budget": f"{FINETUNE} --dry-run",
    "--resume": f"{FINETUNE} --resume",
    "--mode f3 --out plain": "advss finetune --data photos --budget 10m --mode f3 --out plain",
    "advss eval": "advss eval --limit 8",
    "advss predict hf://ME/photos picture.jpg": "advss predict hf://ME/photos picture.jpg",
}
"""What sentences name, and the command that is meant."""
KEPT = 10  # images of each class

client, hub = hub_of_the_tests.client, hub_of_the_tests.hub  # fixtures: no command here knows another Hub


def test_every_command_in_order(tmp_path: Path, hub: Hub, advss: Callable[..., Any]) -> None:
    (tmp_path / "example.py").write_text(blocks("python", TUTORIAL)[0])
    runpy.run_path(str(tmp_path / "example.py"))
    classes = sorted(folder.name for folder in (tmp_path / "photos").iterdir())
    images = {name: sorted((tmp_path / "photos" / name).iterdir()) for name in classes}
    assert (len(classes), sum(map(len, images.values()))) == (10, 1_000)
    for path in [path for paths in images.values() for path in paths[KEPT:]]:
        path.unlink()
    Image.open(images["cat"][0]).save(tmp_path / "picture.jpg")
    said = {command: advss(*quick(command)) for command in (*COMMANDS, *IN_PASSING.values())}
    assert not {command: ended.stderr for command, ended in said.items() if ended.status}
    predicted = [
        [line.split("\t")[:2] for line in ended.stdout.splitlines()]
        for command, ended in said.items()
        if command.startswith("advss predict")
    ]
    assert len(predicted[0]) == 1 + KEPT, "a heading, and a line an image"
    assert predicted[0] == predicted[1], "the ONNX file says the same"
    assert predicted[2][1][0] == "picture.jpg"
    assert all((tmp_path / "robust" / name).is_file() for name in ("report.html", "best-ra/README.md"))
    assert said[f"{FINETUNE} --resume"].stdout == said[FINETUNE].stdout, "there was nothing left to do"
    assert (tmp_path / "plain/best-ta/config.json").is_file()
    published = tmp_path / "published"
    files = hub_of_the_tests.contents(published)
    assert {"config.json", "README.md", "model.safetensors"} <= set(files)
    assert json.loads(files["config.json"])["classes"] == classes
    assert [name for name in files if name.endswith(".png")] == ["curves.png"], "no image of the person's"
    there = hub.repositories["ME/photos"]
    assert there.private
    assert {name: content for name, content in there.commits[there.head].items() if name in files} == files


def quick(command: str) -> list[str]:
    """With one epoch in place of ten minutes, but where no more than a plan is asked for."""
    if "--dry-run" not in command:
        command = command.replace("--budget 10m", "--epochs 1 validation.attack.steps=1")
    return shlex.split(command)[1:]


def test_no_command_is_forgotten() -> None:
    assert {command.split()[1] for command in COMMANDS} == {"data", "finetune", "eval", "predict", "export", "publish"}
    assert not [named for named in IN_PASSING if f"`{named}`" not in TEXT]
    assert set(re.findall(r"`(advss [^`]*)`", TEXT)) <= set(IN_PASSING)


def test_the_readme_leads_to_it_and_its_links_lead_back() -> None:
    assert "(docs/tutorial.md)" in README.read_text()
    for target in re.findall(r"\]\(([^)#:]+)", TEXT):
        assert (TUTORIAL.parent / target).is_file()
