"""CIFAR-10 from its binary version: the folder, or the archive without unpacking it.

Holds the data set and its reader; downloading is in core/downloads.py. The Python version of
CIFAR-10 is a pickle, which can run code, and is not read.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.downloads import cache_folder, download
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.augment import random_crop, random_mirror
from dope.plugins.vision.images import ImageSet, Part

ARCHIVE = "cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
FOLDER = "cifar-10-batches-bin"
FILES = {
    "train": [f"data_batch_{i}.bin" for i in range(1, 6)],
    "test": ["test_batch.bin"],
}
NAMES = [name for names in FILES.values() for name in names]
RECORD = 1 + 3 * 32 * 32  # a label, then a plane of red, one of green, one of blue
LONGEST = 100_000 * RECORD  # ten times the true length; a file that claims more is not read
WANTED = f"the binary version of CIFAR-10, {', '.join(NAMES)} or {ARCHIVE}, from {MIRRORS[0]}"


class Cifar10(ImageSet):
    """CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 pixels in 10 classes.

    Krizhevsky, Learning multiple layers of features from tiny images (2009). No licence is
    stated; its author asks to be cited.

    Parameters
    ----------
    path
        The folder that has ``data_batch_1.bin`` … ``test_batch.bin``, or the one above it, or
        the one that has ``cifar-10-binary.tar.gz``, or that archive; default dope's cache folder.
    download
        Fetch the archive (170 MB), checked by SHA-256, into ``path`` or the cache folder, where
        it is not there yet.
    crop
        Shift each training image at random by up to so many pixels, black coming in; 4 is usual.
    mirror
        Mirror half of the training images, drawn at random.
    """

    classes = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    shape = (3, 32, 32)
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        download: bool = False,
        crop: int = 0,
        mirror: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 <= crop <= 32:
            raise ConfigError(f"dataset.crop is {crop}", "It is between 0 and 32.")
        self.path = None if path is None else Path(path).expanduser()
        self.download = download
        self.crop = crop
        self.mirror = mirror

    def augment(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.crop:
            pixels = random_crop(pixels, self.crop, rng)
        return random_mirror(pixels, rng) if self.mirror else pixels

    def read(self) -> dict[str, Part]:
        place = self._place()
        contents = dict(_from_folder(place) if place.is_dir() else _from_archive(place))
        missing = [name for name in NAMES if name not in contents]
        if missing:
            raise DataError(f"{place} has no {', '.join(missing)}", f"Wanted is {WANTED}.")
        return {
            part: _joined([_records(contents.pop(name), f"{place}: {name}") for name in names])
            for part, names in FILES.items()
        }

    def _place(self) -> Path:
        """The folder of the six files, or the archive."""
        place = self.path or cache_folder("cifar10")
        if place.is_file():
            return place
        for folder in (place, place / FOLDER):
            if any((folder / name).is_file() for name in NAMES):
                return folder
        if not (place / ARCHIVE).is_file():
            if not self.download:
                raise ConfigError(
                    f"CIFAR-10: neither its files nor {ARCHIVE} found in {place}",
                    f"Wanted is {WANTED}: set dataset.path to its folder or archive, or "
                    "dataset.download=true to fetch it (170 MB).",
                )
            download(MIRRORS, SHA256, place / ARCHIVE)
        return place / ARCHIVE


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in NAMES:
        file = folder / name
        if file.is_file():
            _check_length(file.stat().st_size, str(file))
            yield name, file.read_bytes()


def _from_archive(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The files by name, read where they lie: nothing is written, so no path can lead astray."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if name in NAMES and member.isfile():
                    _check_length(member.size, f"{archive}: {name}")
                    file = tar.extractfile(member)
                    yield name, file.read() if file else b""
            while tar.fileobj is not None and tar.fileobj.read(1 << 20):
                pass  # to the very end, where gzip keeps the sum of all
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise DataError(
            f"{archive} cannot be read as an archive ({reason})", f"Get it again: {WANTED}."
        ) from error


def _check_length(length: int, source: str) -> None:
    if not 0 < length <= LONGEST or length % RECORD:
        raise DataError(
            f"{source} has {length} bytes, not a multiple of {RECORD} as an image and its label "
            "take",
            f"Get it again: {WANTED}.",
        )


def _records(content: bytes, source: str) -> np.ndarray:
    """uint8, (N, 3073): label, red, green, blue."""
    _check_length(len(content), source)
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] > 9)
    if len(wrong):
        raise DataError(
            f"{source}: image {wrong[0] + 1} has label {records[wrong[0], 0]}, the classes are "
            "0 to 9",
            f"Get it again: {WANTED}.",
        )
    return records


def _joined(files: list[np.ndarray]) -> Part:
    pixels = np.concatenate([records[:, 1:] for records in files])  # (N, 3072)
    labels = np.concatenate([records[:, 0] for records in files]).astype(np.int32)
    return pixels.reshape(-1, 3, 32, 32), labels
