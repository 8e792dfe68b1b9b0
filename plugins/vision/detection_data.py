"""What every set of images with boxes is: its parts, its options, what a network gets of it.

Holds the base class; where images and boxes come from is in the file of each data set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.detection_augment import (
    compact,
    cut_out,
    random_colours,
    random_mirror,
    random_windows,
)

PARTS = ("train", "valid", "test")
DIFFICULT, CROWD = 1, 2  # in the sixth column of `DetectionSet.truth`


class Scenes(NamedTuple):
    """Images and what is in them.

    Parameters
    ----------
    pixels
        uint8, (N, H, W, 3).
    objects
        For each image (m, 6): class, left, top, right, bottom in shares of width and height, and
        0, `DIFFICULT` or `CROWD`.
    """

    pixels: np.ndarray
    objects: list[np.ndarray]


class DetectionSet:
    """Images of one size with boxes, in memory as bytes, in up to three parts.

    A subclass sets ``classes`` and overrides `read`.

    Parameters
    ----------
    size
        Height and width in pixels; images of other forms are stretched, and their boxes with them.
    augment
        Vary training images, as the next three options say.
    mirror
        Exchange left and right in half of them.
    crop
        Share of them from which a random part is cut out, as SSD does: one that overlaps some
        object by a drawn IoU or more; objects whose centre lies outside are left out.
    jitter
        Brightness, contrast and saturation change by factors up to so much from 1.
    normalize
        Subtract a mean and divide by a standard deviation, a pair for each colour, after pixels
        are scaled to [0, 1].

    Attributes
    ----------
    classes : list of str
        Name of each class; a label is a place in this list.
    shape : tuple of int
        (3, H, W) of an image.
    most : int
        Rows of labels of each image: the most objects that any has.
    mean, std : tuple of float
        What ``normalize`` uses, in units of 255: those of ImageNet.
    skipped : dict of str to int
        What was left out, by its reason; empty where nothing was.
    skips : list of str
        The first few of them: file, object, reason.
    """

    classes: list[str] = []
    most: int = 1
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __init__(
        self,
        *,
        size: int = 128,
        augment: bool = True,
        mirror: bool = True,
        crop: float = 0.5,
        jitter: float = 0.2,
        normalize: bool = False,
    ) -> None:
        if not 32 <= size <= 2048:
            raise ConfigError(f"dataset.size is {size}", "It is between 32 and 2048.")
        if not 0 <= crop <= 1:
            raise ConfigError(f"dataset.crop is {crop}", "It is between 0 and 1.")
        if not 0 <= jitter < 1:
            raise ConfigError(f"dataset.jitter is {jitter}", "It is at least 0 and below 1.")
        self.size, self.shape = size, (3, size, size)
        self.augment, self.mirror, self.crop, self.jitter = augment, mirror, crop, jitter
        self.normalize = normalize
        self.skipped: dict[str, int] = {}
        self.skips: list[str] = []
        self._parts: dict[str, Optional[Scenes]] = {}

    def read(self, part: str) -> Optional[Scenes]:
        """The images and objects of one part; None where there is no such part."""
        raise NotImplementedError

    def scenes(self, split: str) -> Optional[Scenes]:
        """One part: ``train``, ``valid`` or ``test``; read at the first call.

        Raises
        ------
        ConfigError
            Files are missing, or an option asks for what there is not.
        DataError
            A file is not what it should be.
        """
        if split not in PARTS:
            raise ValueError(f"there is no part '{split}', only {', '.join(PARTS)}")
        if split not in self._parts:
            self._parts[split] = self.read(split)
        return self._parts[split]

    def images(self, split: str) -> Optional[np.ndarray]:
        """The images of a part in its order, to be drawn on: uint8, (N, H, W, 3)."""
        part = self.scenes(split)
        return None if part is None else part.pixels

    def truth(self, split: str) -> Optional[list[np.ndarray]]:
        """What is in each image of a part, in its order: float32 (m, 6) each.

        The columns are class, left, top, right and bottom in shares of width and height, and 0 for
        an object that counts, 1 for a difficult one, 2 for a crowd.
        """
        part = self.scenes(split)
        return None if part is None else part.objects

    def labels(self, split: str) -> Optional[np.ndarray]:
        """What is learned from: float32, (N, most, 5), without crowds; -1 where no object is."""
        part = self.scenes(split)
        if part is None:
            return None
        rows = np.full((len(part.objects), max(1, self.most), 5), -1, np.float32)
        for row, found in zip(rows, part.objects):
            single = found[found[:, 5] != CROWD, :5]
            row[: len(single)] = single
        return rows

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of images float32 (n, 3, H, W) and labels float32 (n, most, 5).

        Of an object the label has class, left, top, right, bottom in shares of width and height;
        rows of -1 come after all objects. Only ``train`` is shuffled and varied.
        """
        images, labels = self.images(split), self.labels(split)
        if images is None or labels is None:
            return None
        train = split == "train"
        return ArrayBatches(
            (images, labels),
            batch_size,
            shuffle=train,
            transform=self.transform if train else self.plain,
        )

    def transform(
        self, arrays: Any, rng: Optional[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A chunk as it goes to the device, varied if there is ``rng`` and ``augment`` is on."""
        images, labels = arrays
        if rng is not None and self.augment:
            if self.mirror:
                images, labels = random_mirror(images, labels, rng)
            if self.crop:
                windows = random_windows(labels, self.crop, rng)
                images, labels = cut_out(images, labels, windows)
            if self.jitter:
                images = random_colours(images, self.jitter, rng)
        return self.to_input(images), compact(labels, labels[..., 0] >= 0)

    def plain(
        self, arrays: Any, rng: Optional[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A chunk as it goes to the device, never varied."""
        return self.transform(arrays, None)

    def to_input(self, pixels: np.ndarray) -> np.ndarray:
        """What a network sees: pixels / 255, then ``normalize``.

        Parameters
        ----------
        pixels
            uint8, (N, H, W, 3).

        Returns
        -------
        ndarray
            float32, (N, 3, H, W), in C order.
        """
        inputs = np.divide(pixels.transpose(0, 3, 1, 2), np.float32(255), order="C")
        if self.normalize:
            inputs -= np.array(self.mean, np.float32)[:, None, None]  # (3, 1, 1)
            inputs /= np.array(self.std, np.float32)[:, None, None]
        return inputs

    def from_image(self, path: Union[str, Path]) -> np.ndarray:
        """Any image file at this set's size, stretched to it: uint8, (H, W, 3).

        Raises
        ------
        ConfigError
            There is no such file, or it cannot be read as an image.
        """
        from dope.plugins.vision.detection_images import read_scene

        try:
            return read_scene(Path(path), self.size)
        except DataError as error:
            raise ConfigError(error.message, error.hint) from error

    def skip_note(self) -> str:
        """What was left out in one line, most frequent first; empty where nothing was."""
        counts = sorted(self.skipped.items(), key=lambda item: (-item[1], item[0]))
        return "left out: " + ", ".join(f"{n} {why}" for why, n in counts) if counts else ""
