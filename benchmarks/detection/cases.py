"""What is measured: one detector, sizes of images and of batches; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The loops are the files beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEED = 0
CLASSES = 5
OBJECTS = 4
BODY, STAGES = (16, 32, 64), (128, 128, 128)
SIZES = ((0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961))
RATIOS = (1.0, 2.0, 0.5)
VARIANCES = (0.1, 0.1, 0.2, 0.2)
MATCHED = 0.5  # IoU from which on a default box is to find an object
LEARNING_RATE = 0.01
# Nothing learned yet: a threshold low enough that the 400 surest boxes are compared
THRESHOLD, OVERLAP, MOST = 0.05, 0.45, 400


@dataclass(frozen=True)
class Case:
    """One job of the detector.

    Parameters
    ----------
    size
        Height and width of the images.
    batch
        Images a step.
    images
        Images of the data, a multiple of ``batch``.
    finds
        Find boxes, suppression of all but the best included, in place of learning.
    parameters
        Learned numbers. A tool with another count runs another model.
    of_book
        The same in the book's loop, whose convolutions have a bias before normalization too.
    """

    size: int
    batch: int
    images: int
    finds: bool = False
    parameters: int = 1_092_408
    of_book: int = 1_093_400


CASES = {
    "train-128": Case(128, 32, 128),
    "train-256": Case(256, 16, 32),
    "find-128": Case(128, 32, 128, finds=True),
}


def write_scenes(folder: Path, case: Case, count: int) -> None:
    """Write ``images.npy``, uint8 (n, H, W, 3), and ``labels.npy``, float32 (n, 4, 5)."""
    rng = np.random.default_rng(SEED)
    cells = rng.integers(0, 256, (count, case.size // 8, case.size // 8, 3), dtype=np.uint8)
    images = cells.repeat(8, axis=1).repeat(8, axis=2)
    labels = np.full((count, OBJECTS, 5), -1, np.float32)
    for image, rows in zip(images, labels):
        for row in rows[: rng.integers(1, OBJECTS + 1)]:
            sides = rng.uniform(0.16, 0.5, 2)
            low = rng.random(2) * (1 - sides)
            kind = rng.integers(CLASSES)
            row[:] = kind, *low, *(low + sides)
            left, top, right, bottom = (row[1:] * case.size).astype(int)
            image[top:bottom, left:right] = 40 * kind + 40
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)


def scenes(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 (n, 3, H, W) between 0 and 1, and labels."""
    images = np.load(folder / "images.npy").transpose(0, 3, 1, 2).astype(np.float32) / 255
    return np.ascontiguousarray(images), np.load(folder / "labels.npy")


def default_boxes(size: int) -> np.ndarray:
    """The default boxes of all maps, float32 (A, 4)."""
    found = []
    for (cells, *_), pair in zip(maps(size), SIZES):
        centres = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        for_cell = [(s, 1.0) for s in pair] + [(pair[0], r) for r in RATIOS[1:]]
        half = np.array([(s * r**0.5, s / r**0.5) for s, r in for_cell]) / 2
        centre = np.stack([x, y], -1)[:, :, None]
        found.append(np.concatenate([centre - half, centre + half], -1).reshape(-1, 4))
    return np.concatenate(found).astype(np.float32)


def maps(size: int) -> Iterator[tuple[int, int]]:
    """Cells a side and channels of each feature map."""
    channels = (BODY[-1], *STAGES, STAGES[-1])
    return zip([size >> k for k in range(3, 7)] + [1], channels)
