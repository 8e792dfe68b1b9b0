"""Points in a plane, drawn from densities that are known: a Gaussian, a ring of them, a roll.

Holds the data sets; what is measured of made points is in ``gan.py``.
"""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError

MIXING = np.array([[1.0, 2.0], [-0.1, 0.5]])  # the book's A; points are z A + b
OFFSET = np.array([1.0, 2.0])  # the book's b


class Points:
    """Points in a plane, in the parts train and valid; a subclass draws them.

    Parameters
    ----------
    n
        Points to learn from.
    held_out
        Points of the part ``valid``, that samples are compared with.
    seed
        Of the generator that both are drawn with.
    """

    dimensions = 2

    def __init__(self, *, n: int = 1000, held_out: int = 2000, seed: int = 0) -> None:
        for name, count, least in (("n", n, 1), ("held_out", held_out, 2), ("seed", seed, 0)):
            if count < least:
                raise ConfigError(f"dataset.{name}={count}", f"It is {least} or more.")
        self.counts = {"train": n, "valid": held_out}
        self.seed = seed
        self._parts: dict[str, np.ndarray] = {}

    def drawn(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """So many points of the density, (n, 2)."""
        raise NotImplementedError

    def figures(self, points: np.ndarray) -> dict[str, float]:
        """What this density alone can say of made points (n, 2), by name."""
        return {}

    def split(self, name: str) -> Optional[np.ndarray]:
        """The points of ``train`` or ``valid``, float32 (n, 2); None: no such part."""
        if name in self.counts and name not in self._parts:
            rng = np.random.default_rng([self.seed, list(self.counts).index(name)])
            self._parts[name] = self.drawn(rng, self.counts[name]).astype(np.float32)
        return self._parts.get(name)

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of points float32 (n, 2); None: no such part."""
        points = self.split(split)
        if points is None:
            return None
        return ArrayBatches([points], batch_size, shuffle=split == "train")


class Gaussian(Points):
    """The book's Gaussian: mean (1, 2), covariance ((1.01, 1.95), (1.95, 4.25)).

    With z standard normal, a row, points are ``z A + b``, so their covariance is ``A' A``.
    """

    def drawn(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Points (n, 2)."""
        return rng.standard_normal((n, 2)) @ MIXING + OFFSET


class Ring(Points):
    """Gaussians, evenly on a circle: a test of whether a generator finds all of them.

    Parameters
    ----------
    modes
        How many.
    radius
        Of the circle.
    deviation
        Standard deviation of each Gaussian, in each direction.
    """

    def __init__(
        self, *, modes: int = 8, radius: float = 2.0, deviation: float = 0.1, **options: Any
    ) -> None:
        super().__init__(**options)
        if modes < 1 or radius <= 0 or deviation <= 0:
            raise ConfigError(
                f"dataset.modes={modes}, radius={radius}, deviation={deviation} make no ring",
                "There is 1 mode or more, and both lengths are above 0.",
            )
        self.modes, self.radius, self.deviation = modes, radius, deviation

    @property
    def centres(self) -> np.ndarray:
        """Means of the Gaussians, (modes, 2)."""
        angles = np.arange(self.modes) * 2 * math.pi / self.modes
        return self.radius * np.column_stack([np.cos(angles), np.sin(angles)])

    def drawn(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Points (n, 2)."""
        means = self.centres[rng.integers(self.modes, size=n)]
        return means + self.deviation * rng.standard_normal((n, 2))

    def figures(self, points: np.ndarray) -> dict[str, float]:
        """Modes that are hit, and the share of points that hit one.

        A point hits the nearest centre if it is within three deviations of it. A mode is hit if it
        has a quarter, at least, of the hits that would be its even share.
        """
        apart = np.linalg.norm(points[:, None] - self.centres, axis=2)  # (n, modes)
        nearest, hit = apart.argmin(axis=1), apart.min(axis=1) < 3 * self.deviation
        counts = np.bincount(nearest[hit], minlength=self.modes)
        enough = counts >= max(1.0, len(points) / self.modes / 4)
        return {"modes": float(enough.sum()), "hits": float(hit.mean())}


class SwissRoll(Points):
    """A spiral of one and a half turns, with noise; as wide as a standard Gaussian, about.

    Parameters
    ----------
    noise
        Standard deviation of the Gaussian noise in each direction; the arms are 0.9 apart.
    """

    def __init__(self, *, noise: float = 0.05, **options: Any) -> None:
        super().__init__(**options)
        if noise < 0:
            raise ConfigError(f"dataset.noise={noise}", "It is 0 or more.")
        self.noise = noise

    def drawn(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Points (n, 2)."""
        angle = 1.5 * math.pi * (1 + 2 * rng.random(n))
        roll = angle[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) / 7
        return roll + self.noise * rng.standard_normal((n, 2))
