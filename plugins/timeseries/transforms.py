"""Transforms that make a series' spread even, and the way back for means and quantiles.

Holds the mathematics; which transform is used is the user's choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dope.core.errors import ConfigError, DataError
from dope.plugins.timeseries.shaping import SeriesSet

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(25)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True)
class Transform:
    """The Box-Cox transform (y^lambda - 1) / lambda; its limit log y; or nothing.

    Parameters
    ----------
    exponent
        lambda; 0 is the logarithm, 1 leaves the values as they are.

    References
    ----------
    Box & Cox, An analysis of transformations, JRSS B 26 (1964).
    """

    exponent: float = 1.0

    @classmethod
    def named(cls, name: str, exponent: float) -> Transform:
        """From the options ``transform`` and ``boxcox_lambda``."""
        if name == "boxcox" and not -2 <= exponent <= 2:
            raise ConfigError(
                f"model.boxcox_lambda={exponent} is out of range", "It is between -2 and 2."
            )
        return cls({"none": 1.0, "log": 0.0}.get(name, exponent))

    def forward(self, data: SeriesSet) -> np.ndarray:
        """Transformed values (N, T), NaN where missing.

        Raises
        ------
        DataError
            A value is not positive.
        """
        values = data.values
        if self.exponent == 1.0:
            return values
        bad = np.argwhere(values <= 0)
        if len(bad):
            i, t = bad[0]
            raise DataError(
                f"series '{data.names[i]}' holds {values[i, t]:g}, and a logarithm or Box-Cox "
                "transform needs values above 0",
                "Use model.transform=none.",
            )
        if self.exponent == 0.0:
            return np.log(values)
        return (values**self.exponent - 1) / self.exponent

    def backward(self, values: np.ndarray) -> np.ndarray:
        """The value whose transform this is; quantiles stay quantiles."""
        if self.exponent == 1.0:
            return values
        if self.exponent == 0.0:
            return np.exp(values)
        inner = np.maximum(self.exponent * values + 1, 1e-12)
        return inner ** (1 / self.exponent)

    def mean(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Mean of the original value whose transform is normal.

        The logarithm's is exact, the others' is Gauss-Hermite quadrature with 25 nodes. A power
        below 0 sends the far tail of a normal to infinity, and no mean exists; there it is the
        mean with the normal's values beyond 4 deviations brought in to 4.
        """
        if self.exponent == 1.0:
            return mean
        if self.exponent == 0.0:
            return np.exp(mean + 0.5 * deviation**2)
        nodes = NODES if self.exponent > 0 else np.clip(NODES, -4, 4)
        return self.backward(mean[..., None] + deviation[..., None] * nodes) @ WEIGHTS
