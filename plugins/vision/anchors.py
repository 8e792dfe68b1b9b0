"""Default boxes of a detector: where they lie, for feature maps, sizes and ratios.

Holds no matching and no coding of boxes; these are in ``matching.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def default_boxes(
    height: int, width: int, sizes: Sequence[float], ratios: Sequence[float]
) -> np.ndarray:
    """Boxes around the centre of each cell of a feature map.

    For each cell there are ``len(sizes) + len(ratios) - 1``: every size with the first ratio, then
    the first size with every other ratio. A box of size s and ratio r has a height of
    ``s / sqrt(r)``, in shares of the image's height, and is r times as wide as high in pixels.

    Parameters
    ----------
    height, width
        Cells of the feature map.
    sizes
        Shares of the image's height.
    ratios
        Width over height.

    Returns
    -------
    ndarray
        float32, (height * width * boxes of a cell, 4): left, top, right, bottom in shares of
        width and height. They may reach beyond the image.

    Notes
    -----
    Liu et al., "SSD: Single Shot MultiBox Detector" (2016), section 2.2. The order and the numbers
    are those of MXNet's ``MultiBoxPrior``, which takes the form of the image from that of the map.
    """
    pairs = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    size, ratio = np.array(pairs).T
    half = np.stack([size * np.sqrt(ratio) * height / width, size / np.sqrt(ratio)], -1) / 2
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    y, x = np.meshgrid(rows, columns, indexing="ij")
    centre = np.stack([x, y], -1)[:, :, None]  # (H, W, 1, 2)
    corners = np.concatenate([centre - half, centre + half], -1)  # (H, W, boxes, 4)
    return corners.reshape(-1, 4).astype(np.float32)


def scales(height: int, width: int, halvings: int) -> list[tuple[int, int]]:
    """Height and width of the five feature maps of an image.

    Parameters
    ----------
    height, width
        Pixels of the image.
    halvings
        How often the body halves them before the first map.

    Returns
    -------
    list
        Five pairs: each of the first four maps is half as high and wide as the one before, rounded
        down; the last is one cell. A pair is 0 where the image is too small.
    """
    first = [(height >> k, width >> k) for k in range(halvings, halvings + 4)]
    return [*first, (1, 1)]


def all_boxes(
    maps: Sequence[tuple[int, int]],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
) -> np.ndarray:
    """The default boxes (A, 4) of all maps, the finest first."""
    return np.concatenate([default_boxes(h, w, each, ratios) for (h, w), each in zip(maps, sizes)])
