"""Two classes that a line separates with a known margin: the data of the perceptron.

Holds the generator.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError


class Margin:
    """Points within a ball, none nearer than a margin to the line that separates the classes.

    Points are drawn from N(0, I), the unit vector w from all directions, and b from N(0, 1) within
    -1 and 1, as the perceptron's bound asks. Kept are points with \\|x\\| < radius and
    \\|w.x + b\\| > margin; the class is the sign, -1 or 1.

    Parameters
    ----------
    train, test
        Points to learn from, and held out.
    inputs
        Dimensions.
    margin
        Least distance from the line; above 0 and below 2.
    radius
        Of the ball.
    seed
        Of the points and the line.

    Attributes
    ----------
    shape : tuple of int
        Of one input.
    weights, bias
        The line that separates.

    Raises
    ------
    ConfigError
        An option is out of its range.
    """

    def __init__(
        self,
        *,
        train: int = 1000,
        test: int = 200,
        inputs: int = 2,
        margin: float = 0.3,
        radius: float = 3.0,
        seed: int = 0,
    ) -> None:
        for name, value in (("train", train), ("test", test), ("inputs", inputs)):
            if value < 1:
                raise ConfigError(f"dataset.{name} is {value}", "It is 1 or more.")
        if not 0 < margin < 2:
            raise ConfigError(f"dataset.margin is {margin}", "It is above 0 and below 2.")
        least = max(3.0, inputs**0.5)  # else hardly a point is kept
        if not radius >= least:
            raise ConfigError(f"dataset.radius is {radius}", f"It is {least:.3g} or more.")
        if seed < 0:
            raise ConfigError(f"dataset.seed is {seed}", "It is 0 or more.")
        self.sizes = {"train": train, "test": test}
        self.shape, self.margin, self.radius, self.seed = (inputs,), margin, radius, seed
        rng = np.random.default_rng(seed)
        direction = rng.normal(size=inputs)
        self.weights = direction / np.linalg.norm(direction)
        self.bias = rng.normal()
        while abs(self.bias) > 1:
            self.bias = rng.normal()

    def split(self, name: str) -> Optional[tuple[np.ndarray, np.ndarray]]:
        """Inputs float32 (n, D) and classes -1 and 1 (n,) of ``train`` or ``test``, else None."""
        if name not in self.sizes:
            return None
        n, rng = self.sizes[name], np.random.default_rng([self.seed, *name.encode()])
        kept = np.empty((0, *self.shape), dtype=np.float32)
        while len(kept) < n:
            x = rng.normal(size=(4 * n, *self.shape)).astype(np.float32)
            score = x @ self.weights + self.bias
            near = np.linalg.norm(x, axis=1) < self.radius
            kept = np.concatenate([kept, x[near & (np.abs(score) > self.margin)]])
        kept = kept[:n]
        return kept, np.sign(kept @ self.weights + self.bias).astype(np.float32)

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of inputs (n, D) and classes (n,); only ``train`` is shuffled."""
        part = self.split(split)
        return None if part is None else ArrayBatches(part, batch_size, shuffle=split == "train")
