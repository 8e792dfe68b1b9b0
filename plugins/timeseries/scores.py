"""How good forecasts are: errors, interval scores, and the naive forecasts to beat.

Holds NumPy functions batched over series; fits no model and reads no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Optional, Tuple

import numpy as np


def _mean_where(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is observed; NaN where nothing is."""
    count = observed.sum(axis=-1)
    total = np.where(observed, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mase(
    actual: np.ndarray, forecast: np.ndarray, training: np.ndarray, season: int = 1
) -> np.ndarray:
    """Mean absolute scaled error of each series.

    ``mean_h |y_h - f_h| / mean_t |y_t - y_{t-m}|``: the numerator over the forecast steps, the
    denominator over the training series with season m.

    Parameters
    ----------
    actual, forecast
        (N, H); steps whose actual value is NaN are left out.
    training
        (N, T), NaN where missing and after a shorter series' end; pairs with a NaN are left out.
    season
        m; default 1.

    Returns
    -------
    numpy.ndarray
        (N,). NaN where no actual value is known, a forecast that counts is NaN, or the scale
        does not exist or is 0 (a series that repeats itself exactly).

    References
    ----------
    Hyndman and Koehler, Another look at measures of forecast accuracy, International Journal of
    Forecasting 22 (2006), section 3; seasonal scale as in Hyndman and Athanasopoulos,
    Forecasting: Principles and Practice, 3rd edition, section 5.8.
    """
    actual, training = np.asarray(actual, float), np.asarray(training, float)
    error = _mean_where(np.abs(actual - forecast), ~np.isnan(actual))
    steps = np.abs(training[..., season:] - training[..., :-season])
    scale = _mean_where(steps, ~np.isnan(steps))
    return error / np.where(scale > 0, scale, np.nan)


def smape(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Symmetric mean absolute percentage error of each series, from 0 to 200.

    ``mean_h 200 |y_h - f_h| / (|y_h| + |f_h|)``, a step where both are 0 counting as 0.

    Parameters
    ----------
    actual, forecast
        (N, H); steps whose actual value is NaN are left out.

    Returns
    -------
    numpy.ndarray
        (N,), in percent; NaN where no actual value is known or a forecast that counts is NaN.

    References
    ----------
    Makridakis, Spiliotis and Assimakopoulos, The M4 competition, International Journal of
    Forecasting 36 (2020).
    """
    actual, forecast = np.asarray(actual, float), np.asarray(forecast, float)
    size = np.abs(actual) + np.abs(forecast)
    error = 200.0 * np.abs(actual - forecast) / np.where(size == 0, 1.0, size)
    return _mean_where(error, ~np.isnan(actual))


def weighted_quantile_loss(
    actual: np.ndarray, quantile_forecasts: np.ndarray, levels: Sequence[float]
) -> float:
    """Quantile loss over all series and steps, relative to the size of what happened.

    For level q, ``2 Σ |(y - f_q) (q - 1[y <= f_q])| / Σ |y|``, both sums over all series and
    steps; then the mean over the levels. For the level 0.5 alone it is Σ|y - f| / Σ|y|.

    Parameters
    ----------
    actual
        (N, H); steps whose actual value is NaN are left out.
    quantile_forecasts
        (Q, N, H), one forecast a level.
    levels
        Q levels between 0 and 1.

    Returns
    -------
    float
        NaN when nothing is observed, every actual value is 0, or a forecast that counts is NaN.

    References
    ----------
    Salinas, Flunkert, Gasthaus and Januschowski, DeepAR, International Journal of Forecasting
    36 (2020), the ρ-risk; the mean over levels is GluonTS' mean_wQuantileLoss.
    """
    actual = np.asarray(actual, float)
    observed = ~np.isnan(actual)
    size = np.abs(actual[observed]).sum()
    if size == 0:
        return float("nan")
    error = actual[observed] - np.asarray(quantile_forecasts, float)[:, observed]  # (Q, observed)
    q = np.asarray(levels, float)[:, None]
    loss = np.maximum(q * error, (q - 1.0) * error)
    return float(np.mean(2.0 * loss.sum(axis=1) / size))


def coverage(actual: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Share of each series' actual values that lie in their intervals, bounds included.

    Parameters
    ----------
    actual, lower, upper
        (N, H); steps whose actual value is NaN are left out.

    Returns
    -------
    numpy.ndarray
        (N,), 0 to 1; NaN where no actual value is known or a bound that counts is NaN. For one
        figure over series of unequal counts, pass them as one row: ``actual.reshape(1, -1)``.
    """
    actual = np.asarray(actual, float)
    inside = ((actual >= lower) & (actual <= upper)).astype(float)
    inside = np.where(np.isnan(lower) | np.isnan(upper), np.nan, inside)
    return _mean_where(inside, ~np.isnan(actual))


def interval_width(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Mean width of each series' intervals: (N, H) bounds to (N,), in the data's unit."""
    return np.mean(np.asarray(upper, float) - np.asarray(lower, float), axis=-1)


@dataclass(frozen=True)
class Baseline:
    """Gaussian forecasts of a simple method.

    Parameters
    ----------
    mean, deviation
        (N, H) mean and standard deviation of each step.
    """

    mean: np.ndarray
    deviation: np.ndarray

    def interval(self, level: float) -> Tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound, (N, H) each, of the central interval that holds ``level``."""
        half = NormalDist().inv_cdf(0.5 + level / 2.0) * self.deviation
        return self.mean - half, self.mean + half

    def quantiles(self, levels: Sequence[float]) -> np.ndarray:
        """(Q, N, H) quantiles, for levels between 0 and 1."""
        z = np.array([NormalDist().inv_cdf(level) for level in levels])
        return self.mean + z[:, None, None] * self.deviation


def naive(training: np.ndarray, horizon: int, length: Optional[np.ndarray] = None) -> Baseline:
    """The last observed value, with intervals that widen as the square root of the step.

    Parameters
    ----------
    training
        (N, T), NaN where missing.
    horizon
        H, steps to forecast.
    length
        (N,) places of each series; default all T. Series that are shorter than the array must
        say so, or the NaN after their end count as missing values to be bridged.

    Returns
    -------
    Baseline
        (N, H) mean and deviation: σ √h, where σ² is the mean square of the steps between
        observed neighbours (no mean taken off) and h counts from the last observed value. NaN
        for a series without any.

    References
    ----------
    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.5.
    """
    return seasonal_naive(training, horizon, 1, length)


def seasonal_naive(
    training: np.ndarray, horizon: int, season: int, length: Optional[np.ndarray] = None
) -> Baseline:
    """The last observed value of the same season, as `naive` is that of any.

    Parameters
    ----------
    training, horizon, length
        As for `naive`.
    season
        m; 1 gives `naive`.

    Returns
    -------
    Baseline
        (N, H) mean and deviation: σ √(k + 1), with k = ⌊(h - 1) / m⌋ whole seasons before step
        h, more by one for each season by which the value repeated is older than the last. A
        season step that was never observed takes the naive forecast, and a series without two
        values a season apart takes the naive σ.

    Notes
    -----
    σ² is the mean square of the differences between observed values of the same season. Over a
    gap of j seasons the difference has j times the variance under the method's own model (a
    random walk in each season), so its square is divided by j; without gaps this is the residual
    variance of section 5.5.
    """
    training = np.atleast_2d(np.asarray(training, float))
    cycles = _cycles(training, season, length)  # (N, K, m)
    number = cycles.shape[1]
    observed = ~np.isnan(cycles)
    place = np.where(observed, np.arange(number)[:, None], -1)
    latest = np.maximum.accumulate(place, axis=1)  # (N, K, m): the last observed cycle so far
    newest = latest[:, -1]  # (N, m), -1 where never observed
    value = np.take_along_axis(cycles, np.maximum(newest, 0)[:, None], axis=1)[:, 0]
    steps = np.arange(horizon)
    column = steps % season
    mean = value[:, column]
    seasons = steps // season + number - newest[:, column]  # (N, H), k + 1 and the age
    deviation = _deviation(cycles, observed, latest)[:, None] * np.sqrt(seasons)
    if season > 1:
        plain = seasonal_naive(training, horizon, 1, length)
        alone = np.isnan(deviation)
        deviation = np.where(alone, plain.deviation[:, :1] * np.sqrt(seasons), deviation)
        never = np.isnan(mean)
        mean = np.where(never, plain.mean, mean)
        deviation = np.where(never, plain.deviation, deviation)
    return Baseline(mean, deviation)


def _cycles(training: np.ndarray, season: int, length: Optional[np.ndarray]) -> np.ndarray:
    """(N, K, m): the series cut into seasons so that each ends with a whole one."""
    count, total = training.shape
    ends = np.full(count, total) if length is None else np.asarray(length)
    number = -(-total // season)
    # Column j of the result is place ends - K m + j of the series.
    source = ends[:, None] - number * season + np.arange(number * season)
    shifted = np.take_along_axis(training, np.clip(source, 0, total - 1), axis=1)
    return np.where(source >= 0, shifted, np.nan).reshape(count, number, season)


def _deviation(cycles: np.ndarray, observed: np.ndarray, latest: np.ndarray) -> np.ndarray:
    """(N,): σ of `seasonal_naive`; NaN where no two values lie whole seasons apart."""
    before = latest[:, :-1]  # the cycle observed last before each of cycles[:, 1:]
    earlier = np.take_along_axis(cycles, np.maximum(before, 0), axis=1)
    gap = np.arange(1, cycles.shape[1])[:, None] - before
    pairs = observed[:, 1:] & (before >= 0)
    squares = np.where(pairs, (cycles[:, 1:] - earlier) ** 2 / gap, 0.0)
    flat = (len(cycles), -1)
    return np.sqrt(_mean_where(squares.reshape(flat), pairs.reshape(flat)))
