"""What there is in a folder of images, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advss_zoo.data.folder.listing import FolderOptions
from advss_zoo.data.folder.parts import Part
from advss_zoo.data.folder.prepared import Prepared, prepare
from advss_zoo.progress import Progress, Reporter, Say, ignore


@dataclass(frozen=True)
class CheckedData:
    """What was found in a folder, and the page that shows it.

    `data.summary` has the counts and the reasons; `data.images_file` and `data.unused_file` are tables of every file.
    """

    data: Prepared
    page: Path | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "name": self.data.name,
            "images": str(self.data.images_file),
            "unused": str(self.data.unused_file),
            "page": self.page and str(self.page),
            **self.data.summary.to_json(),
        }


def check_data(
    data: str | Path,
    image_size: int = 32,
    *,
    parts: Mapping[str, Part] | None = None,
    group_by: str | None = None,
    truncated: bool = False,
    html: str | Path | None = None,
    progress: Progress = ignore,
    say: Say = ignore,
) -> CheckedData:
    """Find out what is in a folder or table of images, as fine-tuning would read it.

    Every image is decoded once, and kept for `finetune` and `evaluate` at the same size.

    Args:
        data: a folder of class folders, or a CSV or JSONL of path,label.
        image_size: pixels a side that the images are brought to.
        parts: what folders, or entries of a table's column, are for, by their names.
        group_by: a column, or a pattern on paths: images for which it gives the same stay on one side.
        truncated: use what there is of JPEGs that were cut off.
        html: a page with pictures of each class and of everything odd; None: none.
        progress: called with what is worked on, its unit, units done, units in all, and a note.
        say: called with lines.

    Returns:
        Counts by class and split, the order of classes, sizes, modes and values, copies and near copies, and which
        files cannot be read or are not used, with reasons.

    Raises:
        UsageError: there is nothing of that name, or it is neither a folder nor a table.
        DataError: there are no images, or too few to train and to judge with.
        AdvssError: the disk is full, the folder cannot be read, or the page cannot be written.
    """
    options = FolderOptions(parts or {}, group_by, truncated)
    found = prepare(Path(data), image_size, options, reporter=Reporter(say, progress))
    if html is None:
        return CheckedData(found, None)
    from advss_zoo.results_page import data_page

    data_page.write(found, Path(html), progress)
    return CheckedData(found, Path(html))
