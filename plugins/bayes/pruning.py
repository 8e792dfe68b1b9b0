"""Weights set to zero in the order of their signal-to-noise ratios.

Holds the order and the curve; how good a network is, its task says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import numpy as np

from dope.plugins.bayes.variational import Variational

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)


def signal_to_noise(nets: Variational) -> np.ndarray:
    """|mu| / sigma of each weight, (size,)."""
    mean, deviation = nets.moments()
    return np.abs(mean) / deviation


def pruned(mean: np.ndarray, ratio: np.ndarray, share: float) -> np.ndarray:
    """Means with the ``share`` of lowest ratios set to zero."""
    made = mean.copy()
    made[np.argsort(ratio, kind="stable")[: round(share * len(mean))]] = 0
    return made


def curve(
    nets: Variational, judge: Callable[[], float], shares: Sequence[float] = SHARES
) -> list[tuple[float, float]]:
    """Share of weights that are zero, and what ``judge`` says of the network of means then.

    Blundell et al. (2015), section 5.1. The network is as before at the end.
    """
    mean, deviation = nets.moments()
    ratio = np.abs(mean) / deviation
    nets.fill(np.zeros(nets.size, np.float32))
    found = []
    try:
        for share in shares:
            nets.set_means(pruned(mean, ratio, share))
            found.append((share, judge()))
    finally:
        nets.set_means(mean)
    return found
