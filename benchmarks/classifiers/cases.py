"""What is measured: models, batch sizes, made-up images, and the clock; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

import argparse
import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np

LEARNING_RATE = 0.1
CLASSES = 10


@dataclass(frozen=True)
class Case:
    """One model at one batch size.

    Parameters
    ----------
    model
        ``mlp``, ``lenet`` or ``vgg``; each loop spells it out for its library.
    batch
        Examples a step.
    images
        Examples an epoch: a second or so of work, and a multiple of ``batch``, so that no tool
        gains by how it treats a smaller last batch.
    parameters
        Learned numbers that the model has. A tool with another count runs another model.
    """

    model: str
    batch: int
    images: int
    parameters: int


CASES = {
    "mlp-64": Case("mlp", 64, 59904, 269322),
    "mlp-256": Case("mlp", 256, 59904, 269322),
    "lenet": Case("lenet", 64, 6400, 129388),
    "vgg": Case("vgg", 64, 1280, 315978),
}


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


def arguments() -> argparse.Namespace:
    """What the parent says: case, tool, folder of the images, seconds, threads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def rate(steps: Iterator[int], seconds: float, finish: Callable[[], Any]) -> dict[str, float]:
    """Examples a second over about ``seconds``, after a third of that to warm up.

    Parameters
    ----------
    steps
        Does one step of training at each ``next`` and gives its number of examples; endless.
    seconds
        How long to measure.
    finish
        Waits until all steps are computed.
    """
    for limit in (seconds / 3, seconds):
        examples, began = 0, time.perf_counter()
        while time.perf_counter() - began < limit:
            examples += next(steps)
        finish()
        took = time.perf_counter() - began
    return {"examples_per_s": examples / took, "examples": examples, "seconds": took}


def answer(**found: Any) -> None:
    """Print what the parent reads: one line of JSON."""
    print(json.dumps(found), flush=True)
