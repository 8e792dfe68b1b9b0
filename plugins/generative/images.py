"""Sets of images without labels, for networks that make images; and a folder of a user's own.

Holds the base class and the folder; image files are read in core/pictures.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError
from dope.core.pictures import SUFFIXES, image_files, read_images


class Pictures:
    """Images in memory, as bytes, all of them for training.

    A subclass sets ``shape`` and overrides `read`.

    Parameters
    ----------
    mirror
        Mirror half of the images, drawn at random anew in each epoch.

    Attributes
    ----------
    shape : tuple of int
        (C, H, W) of an image; C is 1 (gray) or 3 (red, green, blue).
    """

    shape: tuple[int, int, int] = (3, 64, 64)

    def __init__(self, *, mirror: bool = False) -> None:
        self.mirror = mirror
        self._pixels: Optional[np.ndarray] = None

    def read(self) -> np.ndarray:
        """All images, uint8 (N, C, H, W)."""
        raise NotImplementedError

    @property
    def pixels(self) -> np.ndarray:
        """All images, uint8 (N, C, H, W); they are read at the first call."""
        if self._pixels is None:
            self._pixels = self.read()
        return self._pixels

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of inputs float32 (n, C, H, W); None for any part but ``train``."""
        if split != "train":
            return None
        return ArrayBatches([self.pixels], batch_size, shuffle=True, transform=self.transform)

    def transform(
        self, arrays: tuple[np.ndarray, ...], rng: Optional[np.random.Generator]
    ) -> tuple[np.ndarray, ...]:
        """A chunk as it goes to the device: mirrored if there is ``rng``, then scaled."""
        (pixels,) = arrays
        if self.mirror and rng is not None:
            turned = rng.random(len(pixels)) < 0.5
            pixels = np.where(turned[:, None, None, None], pixels[..., ::-1], pixels)
        return (to_input(pixels),)


def to_input(pixels: np.ndarray) -> np.ndarray:
    """Bytes 0 to 255 as float32 from -1 to 1, what a generator's tanh can give."""
    inputs = np.divide(pixels, np.float32(127.5), dtype=np.float32, order="C")
    inputs -= 1
    return inputs


def to_pixels(inputs: np.ndarray) -> np.ndarray:
    """The bytes nearest to numbers from -1 to 1; what lies beyond is cut."""
    return np.clip(np.rint((inputs + 1) * 127.5), 0, 255).astype(np.uint8)


class Folder(Pictures):
    """Your own images: a folder, with any names, in it and in the folders within.

    Images are files whose names end in .bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff or
    .webp; other files, hidden ones and links to folders are left alone.

    Parameters
    ----------
    path
        The folder.
    size
        Height and width in pixels: the short side is resized to it, the centre is cropped.
    gray
        One gray level a pixel instead of red, green and blue.
    most
        Use only the first so many by name; default all.
    """

    def __init__(
        self,
        *,
        path: Path,
        size: int = 64,
        gray: bool = False,
        most: Optional[int] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_size(size, most)
        self.path = Path(path).expanduser()
        self.shape = (1 if gray else 3, size, size)
        self.most = most
        if not self.path.is_dir():
            raise ConfigError(f"there is no folder {self.path}", "Mend dataset.path.")

    def read(self) -> np.ndarray:
        files = [
            file
            for folder, inner, _ in os.walk(self.path)
            if not inner.sort() and _seen(Path(folder), self.path)
            for file in image_files(Path(folder))
        ]
        if len(files) < 2:
            raise ConfigError(
                f"{self.path} holds {'one image' if files else 'no images'}",
                f"Put some in; their names end in {', '.join(SUFFIXES)}.",
            )
        return read_images(files[: self.most], self.shape)


def check_size(size: int, most: Optional[int]) -> None:
    """Insist that a size in pixels and a number of images are such."""
    if not 1 <= size <= 4096:
        raise ConfigError(f"dataset.size is {size}", "It is between 1 and 4096.")
    if most is not None and most < 2:
        raise ConfigError(f"dataset.most is {most}", "It is at least 2.")


def _seen(folder: Path, top: Path) -> bool:
    """Whether neither the folder nor one above it, below the top, is hidden."""
    return not any(part.startswith(".") for part in folder.relative_to(top).parts)
