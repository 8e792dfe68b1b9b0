"""What is measured: the book's small network, forward alone and in training; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The loops are the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZES = (512, 256, 128, 2)  # the book's network
RATE = 0.1
SEED = 0


@dataclass(frozen=True)
class Case:
    """The network at one batch size.

    Parameters
    ----------
    batch
        Examples of a pass.
    learns
        Whether it is trained, or only goes forward.
    examples
        Examples that there are.
    parameters
        Of the network.
    """

    batch: int
    learns: bool
    examples: int = 6400
    parameters: int = sum(a * b + b for a, b in zip(SIZES, SIZES[1:]))


CASES = {"forward-1": Case(1, False), "train-1": Case(1, True), "train-64": Case(64, True)}


def write_examples(folder: Path, count: int) -> None:
    """Write ``x.npy`` (count, 512), float32, and ``y.npy`` (count,), of two classes."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((count, SIZES[0])).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", (x[:, 0] > 0).astype(np.float32))


def examples(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `write_examples` wrote."""
    return np.load(folder / "x.npy"), np.load(folder / "y.npy")
