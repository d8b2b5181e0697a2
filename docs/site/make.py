"""Build the site: python docs/site/make.py [FOLDER], or `make site`. Needs no network.

The pages are those of docs/, some files from above it, the cards, and what is made here: the leaderboard, and the
reference of commands, recipes and protocols. All are put together in build/, links between them are checked and
pointed to their places, and Sphinx renders them; a warning of Sphinx is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import leaderboard
import reference
from conf import URLS

from advss_zoo.workflows.report import report
from advss_zoo.zoo import index

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "build" / "site-source"
TOP = {  # files above docs/ that are pages, too
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples.md",
}
SECTIONS = {  # the leaderboard is a page with others below it; of the rest a page of contents is made
    "start": ["install", "tutorial", "concepts", "examples"],
    "how-to": [
        *("evaluate", "trust", "model_names", "models", "finetune", "folders", "train", "training"),
        *("deploy", "report", "reproduce", "hub", "python"),
    ],
    "leaderboard": ["zoo", "submit", "results", "finetuning", "speed", "cards/index"],
    "reference": ["commands", "protocols", "recipes", "api"],
    "project": ["decisions", "changelog", "contributing", "security"],
}
REPORT = "zoo-report.html"  # made by `advss report`
MADE = ("cards/index.md", "commands.md", "leaderboard.md", "protocols.md", "recipes.md")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def main(target: Path = ROOT / "build" / "site") -> None:
    for folder in (SOURCE, target):
        shutil.rmtree(folder, ignore_errors=True)
    places = pages()
    for path, place in places.items():
        write(place, with_links(FRONT_MATTER.sub("", path.read_text(encoding="utf-8")), path, place, places))
    for image in ROOT.glob("docs/*.png"):
        shutil.copy(image, SOURCE)
    for place, text in made().items():
        write(place, with_links(text, ROOT / "docs" / place, place, places))
    write("index.md", (SOURCE / "index.md").read_text(encoding="utf-8") + tree(list(SECTIONS), hidden=True))
    sphinx(target)
    report([entry.full_name for entry in index.entries() if entry.kind != "trunk"], target / REPORT)
    print(target / "index.html")


def pages() -> dict[Path, str]:
    """Return where each Markdown file of the repository that is a page goes."""
    found = {path: path.name for path in sorted(ROOT.glob("docs/*.md"))}
    found |= {ROOT / name: place for name, place in TOP.items()}
    return found | {path: f"cards/{path.name}" for path in sorted(ROOT.glob("cards/*.md"))}


def made() -> dict[str, str]:
    """Return the pages that are in no file."""
    below = {f"{name}.md": tree(names) for name, names in SECTIONS.items()}
    titled = {
        place: f"# {place.removesuffix('.md').replace('-', ' ').capitalize()}\n{its}" for place, its in below.items()
    }
    return titled | {
        "leaderboard.md": f"{leaderboard.page(REPORT)}\n## More\n{below['leaderboard.md']}",
        "commands.md": reference.commands(),
        "recipes.md": reference.recipes(),
        "protocols.md": reference.protocols(),
        "cards/index.md": f"# Cards\n{tree([entry.full_name for entry in index.entries()])}",
    }


def with_links(text: str, path: Path, place: str, places: dict[Path, str]) -> str:
    """Point relative links of the file at `path` to pages of the site, or else to the file in the repository.

    Raises:
        SystemExit: a link leads nowhere.
    """

    def pointed(link: re.Match[str]) -> str:
        target, anchor = (path.parent / link[1]).resolve(), link[2] or ""
        if target in places:
            return os.path.relpath(places[target], Path(place).parent) + anchor
        if link[1] in MADE or target.suffix == ".png":
            return link[0]
        if not target.exists():
            raise SystemExit(f"{path.relative_to(ROOT)} links to {link[1]}, which does not exist.")
        kind = "tree" if target.is_dir() else "blob"
        return f"{URLS['Source']}/{kind}/main/{target.relative_to(ROOT)}{anchor}"

    parts = CODE.split(text)  # every second one is code
    return "".join(part if number % 2 else LINK.sub(pointed, part) for number, part in enumerate(parts))


def tree(names: list[str], *, hidden: bool = False) -> str:
    return "\n".join(["", "```{toctree}", ":hidden:" if hidden else ":maxdepth: 1", "", *names, "```", ""])


def write(place: str, text: str) -> None:
    path = SOURCE / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def sphinx(target: Path) -> None:
    """
    Raises:
        CalledProcessError: something is wrong with a page.
    """
    options = ["-W", "--keep-going", "-q", "-E", "-c", str(ROOT / "docs" / "site")]
    subprocess.run([sys.executable, "-m", "sphinx", *options, str(SOURCE), str(target)], check=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
