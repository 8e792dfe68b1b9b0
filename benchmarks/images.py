"""Made-up images for classifiers, as the files of MNIST: written once, read by every tool.

For every interpreter: imports neither MXNet nor PyTorch nor dope.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

CLASSES = 10


def write_images(folder: Path, count: int, test: int = 64) -> None:
    """Write random images and labels as the four IDX files of MNIST: uint8, ``(n, 28, 28)``.

    Each class has a picture of its own under the noise, so the loss falls; a tenth of the labels is
    wrong, so it never comes near 0, where gradients would vanish.
    """
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (CLASSES, 28, 28))
    for part, n in (("train", count), ("t10k", test)):
        labels = rng.integers(0, CLASSES, n)
        noise = rng.integers(0, 256, (n, 28, 28))
        images = ((pictures[labels] + 3 * noise) // 4).astype(np.uint8)
        wrong = rng.random(n) < 0.1
        labels[wrong] = rng.integers(0, CLASSES, int(wrong.sum()))
        head = struct.pack(">4i", 0x803, n, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = struct.pack(">2i", 0x801, n)
        body = labels.astype(np.uint8).tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + body)


def read_images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The training images, uint8 ``(n, 28, 28)``, and labels, int32 ``(n,)``."""
    images = np.fromfile(folder / "train-images-idx3-ubyte", dtype=np.uint8)[16:]
    labels = np.fromfile(folder / "train-labels-idx1-ubyte", dtype=np.uint8)[8:]
    return images.reshape(-1, 28, 28), labels.astype(np.int32)


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """As `read_images`, ready to train on: float32 ``(n, 1, 28, 28)`` from 0 to 1, and labels."""
    images, labels = read_images(folder)
    return images[:, None].astype(np.float32) / 255, labels
