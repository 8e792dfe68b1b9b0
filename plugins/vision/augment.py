"""Varying training images: random crops after padding, and mirroring.

Holds functions on whole chunks of uint8 images; which set uses them is the set's matter.
"""

from __future__ import annotations

import numpy as np


def random_crop(pixels: np.ndarray, pad: int, rng: np.random.Generator) -> np.ndarray:
    """Shift each image by up to ``pad`` pixels each way, black coming in from outside.

    The image is padded with zeros on all sides and a window of its own size is cut out at a place
    drawn evenly, as He et al., Deep Residual Learning for Image Recognition (2016), section 4.2,
    do with 4 pixels on CIFAR-10.

    Parameters
    ----------
    pixels
        uint8, (N, C, H, W); left as it is.
    pad
        Pixels of padding on each side, 0 or more.
    rng
        Draws (2, N) whole numbers: the rows' places, then the columns'.

    Returns
    -------
    ndarray
        uint8, (N, C, H, W), in C order.
    """
    n, channels, height, width = pixels.shape
    padded = np.zeros((n, channels, height + 2 * pad, width + 2 * pad), pixels.dtype)
    padded[:, :, pad : pad + height, pad : pad + width] = pixels
    windows = np.lib.stride_tricks.sliding_window_view(  # type: ignore[call-overload]
        padded, (height, width), axis=(2, 3)
    )
    top, left = rng.integers(0, 2 * pad + 1, (2, n))
    return windows[np.arange(n), :, top, left]  # of (N, C, 2 pad + 1, 2 pad + 1, H, W)


def random_mirror(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exchange left and right in each image with probability one half.

    Parameters
    ----------
    pixels
        uint8, (N, C, H, W); left as it is.
    rng
        Draws N numbers in [0, 1); an image is mirrored where its number is below 0.5.

    Returns
    -------
    ndarray
        uint8, (N, C, H, W), in C order.
    """
    mirrored = pixels.copy(order="C")
    chosen = rng.random(len(pixels)) < 0.5
    mirrored[chosen] = pixels[chosen, :, :, ::-1]
    return mirrored
