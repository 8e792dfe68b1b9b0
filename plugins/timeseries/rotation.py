"""Series of a known linear dynamical system: a state that rotates, seen through noise.

Holds the data set and its true parameters; the mathematics is in ``kalman.py``.
"""

from __future__ import annotations

import math

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.timeseries.kalman import System, sample
from dope.plugins.timeseries.shaping import LEAST, SeriesSet
from dope.plugins.timeseries.stamps import Frequency


class Rotation:
    """Noisy projections of a rotating state (Barber 2012, example 24.3).

    The state of two components starts at (1, 0), turns by ``angle`` and is shaken before each
    observation; what is observed is its first component with noise.

    Parameters
    ----------
    series
        How many series.
    length
        Values a series, held-out ones included.
    angle
        Turn of the state in one step, in degrees.
    state_noise
        Standard deviation of what each component of the state gains in one step.
    noise
        Standard deviation of the observation noise.
    missing
        Share of the values that are missing, at least 0 and below 1; the first and the last value
        of a series never are.
    holdout
        Values at the end of each series that are kept for measuring forecasts, 0 for none.
    seed
        Seed of NumPy's generator; the same seed gives the same series.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    def __init__(
        self,
        *,
        series: int = 32,
        length: int = 50,
        angle: float = 30.0,
        state_noise: float = 0.5,
        noise: float = 0.5,
        missing: float = 0.0,
        holdout: int = 0,
        seed: int = 0,
    ) -> None:
        _check("series", series, series >= 1, "1 or more")
        _check("state_noise", state_noise, state_noise >= 0, "0 or more")
        _check("noise", noise, noise > 0, "above 0")
        _check("missing", missing, 0 <= missing < 1, "at least 0 and below 1")
        _check("holdout", holdout, holdout >= 0, "0 or more")
        _check("length", length, length >= holdout + LEAST, f"{LEAST} or more beyond the held-out")
        _check("seed", seed, seed >= 0, "0 or more")
        self.series = series
        self.length = length
        self.angle = angle
        self.state_noise = state_noise
        self.noise = noise
        self.missing = missing
        self.holdout = holdout
        self.seed = seed

    @property
    def system(self) -> System:
        """The true parameters, float64 NumPy arrays; the state at the first observation is h_1."""
        turn = math.radians(self.angle)
        A = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        B = np.array([[1.0, 0.0]])
        S_h = self.state_noise**2 * np.eye(2)
        return System(A, B, S_h, np.array([[self.noise**2]]), A[:, 0].copy(), S_h.copy())

    def describe(self) -> str:
        """One line saying what the data are, without drawing them."""
        return (
            f"{self.series} simulated series of {self.length} values of a state that turns by "
            f"{self.angle:g} degrees a step"
        )

    def load(self) -> SeriesSet:
        """Draw the series; their stamps are 1, 2, 3 …"""
        rng = np.random.default_rng(self.seed)
        values = sample(rng, *self.system, self.series, self.length)[1][:, :, 0]
        gone = rng.random(values.shape) < self.missing
        gone[:, [0, -1]] = False
        width = len(str(self.series))
        return SeriesSet(
            values=np.where(gone, np.nan, values),
            names=[f"rotation {i + 1:0{width}d}" for i in range(self.series)],
            stamps=[np.arange(1, self.length + 1, dtype=np.int64)] * self.series,
            frequency=Frequency("step"),
            holdout=self.holdout,
            source=self.describe(),
        )


def _check(option: str, value: float, good: bool, wanted: str) -> None:
    if not good:
        raise ConfigError(f"dataset.{option}={value} is out of range", f"It is {wanted}.")
