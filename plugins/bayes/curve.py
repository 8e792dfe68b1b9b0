"""A noisy curve of one variable, seen in a part of its range only: regression as in the paper.

Holds the generator.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError

TEST = 512


class Curve:
    """Points of y = x + 0.3 sin(2 pi (x + e)) + 0.3 sin(4 pi (x + e)) + e, e ~ N(0, noise^2).

    Blundell et al. (2015), section 5.2. Inputs lie between 0 and 0.5; what a network says beyond
    is what its prior and its layers make of nothing.

    Parameters
    ----------
    train
        Points to learn from; another 512 are ``test``.
    noise
        Standard deviation of e.
    seed
        Of the points.

    Attributes
    ----------
    shape : tuple of int
        Of one input.

    Raises
    ------
    ConfigError
        An option is out of its range.
    """

    shape = (1,)

    def __init__(self, *, train: int = 1024, noise: float = 0.02, seed: int = 0) -> None:
        if train < 1:
            raise ConfigError(f"dataset.train is {train}", "It is 1 or more.")
        if not noise >= 0:
            raise ConfigError(f"dataset.noise is {noise}", "It is 0 or more.")
        if seed < 0:
            raise ConfigError(f"dataset.seed is {seed}", "It is 0 or more.")
        self.train, self.noise, self.seed = train, noise, seed

    def split(self, name: str) -> Optional[tuple[np.ndarray, np.ndarray]]:
        """Inputs float32 (n, 1) and values (n,) of ``train`` or ``test``, else None."""
        sizes = {"train": self.train, "test": TEST}
        if name not in sizes:
            return None
        rng = np.random.default_rng([self.seed, list(sizes).index(name)])
        x = rng.uniform(0, 0.5, sizes[name])
        e = rng.normal(0, 1, sizes[name]) * self.noise
        y = curve(x + e)  # the noise is inside the sines and beside them
        return x[:, None].astype(np.float32), y.astype(np.float32)

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of inputs (n, 1) and values (n,); only ``train`` is shuffled."""
        part = self.split(split)
        return None if part is None else ArrayBatches(part, batch_size, shuffle=split == "train")


def curve(x: np.ndarray) -> np.ndarray:
    """The curve without noise."""
    return x + 0.3 * np.sin(2 * np.pi * x) + 0.3 * np.sin(4 * np.pi * x)
