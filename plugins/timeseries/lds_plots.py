"""Pictures of what a linear dynamical system makes of a series: filtered and smoothed.

Holds drawing only, in the manner of ``plots.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Tuple

import numpy as np

from dope.core.plots import BLUE, INK, ORANGE, blank, dress, save
from dope.plugins.timeseries.shaping import SeriesSet

LONGEST = 150  # last steps of a series that are drawn
COLOURS = {"filtered": ORANGE, "smoothed": BLUE}
KNOWN = {"filtered": "given the past and the present", "smoothed": "given the whole series"}


def states(
    path: Path,
    data: SeriesSet,
    i: int,
    signals: Mapping[str, Tuple[np.ndarray, np.ndarray]],
    noise: float,
) -> Path:
    """Observations, and the noise-free observation as the filter and the smoother see it.

    Parameters
    ----------
    path
        The PNG to write.
    data, i
        The series set, and which of its columns.
    signals
        ``filtered`` and ``smoothed``: mean and variance (T,) of the noise-free observation. The
        dark band is the central 95 % of it: 1.96 standard deviations, not variances, each way.
    noise
        Variance of the observation noise; the light band is the central 95 % with it.
    """
    from matplotlib.ticker import MaxNLocator

    n = int(data.length[i])
    first = max(0, n - LONGEST)
    x, y = data.stamps[i][first:], data.values[i, first:n]
    z = NormalDist().inv_cdf(0.975)
    fig = blank(10.0, 6.4)
    panels = fig.subplots(len(signals), 1, sharex=True, sharey=True)
    fig.suptitle(f"{data.names[i]}: signal under the noise", x=0.01, ha="left", fontsize=13)
    for axes, (name, (mean, variance)) in zip(panels, signals.items()):
        colour, mean, variance = COLOURS[name], mean[first:n], variance[first:n]
        for total, alpha, label in (
            (variance + noise, 0.14, "95 % of observations"),
            (variance, 0.34, "95 % of signal"),
        ):
            half = z * np.sqrt(np.maximum(total, 0.0))
            axes.fill_between(
                x, mean - half, mean + half, color=colour, alpha=alpha, linewidth=0, label=label
            )
        axes.plot(x, mean, color=colour, linewidth=1.8, label=f"{name} mean")
        axes.plot(x, y, ".", color=INK, markersize=5, label="observed")
        dress(axes, f"{name}: {KNOWN[name]}", size=10.5)
        axes.set_ylabel(data.axis(i))
        axes.margins(x=0.01)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=8.5, frameon=False, ncols=4,
            borderaxespad=0.0,
        )  # fmt: skip
    if x.dtype.kind == "M":
        panels[-1].set_xlabel("time")
    else:
        panels[-1].set_xlabel("step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return save(fig, path)
