"""Sheets of images: many in one file, pixel for pixel, and sheets beside each other with titles.

Holds drawing only; which images are shown is the tasks' matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import numpy as np

from dope.core.plots import DPI, blank, save
from dope.core.rundir import replacing

SMALLEST = 64  # pixels that an image takes at least in a sheet
EDGE, TITLE = 0.15, 0.32  # inches around a sheet, and above it
PAPER = 255


def sheet(pixels: np.ndarray, columns: Optional[int] = None) -> np.ndarray:
    """Images in rows, from left to right, with a little white between them.

    Parameters
    ----------
    pixels
        uint8, (n, C, H, W); C is 1 or 3. Small images are enlarged by a whole number.
    columns
        Images in a row; default so many that the sheet is about square.

    Returns
    -------
    ndarray
        uint8, (height, width, 3).
    """
    n, _, height, width = pixels.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    times = max(1, -(-SMALLEST // max(height, width)))
    images = np.repeat(np.repeat(np.moveaxis(pixels, 1, -1), times, axis=1), times, axis=2)
    height, width, gap = height * times, width * times, 2
    made = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), PAPER, np.uint8)
    for i, image in enumerate(images):
        top = gap + i // columns * (height + gap)
        left = gap + i % columns * (width + gap)
        made[top : top + height, left : left + width] = image
    return made


def save_pixels(path: Path, pixels: np.ndarray) -> Path:
    """Write uint8 (H, W, 3) as PNG, whole or not at all.

    Raises
    ------
    RunError
        The disk is full or the folder cannot be written.
    """
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="png", optimize=True)
    return path


def save_sheets(path: Path, sheets: Mapping[str, np.ndarray]) -> Path:
    """Sheets of one height beside each other, each under its title, as PNG.

    Parameters
    ----------
    path
        The PNG to write.
    sheets
        Title to uint8 (height, width, 3); one pixel of a sheet is one of the picture.
    """
    sizes = [(image.shape[1] / DPI, image.shape[0] / DPI) for image in sheets.values()]
    width = EDGE + sum(w + EDGE for w, _ in sizes)
    height = max(h for _, h in sizes) + TITLE + EDGE
    fig = blank(width, height, layout=None)
    left = EDGE
    for (title, image), (w, h) in zip(sheets.items(), sizes):
        axes = fig.add_axes((left / width, 1 - (TITLE + h) / height, w / width, h / height))
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(title, loc="left", fontsize=12)
        left += w + EDGE
    return save(fig, path)
