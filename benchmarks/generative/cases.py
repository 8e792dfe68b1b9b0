"""What is measured: models, batch sizes and made-up data; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

SEED = 0


@dataclass(frozen=True)
class Case:
    """One pair of networks at one batch size.

    Parameters
    ----------
    model
        ``MODEL_book.py`` and ``MODEL_torch.py`` spell it out; ``dope_loop.py`` has all.
    batch
        Examples a step. A step is an update of the discriminator and one of the generator.
    examples
        Examples an epoch: a second or so of work, and a multiple of ``batch``, so that no tool
        gains by how it treats a smaller last batch.
    counted
        What a step counts for in the figures: 1 for steps a second, ``batch`` for examples.
    parameters
        Learned numbers of both networks. A tool with another count runs another model.
    of_book
        The same in the book's own loop, where it differs.
    """

    model: str
    batch: int
    examples: int
    counted: int
    parameters: int
    of_book: Optional[int] = None


CASES = {
    # 2-2 against 2-5-3-1; the book's discriminator has two outputs
    "gan-4": Case("gan", 4, 8000, 1, 43, 47),
    "gan-100": Case("gan", 100, 100000, 1, 43, 47),
    "dcgan-64": Case("dcgan", 64, 256, 64, 6_342_272),
    # the book's first and middle convolution have no bias
    "pix2pix-128": Case("pix2pix", 4, 8, 4, 44_598_276, 44_597_700),
}


def points(count: int) -> np.ndarray:
    """Points of the book's Gaussian, float32 (count, 2)."""
    rng = np.random.default_rng(SEED)
    drawn = rng.standard_normal((count, 2)) @ [[1.0, 2.0], [-0.1, 0.5]] + [1.0, 2.0]
    return drawn.astype(np.float32)


def pictures(count: int) -> np.ndarray:
    """Images of 64 x 64 pixels, float32 (count, 3, 64, 64) between -1 and 1: coloured squares."""
    rng = np.random.default_rng(SEED)
    drawn = rng.uniform(-1, 1, (count, 3, 8, 8)).repeat(8, axis=2).repeat(8, axis=3)
    return drawn.astype(np.float32)


def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of 128 x 128 pixels, float32 (count, 3, 128, 128): the same, darker."""
    inputs = pictures(count).repeat(2, axis=2).repeat(2, axis=3)
    return inputs, 0.5 * inputs - 0.25


def write_examples(folder: Path, case: Case, count: int) -> None:
    """Write ``examples.npy``: what a case is trained on; of pairs inputs, then targets."""
    made = {"gan": points, "dcgan": pictures, "pix2pix": pairs}[case.model](count)
    np.save(folder / "examples.npy", made)


def examples(folder: Path) -> np.ndarray:
    """What `write_examples` wrote: float32, of pairs (2, count, 3, 128, 128)."""
    return np.load(folder / "examples.npy")
