"""Pictures of translations: inputs, outputs and targets in a grid, and single images as files.

Holds drawing only; what all pictures share is in core/plots.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dope.core.plots import DPI, INK, blank, save
from dope.core.rundir import replacing

GAP = 6  # pixels of the grid between images
LINES = ("input", "output", "target")


def grid(
    path: Path, inputs: np.ndarray, outputs: np.ndarray, targets: np.ndarray, heading: str = ""
) -> Path:
    """A column a pair: the input above, what was made of it, and what it should be.

    Parameters
    ----------
    path
        The PNG to write.
    inputs, outputs, targets
        uint8, (n, 3, H, W).
    heading
        Over all.
    """
    n, _, h, w = inputs.shape
    zoom = max(1, round(128 / h))
    h, w = h * zoom, w * zoom
    left, top, edge = 62, 34 * bool(heading) + 8, 10
    size = (left + n * (w + GAP) + edge, top + 3 * (h + GAP) + edge)
    fig = blank(size[0] / DPI, size[1] / DPI, layout=None)
    axes = fig.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))
    axes.set_axis_off()
    for line, (name, images) in enumerate(zip(LINES, (inputs, outputs, targets))):
        y = top + line * (h + GAP)
        axes.text(left - 8, y + h / 2, name, ha="right", va="center", fontsize=8.5, color=INK)
        for column, image in enumerate(images):
            x = left + column * (w + GAP)
            shown = np.kron(image.transpose(1, 2, 0), np.ones((zoom, zoom, 1), np.uint8))
            axes.imshow(shown, extent=(x, x + w, y + h, y), interpolation="nearest")
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    if heading:
        axes.text(left, 24, heading, ha="left", va="baseline", fontsize=12, color=INK)
    return save(fig, path)


def write(path: Path, image: np.ndarray) -> Path:
    """Write one image, uint8 (3, H, W), as PNG, whole or not at all."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(
            temporary, format="PNG"
        )
    return path
