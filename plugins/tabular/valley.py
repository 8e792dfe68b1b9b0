"""Points whose squared error is a given valley: an exact quadratic in two weights.

Holds the generator.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError


class Valley:
    """Points of y = w.x + e on which half the mean squared error is an exact quadratic.

    With H = R diag(curvatures) R', R a rotation by ``angle``, m the ``minimum`` and s the
    ``noise``, the mean of the loss over all points is, for every w::

        f(w) = (w - m)' H (w - m) / 2 + s^2 / 2

    Inputs are drawn from N(0, I), centred, and made to have H as their second moments, exactly;
    errors are made orthogonal to them and scaled to s. Single points and batches scatter around f.

    Parameters
    ----------
    train
        Points, 8 or more.
    curvatures
        Eigenvalues of H, both above 0; the larger over the smaller is the condition number.
    angle
        By which the axes of the valley are turned, in degrees, against the clock.
    minimum
        m, where f is least.
    noise
        s.
    seed
        Of the points.

    Attributes
    ----------
    shape : tuple of int
        Of one input.
    hessian
        H, (2, 2).

    Raises
    ------
    ConfigError
        An option is out of its range.
    """

    def __init__(
        self,
        *,
        train: int = 200,
        curvatures: Tuple[float, float] = (0.1, 2.0),
        angle: float = 0.0,
        minimum: Tuple[float, float] = (4.0, 1.5),
        noise: float = 0.5,
        seed: int = 0,
    ) -> None:
        if train < 8:
            raise ConfigError(f"dataset.train is {train}", "It is 8 or more.")
        if not min(curvatures) > 0:
            raise ConfigError(f"dataset.curvatures is {list(curvatures)}", "Both are above 0.")
        for name, value in (("noise", noise), ("seed", seed)):
            if not value >= 0:
                raise ConfigError(f"dataset.{name} is {value}", "It is 0 or more.")
        if not any(minimum):
            raise ConfigError("dataset.minimum is 0, 0", "Paths start there: set another.")
        self.train, self.noise, self.seed, self.shape = train, noise, seed, (2,)
        self.minimum = np.array(minimum, dtype=float)
        turn = math.radians(angle)
        axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        self.hessian = axes @ np.diag(curvatures) @ axes.T

    def split(self, name: str) -> Optional[tuple[np.ndarray, np.ndarray]]:
        """Inputs float32 (n, 2) and values (n,) of ``train``, else None."""
        if name != "train":
            return None
        rng = np.random.default_rng(self.seed)
        x = rng.normal(size=(self.train, 2))
        x -= x.mean(axis=0)
        # x L^-T has second moments I, where L L' are those of x; times K', those of K K' = H
        x = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / self.train)).T
        x = x @ np.linalg.cholesky(self.hessian).T
        e = rng.normal(size=self.train)
        e -= x @ np.linalg.lstsq(x, e, rcond=None)[0]
        e *= self.noise / np.sqrt(np.mean(e**2))
        return x.astype(np.float32), (x @ self.minimum + e).astype(np.float32)

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of inputs (n, 2) and values (n,), shuffled."""
        part = self.split(split)
        return None if part is None else ArrayBatches(part, batch_size, shuffle=True)
