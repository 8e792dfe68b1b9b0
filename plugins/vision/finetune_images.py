"""Photographs for pretrained networks: one size, no image in two parts, damaged ones named.

Holds the base class and the set that reads folders; RecordIO files are in ``image_records.py``.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, List, Literal, NamedTuple, Optional, Union

import numpy as np

from dope.core.errors import ConfigError, DataError
from dope.core.pictures import read_image
from dope.plugins.vision.augment import random_mirror
from dope.plugins.vision.detection_augment import cut_out
from dope.plugins.vision.detection_images import DAMAGED, MISSING, SceneError, failures
from dope.plugins.vision.folder import class_names, list_images, part_folders
from dope.plugins.vision.images import PARTS, ImageSet, Part, stratified
from dope.plugins.vision.record import Packed

SAMPLES = 20  # of what was left out that are kept with their reason
LEAVE = "Or leave such out and count them: dataset.on_error=skip."
TWICE = "images that another part has too"


class Listed(NamedTuple):
    """An image that is still to be read: what messages call it, where it is, and its class."""

    name: str
    source: Union[Path, Packed]
    label: int


class Photographs(ImageSet):
    """Labelled photographs at one size; a subclass overrides `listed`.

    Parts never share an image: one whose pixels, at this size, are those of an image of the test
    part is refused or left out of the others, and likewise one of the validation part.

    Parameters
    ----------
    size
        Height and width in pixels: the short side is resized to it, the centre is cropped.
    augment
        Vary training images: a random part is enlarged to the whole, and half are mirrored.
    crop
        Least side of that part, in shares of the image's.
    holdout
        Share of each class that is held out as ``test``, in [0, 1), rounded, where the files have
        but one part.
    on_error
        ``stop`` at an image that is damaged, missing or in two parts, or ``skip`` it and count.
    normalize
        Subtract the mean and divide by the standard deviation of ImageNet's photographs, as
        networks want it that learned on them.
    seed
        Of the random order, and so of what is held out.

    Attributes
    ----------
    skipped : dict of str to int
        What was left out, by its reason; empty where nothing was.
    skips : list of str
        The first few of them.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    layout = ""

    def __init__(
        self,
        *,
        size: int = 224,
        augment: bool = True,
        crop: float = 0.6,
        holdout: float = 0.2,
        on_error: Literal["stop", "skip"] = "stop",
        normalize: bool = True,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(normalize=normalize, **options)
        if not 32 <= size <= 2048:
            raise ConfigError(f"dataset.size is {size}", "It is between 32 and 2048.")
        if not 0 < crop <= 1:
            raise ConfigError(f"dataset.crop is {crop}", "It is above 0 and at most 1.")
        if not 0 <= holdout < 1:
            raise ConfigError(f"dataset.holdout is {holdout}", "It is at least 0 and below 1.")
        if on_error not in ("stop", "skip"):
            raise ConfigError(f"dataset.on_error is '{on_error}'", "It is stop or skip.")
        if seed < 0:
            raise ConfigError(f"dataset.seed is {seed}", "It is 0 or more.")
        self.shape = (3, size, size)
        self.varied, self.crop = augment, crop
        self.holdout, self.on_error, self.seed = holdout, on_error, seed
        self.skipped: dict[str, int] = {}
        self.skips: List[str] = []
        self._listed: List[Listed] = []

    def listed(self) -> dict[str, List[Listed]]:
        """The images of each part; those under ``""`` are still to be divided."""
        raise NotImplementedError

    def read(self) -> dict[str, Part]:
        """Places in the list in place of pixels; `split` reads the images."""
        parts: dict[str, Part] = {}
        for part, found in self.listed().items():
            labels = np.array([each.label for each in found], np.int32)
            rows = len(self._listed) + np.arange(len(found))
            self._listed += found
            if part:
                order = np.random.default_rng(self.seed).permutation(len(found))
                parts[part] = rows[order], labels[order]
                continue
            kept, held = stratified(labels, self.holdout, self.seed)
            parts["train"] = rows[kept], labels[kept]
            if len(held):
                parts["test"] = rows[held], labels[held]
        return parts

    def split(self, name: str) -> Optional[Part]:
        if self._parts is None:
            super().split(name)  # lists and divides
            self._parts = self._decoded(self._parts or {})
        return super().split(name)

    def augment(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A random part of each image enlarged to the whole, and half of them mirrored."""
        if not self.varied:
            return pixels
        n = len(pixels)
        side = rng.uniform(self.crop, 1, (n, 1))
        corner = rng.random((n, 2)) * (1 - side)
        windows = np.concatenate([corner, corner + side], 1).astype(np.float32)
        images, _ = cut_out(pixels.transpose(0, 2, 3, 1), np.zeros((n, 0, 5), np.float32), windows)
        return random_mirror(images.transpose(0, 3, 1, 2), rng)

    def _decoded(self, parts: dict[str, Part]) -> dict[str, Part]:
        """The images of all parts, without those that cannot be read or are in a later part."""
        seen: dict[bytes, str] = {}
        made: dict[str, Part] = {}
        for part in reversed(PARTS):
            if part not in parts:
                continue
            rows, labels = parts[part]
            pixels, kept = self._images(rows)
            hashes = [hashlib.blake2b(pixels[i].tobytes(), digest_size=16).digest() for i in kept]
            alone = []
            for i, key in zip(kept, hashes):
                if key in seen:
                    self._fault(
                        TWICE,
                        f"{self._listed[rows[i]].name} of the part {part} is the same image as "
                        f"{seen[key]}",
                        "Remove one of them.",
                    )
                else:
                    alone.append(i)
            if not alone:
                raise ConfigError(f"no image is left in the part {part}", self.layout)
            seen.update((key, f"{self._listed[rows[i]].name} of the part {part}")
                        for i, key in zip(kept, hashes) if key not in seen)  # fmt: skip
            whole = len(alone) == len(rows)
            made[part] = (pixels, labels) if whole else (pixels[alone], labels[alone])
        return made

    def _images(self, rows: np.ndarray) -> tuple[np.ndarray, List[int]]:
        """Pixels (N, 3, S, S) at these places of the list, and which of them could be read."""
        pixels = np.empty((len(rows), *self.shape), np.uint8)

        def one(i: int) -> None:
            pixels[i] = decoded(self._listed[rows[i]], self.shape)

        kept = []
        for i, error in enumerate(failures(len(rows), one)):
            if error is None:
                kept.append(i)
            else:
                self._fault(error.reason, error.message, error.hint)
        return pixels, kept

    def _fault(self, reason: str, message: str, remedy: str) -> None:
        """Stop at something wrong, or count it."""
        if self.on_error == "stop":
            raise DataError(message, f"{remedy} {LEAVE}")
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.skips) < SAMPLES:
            self.skips.append(message)


class Encoded(io.BytesIO):
    """The bytes of an image file, which messages call by a name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self._name = name

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return repr(self._name)


def decoded(item: Listed, shape: tuple[int, int, int]) -> np.ndarray:
    """One image as uint8 (3, S, S).

    Raises
    ------
    SceneError
        It is missing or damaged.
    """
    source: Any = item.source
    if isinstance(source, Packed):
        source = Encoded(bytes(source), item.name)
    try:
        return read_image(source, shape)
    except DataError as error:
        lost = isinstance(error.__cause__, FileNotFoundError)
        raise SceneError(error.message, error.hint, MISSING if lost else DAMAGED) from error


class Photos(Photographs):
    """Your own photographs for a pretrained network: a folder in which each folder is a class.

    The layout is that of ``vision.folder``: folders of classes, or folders ``train``, and ``valid``
    or ``test``, that hold them. Beside it, it varies training images, refuses or skips damaged
    ones, and sees to it that no image is in two parts.

    Parameters
    ----------
    path
        The folder.
    """

    layout = "dataset.path is a folder with one folder of images a class: DIR/cats/1.jpg."

    def __init__(self, *, path: Path, **options: Any) -> None:
        super().__init__(**options)
        self.path = Path(path).expanduser()
        self._folders = part_folders(self.path)
        self.classes = class_names(self._folders)
        if self.valid and "valid" in self._folders:
            raise ConfigError(
                f"dataset.valid is {self.valid}, but {self.path} has a folder valid",
                "Leave dataset.valid out, or move that folder away.",
            )

    def listed(self) -> dict[str, List[Listed]]:
        made = {}
        for part, folder in self._folders.items():
            files, labels = list_images(folder, self.classes, every=part in ("train", ""))
            made[part] = [Listed(f, Path(f), int(k)) for f, k in zip(files.tolist(), labels)]
        return made
