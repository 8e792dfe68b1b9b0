"""What is measured: priors and ways to draw, made-up images, and the clock; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

SIZES = (784, 400, 400, 10)
PARAMETERS = 2 * sum((a + 1) * b for a, b in zip(SIZES, SIZES[1:]))  # a mean and a rho each
BATCH = 128
RATE = {"adam": 0.001, "sgd": 0.001 * BATCH}  # of the mean loss; the book's SGD takes the sum's
RHO = -3.0
SIGMA = 1.0
PI, SIGMA1, SIGMA2 = 0.25, 0.75, 0.1


@dataclass(frozen=True)
class Case:
    """One prior, one way to draw and one optimizer; the first two are the book's two chapters.

    Parameters
    ----------
    prior
        ``gaussian`` or ``mixture``.
    local
        Draw the outputs of layers in place of their weights.
    optimizer
        ``sgd`` or ``adam``.
    """

    prior: str
    local: bool
    optimizer: str


CASES = {
    "gaussian": Case("gaussian", False, "sgd"),
    "mixture": Case("mixture", False, "adam"),
    "local": Case("gaussian", True, "adam"),
}

# The images, the options and the clock are those of the image classifiers.
_spec = importlib.util.spec_from_file_location(
    "images_of_classifiers", Path(__file__).parents[1] / "classifiers" / "cases.py"
)
_shared = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _shared
_spec.loader.exec_module(_shared)
write_images, arrays, answer = _shared.write_images, _shared.arrays, _shared.answer
_shared.CASES = CASES
arguments = _shared.arguments


def rate(steps, seconds, finish) -> float:
    """Examples a second, as `rate` of the classifiers measures them."""
    return _shared.rate(steps, seconds, finish)["examples_per_s"]
