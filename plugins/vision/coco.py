"""Images with boxes in the format of COCO: a JSON file of instances, and a folder of images.

Holds the data set and the reader of its JSON; checks of boxes and images are in
``detection_files.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Optional

from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.detection_data import CROWD, DIFFICULT
from dope.plugins.vision.detection_files import DetectionFiles
from dope.plugins.vision.detection_sheets import Annotations, Sheet, Thing

PARTS = {"train": "train", "val": "valid", "test": "test"}  # beginnings of names
EXPORT = "_annotations.coco.json"
TABLES = ("images", "annotations", "categories")


class Coco(DetectionFiles):
    """COCO JSON: the sets of cocodataset.org, and what tools for labelling write in that format.

    ``path`` is one of: a folder with ``annotations/instances_train2017.json`` and
    ``instances_val2017.json``, beside folders ``train2017`` and ``val2017`` of images (any year);
    a folder with folders ``train``, ``valid`` and ``test``, each with images and
    ``_annotations.coco.json``; or one JSON file, whose images are then divided by ``holdout``.
    Ids of categories, which need not be without gaps, become 0, 1, … in their order. Crowds are
    not learned, and in the measure they neither have to be found nor count as wrong.

    Parameters
    ----------
    images
        The folder of images, where ``path`` is a JSON file; default ``images`` beside it, or its
        own folder.
    """

    layout = (
        "dataset.path is a folder with annotations/instances_train2017.json and train2017/, or "
        f"with train/{EXPORT}, or one JSON file."
    )

    def __init__(self, *, images: Optional[Path] = None, **options: Any) -> None:
        super().__init__(**options)
        self.image_folder = None if images is None else Path(images).expanduser()

    def annotated(self) -> Annotations:
        names: Optional[list[str]] = None
        parts = {}
        for part, (file, folder) in self._files().items():
            content = read_json(file)
            categories = category_names(file, content["categories"])
            if names is not None and set(names) != set(categories.values()):
                odd = sorted(set(names) ^ set(categories.values()))
                raise DataError(
                    f"{file} and the training annotations do not have the same categories: "
                    f"{', '.join(odd[:5])}",
                    "Write all categories into both files.",
                )
            names = names or list(categories.values())
            parts[part] = self._sheets(file, folder, content, categories)
        return Annotations(names or [], parts, declared=True)

    def _files(self) -> dict[str, tuple[Path, Path]]:
        """For each part its JSON file and its folder of images."""
        if self.path.is_file():
            beside = self.path.parent / "images"
            folder = self.image_folder or (beside if beside.is_dir() else self.path.parent)
            return {"": (self.path, folder)}
        if self.image_folder is not None:
            raise ConfigError(
                "dataset.images goes with a JSON file only", "Name that file in dataset.path."
            )
        if not self.path.is_dir():
            raise ConfigError(f"there is no {self.path}", self.layout)
        found: dict[str, tuple[Path, Path]] = {}
        for name, part in PARTS.items():
            listed = sorted((self.path / "annotations").glob(f"instances_{name}*.json"))
            if len(listed) > 1:
                raise ConfigError(
                    f"{self.path} has several files of the part {part}: "
                    f"{', '.join(file.name for file in listed)}",
                    "Name one of them in dataset.path, or move the others away.",
                )
            if listed:
                year = listed[0].stem[len("instances_") :]
                inner = self.path / "images" / year
                found[part] = listed[0], inner if inner.is_dir() else self.path / year
            for folder in (self.path / name, self.path / part):
                if part not in found and (folder / EXPORT).is_file():
                    found[part] = folder / EXPORT, folder
        if "train" not in found:
            raise ConfigError(f"{self.path} has no annotations of training images", self.layout)
        return {part: found[part] for part in PARTS.values() if part in found}

    def _sheets(
        self,
        file: Path,
        folder: Path,
        content: Mapping[str, list[Any]],
        categories: Mapping[Any, str],
    ) -> list[Sheet]:
        sheets: dict[Any, Sheet] = {}
        for i, entry in enumerate(content["images"]):
            where = f"{file}, image {i + 1}"
            name, key = field(entry, "file_name", where), field(entry, "id", where)
            where = f"{file}, image {name}"
            if not hashable(key) or key in sheets:
                raise DataError(f"{where}: its id {key} is another image's too", "Mend the ids.")
            width, height = entry.get("width"), entry.get("height")
            known = all(isinstance(side, int) and side > 0 for side in (width, height))
            sheets[key] = Sheet(
                where, within(folder, name, where), extent=(width, height) if known else None
            )
        for i, entry in enumerate(content["annotations"]):
            where = f"{file}, annotation {i + 1}"
            key, category = field(entry, "image_id", where), entry.get("category_id")
            if not hashable(key) or key not in sheets:
                self._fault("objects of no image", f"{where}: no image has the id {key}")
                continue
            label = categories.get(category) if hashable(category) else None
            what = f"object {len(sheets[key].things) + 1} (id {entry.get('id')}, " + (
                f"{label})" if label else f"category {category})"
            )
            flag = CROWD if entry.get("iscrowd") else DIFFICULT if entry.get("ignore") else 0
            sheets[key].things.append(Thing(what, label, corners(entry.get("bbox")), flag))
        return [sheets[key] for key in sheets]


def read_json(file: Path) -> dict[str, list[Any]]:
    """The tables ``images``, ``annotations`` and ``categories`` of a file.

    Raises
    ------
    DataError
        It cannot be read, is not JSON, or has not these tables.
    """
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file} cannot be read as JSON ({reason})", "Get it again.") from error
    for table in TABLES:
        rows = content.get(table) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(
                f"{file} has no list '{table}' of objects",
                f"A file of COCO instances has the lists {', '.join(TABLES)}.",
            )
    return {table: content[table] for table in TABLES}


def category_names(file: Path, rows: list[Any]) -> dict[Any, str]:
    """Id to name, in the order of ids.

    Raises
    ------
    DataError
        An id or a name is missing or there twice.
    """
    found: dict[Any, str] = {}
    for i, row in enumerate(rows):
        where = f"{file}, category {i + 1}"
        key, name = field(row, "id", where), field(row, "name", where)
        if not isinstance(key, int) or key in found or not isinstance(name, str):
            raise DataError(f"{where}: its id {key} or name {name} cannot be", "Mend the file.")
        if name in found.values():
            raise DataError(f"{file}: two categories are named '{name}'", "Rename one of them.")
        found[key] = name
    return dict(sorted(found.items()))


def field(row: Mapping[str, Any], name: str, where: str) -> Any:
    """A value that has to be there."""
    if name not in row:
        raise DataError(f"{where}: has no '{name}'", "Mend the file.")
    return row[name]


def hashable(key: Any) -> bool:
    """Whether a value of JSON can be an id."""
    return isinstance(key, (int, str))


def corners(bbox: Any) -> list[Any]:
    """Left, top, right, bottom of COCO's left, top, width, height; as it is where it is broken."""
    try:
        left, top, width, height = (float(number) for number in bbox)
        return [left, top, left + width, top + height]
    except (TypeError, ValueError):
        return bbox if isinstance(bbox, list) else [bbox]


def within(folder: Path, name: Any, where: str) -> Path:
    """A file of a folder or below, by a name that a file has given.

    Raises
    ------
    DataError
        The name leads out of the folder.
    """
    parts = PurePosixPath(str(name).replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\0" in str(name) or not parts.parts:
        raise DataError(f"{where}: the name leads out of {folder}", "Mend the name.")
    return folder / parts
