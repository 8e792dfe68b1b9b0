"""What every set of labelled images is: its parts, its options, how pixels become inputs.

Holds the base class and the stratified draw; where the images of a data set come from is in its own
file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Union

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError, DataError
from dope.core.pictures import read_image

Part = tuple[np.ndarray, np.ndarray]
PARTS = ("train", "valid", "test")


class ImageSet:
    """Labelled images in memory, as bytes, in up to three parts: train, valid, test.

    A subclass sets ``classes`` and ``shape`` and overrides `read`, and `augment` where training
    images are varied.

    Parameters
    ----------
    train
        Use only the first so many training images; default all.
    test
        Use only the last so many test images; default all.
    valid
        Share of the training images, the last of those used, that is set apart for validation;
        0 for none.
    normalize
        Subtract the set's mean and divide by its standard deviation, a pair for each colour, after
        pixels are scaled to [0, 1].

    Attributes
    ----------
    classes : list of str
        Name of each class; a label is a place in this list.
    shape : tuple of int
        (C, H, W) of an image; C is 1 (gray) or 3 (red, green, blue).
    mean, std : tuple of float
        What ``normalize`` uses: one number a colour, in units of 255, fixed and not taken from
        the part in use, so that they are the same when one image is predicted.
    """

    classes: list[str] = []
    shape: tuple[int, int, int] = (1, 28, 28)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __init__(
        self,
        *,
        train: Optional[int] = None,
        test: Optional[int] = None,
        valid: float = 0.0,
        normalize: bool = False,
    ) -> None:
        for option, count in (("train", train), ("test", test)):
            if count is not None and count < 1:
                raise ConfigError(f"dataset.{option} is {count}", "It is 1 or more, or left out.")
        if not 0 <= valid < 1:
            raise ConfigError(f"dataset.valid is {valid}", "It is at least 0 and below 1.")
        self.train = train
        self.test = test
        self.valid = valid
        self.normalize = normalize
        self._parts: Optional[dict[str, Part]] = None

    def read(self) -> dict[str, Part]:
        """Pixels and labels of each part that the files have, before ``valid`` is set apart."""
        raise NotImplementedError

    def augment(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vary training images, uint8 (N, C, H, W) to the same; here they stay as they are."""
        return pixels

    def split(self, name: str) -> Optional[Part]:
        """One part of the set; the files are read at the first call.

        Parameters
        ----------
        name
            ``train``, ``valid`` or ``test``.

        Returns
        -------
        pixels : ndarray
            uint8, (N, C, H, W).
        labels : ndarray
            int32, (N,).

        None is returned where there is no such part.

        Raises
        ------
        ConfigError
            Files are missing, or an option asks for more images than there are.
        DataError
            A file is not what it should be.
        """
        if name not in PARTS:
            raise ValueError(f"there is no part '{name}', only {', '.join(PARTS)}")
        if self._parts is None:
            self._parts = self._divide(self.read())
        return self._parts.get(name)

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of inputs float32 (n, C, H, W) and labels float32 (n,); None: no such part.

        Only ``train`` is shuffled and augmented.
        """
        part = self.split(split)
        if part is None:
            return None
        return ArrayBatches(part, batch_size, shuffle=split == "train", transform=self.transform)

    def transform(self, arrays: Part, rng: Optional[np.random.Generator]) -> Part:
        """A chunk as it goes to the device: augmented if there is ``rng``, then scaled.

        Labels become float32 too, the type in which MXNet's pick and argmax compare.
        """
        pixels, labels = arrays
        if rng is not None:
            pixels = self.augment(pixels, rng)
        return self.to_input(pixels), labels.astype(np.float32)

    def to_input(self, pixels: np.ndarray) -> np.ndarray:
        """What a network sees: pixels / 255, then ``normalize``.

        Parameters
        ----------
        pixels
            uint8, (N, C, H, W).

        Returns
        -------
        ndarray
            float32, (N, C, H, W), in C order.
        """
        inputs = np.divide(pixels, np.float32(255), dtype=np.float32, order="C")
        if self.normalize:
            inputs -= np.array(self.mean, np.float32)[:, None, None]  # (C, 1, 1)
            inputs /= np.array(self.std, np.float32)[:, None, None]
        return inputs

    def from_image(self, path: Union[str, Path]) -> np.ndarray:
        """Any image file in this set's colours and size: uint8, (C, H, W).

        The file is seen as a viewer shows it: turned as its EXIF tag says, white behind what is
        transparent. The short side is resized to fit, with antialiasing, and the centre is
        cropped. Colours are not inverted: handwritten digits in the sets here are white on black,
        so a photo of dark ink on paper has to be inverted before.

        Raises
        ------
        ConfigError
            There is no such file, or it cannot be read as an image.
        """
        try:
            return read_image(Path(path), self.shape)
        except DataError as error:
            raise ConfigError(error.message, error.hint) from error

    def _divide(self, parts: dict[str, Part]) -> dict[str, Part]:
        found = dict(parts)
        if self.train is not None:
            found["train"] = _some(found, "train", self.train, slice(0, self.train))
        if self.test is not None:
            found["test"] = _some(found, "test", self.test, slice(-self.test, None))
        if self.valid:
            pixels, labels = found["train"]
            cut = len(labels) - round(self.valid * len(labels))
            if not 0 < cut < len(labels):
                raise ConfigError(
                    f"dataset.valid={self.valid} of {len(labels)} training images leaves no image "
                    f"for {'validation' if cut else 'training'}",
                    "Use more training images or another share.",
                )
            found["train"] = pixels[:cut], labels[:cut]
            found["valid"] = pixels[cut:], labels[cut:]
        return found


def _some(parts: dict[str, Part], name: str, count: int, rows: slice) -> Part:
    pixels, labels = parts.get(name, ((), ()))
    if count > len(labels):
        raise ConfigError(
            f"dataset.{name}={count}, but there are {len(labels)} {name} images",
            f"Set dataset.{name} to {len(labels)} or less." if len(labels) else "Leave it out.",
        )
    return pixels[rows].copy(), labels[rows].copy()  # a view would keep the rest in memory


def stratified(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows held out, each in random order.

    All rows are put into one random order, and of each class the first ``share``, rounded, are
    held out; one of each class always stays.

    Parameters
    ----------
    labels
        (N,).
    share
        In [0, 1).
    seed
        Of NumPy's generator.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        held[members[: min(round(share * len(members)), len(members) - 1)]] = True
    return order[~held[order]], order[held[order]]
