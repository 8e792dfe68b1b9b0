"""Pictures of detectors: images with boxes drawn on them, and curves of precision and recall.

Holds drawing only; what all pictures share is in core/plots.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dope.core.plots import DPI, GREY, INK, blank, dress, save
from dope.plugins.vision.average_precision import joined, matched_coco, sorted_by_class

# Told apart on any ground, each with the colour of the text on it
COLOURS = (
    ("#0072B2", "white"),
    ("#D55E00", "white"),
    ("#009E73", "white"),
    ("#CC79A7", "black"),
    ("#E69F00", "black"),
    ("#56B4E9", "black"),
    ("#F0E442", "black"),
    ("#222222", "white"),
)
SIDE = 1.9  # inches of an image in a grid
COLUMNS = 6
LARGEST = 1600  # pixels of the longer side of a drawn image


class Curve(NamedTuple):
    """Precision at each recall of one class at IoU 0.5, and the objects that there are."""

    recall: np.ndarray
    precision: np.ndarray
    total: int


def grid(
    path: Path,
    pixels: np.ndarray,
    found: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    classes: Sequence[str],
    heading: str = "",
) -> Path:
    """Images with found boxes, coloured and named, over true ones, white and dashed.

    Parameters
    ----------
    path
        The PNG to write.
    pixels
        uint8, (n, H, W, 3).
    found
        For each image (p, 6): class, probability, left, top, right, bottom in shares.
    truth
        For each image, or more of them, (m, 6): class, left, top, right, bottom, difficult.
    classes
        Their names.
    heading
        Over all.
    """
    n, height, width = pixels.shape[:3]
    columns = min(COLUMNS, n)
    rows = -(-n // columns)
    tall = SIDE * height / width
    size = columns * (SIDE + 0.08) + 0.12, rows * (tall + 0.08) + 0.12 + 0.3 * bool(heading)
    fig = blank(*size, layout=None)
    for i in range(n):
        left = 0.1 + i % columns * (SIDE + 0.08)
        low = size[1] - 0.3 * bool(heading) - 0.1 - tall - i // columns * (tall + 0.08)
        area = (left / size[0], low / size[1], SIDE / size[0], tall / size[1])
        axes = _image(fig, area, pixels[i])
        for _, *corners, _ in truth[i]:
            _box(axes, corners, "black", 2.2)
            _box(axes, corners, "white", 1.2, dashed=True)
        _found(axes, found[i], classes, 6.5)
    if heading:
        text = f"{heading}: found boxes coloured, true ones white and dashed"
        fig.text(0.1 / size[0], 1 - 0.08 / size[1], text, va="top", fontsize=11, color=INK)
    return save(fig, path)


def drawn(path: Path, image: np.ndarray, boxes: np.ndarray, classes: Sequence[str]) -> Path:
    """One image with found boxes, as large as it is, or enlarged if it is small.

    Parameters
    ----------
    path
        The PNG to write.
    image
        uint8, (H, W, 3).
    boxes
        (p, 6): class, probability, left, top, right, bottom in shares.
    classes
        Their names.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    times = max(1, round(480 / longer)) if longer < 480 else min(1.0, LARGEST / longer)
    size = width * times / DPI, height * times / DPI
    fig = blank(*size, layout=None)
    axes = _image(fig, (0, 0, 1, 1), image)
    _found(axes, boxes, classes, float(np.clip(2.2 * min(size), 7, 14)))
    return save(fig, path)


def opened(path: str) -> np.ndarray:
    """An image file at its own size, as a viewer shows it: uint8, (H, W, 3)."""
    from PIL import Image, ImageOps

    from dope.plugins.vision.detection_images import opaque

    with Image.open(path) as file:
        return np.asarray(opaque(ImageOps.exif_transpose(file)))


def curves_of(
    truth: Sequence[np.ndarray], found: Sequence[np.ndarray], classes: int
) -> list[Curve]:
    """Precision and recall of each class at IoU 0.5, as COCO matches boxes.

    Parameters
    ----------
    truth, found, classes
        As `average_precision.mean_average_precision` takes them.
    """
    made = []
    true_class = sorted_by_class([np.asarray(each, float) for each in truth], classes)
    found_class = sorted_by_class([np.asarray(each, float) for each in found], classes)
    for true, boxes in zip(true_class, found_class):
        hits = joined([matched_coco(t, f) for t, f in zip(true, boxes)])
        total = sum(int((t[:, 5] == 0).sum()) for t in true)
        right = np.cumsum(hits.right[0])
        wrong = np.cumsum(~hits.right[0] & ~hits.ignored[0])
        made.append(Curve(right / max(1, total), right / np.maximum(1, right + wrong), total))
    return made


def precision_recall(
    path: Path, curves: Sequence[Curve], classes: Sequence[str], shares: Sequence[float]
) -> Path:
    """Precision over recall of each class, with its average precision.

    Parameters
    ----------
    path
        The PNG to write.
    curves
        One a class.
    classes
        Their names.
    shares
        Average precision of each; nan where it has no object.
    """
    fig = blank(7.4, 4.6)
    mean = float(np.nanmean(shares)) if np.isfinite(shares).any() else float("nan")
    axes = dress(fig.add_subplot(), f"Precision and recall at IoU 0.5, mAP {mean:.3f}")
    order = np.argsort([-share if share == share else 1 for share in shares], kind="stable")
    for k in order:
        if curves[k].total:
            many = len(classes) > len(COLOURS)
            axes.plot(
                np.concatenate([[0], curves[k].recall]),
                np.concatenate([[1], curves[k].precision]),
                color=GREY if many else COLOURS[k % len(COLOURS)][0],
                linewidth=1.0 if many else 1.7,
                label=None if many else f"{classes[k]}  {shares[k]:.3f}",
            )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    if len(classes) <= len(COLOURS):
        fig.legend(
            frameon=False, loc="outside right upper", fontsize=9, title="average precision"
        )  # beside the lines, which go everywhere
    return save(fig, path)


def _image(fig: Any, area: tuple[float, float, float, float], image: np.ndarray) -> Any:
    """Axes with an image whose sides are 1 long, y downwards."""
    axes = fig.add_axes(area)
    small = max(image.shape[:2]) < 200
    axes.imshow(
        image,
        extent=(0, 1, 1, 0),
        aspect="auto",
        interpolation="nearest" if small else "antialiased",
    )
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(1, 0))
    return axes


def _box(
    axes: Any, corners: Sequence[float], colour: str, width: float, dashed: bool = False
) -> None:
    from matplotlib.patches import Rectangle

    left, top, right, bottom = corners
    box = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour)
    box.set(linewidth=width, linestyle=(0, (3, 2)) if dashed else "-")
    axes.add_patch(box)


def _found(axes: Any, boxes: np.ndarray, classes: Sequence[str], size: float) -> None:
    """Boxes with name and probability, the surest on top; text stays inside the image."""
    for kind, sure, *corners in boxes[::-1]:
        colour, ink = COLOURS[int(kind) % len(COLOURS)]
        _box(axes, corners, colour, 1.8)
        high = corners[1] > 0.09  # room above the box
        axes.text(
            min(max(corners[0], 0.0), 0.8),
            corners[1],
            f"{classes[int(kind)]} {sure:.2f}",
            fontsize=size,
            color=ink,
            va="bottom" if high else "top",
            ha="left",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0},
            clip_on=True,
        )
