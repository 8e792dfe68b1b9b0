"""Pictures of made points over those of the data.

Holds drawing only; what all pictures share is in core/plots.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dope.core.plots import BLUE, GREY, ORANGE, RULE, blank, dress, save

MOST = 1000  # points of each kind that are drawn
MARGIN = 0.25  # of the data's extent that is shown on each side


def cloud(
    path: Path, data: np.ndarray, made: np.ndarray, title: str, said: Mapping[str, float]
) -> Path:
    """Made points over data points, with some figures below the title.

    Parameters
    ----------
    path
        The PNG to write.
    data, made
        Points (n, 2); the first thousand of each are drawn. What is shown depends on the data
        alone, so that pictures of all epochs have one scale; points outside are counted.
    title
        Of the picture.
    said
        Figures by name.
    """
    fig = blank(5.6, 5.8)
    axes = dress(fig.add_subplot(), title)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    low, high = data.min(axis=0), data.max(axis=0)
    room = MARGIN * (high - low).max()
    middle, half = (low + high) / 2, (high - low).max() / 2 + room
    for points, colour, marker, label in (
        (data, GREY, "o", "data"),
        (made, BLUE, "o", "generator"),
    ):
        axes.plot(
            points[:MOST, 0], points[:MOST, 1], marker, color=colour, markersize=3.2, alpha=0.5,
            markeredgewidth=0, label=label,
        )  # fmt: skip
    axes.set(
        xlim=(middle[0] - half, middle[0] + half),
        ylim=(middle[1] - half, middle[1] + half),
        aspect="equal",
    )
    outside = int((np.abs(made[:MOST] - middle) > half).any(axis=1).sum())
    if outside:
        axes.text(
            0.99, 0.01, f"{outside} points outside", transform=axes.transAxes, ha="right",
            va="bottom", color=ORANGE, fontsize=8.5,
        )  # fmt: skip
    line = "   ".join(f"{key} {value:.3g}".replace("-", "−") for key, value in said.items())
    axes.set_xlabel(f"first coordinate\n{line}", fontsize=8.5)
    axes.set_ylabel("second coordinate", fontsize=8.5)
    axes.tick_params(labelsize=8.5)
    axes.legend(loc="upper left", fontsize=8.5, frameon=False, markerscale=2, handletextpad=0.1)
    return save(fig, path)
