"""Pictures that are none of a data set's: its own inverted, and letters.

Holds arrays only; what a network makes of them is the task's matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"  # without those that are digits as well: I, O, S
SEED = 26


def pictures(inputs: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """By name, as many as there are inputs, in batches of the same shapes.

    Parameters
    ----------
    inputs
        Batches of pictures (n, C, H, W); of anything else nothing is made.
    """
    if not inputs or inputs[0].ndim != 4:
        return {}
    low, high = min(x.min() for x in inputs), max(x.max() for x in inputs)
    inverted = [(low + high - x).astype(np.float32) for x in inputs]
    drawn = letters(sum(map(len, inputs)), inputs[0].shape[2:])
    written, start = [], 0
    for x in inputs:
        some = drawn[start : start + len(x), None]
        start += len(x)
        written.append(np.broadcast_to(low + (high - low) * some, x.shape).astype(np.float32))
    return {"inverted": inverted, "letters": written}


def letters(count: int, shape: Sequence[int]) -> np.ndarray:
    """Capital letters of several fonts and sizes, a little turned, (count, H, W) from 0 to 1."""
    rng = np.random.default_rng(SEED)
    kinds = [(text, font, angle) for text in LETTERS for font in FONTS for angle in (-12, 0, 12)]
    made = np.stack([_letter(*kind, shape) for kind in kinds])
    return made[rng.integers(0, len(made), count)]


FONTS = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono")  # these come with Matplotlib


def _letter(text: str, font: str, angle: float, shape: Sequence[int]) -> np.ndarray:
    """One letter in the middle of a picture, white on black."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    fine = 4  # pixels to one of the picture, so that edges are soft
    height, width = shape
    figure = Figure(figsize=(width * fine / 100, height * fine / 100), dpi=100, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    axes.set_axis_off()
    letter = TextPath((0, 0), text, size=1, prop=FontProperties(family=font, weight="bold"))
    path = Affine2D().rotate_deg(angle).transform_path(letter)
    box = path.get_extents()
    scale = 1.4 / max(box.width, box.height)
    middle = -(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2
    place = Affine2D().translate(*middle).scale(scale)
    axes.add_patch(PathPatch(place.transform_path(path), color="white", linewidth=0))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., 0].astype(np.float32) / 255
    return pixels.reshape(height, fine, width, fine).mean(axis=(1, 3))
