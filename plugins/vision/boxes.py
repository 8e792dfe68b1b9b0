"""Arithmetic of boxes in NumPy: areas, overlaps, what is left of them in a window.

Holds no images and no labels; a box is (left, top, right, bottom), in pixels or in shares of the
width and the height of its image, whichever: all boxes of one call alike.
"""

from __future__ import annotations

import numpy as np


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas (...) of boxes (..., 4); 0 where an edge lies on or beyond its opposite one."""
    sides = np.maximum(boxes[..., 2:4] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def shared_area(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area that each box of one list shares with each of another.

    Parameters
    ----------
    first, second
        (..., n, 4) and (..., m, 4); the axes in front are broadcast.

    Returns
    -------
    ndarray
        (..., n, m).
    """
    a, b = first[..., :, None, :], second[..., None, :, :]
    low = np.maximum(a[..., :2], b[..., :2])  # (..., n, m, 2)
    high = np.minimum(a[..., 2:4], b[..., 2:4])
    return area(np.concatenate([low, high], -1))


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of each box of one list with each of another, in [0, 1].

    Parameters
    ----------
    first, second
        (..., n, 4) and (..., m, 4); the axes in front are broadcast.

    Returns
    -------
    ndarray
        (..., n, m); 0 for two boxes without area.
    """
    shared = shared_area(first, second)
    union = area(first)[..., :, None] + area(second)[..., None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes: np.ndarray, width: float = 1.0, height: float = 1.0) -> np.ndarray:
    """Boxes (..., 4) cut off at the edges of an image of this width and height."""
    return np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))


def flip(boxes: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Boxes (..., 4) of images of this width whose left and right are exchanged."""
    flipped = boxes.copy()
    flipped[..., 0], flipped[..., 2] = width - boxes[..., 2], width - boxes[..., 0]
    return flipped


def centres(boxes: np.ndarray) -> np.ndarray:
    """Centres (..., 2), x before y, of boxes (..., 4)."""
    return (boxes[..., :2] + boxes[..., 2:4]) / 2


def inside(points: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Whether points (..., 2) lie in windows (..., 4), left and upper edge included: (...)."""
    after = (points >= windows[..., :2]).all(-1)
    return after & (points < windows[..., 2:4]).all(-1)


def crop(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Boxes in shares of a window, cut off at its edges.

    Parameters
    ----------
    boxes
        (..., 4), in shares of the image.
    windows
        (..., 4), in shares of the image, each with an area; broadcast against ``boxes``.

    Returns
    -------
    ndarray
        (..., 4), in shares of the window; without area where a box lies outside.
    """
    origin, sides = windows[..., :2], windows[..., 2:4] - windows[..., :2]
    low, high = (boxes[..., :2] - origin) / sides, (boxes[..., 2:4] - origin) / sides
    return clip(np.concatenate([low, high], -1))
