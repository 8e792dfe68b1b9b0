"""Labeled Faces in the Wild: 13,233 photographs of faces, read from the archive as it is.

Holds the data set and its reader; downloading is in core/downloads.py.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np

from dope.core.downloads import cache_folder, download
from dope.core.errors import ConfigError, DataError
from dope.plugins.generative.images import Pictures, check_size

SIDE = 250  # pixels of every photograph
LARGEST = 1 << 20  # bytes that one may have; the true ones have less than a tenth
HOME = "http://vis-www.cs.umass.edu/lfw/"
ARCHIVES = {
    "original": "lfw.tgz",
    "funneled": "lfw-funneled.tgz",
    "deepfunneled": "lfw-deepfunneled.tgz",
}
# What follows # is not sent: it only gives the file its name here.
MIRRORS = {
    "original": ("https://ndownloader.figshare.com/files/5976018#", HOME),
    "funneled": ("https://ndownloader.figshare.com/files/5976015#", HOME),
}
SHA256 = {  # of deepfunneled only an MD5 is known, which does not prove a file
    "original": "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0",
    "funneled": "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
}


class Lfw(Pictures):
    """Labeled Faces in the Wild: 13,233 colour photographs of the faces of 5,749 people.

    Huang, Ramesh, Berg and Learned-Miller, "Labeled Faces in the Wild" (2007). No licence is
    stated; the pictures are from news on the web. Each is 250 x 250 pixels, the face in its middle.

    Parameters
    ----------
    path
        The archive, or the folder that has it; default dope's cache folder.
    archive
        How faces are aligned: not at all (``original``), ``funneled``, or ``deepfunneled`` as in
        the book. The last one is not downloaded, for no SHA-256 of it is published.
    download
        Fetch the archive (about 230 MB), checked by SHA-256, into ``path`` or the cache folder,
        where it is not there yet.
    size
        Height and width in pixels.
    crop
        Side of the square in the middle of each photograph that is kept, 16 to 250 pixels; 140
        leaves little but the face.
    gray
        One gray level a pixel instead of red, green and blue.
    most
        Use only the first so many of the archive; default all.
    """

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        archive: Literal["original", "funneled", "deepfunneled"] = "funneled",
        download: bool = False,
        size: int = 64,
        crop: int = 250,
        gray: bool = False,
        most: Optional[int] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_size(size, most)
        if archive not in ARCHIVES:
            raise ConfigError(f"dataset.archive is '{archive}'", f"It is {', '.join(ARCHIVES)}.")
        if not 16 <= crop <= SIDE:
            raise ConfigError(f"dataset.crop is {crop}", f"It is between 16 and {SIDE}.")
        self.path = None if path is None else Path(path).expanduser()
        self.archive, self.download, self.crop, self.most = archive, download, crop, most
        self.shape = (1 if gray else 3, size, size)

    def read(self) -> np.ndarray:
        place = self._place()
        found = []
        for name, content in photographs(place):
            found.append(decoded(content, self.crop, self.shape, f"{place}: {name}"))
            if len(found) == self.most:
                break
        if len(found) < 2:
            raise DataError(f"{place} holds no photographs", f"Wanted is {self._wanted()}.")
        return np.stack(found)

    def _place(self) -> Path:
        """The archive; fetched if that is asked for and it is not there."""
        place = self.path or cache_folder("lfw")
        if place.is_file():
            return place
        file = place / ARCHIVES[self.archive]
        if file.is_file():
            return file
        if not self.download:
            raise ConfigError(f"LFW: there is no {file}", f"Wanted is {self._wanted()}.")
        if self.archive not in SHA256:
            raise ConfigError(
                f"LFW: {file.name} is not downloaded, for no SHA-256 of it is published",
                f"Get it from {HOME} and set dataset.path to it, or take dataset.archive=funneled.",
            )
        download(MIRRORS[self.archive], SHA256[self.archive], file)
        return file

    def _wanted(self) -> str:
        more = " or dataset.download=true to fetch it" if self.archive in SHA256 else ""
        return f"{ARCHIVES[self.archive]} from {HOME}: set dataset.path to it{more}"


def photographs(archive: Path) -> Iterator[tuple[str, bytes]]:
    """JPEG files of an archive by name, read where they lie: nothing is written anywhere.

    Raises
    ------
    DataError
        It is no archive, or damaged, or a file in it is far too large.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not (member.isfile() and member.name.endswith(".jpg")):
                    continue
                if member.size > LARGEST:
                    raise DataError(
                        f"{archive}: {member.name} has {member.size} bytes, far too many",
                        "Get the archive again.",
                    )
                file = tar.extractfile(member)
                yield member.name, file.read() if file else b""
            while tar.fileobj is not None and tar.fileobj.read(1 << 20):
                pass  # to the very end, where gzip keeps the sum of all
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise DataError(
            f"{archive} cannot be read as an archive ({reason})", "Get the archive again."
        ) from error


def decoded(content: bytes, crop: int, shape: tuple[int, int, int], source: str) -> np.ndarray:
    """The middle of a photograph as uint8 (C, H, W), resized with antialiasing.

    Raises
    ------
    DataError
        It is no JPEG of 250 x 250 pixels.
    """
    from PIL import Image

    channels, height, width = shape
    edge = (SIDE - crop) // 2
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as file:
            if file.size != (SIDE, SIDE):
                raise ValueError(f"{file.size[0]} x {file.size[1]} pixels, not {SIDE} x {SIDE}")
            image = file.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # Pillow's decoder raises whatever a damaged file leads it to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{source}: {reason}", "Get the archive again.") from error
    box = (edge, edge, edge + crop, edge + crop)
    resized = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized).reshape(height, width, channels).transpose(2, 0, 1)
