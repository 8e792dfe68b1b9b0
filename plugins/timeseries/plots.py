"""Pictures of series: history, fit, forecast and bands.

Holds drawing only; what all pictures share is in core/plots.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, INK, ORANGE, figure, save
from dope.plugins.timeseries.shaping import SeriesSet

if TYPE_CHECKING:
    from dope.plugins.timeseries.forecasting import Forecast

RECENT = 10  # seasons, or tens of steps, of history that are drawn


def bands(
    axes: Any, x: np.ndarray, ends: Sequence[tuple[float, np.ndarray, np.ndarray]], colour: str
) -> None:
    """Nested central intervals: (percent, lower, upper), lightest outside."""
    for place, (percent, lower, upper) in enumerate(sorted(ends, key=lambda e: -e[0])):
        shade = 0.13 + 0.27 * place / max(1, len(ends) - 1)
        axes.fill_between(
            x, lower, upper, color=colour, alpha=shade, linewidth=0, label=f"{percent:g} %"
        )


def forecast(
    path: Path,
    data: SeriesSet,
    i: int,
    fitted: np.ndarray,
    future: Forecast,
    held: Optional[Forecast],
    levels: Sequence[float],
) -> Path:
    """History, one-step fit, the forecast of the held-out end, and the forecast that follows.

    Parameters
    ----------
    path
        The PNG to write.
    data, i
        The whole series set, and which series of it.
    fitted
        (N, T) one-step predictions.
    future, held
        Forecasts after the last value, and of the held-out end (None without one).
    levels
        Intervals to draw, in percent.
    """
    n = int(data.length[i])
    shown = max(3 * future.centre.shape[1], RECENT * max(data.season, 10))
    first = max(0, n - shown)
    stamps, values = data.stamps[i], data.values[i, :n]
    fig, axes = figure(f"{data.names[i]}: history, fit and forecast")
    axes.plot(stamps[first:], fitted[i, first:n], color=BLUE, linewidth=1.0, label="one-step fit")
    axes.plot(
        stamps[first:], values[first:], color=INK, linewidth=1.4, marker=".", markersize=3.5,
        label="observed",
    )  # fmt: skip
    if held is not None:
        x = held.stamps[i]
        outer = max(levels)
        lower, upper = held.interval(outer)
        axes.plot(x, held.mean[i], color=GREEN, linewidth=1.6, label="forecast of held-out end")
        axes.fill_between(
            x, lower[i], upper[i], color=GREEN, alpha=0.18, linewidth=0, label=f"its {outer:g} %"
        )
        axes.axvline(stamps[n - len(x)], color=GREY, linewidth=0.8, linestyle=":")
    x = future.stamps[i]
    ends = [(level, *(end[i] for end in future.interval(level))) for level in levels]
    bands(axes, x, ends, ORANGE)
    axes.plot(x, future.mean[i], color=ORANGE, linewidth=1.8, label="forecast")
    axes.set_xlabel("time" if data.stamps[i].dtype.kind == "M" else "step")
    axes.set_ylabel(data.axis(i))
    axes.margins(x=0.01)
    fig.legend(loc="outside lower center", fontsize=8.5, frameon=False, ncols=8)
    return save(fig, path)
