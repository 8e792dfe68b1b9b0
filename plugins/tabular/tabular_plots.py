"""Pictures of the foundations: the fitted plane, the separating line, the shifted data.

Holds drawing only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dope.core.plots import BLUE, GREEN, ORANGE, RULE, blank, dress, save

SHOWN = 300  # points of a scatter


def plane(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    bias: float,
) -> Path:
    """The loss by epoch, and the fitted line or plane among the points.

    Parameters
    ----------
    path
        The PNG to write.
    rows
        Those of ``metrics.jsonl``.
    x, y
        Inputs (n, D), D at most 2, and values (n,).
    weights, bias
        The fit.
    """
    fig = blank(11.0, 4.6)
    left = dress(fig.add_subplot(1, 2, 1), "Half the squared error")
    for key, name, colour in (("loss", "training", BLUE), ("test_loss", "test", GREEN)):
        points = [(row["epoch"], row[key]) for row in rows if row.get(key)]
        if points:
            epochs, values = np.array(points).T
            left.plot(epochs, values, color=colour, marker="o", markersize=5, label=name)
    left.set(yscale="log", xlabel="epoch")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False, fontsize=9)
    x, y = x[:SHOWN], y[:SHOWN]
    terms = [f"{w:+.3f} x{i}".replace("-", "\u2212") for i, w in enumerate(weights, 1)]
    title = f"y = {' '.join(terms).lstrip('+')} {bias:+.3f}".replace("-", "\u2212")
    if x.shape[1] == 1:
        right = dress(fig.add_subplot(1, 2, 2), title)
        right.plot(x[:, 0], y, ".", color=BLUE)
        ends = np.array([x.min(), x.max()])
        right.plot(ends, ends * weights[0] + bias, color=ORANGE)
        right.set(xlabel="x1", ylabel="y")
        return save(fig, path)
    _surface(fig.add_subplot(1, 2, 2, projection="3d"), title, x, y, weights, bias)
    return save(fig, path)


def _surface(
    axes: Any, title: str, x: np.ndarray, y: np.ndarray, weights: np.ndarray, bias: float
) -> None:
    """A plane among points (n, 2), seen from a side from which it slopes across the picture."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=12)
    one, two = np.meshgrid(*(np.linspace(each.min(), each.max(), 9) for each in x.T))
    height = one * weights[0] + two * weights[1] + bias
    axes.plot_wireframe(one, two, height, color=ORANGE, alpha=0.55, linewidth=0.8)
    axes.scatter(x[:, 0], x[:, 1], y, color=BLUE, s=9, depthshade=False, linewidths=0)
    axes.set(xlabel="x1", ylabel="x2", zlabel="y")
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_pane_color((1.0, 1.0, 1.0, 1.0))
        axis._axinfo["grid"].update(color=RULE, linewidth=0.8)
    axes.tick_params(labelsize=8.5, pad=1)
    axes.set_box_aspect((4, 4, 3), zoom=1.2)
    axes.view_init(elev=20, azim=float(np.degrees(np.arctan2(weights[1], weights[0]))) + 130)


def separation(
    path: Path,
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    bias: float,
    margins: Sequence[float],
    table: np.ndarray,
) -> Path:
    """Points with the line that separates them, and mistakes beside their bound over margins.

    Parameters
    ----------
    path
        The PNG to write.
    x, y
        Inputs (n, 2) and classes -1 and 1 (n,).
    weights, bias
        The line.
    margins
        Margins (m,).
    table
        Mean and largest number of mistakes, and the bound, at each margin, (m, 3).
    """
    fig = blank(11.0, 4.8)
    left, right = fig.subplots(1, 2)
    dress(left, "The line that was found")
    for sign, colour, marker in ((1, ORANGE, "o"), (-1, BLUE, "s")):
        some = x[y == sign][:SHOWN]
        left.scatter(
            *some.T, color=colour, s=12, marker=marker, label=f"class {sign}".replace("-", "\u2212")
        )
    if np.any(weights):
        # the points of the line w.x + b = 0 that lie within the picture's circle, about
        foot, along = -bias * weights / (weights @ weights), np.array([-weights[1], weights[0]])
        along = 4 * along / np.linalg.norm(along)
        left.plot(*np.stack([foot - along, foot + along]).T, color=GREEN, linewidth=1.8)
    reach = 1.05 * np.abs(x).max()
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="x1", ylabel="x2", aspect="equal")
    left.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    dress(right, "Mistakes until none is left, and their bound")
    lines = zip(table.T, ("mean", "largest", "bound"), (BLUE, ORANGE, GREEN))
    for values, name, colour in lines:
        right.plot(margins, values, color=colour, marker="o", markersize=4, label=name)
    right.set(yscale="log", xlabel="margin", ylabel="mistakes")
    right.legend(frameon=False, fontsize=9)
    return save(fig, path)
