"""Images with boxes in MXNet's RecordIO files, as im2rec packs them, and the book's pikachus.

Holds the data sets and the reader of records; checks of boxes and images are in
``detection_files.py``.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, List, NamedTuple, Optional, Tuple

import numpy as np

from dope.core.downloads import cache_folder
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.detection_data import DIFFICULT
from dope.plugins.vision.detection_files import DetectionFiles
from dope.plugins.vision.detection_sheets import Annotations, Sheet, Thing

MAGIC = 0xCED7230A
HEAD = struct.Struct("<IfQQ")  # count of labels, the one label, id, second id
PARTS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}
AGAIN = "Get it again, or pack it again with im2rec."


class Records(DetectionFiles):
    """MXNet RecordIO: .rec files of encoded images with labels of objects, as im2rec packs them.

    ``path`` is a .rec file, whose images are divided by ``holdout``, or a folder with files
    ``train.rec``, and ``val.rec`` or ``valid.rec`` and ``test.rec`` if you like; their names may
    begin otherwise, as ``pikachu_train.rec``. The label of an image is a header, whose first two
    numbers are its own length and that of an object, then the objects: class, left, top, right
    and bottom in shares, and, if there is a sixth number, 1 for a difficult object. An .idx file
    beside a .rec file is used to see whether all records are there.
    """

    layout = "dataset.path is a .rec file, or a folder with train.rec, and val.rec if you like."

    def annotated(self) -> Annotations:
        parts = {part: self._sheets(file) for part, file in self._files().items()}
        learned = parts.get("train", parts.get("", []))
        found = [int(thing.label or 0) for sheet in learned for thing in sheet.things]
        names = self.wanted or [f"class {k}" for k in range(max(found, default=-1) + 1)]
        for sheet in (sheet for sheets in parts.values() for sheet in sheets):
            sheet.things = [renamed(thing, names) for thing in sheet.things]
        return Annotations(list(names), parts)

    def _files(self) -> dict[str, Path]:
        """The .rec file of each part."""
        return record_files(self.path, self.layout)

    def _sheets(self, file: Path) -> list[Sheet]:
        sheets = []
        records = read_records(file)
        check_index(file, len(records))
        for i, record in enumerate(records):
            where = f"{file}, record {i + 1}"
            try:
                label, image = unpacked(record, where)
                things = objects(label, where)
            except DataError as error:
                self._fault("broken records", error.message, error.hint)
                continue
            sheets.append(Sheet(where, partial(bytes, image), things, shares=True))
        return sheets


def record_files(path: Path, layout: str) -> dict[str, Path]:
    """The .rec file of each part: ``""`` where ``path`` is one file, not yet divided.

    Raises
    ------
    ConfigError
        There is none for training, or several for one part; ``layout`` is the remedy.
    """
    if path.is_file():
        return {"": path}
    if not path.is_dir():
        raise ConfigError(f"there is no {path}", layout)
    found: dict[str, Path] = {}
    for part, names in PARTS.items():
        listed = sorted(f for n in names for f in path.glob(f"*{n}.rec"))
        if len(listed) > 1:
            raise ConfigError(
                f"{path} has several files of the part {part}: "
                f"{', '.join(file.name for file in listed)}",
                "Name one file in dataset.path, or move the others away.",
            )
        if listed:
            found[part] = listed[0]
    if "train" not in found:
        raise ConfigError(f"{path} has no train.rec", layout)
    return found


class Pikachu(Records):
    """The book's pikachus: 1,000 images of one rendered figure on photographs, 256x256.

    Files ``train.rec``, ``train.idx`` and ``val.rec``. The book prints their SHA-1, which is what
    a download is checked by; no SHA-256 is known.

    Parameters
    ----------
    path
        The folder that has them, their names as here or with ``pikachu_`` before; default dope's
        cache folder.
    download
        Fetch what is missing into ``path`` or the cache folder.
    """

    origin: ClassVar[str] = (
        "https://apache-mxnet.s3-accelerate.amazonaws.com/gluon/dataset/pikachu/"
    )
    sha1: ClassVar[dict[str, str]] = {
        "train.rec": "e6bcb6ffba1ac04ff8a9b1115e650af56ee969c8",
        "train.idx": "dcf7318b2602c06428b9988470c731621716c393",
        "val.rec": "d6c33f799b4d058e82f2cb5bd9a976f69d72d520",
    }

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        download: bool = False,
        classes: Optional[List[str]] = None,
        **options: Any,
    ) -> None:
        super().__init__(
            path=path or cache_folder("pikachu"), classes=classes or ["pikachu"], **options
        )
        self.download = download

    def _files(self) -> dict[str, Path]:
        wanted = [name for name in self.sha1 if name.endswith(".rec")]
        missing = [name for name in wanted if not list(self.path.glob(f"*{name}"))]
        if missing and self.download:
            self._fetch()
        elif missing:
            raise ConfigError(
                f"pikachu: {', '.join(missing)} not in {self.path}",
                f"They come from {self.origin}: set dataset.path to the folder that has them, or "
                "dataset.download=true to fetch them.",
            )
        return super()._files()

    def _fetch(self) -> None:
        import pooch

        for name, sha1 in self.sha1.items():
            try:
                pooch.retrieve(self.origin + name, f"sha1:{sha1}", fname=name, path=self.path)
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                raise DataError(
                    f"{self.origin}{name} could not be fetched ({' '.join(str(error).split())})",
                    f"Try again later, or put the file into {self.path} yourself.",
                ) from error


class Record(NamedTuple):
    """Where one record's content lies: pieces of a file, which MAGIC joins."""

    content: Any  # the mapped file
    pieces: Tuple[Tuple[int, int], ...]  # first byte and length

    def __bytes__(self) -> bytes:
        joint = struct.pack("<I", MAGIC)
        return joint.join(self.content[start : start + n] for start, n in self.pieces)


class Packed(NamedTuple):
    """The encoded image of a record: all after so many bytes."""

    record: Record
    start: int

    def __bytes__(self) -> bytes:
        return bytes(self.record)[self.start :]


def read_records(file: Path) -> list[Record]:
    """All records of a RecordIO file, in its order; nothing is copied.

    A record is four bytes that all begin with, its length in 29 bits below a mark in 3, the
    content, and zeros up to a multiple of four. A content that has the four bytes itself is cut
    there, at multiples of four: mark 1 for its first piece, 2 for those between, 3 for the last.

    Raises
    ------
    DataError
        It is not such a file, or is cut short.
    """
    try:
        with file.open("rb") as opened:
            empty = not opened.read(1)
            content = b"" if empty else mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error})", AGAIN) from error
    if not len(content):
        raise DataError(f"{file} is empty", AGAIN)
    found: list[Record] = []
    open_pieces: list[tuple[int, int]] = []
    for mark, start, length in _pieces(file, content):
        if (mark in (2, 3)) != bool(open_pieces):
            raise DataError(f"{file}: the record at byte {start - 8} is out of order", AGAIN)
        open_pieces.append((start, length))
        if mark in (0, 3):
            found.append(Record(content, tuple(open_pieces)))
            open_pieces = []
    if open_pieces:
        raise DataError(f"{file} is cut short: its last record does not end", AGAIN)
    return found


def _pieces(file: Path, content: Any) -> Iterator[tuple[int, int, int]]:
    """Mark, first byte and length of each piece."""
    place, size = 0, len(content)
    while place < size:
        if place + 8 > size:
            raise DataError(f"{file} is cut short after byte {place} of {size}", AGAIN)
        magic, word = struct.unpack_from("<II", content, place)
        if magic != MAGIC:
            raise DataError(
                f"{file}: no record begins at byte {place}"
                + ("; it is no RecordIO file" if not place else ""),
                AGAIN,
            )
        mark, length = word >> 29, word & ((1 << 29) - 1)
        if mark > 3:
            raise DataError(f"{file}: the record at byte {place} has the mark {mark}", AGAIN)
        if place + 8 + length > size:
            raise DataError(
                f"{file} is cut short: its record at byte {place} has {length} bytes, "
                f"{size - place - 8} are there",
                AGAIN,
            )
        yield mark, place + 8, length
        place += 8 + -(-length // 4) * 4


def check_index(file: Path, count: int) -> None:
    """Refuse an .idx file beside a .rec file that lists another number of records."""
    index = file.with_suffix(".idx")
    if index.is_file():
        listed = sum(1 for line in index.read_bytes().splitlines() if line.strip())
        if listed != count:
            raise DataError(
                f"{file} has {count} records, but {index.name} lists {listed}",
                "Replace them by two files that belong together, or move the .idx file away.",
            )


def unpacked(record: Record, where: str) -> tuple[np.ndarray, Packed]:
    """The label, float32 (n,), and the encoded image of a record.

    Raises
    ------
    DataError
        The record is shorter than its header says.
    """
    content = bytes(record)
    if len(content) < HEAD.size:
        raise DataError(f"{where} has {len(content)} bytes, less than its header takes", AGAIN)
    count, single, _, _ = HEAD.unpack_from(content)
    end = HEAD.size + 4 * count
    if end > len(content):
        raise DataError(f"{where} announces {count} numbers of label, but ends before", AGAIN)
    if not count:
        return np.array([single], np.float32), Packed(record, end)
    return np.frombuffer(content, "<f4", count, HEAD.size), Packed(record, end)


def objects(label: np.ndarray, where: str) -> list[Thing]:
    """The objects in a label; rows of class -1 fill up and are none. `Thing.label` is a number.

    Raises
    ------
    DataError
        It is no label of a detection file.
    """
    wrong = f"{where}: its label of {len(label)} numbers is none of objects with boxes"
    if len(label) < 2 or not np.isfinite(label[:2]).all():
        raise DataError(wrong, "Pack the boxes with im2rec: --pack-label.")
    head, width = int(label[0]), int(label[1])
    if head < 2 or width < 5 or head > len(label) or (len(label) - head) % width:
        raise DataError(
            f"{wrong} (header {head}, object {width})", "Pack the boxes with im2rec: --pack-label."
        )
    things = []
    for i, row in enumerate(label[head:].reshape(-1, width)):
        if row[0] == -1:
            continue
        if not 0 <= row[0] < 1e6 or row[0] != int(row[0]):
            raise DataError(f"{where}, object {i + 1}: {row[0]:g} is no class", AGAIN)
        flag = DIFFICULT if width > 5 and row[5] == 1 else 0
        things.append(Thing(f"object {i + 1}", str(int(row[0])), row[1:5].tolist(), flag))
    return things


def renamed(thing: Thing, names: List[str]) -> Thing:
    """The same object with the name of its class, or with its number where there is none."""
    k = int(thing.label or 0)
    name = names[k] if k < len(names) else str(k)
    return thing._replace(label=name, what=f"{thing.what} ({name})")
