"""Pairs of images, one to translate into the other: what all sets of them are, and folders of them.

Holds no scenes of our own; these are drawn in ``houses.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Optional, Tuple

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.downloads import cache_folder
from dope.core.errors import ConfigError
from dope.core.pictures import image_files, read_images

SIZES = (64, 128, 256, 512)
PARTS = {"train": "train", "valid": "val", "test": "test"}  # and their folders
ORIGIN = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"

Pair = Tuple[np.ndarray, np.ndarray]


class PairSet:
    """Pairs of colour images A and B in memory, as bytes.

    Parameters
    ----------
    size
        Height and width in pixels: 64, 128, 256 or 512.
    direction
        ``a_to_b`` learns to make B, the right half of a file, of A, the left one; ``b_to_a`` the
        other way round.
    mirror
        Turn each training pair left to right with probability one half, both images alike.
    jitter
        Pixels by which training pairs are enlarged, to be cut at random places, both images alike.

    Attributes
    ----------
    shape : tuple of int
        (3, S, S) of an image.
    """

    def __init__(
        self,
        *,
        size: int = 64,
        direction: Literal["a_to_b", "b_to_a"] = "a_to_b",
        mirror: bool = True,
        jitter: int = 0,
    ) -> None:
        if size not in SIZES:
            raise ConfigError(
                f"dataset.size is {size}", f"It is one of {', '.join(map(str, SIZES))}."
            )
        if not 0 <= jitter <= size:
            raise ConfigError(f"dataset.jitter is {jitter}", f"It is between 0 and {size}.")
        self.size, self.direction = size, direction
        self.mirror, self.jitter = mirror, jitter
        self.shape = (3, size, size)
        self._parts: dict[str, Optional[Pair]] = {}

    def read(self, part: str, size: int) -> Optional[Pair]:
        """A and B of one part, uint8 (N, 3, size, size) each; None where there is no such part."""
        raise NotImplementedError

    def split(self, name: str) -> Optional[Pair]:
        """Inputs and targets of one part, uint8 (N, 3, S, S) each; None: there is no such part.

        It is read at the first call. Training images are larger by ``jitter``.
        """
        if name not in PARTS:
            return None
        if name not in self._parts:
            found = self.read(name, self.size + (self.jitter if name == "train" else 0))
            self._parts[name] = found and (found if self.direction == "a_to_b" else found[::-1])
        return self._parts[name]

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of inputs and targets, float32 (n, 3, S, S) between -1 and 1."""
        part = self.split(split)
        if part is None:
            return None
        return ArrayBatches(part, batch_size, shuffle=split == "train", transform=self.transform)

    def transform(self, arrays: Any, rng: Optional[np.random.Generator]) -> Tuple[np.ndarray, ...]:
        """A chunk of pairs as it goes to the device; varied where there is ``rng``."""
        made = list(arrays)
        extra = made[0].shape[-1] - self.size
        if extra:
            n = len(made[0])
            places = (
                np.full((n, 2), extra // 2) if rng is None else rng.integers(0, extra + 1, (n, 2))
            )
            made = [cut(images, places, self.size) for images in made]
        if self.mirror and rng is not None:
            turned = rng.random(len(made[0])) < 0.5
            made = [np.where(turned[:, None, None, None], x[..., ::-1], x) for x in made]
        return tuple(to_input(images) for images in made)


def to_input(pixels: np.ndarray) -> np.ndarray:
    """Bytes to float32 between -1 and 1."""
    return np.ascontiguousarray(pixels, np.float32) / np.float32(127.5) - 1


def to_pixels(values: np.ndarray) -> np.ndarray:
    """The inverse of `to_input`, rounded."""
    return np.clip(np.rint((values + 1) * 127.5), 0, 255).astype(np.uint8)


def cut(images: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Squares of (N, C, H, W) from upper left corners ``places`` (N, 2): (N, C, size, size)."""
    return np.stack([x[:, y : y + size, z : z + size] for x, (y, z) in zip(images, places)])


class Pairs(PairSet):
    """Your own pairs: a folder of images that show A on the left and B on the right.

    In it are folders ``train``, and ``val`` and ``test`` if you like, as in the archives of the
    paper's authors. Without a folder ``train``, the images of the folder itself are taken, and
    ``holdout`` of them, drawn at random, become ``valid``. An image that is not twice as wide as
    tall is cut to that at its outer edges.

    Parameters
    ----------
    path
        The folder.
    holdout
        Share of the images that is held out where there are no folders for parts, in [0, 1).
    train
        Use only the first so many training pairs, by name; default all.
    """

    def __init__(
        self,
        *,
        path: Path,
        holdout: float = 0.2,
        train: Optional[int] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 <= holdout < 1:
            raise ConfigError(f"dataset.holdout is {holdout}", "It is at least 0 and below 1.")
        if train is not None and train < 1:
            raise ConfigError(f"dataset.train is {train}", "It is 1 or more, or left out.")
        self.path, self.holdout, self.train = Path(path).expanduser(), holdout, train
        self._files: Optional[dict[str, list[Path]]] = None

    def read(self, part: str, size: int) -> Optional[Pair]:
        """The images of one part, cut into their halves."""
        if self._files is None:
            self._files = self.listed()
        files = self._files.get(part)
        if not files:
            return None
        wide = read_images(files, (3, size, 2 * size))
        return np.ascontiguousarray(wide[..., :size]), np.ascontiguousarray(wide[..., size:])

    def listed(self) -> dict[str, list[Path]]:
        """Files of each part.

        Raises
        ------
        ConfigError
            There is no such folder, or no training image in it.
        """
        if not self.path.is_dir():
            raise ConfigError(f"there is no folder {self.path}", self.missing())
        folders = {part: self.path / name for part, name in PARTS.items()}
        if folders["train"].is_dir():
            found = {p: image_files(f) for p, f in folders.items() if f.is_dir()}
        else:
            files = image_files(self.path)
            order = np.random.default_rng(0).permutation(len(files))
            held = min(round(self.holdout * len(files)), max(0, len(files) - 1))
            found = {
                "train": [files[i] for i in sorted(order[held:])],
                "valid": [files[i] for i in sorted(order[:held])],
            }
        if not found["train"]:
            raise ConfigError(f"{self.path} has no training images", self.missing())
        if self.train is not None:
            found["train"] = found["train"][: self.train]
        return found

    def missing(self) -> str:
        """What to do where images are missing."""
        return (
            "dataset.path is a folder with folders train, val and test of images, or of images, "
            "that show the input on the left and the output on the right."
        )


class Archive(Pairs):
    """One of the sets of the paper's authors, unpacked.

    Parameters
    ----------
    path
        The folder that was unpacked, with folders ``train`` and ``val``; default that of this
        name in dope's cache.
    """

    name: ClassVar[str] = ""

    def __init__(self, *, path: Optional[Path] = None, **options: Any) -> None:
        super().__init__(path=path or cache_folder("pix2pix") / self.name, **options)

    def missing(self) -> str:
        """Where the archive is, and where its files go."""
        return (
            f"Fetch {ORIGIN}/{self.name}.tar.gz, unpack it (tar -xzf {self.name}.tar.gz -C "
            f"{self.path.parent}), or name the unpacked folder: dataset.path=DIR."
        )


class Facades(Archive):
    """Facades: photographs on the left (A), label maps on the right (B); so ``b_to_a`` paints.

    400 pairs to learn from, 100 in ``val``, 106 in ``test``, 256 x 256 each.

    Parameters
    ----------
    direction
        ``b_to_a`` makes photographs of labels.

    Notes
    -----
    CMP Facade Database: Tylecek and Sara, "Spatial Pattern Templates for Recognition of Objects
    with Regular Structure" (2013).
    """

    name = "facades"

    def __init__(
        self, *, direction: Literal["a_to_b", "b_to_a"] = "b_to_a", **options: Any
    ) -> None:
        super().__init__(direction=direction, **options)


class Maps(Archive):
    """Aerial photographs on the left (A), street maps on the right (B): 1,096 and 1,098 pairs."""

    name = "maps"


class Cityscapes(Archive):
    """Streets seen from a car on the left (A), labels on the right (B): 2,975 and 500 pairs.

    Notes
    -----
    Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding" (2016).
    """

    name = "cityscapes"
