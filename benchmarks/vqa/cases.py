"""What is measured: both models in two sizes, and made-up features; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 0.01
DROPOUT = 0.3
SEED = 0


@dataclass(frozen=True)
class Case:
    """One model at one size.

    Parameters
    ----------
    image, question
        Lengths of the features.
    hidden
        Units of the hidden layer.
    answers
        How many there are.
    batches
        Steps an epoch.
    sketch
        Buckets of the count sketch; 0 for concatenation.
    batch
        Questions a step.
    """

    image: int
    question: int
    hidden: int
    answers: int
    batches: int
    sketch: int = 0
    batch: int = 64

    @property
    def parameters(self) -> int:
        """Learned numbers: two dense layers, and scale and shift of batch normalization."""
        fused = self.sketch or self.image + self.question
        return (fused + 1) * self.hidden + 2 * self.hidden + (self.hidden + 1) * self.answers


CASES = {
    # the book's sizes
    "concat": Case(2048, 1024, 8192, 1000, 10),
    "bilinear": Case(2048, 1024, 8192, 1000, 10, 10_000),
    "concat-small": Case(512, 256, 256, 100, 200),
    "bilinear-small": Case(512, 256, 256, 100, 100, 2048),
}


def write_features(folder: Path, case: Case, count: int) -> None:
    """Write the book's six files; the answer can be told from the features."""
    rng = np.random.default_rng(SEED)
    centres = rng.standard_normal((case.answers, case.image))
    for stem, rows in (("train", count), ("val", case.batch)):
        answers = rng.integers(0, case.answers, rows)
        answers[: min(rows, case.answers)] = np.arange(case.answers)[:rows]
        answers[0] = case.answers - 1
        images = centres[answers] + rng.standard_normal((rows, case.image))
        questions = rng.standard_normal((rows, case.question))
        for name, array in (("img", images), ("question", questions)):
            np.savez(folder / f"{stem}_{name}.npz", x=array.astype(np.float32))
        np.savez(folder / f"{stem}_ans.npz", x=answers)


def features(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `write_features` wrote for training: images, questions and answers."""
    names = ("img", "question", "ans")
    return tuple(np.load(folder / f"train_{name}.npz")["x"] for name in names)
