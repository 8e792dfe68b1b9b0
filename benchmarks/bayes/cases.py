"""What is measured: priors and ways to draw; for every interpreter.

Imports neither MXNet nor PyTorch nor dope. The training loops are the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

SIZES = (784, 400, 400, 10)
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
    parameters
        Learned numbers.
    """

    prior: str
    local: bool
    optimizer: str
    parameters: int = 2 * sum((a + 1) * b for a, b in zip(SIZES, SIZES[1:]))  # means and rhos


CASES = {
    "gaussian": Case("gaussian", False, "sgd"),
    "mixture": Case("mixture", False, "adam"),
    "local": Case("gaussian", True, "adam"),
}
