"""A forecast: mean and quantiles, its scores on held-out data, its table.

Holds what is done with forecasts of any model; how one comes about is the models' matter.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Optional

import numpy as np

from dope.plugins.timeseries import scores
from dope.plugins.timeseries.innovations import Trajectory
from dope.plugins.timeseries.shaping import SeriesSet
from dope.plugins.timeseries.stamps import stamp_text
from dope.plugins.timeseries.transforms import Transform

QUANTILES = tuple(i / 10 for i in range(1, 10))  # of the weighted quantile loss


@dataclass(frozen=True)
class Forecast:
    """Normal on a transformed scale, for N series and H steps.

    Parameters
    ----------
    names, stamps
        N names; N arrays of H stamps.
    centre, deviation
        (N, H) mean and standard deviation on the transformed scale.
    transform
        The way back.
    """

    names: Sequence[str]
    stamps: Sequence[np.ndarray]
    centre: np.ndarray
    deviation: np.ndarray
    transform: Transform

    @classmethod
    def of(
        cls, trajectory: Trajectory, data: SeriesSet, horizon: int, transform: Transform
    ) -> Forecast:
        """The forecast after the last place of each series."""
        ahead = _steps_missing_at_end(data)
        centre, deviation = trajectory.forecast(horizon + int(ahead.max()))
        columns = ahead[:, None] + np.arange(horizon)
        stamps = [data.future_stamps(i, horizon) for i in range(len(data))]
        return cls(
            data.names,
            stamps,
            np.take_along_axis(centre, columns, axis=1),
            np.take_along_axis(deviation, columns, axis=1),
            transform,
        )

    @property
    def mean(self) -> np.ndarray:
        """(N, H) in the units of the series."""
        return self.transform.mean(self.centre, self.deviation)

    def quantile(self, level: float) -> np.ndarray:
        """(N, H), ``level`` between 0 and 1."""
        z = NormalDist().inv_cdf(level)
        return self.transform.backward(self.centre + z * self.deviation)

    def interval(self, percent: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of the central interval, (N, H) each."""
        tail = (1 - percent / 100) / 2
        return self.quantile(tail), self.quantile(1 - tail)

    def scores(
        self, training: SeriesSet, actual: np.ndarray, levels: Sequence[float]
    ) -> dict[str, float]:
        """MASE, sMAPE, weighted quantile loss, and the coverage of each interval."""
        quantiles = np.stack([self.quantile(q) for q in QUANTILES])
        intervals = {level: self.interval(level) for level in levels}
        return _scores(training, actual, self.mean, quantiles, intervals)

    def rows(self, levels: Sequence[float], actual: Optional[np.ndarray] = None) -> list[Any]:
        """One mapping a series and step."""
        mean, ends = self.mean, {level: self.interval(level) for level in levels}
        found = []
        for i, name in enumerate(self.names):
            for h, stamp in enumerate(stamp_text(self.stamps[i])):
                row: dict[str, Any] = {"series": name, "stamp": stamp}
                if actual is not None:
                    row["actual"] = None if np.isnan(actual[i, h]) else float(actual[i, h])
                row["mean"] = float(mean[i, h])
                for level, (lower, upper) in ends.items():
                    row[f"lower_{level:g}"] = float(lower[i, h])
                    row[f"upper_{level:g}"] = float(upper[i, h])
                found.append(row)
        return found

    def to_csv(self, levels: Sequence[float], actual: Optional[np.ndarray] = None) -> str:
        """The rows as a CSV table."""
        rows = self.rows(levels, actual)
        shown = [
            ["" if v is None else f"{v:.8g}" if isinstance(v, float) else v for v in row.values()]
            for row in rows
        ]
        return table(list(rows[0]), shown)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A CSV table as text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def baselines(
    training: SeriesSet, actual: np.ndarray, levels: Sequence[float]
) -> dict[str, dict[str, float]]:
    """The same scores for the naive and the seasonal naive forecast."""
    horizon, length = actual.shape[1], training.length
    found = {"naive": scores.naive(training.values, horizon, length)}
    if training.season > 1:
        found["seasonal_naive"] = scores.seasonal_naive(
            training.values, horizon, training.season, length
        )
    return {
        name: _scores(
            training,
            actual,
            each.mean,
            each.quantiles(QUANTILES),
            {level: each.interval(level / 100) for level in levels},
        )
        for name, each in found.items()
    }


def _scores(
    training: SeriesSet, actual: np.ndarray, mean: np.ndarray, quantiles: np.ndarray, intervals: Any
) -> dict[str, float]:
    found = {
        "mase": _mean(scores.mase(actual, mean, training.values, training.season)),
        "smape": _mean(scores.smape(actual, mean)),
        "wql": float(scores.weighted_quantile_loss(actual, quantiles, QUANTILES)),
    }
    for level, (lower, upper) in intervals.items():
        found[f"coverage_{level:g}"] = _mean(scores.coverage(actual, lower, upper))
    return found


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _steps_missing_at_end(data: SeriesSet) -> np.ndarray:
    """(N,) places of each series after its last observed value."""
    observed = ~np.isnan(data.values)
    last = observed.shape[1] - np.argmax(observed[:, ::-1], axis=1)
    return data.length - last
