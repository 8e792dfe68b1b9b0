"""What is measured: one network with a head for two classes; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The loops are the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEED = 0
CLASSES = ("not hotdog", "hotdog")
LEARNING_RATE, DECAY = 0.01, 0.002
POSITIVE = 5  # the book's weight of hot dogs
MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)


@dataclass(frozen=True)
class Case:
    """Training of all layers of SqueezeNet 1.1.

    Parameters
    ----------
    size
        Height and width of the images.
    batch
        Images a step.
    images
        Images of the data, a multiple of ``batch``.
    parameters
        Learned numbers. A tool with another count runs another model.
    """

    size: int
    batch: int
    images: int
    parameters: int = 723_522


CASES = {"train-224": Case(224, 32, 64), "train-64": Case(64, 32, 256)}


def write_photos(folder: Path, case: Case, count: int) -> None:
    """Write ``images.npy``, uint8 (n, 3, H, W), ``labels.npy``, int64 (n,), and the same as PNGs.

    The files are in folders of classes, in the order of the array.
    """
    from PIL import Image

    rng = np.random.default_rng(SEED)
    cells = rng.integers(0, 256, (count, 3, case.size // 8, case.size // 8), dtype=np.uint8)
    images = cells.repeat(8, axis=2).repeat(8, axis=3)
    labels = np.arange(count) % 2
    images[labels == 1, :2] //= 2  # hot dogs are bluer
    for i, (image, label) in enumerate(zip(images, labels)):
        place = folder / "train" / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{i:04}.png")
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)


def photos(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 3, H, W) and labels int64 (n,)."""
    return np.load(folder / "images.npy"), np.load(folder / "labels.npy")
