"""Pictures of ratings as they come: how high, how many of each user, how many of each item.

Holds drawing only; pictures of what a model makes of them are elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, INK, ORANGE, blank, dress, save
from dope.plugins.recsys.ratings import RatingSet

FEW = 21  # different ratings up to which each has a bar
BINS = 40


def overview(path: Path, dataset: RatingSet) -> Path:
    """Histogram of all ratings; ratings of each user and of each item, the busiest first.

    The curves are of the whole source, on logarithmic scales; beside them stand the median and
    who or what has no rating to learn from.

    Parameters
    ----------
    path
        The PNG to write.
    dataset
        Its parts are read if they are not yet.
    """
    ratings = dataset.source.ratings
    fig = blank(13.0, 4.2)
    first, second, third = fig.subplots(1, 3)
    n = len(ratings.values)
    title = f"{n:,} rating{'s' * (n != 1)}"
    if dataset.skipped:
        title += f", {dataset.skipped:,} line{'s' * (dataset.skipped != 1)} skipped"
    _histogram(dress(first, title), ratings.values)
    for axes, kind, numbers, names, learned, colour in (
        (second, "user", ratings.users, dataset.users, dataset.user_counts, BLUE),
        (third, "item", ratings.items, dataset.items, dataset.item_counts, GREEN),
    ):
        counts = np.bincount(numbers, minlength=len(names))
        _ranks(axes, kind, counts, int((learned == 0).sum()), colour)
    return save(fig, path)


def _histogram(axes: Any, values: np.ndarray) -> None:
    """Bars of single values if there are few, else of intervals; the mean as a line."""
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) <= FEW:
        width = 0.8 * np.diff(levels).min() if len(levels) > 1 else 0.8
        axes.bar(levels, counts, width=width, color=BLUE)
        if len(levels) <= 11:
            axes.set_xticks(levels, [f"{level:g}".replace("-", "\u2212") for level in levels])
        if len(levels) == 1:
            axes.set_xlim(levels[0] - 2, levels[0] + 2)
    else:
        axes.hist(values, bins=BINS, color=BLUE)
    mean, spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    axes.axvline(mean, color=ORANGE, linewidth=1.6)
    text = f"mean {mean:.2f}, sd {spread:.2f}".replace("-", "\u2212")
    axes.set_ylim(0, 1.13 * axes.get_ylim()[1])
    middle = mean < sum(axes.get_xlim()) / 2
    axes.annotate(
        text, (mean, 1), xycoords=("data", "axes fraction"), xytext=(5 if middle else -5, -4),
        textcoords="offset points", color=ORANGE, fontsize=9, va="top",
        ha="left" if middle else "right",
    )  # fmt: skip
    axes.set(xlabel="rating", ylabel="ratings")


def _ranks(axes: Any, kind: str, counts: np.ndarray, cold: int, colour: str) -> None:
    """Numbers of ratings in falling order."""
    dress(axes, f"{len(counts):,} {kind}{'s' * (len(counts) != 1)}")
    ranked = np.sort(counts[counts > 0])[::-1]
    rank = np.arange(1, len(ranked) + 1)
    axes.plot(
        rank, ranked, color=colour, linewidth=1.8, marker="o",
        markersize=4 if len(ranked) <= 30 else 0,
    )  # fmt: skip
    median = float(np.median(ranked))
    axes.axhline(median, color=GREY, linewidth=1.0, linestyle="--")
    axes.annotate(
        f"median {median:g}", (0, median), xycoords=("axes fraction", "data"), xytext=(4, 3),
        textcoords="offset points", color=INK, fontsize=9,
    )  # fmt: skip
    if cold:
        axes.annotate(
            f"{cold:,} without a rating to learn from", (0.03, 0.03), xycoords="axes fraction",
            color=ORANGE, fontsize=9,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log")  # a decade at least, or Matplotlib labels every tick
    axes.set(xlim=(0.8, max(10, 1.4 * len(ranked))), ylim=(0.8, max(10, 1.6 * ranked[0])))
    axes.set(xlabel=f"rank of the {kind}", ylabel=f"ratings of the {kind}")
