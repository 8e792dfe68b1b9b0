"""MNIST and Fashion-MNIST from their IDX files, gzip or plain, and the IDX format itself.

Holds the two data sets and the reader; downloading is in core/downloads.py.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np

from dope.core.downloads import cache_folder, download
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.images import ImageSet, Part

STEMS = {  # images, labels
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
CHUNK = 1 << 24


class IdxSet(ImageSet):
    """28x28 gray images in 10 classes, in two IDX files for training and two for testing.

    Parameters
    ----------
    path
        The folder that has the files, as ``train-images-idx3-ubyte`` or
        ``train-images.idx3-ubyte``, with ``.gz`` or without; default dope's cache folder.
    download
        Fetch files that are missing, checked by SHA-256, into ``path`` or the cache folder.
    source
        ``both``: all four files. ``test``: training images too are taken from the two t10k files,
        the first ``train`` (default 8,000), and the last ``test`` (default 2,000) are for testing.
    """

    shape = (1, 28, 28)
    title = ""
    folder = ""
    megabytes = 0.0
    mirrors: tuple[str, ...] = ()
    sha256: dict[str, str] = {}

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        download: bool = False,
        source: Literal["both", "test"] = "both",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if source not in ("both", "test"):
            raise ConfigError(f"dataset.source is '{source}'", "It is both or test.")
        self.path = None if path is None else Path(path).expanduser()
        self.download = download
        self.source = source
        if source == "test":
            self.train = 8000 if self.train is None else self.train
            self.test = 2000 if self.test is None else self.test

    def read(self) -> dict[str, Part]:
        names = STEMS if self.source == "both" else {"test": STEMS["test"]}
        files = self._files([stem for pair in names.values() for stem in pair])
        parts = {part: read_pair(files[images], files[labels], self.shape[1:], len(self.classes))
                 for part, (images, labels) in names.items()}  # fmt: skip
        if self.source == "test":
            count, wanted = len(parts["test"][1]), (self.train or 0) + (self.test or 0)
            if wanted > count:
                raise ConfigError(
                    f"dataset.train={self.train} and dataset.test={self.test} are more than the "
                    f"{count} images of {files[STEMS['test'][0]].name}",
                    f"With dataset.source=test their sum is at most {count}.",
                )
            parts["train"] = parts["test"]  # the base class keeps the first and the last
        return parts

    def _files(self, stems: list[str]) -> dict[str, Path]:
        folder = self.path or cache_folder(self.folder)
        found = {stem: _find(folder, stem) for stem in stems}
        missing = [stem for stem, file in found.items() if file is None]
        if missing and self.download:
            for stem in missing:
                found[stem] = folder / f"{stem}.gz"
                download(self.mirrors, self.sha256[stem], folder / f"{stem}.gz")
        elif missing:
            raise ConfigError(
                f"{self.title}: {len(missing)} of {len(stems)} files are not in {folder}: "
                f"{', '.join(missing)} (IDX format, with .gz or without)",
                f"They come from {self.mirrors[0]}: set dataset.path to the folder that has them, "
                f"or dataset.download=true to fetch what is missing ({self.megabytes} MB in all).",
            )
        return {stem: file for stem, file in found.items() if file is not None}


class Mnist(IdxSet):
    """MNIST: 60,000 + 10,000 hand-written digits of 28x28 pixels, white on black.

    LeCun, Cortes and Burges; LeCun et al., Gradient-based learning applied to document
    recognition (1998). CC BY-SA 3.0.
    """

    classes = [str(digit) for digit in range(10)]
    mean = (0.1307,)
    std = (0.3081,)
    title = "MNIST"
    folder = "mnist"
    megabytes = 11.6
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    sha256 = {
        STEMS["train"][0]: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        STEMS["train"][1]: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        STEMS["test"][0]: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        STEMS["test"][1]: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }


class FashionMnist(IdxSet):
    """Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28x28 pixels, bright on black.

    Xiao, Rasul and Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms (2017). MIT licence.
    """

    classes = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    mean = (0.2860,)
    std = (0.3530,)
    title = "Fashion-MNIST"
    folder = "fashion_mnist"
    megabytes = 30.9
    mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    )
    sha256 = {
        STEMS["train"][0]: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        STEMS["train"][1]: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        STEMS["test"][0]: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        STEMS["test"][1]: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    }


def _find(folder: Path, stem: str) -> Optional[Path]:
    """The file under either of its names, plain or gzip."""
    for name in (stem, stem.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    return None


def read_pair(images: Path, labels: Path, size: tuple[int, ...], classes: int) -> Part:
    """Pixels uint8 (N, 1, H, W) and labels int32 (N,) from an image and a label file.

    Raises
    ------
    DataError
        One of the files is damaged or something else, or they do not belong together.
    """
    pixels, marks = read_idx(images, size), read_idx(labels)
    if len(pixels) != len(marks):
        raise DataError(
            f"{images} has {len(pixels)} images, but {labels.name} has {len(marks)} labels",
            "Replace them by two files that belong together.",
        )
    if not len(marks):
        raise DataError(f"{images} holds no images", "Replace it by the true file.")
    if marks.max() >= classes:
        place = int(np.argmax(marks >= classes))
        raise DataError(
            f"{labels}: label {place + 1} is {marks[place]}, the classes are 0 to {classes - 1}",
            "Replace it by the true file.",
        )
    return pixels[:, None], marks.astype(np.int32)


def read_idx(path: Path, item: tuple[int, ...] = ()) -> np.ndarray:
    """The array in an IDX file of unsigned bytes, gzip or plain (its first bytes tell).

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each
    dimension as a big-endian 32-bit number, then the values, last dimension fastest.

    Parameters
    ----------
    path
        The file.
    item
        The dimensions after the first, as they must be.

    Returns
    -------
    ndarray
        uint8, (N, *item).

    Raises
    ------
    DataError
        It is not such a file, or cut short, or longer than it says.
    """
    again = "Delete it and get it again, by hand or with dataset.download=true."
    dimensions = 1 + len(item)
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            if header[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(
                    f"{path} starts with the bytes {header[:4].hex(' ') or '(none)'}, an IDX file "
                    f"of {'images' if item else 'labels'} with 00 00 08 0{dimensions}",
                    again,
                )
            if len(header) < 4 + 4 * dimensions:
                raise DataError(f"{path} ends within its header", again)
            count, *rest = struct.unpack(f">{dimensions}I", header[4:])
            if tuple(rest) != item:
                raise DataError(
                    f"{path} has images of {'x'.join(map(str, rest))} pixels, not of "
                    f"{'x'.join(map(str, item))}",
                    again,
                )
            wanted = count * math.prod(item)
            content = bytearray()  # grows with what is there, not with what the header claims
            while len(content) < wanted:
                chunk = file.read(min(CHUNK, wanted - len(content)))
                if not chunk:
                    raise DataError(
                        f"{path} is cut short: {len(content)} of {wanted} values are there", again
                    )
                content += chunk
            if file.read(1):
                raise DataError(
                    f"{path} goes on after the {wanted} values that it announces", again
                )
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error})", again) from error
    return np.frombuffer(content, np.uint8).reshape(count, *item)
