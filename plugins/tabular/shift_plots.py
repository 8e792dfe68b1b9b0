"""The picture of covariate shift: weights, fitted lines, and errors over new problems.

Holds drawing only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, INK, ORANGE, blank, dress, save

SHOWN = 300  # points of a scatter
COLOURS = {"plain": BLUE, "corrected": ORANGE, "oracle": GREEN, "best": INK}
SAID = {
    "plain": "without correction",
    "corrected": "with learned weights",
    "oracle": "with the true ratio",
    "best": "best line there",
}


def shift(
    path: Path,
    points: Sequence[np.ndarray],
    weights: Mapping[str, np.ndarray],
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    data: Any,
    table: Optional[np.ndarray],
) -> Path:
    """Weights of the examples, what was fitted with and without them, and errors elsewhere.

    Parameters
    ----------
    path
        The PNG to write.
    points
        Inputs (n, 1), values (n,) and shifted inputs (m, 1).
    weights
        Of ``corrected``, and of ``oracle`` where it is known, at the inputs, (n,).
    lines
        Inputs and outputs of each model.
    data
        The data set; its ``values`` are drawn where it has them.
    table
        Mean squared errors (problems, 4) as `reweighting.errors` gives them; None for no panel.
    """
    fig = blank(14.5 if table is not None else 9.8, 4.7)
    left, middle, *rest = fig.subplots(1, 2 if table is None else 3)
    _weights(left, points, weights)
    _lines(middle, points, lines, data)
    for axes in rest:
        _errors(axes, np.asarray(table))
    return save(fig, path)


def _weights(axes: Any, points: Sequence[np.ndarray], weights: Mapping[str, np.ndarray]) -> None:
    """Weights against inputs, above the histograms of both kinds of inputs."""
    x, _, z = points
    dress(axes, "Weight of each example")
    order = np.argsort(x[:, 0])
    if "oracle" in weights:
        axes.plot(
            x[order, 0], weights["oracle"][order], color=GREEN, linewidth=2.2,
            label="true ratio of densities",
        )  # fmt: skip
    axes.plot(
        x[order, 0], weights["corrected"][order], ".", color=ORANGE, markersize=4, label="learned"
    )
    top = max(each.max() for each in weights.values())
    edges = np.linspace(min(x.min(), z.min()), max(x.max(), z.max()), 41)
    for some, colour, name in ((x, BLUE, "inputs with values"), (z, GREY, "shifted inputs")):
        share, _ = np.histogram(some, bins=edges)
        axes.stairs(
            -0.3 * top * share / share.max(), edges, fill=True, color=colour, alpha=0.35, label=name
        )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="x", ylim=(-0.33 * top, 1.32 * top))
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 1.1 * top])
    axes.legend(frameon=False, fontsize=8.5, ncols=2, loc="upper center")


def _lines(
    axes: Any,
    points: Sequence[np.ndarray],
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    data: Any,
) -> None:
    x, y, z = points
    dress(axes, "What is learned")
    axes.plot(x[:SHOWN, 0], y[:SHOWN], ".", color=BLUE, alpha=0.35, markersize=4)
    low, high = y.min(), np.quantile(y, 0.995)
    low -= 0.15 * (high - low)
    axes.plot(
        z[:SHOWN, 0], np.full(len(z[:SHOWN]), low), "|", color=GREY, alpha=0.6, markersize=9,
        label="where it is asked",
    )  # fmt: skip
    at = next(iter(lines.values()))[0]
    if hasattr(data, "values"):
        axes.plot(at, data.values(at[:, None]), color=INK, linewidth=1.3, label="truth")
    for way, (where, found) in lines.items():
        dash = (0, (4, 2)) if way == "oracle" else "-"
        axes.plot(where, found, color=COLOURS[way], linewidth=2, linestyle=dash, label=SAID[way])
    axes.set(xlabel="x", ylabel="y", ylim=(low - 0.05 * (high - low), high + 0.5 * (high - low)))
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")


def _errors(axes: Any, table: np.ndarray) -> None:
    """A pale line for each problem, and the mean with its standard deviation."""
    better = int((table[:, 1] < table[:, 0]).sum())
    dress(axes, f"Error elsewhere: lower on {better} of {len(table)} new problems")
    at = np.arange(table.shape[1])
    for row in table:
        axes.plot(at, row, color=GREY, linewidth=0.7, alpha=0.5, zorder=1)
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(len(at))
    for i, colour in enumerate(COLOURS.values()):
        mean = table[:, i].mean()
        axes.errorbar(
            i, mean, spread[i], fmt="o", color=colour, capsize=5, markersize=7, linewidth=1.8
        )
        axes.annotate(
            f"{mean:.3g}", (i, mean), xytext=(9, 9), textcoords="offset points", color=colour,
            fontsize=9, va="center",
        )  # fmt: skip
    axes.set_xticks(at, [SAID[way].replace(" ", "\n", 1) for way in COLOURS], fontsize=8.5)
    axes.set(xlim=(-0.4, len(at) - 0.3), ylabel="mean squared error")
