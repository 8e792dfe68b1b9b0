"""Pictures of what a Bayesian network knows: calibration, entropies, pruning, the band.

Holds drawing only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, INK, ORANGE, blank, dress, figure, save
from dope.plugins.bayes.figures import Reliability, Uncertainty

COLOURS = (ORANGE, GREEN, GREY)


def calibration(path: Path, found: Reliability) -> Path:
    """How often predictions are right, by how sure they are."""
    from matplotlib.ticker import PercentFormatter

    fig = blank(5.4, 6.2)
    upper, lower = fig.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    known = found.counts > 0
    total = found.counts.sum()
    gap = np.nansum(np.abs(found.confidence - found.accuracy) * found.counts) / total
    dress(upper, f"Calibration error {100 * gap:.2f} %, {total:,} predictions")
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    upper.text(0.04, 0.075, "as sure as right", color=GREY, fontsize=9, rotation=45)
    error = np.sqrt(found.accuracy * (1 - found.accuracy) / np.maximum(found.counts, 1))
    upper.errorbar(
        found.confidence[known], found.accuracy[known], error[known], color=BLUE, marker="o",
        markersize=5, linewidth=1.4, elinewidth=1,
    )  # fmt: skip
    upper.set(xlim=(0, 1.02), ylim=(0, 1.02), ylabel="share that is right")
    dress(lower)
    width = np.diff(found.edges)
    lower.bar(found.edges[:-1], found.counts, width, align="edge", color=BLUE, edgecolor="white")
    lower.set(yscale="log", ylabel="predictions", xlabel="probability of the predicted class")
    upper.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    lower.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    return save(fig, path)


def entropies(
    path: Path, inside: Uncertainty, outside: Mapping[str, Uncertainty], classes: int
) -> Path:
    """Entropy of predictions, and its epistemic part, within the data and outside."""
    fig = blank(10.0, 4.2)
    panels = fig.subplots(1, 2)
    titles = "Entropy of the prediction", "Of it, what more data would settle"
    for axes, title, field in zip(panels, titles, ("total", "epistemic")):
        dress(axes, title)
        groups = {"held-out data": inside, **outside}
        values = {name: getattr(each, field) for name, each in groups.items()}
        top = np.log(classes) if field == "total" else max(v.max() for v in values.values())
        bins = np.linspace(0, max(top, 1e-6), 41)
        for (name, each), colour in zip(values.items(), (BLUE, *COLOURS)):
            share = 100 * np.histogram(each, bins)[0] / len(each)
            axes.stairs(
                share, bins, color=colour, linewidth=1.6, fill=name == "held-out data",
                alpha=0.5 if name == "held-out data" else 1.0, label=name,
            )  # fmt: skip
        axes.set(yscale="log", xlabel="nats")
        axes.set_ylim(bottom=0.05)
    panels[0].set_ylabel("% of examples")
    panels[1].legend(frameon=False, fontsize=9)
    return save(fig, path)


def pruning(path: Path, curve: Sequence[tuple[float, float]], ratio: np.ndarray) -> Path:
    """Accuracy by the share of weights that are zero, and the ratios that they go by."""
    from matplotlib.ticker import PercentFormatter

    fig = blank(10.0, 4.2)
    left, right = fig.subplots(1, 2)
    share, accuracy = np.array(curve).T
    dress(left, "Accuracy without the weights of lowest ratio")
    left.plot(share, accuracy, color=BLUE, marker="o", markersize=5, linewidth=1.6)
    for x, y in curve:
        if x in (0.0, 0.75, 0.95, 0.99):
            left.annotate(
                f"{y:.4f}", (x, y), xytext=(-4, -12), textcoords="offset points", fontsize=8.5,
                color=INK, ha="right" if x else "left",
            )  # fmt: skip
    left.set(xlabel="weights set to zero", ylabel="accuracy")
    left.set_ylim(min(0.9, accuracy.min() - 0.1), 1.02)
    left.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    dress(right, f"Signal to noise of {len(ratio):,} weights")
    decibel = 20 * np.log10(np.maximum(ratio, 1e-6))
    low, high = np.median(decibel) - 40, decibel.max()  # all below is in the first bar
    right.hist(np.clip(decibel, low, high), 60, color=BLUE, alpha=0.7)
    for mark, side in ((0.75, "right"), (0.95, "left")):
        at = np.quantile(decibel, mark)
        right.axvline(at, color=ORANGE, linewidth=1)
        right.text(
            at, 0.97, f"  {100 * mark:g} %  ", color=ORANGE, fontsize=9, va="top", ha=side,
            transform=right.get_xaxis_transform(),
        )  # fmt: skip
    right.set(xlabel="|mean| / standard deviation, in decibels", ylabel="weights")
    return save(fig, path)


def band(
    path: Path,
    grid: np.ndarray,
    found: np.ndarray,
    noise: float,
    x: np.ndarray,
    y: np.ndarray,
) -> Path:
    """The mean of many networks, where they lie, and where new values are to be expected.

    Parameters
    ----------
    path
        The PNG to write.
    grid, found
        Inputs (n,), and outputs (draws, n).
    noise
        Standard deviation of values about the curve.
    x, y
        The points that were learned from, (N,) each.
    """
    fig, axes = figure("What is known within the data, and what beyond", 9.0, 4.8)
    mean, spread = found.mean(axis=0), found.std(axis=0)
    total = np.sqrt(spread**2 + noise**2)
    axes.fill_between(
        grid, mean - 2 * total, mean + 2 * total, color=BLUE, alpha=0.13, linewidth=0,
        label="new values, two standard deviations",
    )  # fmt: skip
    low, high = np.quantile(found, [0.25, 0.75], axis=0)
    axes.fill_between(
        grid, low, high, color=BLUE, alpha=0.35, linewidth=0, label="half of the networks"
    )
    for each in found[:5]:
        axes.plot(grid, each, color=BLUE, linewidth=0.5, alpha=0.6)
    axes.plot(grid, mean, color=INK, linewidth=1.6, label="mean")
    axes.plot(x, y, ".", color=ORANGE, markersize=2.5, alpha=0.6, label="data")
    room = 1.5 * np.ptp(y)
    axes.set(xlabel="x", ylabel="y", ylim=(y.min() - room, y.max() + room))
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return save(fig, path)
