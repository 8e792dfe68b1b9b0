"""A plane with noise: the data of linear regression, with the truth known.

Holds the generator.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError


class Plane:
    """Points of y = w.x + b + e with x ~ N(0, I) and e ~ N(0, noise^2).

    Parameters
    ----------
    train, test
        Points to learn from, and held out; none of the second leaves that part out.
    weights
        w, one number for each input.
    bias
        b.
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

    def __init__(
        self,
        *,
        train: int = 10000,
        test: int = 1000,
        weights: Tuple[float, ...] = (2.0, -3.4),
        bias: float = 4.2,
        noise: float = 0.01,
        seed: int = 0,
    ) -> None:
        for name, value, least in (
            ("train", train, 1), ("test", test, 0), ("noise", noise, 0), ("seed", seed, 0),
            ("weights", len(weights), 1),
        ):  # fmt: skip
            if not value >= least:
                given = list(weights) if name == "weights" else value
                what = f"It has {least} or more numbers." if name == "weights" else None
                raise ConfigError(f"dataset.{name} is {given}", what or f"It is {least} or more.")
        self.sizes = {"train": train, "test": test}
        self.weights, self.bias = np.array(weights, dtype=float), bias
        self.noise, self.seed = noise, seed
        self.shape = (len(weights),)

    def split(self, name: str) -> Optional[tuple[np.ndarray, np.ndarray]]:
        """Inputs float32 (n, D) and values (n,) of ``train`` or ``test``, else None."""
        n = self.sizes.get(name, 0)
        if not n:
            return None
        rng = np.random.default_rng([self.seed, list(self.sizes).index(name)])
        x = rng.normal(size=(n, *self.shape))
        y = x @ self.weights + self.bias + self.noise * rng.normal(size=n)
        return x.astype(np.float32), y.astype(np.float32)

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of inputs (n, D) and values (n,); only ``train`` is shuffled."""
        part = self.split(split)
        return None if part is None else ArrayBatches(part, batch_size, shuffle=split == "train")
