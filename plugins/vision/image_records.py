"""Labelled images in MXNet's RecordIO files, as im2rec packs them, and the book's hot dogs.

Holds the data sets; records are read by ``record.py``, images by ``finetune_images.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, List, Optional

import numpy as np

from dope.core.downloads import cache_folder, download
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.finetune_images import Listed, Photographs
from dope.plugins.vision.record import check_index, read_records, record_files, unpacked

BROKEN, UNKNOWN = "broken records", "images of an unknown class"


class ImageRecords(Photographs):
    """MXNet RecordIO: .rec files of encoded images, each with the number of its class.

    ``path`` is a .rec file, whose images are divided by ``holdout``, or a folder with files
    ``train.rec``, and ``val.rec`` or ``valid.rec`` and ``test.rec`` if you like; their names may
    begin otherwise, as ``pets_train.rec``. An .idx file beside a .rec file is used to see whether
    all records are there.

    Parameters
    ----------
    path
        The file or folder.
    classes
        Names of the classes, in the order of their numbers; default ``class 0`` and so on, as many
        as the training images have.
    """

    layout = "dataset.path is a .rec file, or a folder with train.rec, and val.rec if you like."

    def __init__(self, *, path: Path, classes: Optional[List[str]] = None, **options: Any) -> None:
        super().__init__(**options)
        if classes is not None and (len(classes) < 2 or len(set(classes)) < len(classes)):
            raise ConfigError(
                f"dataset.classes is {classes}", "It has two names or more, each of them once."
            )
        self.path = Path(path).expanduser()
        self._names = classes
        self._found: Optional[dict[str, List[Listed]]] = None

    @property
    def classes(self) -> List[str]:  # type: ignore[override]
        """Names of the classes; the labels are read at the first call."""
        if self._names is None:
            first = next(iter(self.listed().values()))
            self._names = [f"class {k}" for k in range(1 + max(each.label for each in first))]
            if len(self._names) < 2:
                raise ConfigError(f"{self.path} has one class only", "Give it two or more.")
        return self._names

    def _files(self) -> dict[str, Path]:
        """The .rec file of each part."""
        return record_files(self.path, self.layout)

    def listed(self) -> dict[str, List[Listed]]:
        """The records of each part, their images not yet decoded."""
        if self._found is None:
            found = {part: self._records(file) for part, file in self._files().items()}
            if self.valid and "valid" in found:
                raise ConfigError(
                    f"dataset.valid is {self.valid}, but {self.path} has a file of that part",
                    "Leave dataset.valid out, or move that file away.",
                )
            self._found = found
            K = len(self.classes)
            for part, items in found.items():
                found[part] = [item for item in items if self._known(item, K)]
                if not found[part]:
                    raise ConfigError(
                        f"{self.path}: no image is left in the part {part or 'train'}", self.layout
                    )
        return self._found

    def _known(self, item: Listed, classes: int) -> bool:
        if item.label < classes:
            return True
        self._fault(
            UNKNOWN,
            f"{item.name} is of class {item.label}, the classes are 0 to {classes - 1}",
            "Name all classes in dataset.classes.",
        )
        return False

    def _records(self, file: Path) -> List[Listed]:
        records = read_records(file)
        check_index(file, len(records))
        made = []
        for i, record in enumerate(records):
            where = f"{file}, record {i + 1}"
            try:
                label, image = unpacked(record, where)
                made.append(Listed(where, image, class_of(label, where)))
            except DataError as error:
                self._fault(BROKEN, error.message, error.hint)
        if not made:
            raise ConfigError(f"{file} has no image with a class", self.layout)
        return made


class Hotdog(ImageRecords):
    """The book's photographs of hot dogs and of other things, mostly food: 18,141 images.

    Of the 16,882 for training 1,882 are hot dogs, of the book's 1,259 for validation, here
    ``test``, 209; ``dataset.valid`` sets some of the former apart. The book prints the SHA-1 of the
    two files, which is what a download is checked by; no SHA-256 is known. At 224 x 224 pixels they
    take 2.8 GB of memory; ``dataset.train`` takes fewer.

    Parameters
    ----------
    path
        The folder that has them, under the names of the book; default dope's cache folder.
    download
        Fetch what is missing into ``path`` or the cache folder (690 MB).
    """

    origin: ClassVar[str] = "https://apache-mxnet.s3-accelerate.amazonaws.com/gluon/dataset/"
    files: ClassVar[dict[str, str]] = {
        "train": "not_hotdog_train-e6ef27b4.rec",
        "test": "not_hotdog_validation-c0201740.rec",
    }
    sha1: ClassVar[dict[str, str]] = {
        "train": "0aad7e1f16f5fb109b719a414a867bbee6ef27b4",
        "test": "723ae5f8a433ed2e2bf729baec6b878ac0201740",
    }

    def __init__(
        self, *, path: Optional[Path] = None, download: bool = False, **options: Any
    ) -> None:
        given = {"classes": ["not hotdog", "hotdog"], **options}
        super().__init__(path=path or cache_folder("hotdog"), **given)
        self.download = download

    def _files(self) -> dict[str, Path]:
        found = {part: self.path / name for part, name in self.files.items()}
        missing = [part for part, file in found.items() if not file.is_file()]
        if missing and not self.download:
            raise ConfigError(
                f"hotdog: {', '.join(self.files[part] for part in missing)} not in {self.path}",
                f"They come from {self.origin}: set dataset.path to the folder that has them, or "
                "dataset.download=true to fetch them.",
            )
        for part in missing:
            download((self.origin,), f"sha1:{self.sha1[part]}", found[part])
        return found


def class_of(label: np.ndarray, where: str) -> int:
    """The class in a record's label.

    Raises
    ------
    DataError
        It is not one whole number from 0.
    """
    if len(label) != 1:
        raise DataError(
            f"{where} has a label of {len(label)} numbers, a class is one",
            "Images with boxes are read by vision.detection_records.",
        )
    value = float(label[0])
    if not 0 <= value < 1e6 or value != int(value):
        raise DataError(f"{where}: {value:g} is no class", "Pack it again with im2rec.")
    return int(value)
