"""What is measured: models and batch sizes; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

LEARNING_RATE = 0.1


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
