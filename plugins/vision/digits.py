"""The 1,797 hand-written digits of 8x8 pixels that come with dope, at 8x8 or interpolated.

Holds the data set and its enlargement; data/README.md says where the numbers are from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.vision.images import ImageSet, Part, stratified

FILE = Path(__file__).parent / "data" / "digits.npz"
HELD_OUT = 0.2
SEED = 1998  # the year of the data; other seeds would make other parts


class Digits(ImageSet):
    """1,797 hand-written digits of 8x8 pixels, white on black, shipped with dope.

    The test part of Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), UCI
    Machine Learning Repository, CC BY 4.0. Its 17 gray levels 0 … 16 become 0 … 255. A fifth of
    each class, 359 images, is held out as ``test``: always the same, drawn at random with a fixed
    seed. The other 1,438 are ``train``, in random order. All 13 writers are in both parts.

    Parameters
    ----------
    size
        Height and width, 8 to 256; above 8 by bilinear interpolation between the centres of
        pixels.
    """

    classes = [str(digit) for digit in range(10)]
    mean = (0.3053,)
    std = (0.3759,)

    def __init__(self, *, size: int = 8, **options: Any) -> None:
        super().__init__(**options)
        if not 8 <= size <= 256:
            raise ConfigError(f"dataset.size is {size}", "It is between 8 and 256.")
        self.size = size
        self.shape = (1, size, size)

    def read(self) -> dict[str, Part]:
        with np.load(FILE, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"].astype(np.int32)
        pixels = enlarge(images * (255 / 16), self.size)[:, None]
        kept, held = stratified(labels, HELD_OUT, SEED)
        return {
            "train": (pixels[kept], labels[kept]),
            "test": (pixels[held], labels[held]),
        }


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Square gray images at ``size`` by bilinear interpolation, rounded to whole levels, halves up.

    Pixels are squares and their values lie at their centres; beyond the outermost centres the
    image goes on as it is there.

    Parameters
    ----------
    images
        Numbers in [0, 255], (N, S, S).
    size
        New height and width, S or more.

    Returns
    -------
    ndarray
        uint8, (N, size, size).
    """
    old = images.shape[1]
    # where the new centres lie, counted in old pixels from the first old centre
    places = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    distance = np.abs(places[:, None] - np.arange(old))  # (size, S)
    weights = np.maximum(0, 1 - distance)
    return np.concatenate(
        [
            # 1e-9 lifts halves over rounding errors, which differ between machines
            np.floor(weights @ some @ weights.T + (0.5 + 1e-9)).astype(np.uint8)
            for some in np.array_split(images, 1 + len(images) * size**2 // 2**22)  # 32 MB each
        ]
    )
