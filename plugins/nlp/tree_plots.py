"""Pictures of likeness: predicted against true scores.

Holds drawing only; what all pictures share is in core/plots.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dope.core.plots import BLUE, GREY, blank, dress, save


def agreement(
    path: Path, true: np.ndarray, predicted: np.ndarray, grades: int, title: str = ""
) -> Path:
    """A point for each pair, and the line on which predictions are right.

    Parameters
    ----------
    path
        The PNG to write.
    true, predicted
        Scores (n,), from 1 to ``grades``.
    grades
        The highest score.
    title
        Over all.
    """
    fig = blank(5.4, 5.2)
    axes = dress(fig.add_subplot(), title)
    axes.plot([1, grades], [1, grades], color=GREY, linewidth=1, label="predicted = true")
    shade = float(np.clip(30 / np.sqrt(max(1, len(true))) / 5, 0.12, 0.8))
    axes.scatter(true, predicted, s=14, color=BLUE, alpha=shade, linewidths=0)
    axes.set(
        xlabel="true similarity",
        ylabel="predicted similarity",
        xlim=(0.85, grades + 0.15),
        ylim=(0.85, grades + 0.15),
    )
    axes.set_aspect("equal")
    axes.legend(loc="upper left", frameon=False)
    return save(fig, path)
