"""What is measured: batch sizes and the book's points; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 0.1
SEED = 0


@dataclass(frozen=True)
class Case:
    """Linear regression at one batch size.

    Parameters
    ----------
    batch
        Examples a step.
    examples
        Examples an epoch, a multiple of ``batch``.
    parameters
        Learned numbers: two weights and a bias.
    """

    batch: int
    examples: int
    parameters: int = 3


CASES = {"linear-4": Case(4, 10_000), "linear-100": Case(100, 100_000)}


def write_points(folder: Path, count: int) -> None:
    """Write ``x.npy`` (count, 2) and ``y.npy`` (count,), float32: the book's plane with noise."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((count, 2))
    y = x @ [2.0, -3.4] + 4.2 + 0.01 * rng.standard_normal(count)
    np.save(folder / "x.npy", x.astype(np.float32))
    np.save(folder / "y.npy", y.astype(np.float32))


def points(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `write_points` wrote."""
    return np.load(folder / "x.npy"), np.load(folder / "y.npy")
