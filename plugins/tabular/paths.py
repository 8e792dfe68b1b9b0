"""Pictures of paths on a quadratic: of one run, or of all members of a sweep in one.

Holds drawing, and reading what runs have written; imports no MXNet.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, INK, ORANGE, RULE, blank, dress, save
from dope.core.rundir import RunDirectory

COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito's
TOGETHER = 4  # paths up to which all share one panel
MOST = 12  # panels
DOTTED = 120  # steps up to which each is marked

Named = Sequence[tuple[str, np.ndarray]]


def draw(path: Path, found: Named, hessian: np.ndarray, minimum: np.ndarray) -> Path:
    """Paths on the contour lines of a quadratic, and beside them how near each has come.

    Parameters
    ----------
    path
        The PNG to write.
    found
        Name and path, (T + 1, 2) with the start first, of each; at most twelve are drawn.
    hessian, minimum
        Of the quadratic, (2, 2) and (2,).
    """
    found = [(name, np.asarray(each, dtype=float)) for name, each in found][:MOST]
    panels = 1 if len(found) <= TOGETHER else len(found)
    across = min(3, panels)
    down = -(-panels // across)
    fig = blank(5.6 * across + 4.4, max(3.0, 2.4 * down) + 0.9)
    grid = fig.add_gridspec(down, across + 1, width_ratios=[*[5.6] * across, 4.0])
    frame = _frame([each for _, each in found], minimum)
    for i in range(panels):
        axes = dress(fig.add_subplot(grid[i // across, i % across]), size=11.0)
        own = found if panels == 1 else [found[i]]
        _contours(axes, hessian, minimum, frame)
        for j, (name, each) in enumerate(own):
            _path(axes, each, COLOURS[(i + j) % len(COLOURS)], name)
        axes.plot(*minimum, "*", color=INK, markersize=12, zorder=6)
        axes.set_xlim(*frame[0])
        axes.set_ylim(*frame[1])
        title = "On the contour lines of the loss" if panels == 1 else found[i][0]
        axes.set_title(title, loc="left", fontsize=10.5)
        axes.set(xlabel="weight 1", ylabel="weight 2")
    side = dress(fig.add_subplot(grid[:, across]), "Distance from the minimum", size=10.5)
    for i, (name, each) in enumerate(found):
        far = np.linalg.norm(each - minimum, axis=1)
        dash = "-" if i < len(COLOURS) else "--"
        side.plot(far, dash, color=COLOURS[i % len(COLOURS)], linewidth=1.6, label=name or None)
    side.set(yscale="log", xlabel="step")
    side.margins(x=0.02)
    if any(name for name, _ in found):
        fig.legend(loc="outside lower center", ncols=min(4, len(found)), frameon=False, fontsize=9)
    return save(fig, path)


def _frame(found: Sequence[np.ndarray], minimum: np.ndarray) -> np.ndarray:
    """Limits (2, 2) of the picture: all paths, but no more than five times the way to go.

    A path that runs away leaves the picture.
    """
    points = np.concatenate([*found, minimum[None]])
    points = points[np.isfinite(points).all(axis=1)]
    reach = 5 * np.linalg.norm(minimum - found[0][0])
    points = np.clip(points, minimum - reach, minimum + reach)
    low, high = points.min(axis=0), points.max(axis=0)
    room = 0.12 * (high - low).max() * np.array([1.0, 0.6])
    return np.stack([low - room, high + room], axis=1)


def _contours(axes: Any, hessian: np.ndarray, minimum: np.ndarray, frame: np.ndarray) -> None:
    (left, right), (low, high) = frame
    x, y = np.linspace(left, right, 160), np.linspace(low, high, 160)
    gap = np.stack(np.meshgrid(x, y), axis=-1) - minimum  # (160, 160, 2)
    height = np.einsum("ijk,kl,ijl->ij", gap, hessian, gap) / 2
    # ever denser towards the minimum: equal steps of the root
    levels = height.max() * np.linspace(0.04, 1.0, 14) ** 2
    axes.contourf(x, y, height, levels=[0, *levels], cmap="Blues", alpha=0.35, zorder=0)
    axes.contour(x, y, height, levels=levels, colors=GREY, linewidths=0.5, alpha=0.7, zorder=1)
    axes.grid(False)


def _path(axes: Any, path: np.ndarray, colour: str, name: str) -> None:
    marker = "o" if len(path) <= DOTTED else ""
    axes.plot(
        *path.T, color=colour, linewidth=1.3, marker=marker, markersize=3.2, zorder=4,
        markeredgecolor="white", markeredgewidth=0.4,
    )  # fmt: skip
    axes.plot(*path[0], "^", color="#B00020", markersize=9, zorder=6, markeredgecolor=RULE)


def overlay(path: Path, runs: Sequence[tuple[str, Path]]) -> Optional[Path]:
    """The paths of several runs of ``tabular.quadratic`` in one picture.

    Parameters
    ----------
    path
        The PNG to write.
    runs
        Name and folder of each. Left out are those that are not done, and those on another
        quadratic than the first that is.

    Returns
    -------
    Path, or None where no run is done
    """
    found: list[tuple[str, np.ndarray]] = []
    ground: Any = None
    for name, folder in runs:
        figures = (RunDirectory(folder).read_json("result.json") or {}).get("metrics", {})
        own = figures.get("hessian"), figures.get("minimum")
        if None in own or not (Path(folder) / "path.csv").is_file():
            continue
        ground = ground or own
        if own == ground:
            found.append((name, read(folder)))
    if not found:
        return None
    return draw(path, found, np.array(ground[0]), np.array(ground[1]))


def read(folder: Path) -> np.ndarray:
    """The path (T + 1, 2) that a run of ``tabular.quadratic`` has written into its folder."""
    with (Path(folder) / "path.csv").open(newline="", encoding="utf-8") as handle:
        rows = [(float(row["weight_1"]), float(row["weight_2"])) for row in csv.DictReader(handle)]
    return np.array(rows).reshape(-1, 2)
