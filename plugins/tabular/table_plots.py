"""Pictures of predictions from a table: against the truth, what is left over, what columns give.

Holds drawing only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, INK, ORANGE, blank, dress, save
from dope.plugins.tabular.target import Target

SHOWN = 4000  # points of a scatter
COLUMNS = 20  # columns whose importance is shown
NAMED = 30  # classes whose names are shown


def predictions(
    path: Path, values: np.ndarray, predicted: np.ndarray, target: Target, what: str
) -> Path:
    """Predictions against true values, and what is left over.

    Parameters
    ----------
    path
        The PNG to write.
    values, predicted
        In the target's unit, (n,).
    target
        Of which the name and the logarithm are used.
    what
        Which rows they are.
    """
    fig = blank(11.0, 4.8)
    left, right = fig.subplots(1, 2)
    log = target.log and values.min() > 0 and predicted.min() > 0
    some = np.random.default_rng(0).permutation(len(values))[:SHOWN]
    fig.suptitle(f"{target.name}: {len(values):,} {what}", x=0.01, ha="left", fontsize=13)
    dress(left, "Predicted against true")
    ends = np.array([min(values.min(), predicted.min()), max(values.max(), predicted.max())])
    left.plot(ends, ends, color=GREY, linewidth=1.0)
    left.plot(values[some], predicted[some], ".", color=BLUE, markersize=4, alpha=0.6)
    if log:
        left.set(xscale="log", yscale="log")
        _ticks(left.xaxis, left.yaxis)
    left.set(xlabel="true", ylabel="predicted")
    rest = np.log(predicted / values) if log else predicted - values
    dress(right, "log(predicted / true)" if log else "predicted − true")
    right.axhline(0, color=GREY, linewidth=1.0)
    right.plot(predicted[some], rest[some], ".", color=ORANGE, markersize=4, alpha=0.6)
    order = np.argsort(predicted)
    if len(order) >= 100:
        parts = np.array_split(order, 15)
        middle = [np.median(predicted[part]) for part in parts]
        right.plot(
            middle, [np.median(rest[part]) for part in parts], color=INK, label="running median"
        )
        right.legend(frameon=False, fontsize=9)
    if log:
        right.set(xscale="log")
        _ticks(right.xaxis)
    right.set(xlabel="predicted")
    return save(fig, path)


def _ticks(*sides: Any) -> None:
    """Ticks of logarithmic axes: 1, 2 and 5 times a power of ten, in plain figures."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for side in sides:
        side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        side.set_minor_formatter(NullFormatter())


def confusion(
    path: Path, classes: Sequence[str], predicted: Sequence[str], target: Target, what: str
) -> Path:
    """How often each class was taken for each.

    Parameters
    ----------
    path
        The PNG to write.
    classes, predicted
        Words, (n,).
    target, what
        As in `predictions`.
    """
    places = {word: place for place, word in enumerate(target.classes)}
    names = list(target.classes)
    counts = np.zeros((len(names), len(names)), dtype=int)
    for true, said in zip(classes, predicted):
        counts[places[_as(true, places)], places[_as(said, places)]] += 1
    size = min(10.0, 3.4 + 0.5 * len(names))
    fig = blank(size + 1.2, size)
    axes = dress(fig.add_subplot(), f"{target.name}: {counts.sum():,} {what}")
    axes.grid(False)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= NAMED:
        axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 4 else 0)
        axes.set_yticks(range(len(names)), names)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.6 else INK
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=9, color=colour)
    axes.set(xlabel="predicted", ylabel="true")
    return save(fig, path)


def _as(word: str, places: Mapping[str, int]) -> str:
    """A class as it is written in the table: a CSV of ours may have made 1 of it 1.0."""
    if word in places:
        return word
    return next(known for known in places if _same(known, word))


def _same(left: str, right: str) -> bool:
    try:
        return float(left) == float(right)
    except ValueError:
        return False


def importance(
    path: Path, shares: Mapping[str, Sequence[float]], target: Target, what: str
) -> Path:
    """The columns without which predictions are worst, with the range over folds.

    Parameters
    ----------
    path
        The PNG to write.
    shares
        How much the error grows by column, once a fold.
    target, what
        As in `predictions`.
    """
    order = sorted(shares, key=lambda name: np.mean(shares[name]))[-COLUMNS:]
    means = np.array([np.mean(shares[name]) for name in order])
    fig = blank(8.0, 1.2 + 0.26 * len(order))
    axes: Any = dress(fig.add_subplot(), f"{target.name}: what shuffling a column costs, {what}")
    axes.grid(axis="y", visible=False)
    axes.barh(range(len(order)), means, color=GREEN, height=0.7)
    for place, name in enumerate(order):
        axes.plot([min(shares[name]), max(shares[name])], [place, place], color=INK, linewidth=1.0)
    axes.set_yticks(range(len(order)), order)
    unit = "log loss" if target.classes else "error of the scaled target"
    axes.set(xlabel=f"growth of the {unit}")
    return save(fig, path)
