"""Inputs that come from elsewhere later: a shift with the truth and the density ratio known.

Holds the generator.
"""

from __future__ import annotations

import copy
import math
from typing import Optional, Tuple

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError


class Shifted:
    """Points to learn from, and inputs of another normal distribution without values.

    Each input is drawn from N(mean, scale^2) where values are known, and from
    N(mean + shift, shifted_scale^2) where they are asked for. The truth is the same in both::

        y = g(x_1) + ... + g(x_D) + e,  g(t) = a_1 t + a_2 t^2 + ...,  e ~ N(0, noise^2)

    No line is right everywhere, so the best one depends on where it is asked. The defaults are
    the example of Shimodaira, "Improving predictive inference under covariate shift" (2000),
    section 5.

    Parameters
    ----------
    train, test
        Points with values, and as many shifted inputs without; and shifted points with values,
        which only judge.
    inputs
        D.
    mean, scale
        Of each input of the points to learn from.
    shift
        How far the mean moves.
    shifted_scale
        Standard deviation behind the shift.
    truth
        Coefficients a_1, a_2 and so on.
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
        train: int = 1000,
        test: int = 1000,
        inputs: int = 1,
        mean: float = 0.5,
        scale: float = 0.5,
        shift: float = -0.5,
        shifted_scale: float = 0.3,
        truth: Tuple[float, ...] = (-1.0, 0.0, 1.0),
        noise: float = 0.3,
        seed: int = 0,
    ) -> None:
        for name, least, value in (
            ("train", 2, train), ("test", 1, test), ("inputs", 1, inputs),
            ("noise", 0, noise), ("seed", 0, seed),
        ):  # fmt: skip
            if not value >= least:
                raise ConfigError(f"dataset.{name} is {value}", f"It is {least} or more.")
        for name, value in (("scale", scale), ("shifted_scale", shifted_scale)):
            if not value > 0:
                raise ConfigError(f"dataset.{name} is {value}", "It is above 0.")
        self.sizes, self.shape = {"train": train, "test": test}, (inputs,)
        self.known, self.asked = (mean, scale), (mean + shift, shifted_scale)
        self.truth, self.noise, self.seed = truth, noise, seed

    def again(self, seed: int) -> Shifted:
        """The same problem with other points."""
        made = copy.copy(self)
        made.seed = seed
        return made

    def values(self, x: np.ndarray) -> np.ndarray:
        """The truth (n,) at inputs (n, D), without noise."""
        powers = sum(a * x**k for k, a in enumerate(self.truth, 1))
        return np.asarray(powers, dtype=float).reshape(x.shape).sum(axis=1)

    def ratio(self, x: np.ndarray) -> np.ndarray:
        """Density of the shifted inputs over that of the others (n,), at inputs (n, D)."""
        x = x.astype(float)
        logs = []
        for center, scale in (self.asked, self.known):
            logs.append((-(((x - center) / scale) ** 2) / 2 - math.log(scale)).sum(axis=1))
        return np.asarray(np.exp(logs[0] - logs[1]))

    def split(self, name: str) -> Optional[tuple[np.ndarray, ...]]:
        """Of ``train`` inputs (n, D), values (n,) and shifted inputs (n, D); of ``test`` the first
        two, shifted. All float32; None of any other part.
        """
        if name not in self.sizes:
            return None
        n, rng = self.sizes[name], np.random.default_rng([self.seed, *name.encode()])
        center, scale = self.known if name == "train" else self.asked
        x = center + scale * rng.normal(size=(n, *self.shape))
        y = self.values(x) + self.noise * rng.normal(size=n)
        found = [x, y]
        if name == "train":
            center, scale = self.asked
            found.append(center + scale * rng.normal(size=(n, *self.shape)))
        return tuple(each.astype(np.float32) for each in found)

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of what `split` gives; only ``train`` is shuffled."""
        part = self.split(split)
        return None if part is None else ArrayBatches(part, batch_size, shuffle=split == "train")
