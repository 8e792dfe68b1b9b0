"""The picture of a sweep: the figure against what was varied, in the way that fits the keys.

Holds no figures of its own; the house's look is that of core/plots.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, INK, ORANGE, blank, dress, save
from dope.core.plots import WIDE as SPAN
from dope.core.sweeping import points
from dope.core.sweeping.points import WIDE, Axis, Range

if TYPE_CHECKING:
    from dope.core.sweeping.outcome import Sweep
    from dope.core.sweeping.standings import Standing

COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito's
MARKS = "osD^vP"
PANELS = 9  # keys that are drawn
ANNOTATED = 64  # cells of a heat map up to which each has its figure


def picture(path: Path, sweep: Sweep) -> Optional[Path]:
    """Draw the points of a sweep that have a figure; None where there is none.

    One key: the figure against the key. Two keys: a heat map of a whole grid, lines where one key
    has few values, else coloured points. Three keys of a whole grid: lines where two of them have
    few pairs of values. More: a panel a key. The best point is circled.
    """
    done = [each for each in sweep.standings if each.figure is not None]
    axes = points.read(sweep.spec["settings"]).varied
    if not done:
        return None
    scales = [Scale(axis, [each.values[axis.key] for each in sweep.standings]) for axis in axes]
    title = f"{sweep.spec['task']}: {len(done)} points"
    if len(scales) == 2:
        _two(path, sweep, done, scales, title)
        return path
    if len(scales) == 3 and _three(path, sweep, done, scales, title):
        return path
    shown = scales[:PANELS]
    across = min(3, max(1, len(shown)))
    down = -(-max(1, len(shown)) // across)
    fig = blank(max(6.4, 4.4 * across), 3.4 * down + 0.4)
    fig.suptitle(title, x=0.01, ha="left", fontsize=13)
    panels = np.ravel(fig.subplots(down, across, squeeze=False))
    for panel, scale in zip(panels, shown):
        _against(panel, sweep, done, scale, joined=len(scales) == 1)
    if not shown:
        _against(panels[0], sweep, done, Scale(points.Values("point", ("1",)), ["1"]), joined=False)
    for panel in panels[max(1, len(shown)) :]:
        panel.set_visible(False)
    return save(fig, path)


class Scale:
    """Where the values of a key lie on an axis: numbers by size, others side by side.

    Parameters
    ----------
    axis
        The key.
    texts
        Its values in all points.
    """

    def __init__(self, axis: Axis, texts: Sequence[str]) -> None:
        self.key = axis.key
        self.texts = list(axis.texts) if not isinstance(axis, Range) else list(dict.fromkeys(texts))
        found = [_number(text) for text in self.texts]
        self.numeric = all(value is not None for value in found)
        values = [value for value in found if value is not None]
        self.log = axis.log
        if self.numeric and not isinstance(axis, Range) and len(values) > 1:
            self.log = min(values) > 0 and max(values) / min(values) >= WIDE
        if self.numeric:
            self.texts = [text for _, text in sorted(zip(values, self.texts))]

    def at(self, each: Standing) -> float:
        """Where a point lies."""
        text = each.values.get(self.key, self.texts[0])
        value = _number(text) if self.numeric else None
        return float(self.texts.index(text)) if value is None else value

    def of(self, each: Standing) -> str:
        """The value of a point."""
        return each.values[self.key]

    def dress(self, axis: Any, panel: Any, name: str) -> None:
        """Give ``x`` or ``y`` of a panel this scale."""
        getattr(panel, f"set_{name}label")(self.key, fontsize=9.0)
        panel.tick_params(labelsize=8.5)
        if self.log:
            getattr(panel, f"set_{name}scale")("log")
        elif not self.numeric:
            axis.set_ticks(range(len(self.texts)), [text[:24] for text in self.texts])
            getattr(panel, f"set_{name}lim")(-0.5, len(self.texts) - 0.5)


class Pairs:
    """The values of two keys taken together, as a third key's.

    Parameters
    ----------
    scales
        Of the two.
    """

    def __init__(self, scales: Sequence[Scale]) -> None:
        self._scales = scales
        self.key = ",\n".join(scale.key for scale in scales)
        self.texts = [", ".join(pair) for pair in product(*(scale.texts for scale in scales))]

    def of(self, each: Standing) -> str:
        """The values of a point."""
        return ", ".join(scale.of(each) for scale in self._scales)


def _number(text: str) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        return None


def _against(panel: Any, sweep: Sweep, done: list[Standing], scale: Scale, *, joined: bool) -> None:
    """The figure against one key; with several seeds each run is a point."""
    dress(panel, size=11.0)
    _runs(panel, done, scale, BLUE)
    x, y = _means(done, scale)
    if joined and scale.numeric:
        panel.plot(x, y, color=BLUE, linewidth=1.7, zorder=2)
    panel.scatter(x, y, s=30, color=BLUE, edgecolors="white", linewidths=0.6, zorder=3)
    _finish(panel, sweep, done, scale)


def _runs(panel: Any, done: list[Standing], scale: Scale, colour: str) -> None:
    """Each run of points with several seeds, pale."""
    several = [(scale.at(each), value) for each in done for value in each.figures]
    if len(several) > len(done):
        panel.scatter(*zip(*several), s=14, color=colour, alpha=0.4, linewidths=0, zorder=2)


def _means(done: list[Standing], scale: Scale) -> tuple[list[float], list[float]]:
    """Where the points lie and their figures, from left to right."""
    pairs = sorted((scale.at(each), each.figure or 0.0) for each in done)
    return [x for x, _ in pairs], [y for _, y in pairs]


def _finish(panel: Any, sweep: Sweep, done: list[Standing], scale: Scale) -> None:
    """Circle the best point, mark the failed ones at the bottom, and name the axes."""
    best = sweep.best
    if best is not None and best.figure is not None:
        at, away = (scale.at(best), best.figure), 14 if sweep.larger else -14
        panel.scatter(*at, s=110, facecolors="none", edgecolors=INK, linewidths=1.5, zorder=4)
        panel.annotate(
            f"{best.figure:.4g}".replace("-", "\u2212"), at, xytext=(0, away),
            ha="center", va="center", textcoords="offset points", color=INK, fontsize=8.5, zorder=5,
        )  # fmt: skip
    figures = [value for each in done for value in each.figures]
    if min(figures) > 0 and max(figures) > SPAN * min(figures):
        panel.set_yscale("log")
    failed = [scale.at(each) for each in sweep.standings if each.status == "failed"]
    if failed:
        panel.plot(
            failed, [0.02] * len(failed), "x", color=INK, markersize=6, label="failed",
            transform=panel.get_xaxis_transform(), zorder=5,
        )  # fmt: skip
        panel.annotate(
            "× failed", (1, 1), xycoords="axes fraction", ha="right", va="bottom", fontsize=8.5,
            color=INK,
        )  # fmt: skip
    scale.dress(panel.xaxis, panel, "x")
    panel.set_ylabel(sweep.figure.replace("_", " "), fontsize=9.0)
    panel.margins(y=0.16)


def _two(
    path: Path, sweep: Sweep, done: list[Standing], scales: Sequence[Scale], title: str
) -> None:
    """Two keys: a heat map, lines, or coloured points."""
    counts = [len(scale.texts) for scale in scales]
    grid = len(sweep.standings) == counts[0] * counts[1] and min(counts) >= 3
    few = min(counts) <= len(COLOURS)
    fig = blank(7.6, 4.8)
    panel = dress(fig.add_subplot(), title)
    if grid:
        _heat(fig, panel, sweep, done, scales)
    elif few:
        hue, along = sorted(scales, key=lambda scale: (len(scale.texts), scale.numeric))
        _lines(panel, sweep, done, along, hue)
    else:
        _cloud(fig, panel, sweep, done, scales)
    save(fig, path)


def _three(
    path: Path, sweep: Sweep, done: list[Standing], scales: Sequence[Scale], title: str
) -> bool:
    """Lines for the pairs of the keys with fewer values; False where these are too many."""
    *hues, along = sorted(scales, key=lambda scale: (len(scale.texts), scale.numeric))
    pairs = Pairs(hues)
    whole = len(sweep.standings) == len(pairs.texts) * len(along.texts)
    if not whole or len(pairs.texts) > len(COLOURS):
        return False
    fig = blank(8.6, 4.8)
    _lines(dress(fig.add_subplot(), title), sweep, done, along, pairs)
    save(fig, path)
    return True


def _heat(
    fig: Any, panel: Any, sweep: Sweep, done: list[Standing], scales: Sequence[Scale]
) -> None:
    """A cell for each pair of values; failed ones are crossed out."""
    x, y = scales
    values = np.full((len(y.texts), len(x.texts)), np.nan)
    for each in done:
        values[y.texts.index(each.values[y.key]), x.texts.index(each.values[x.key])] = each.figure
    image = panel.imshow(
        values, origin="lower", aspect="auto", norm=_norm(values), cmap=_cmap(sweep)
    )
    panel.grid(False)
    for row, column in np.ndindex(*values.shape):
        cell = values[row, column]
        if not np.isfinite(cell):
            panel.text(column, row, "×", ha="center", va="center", color=GREY, fontsize=14)
        elif values.size <= ANNOTATED:
            red, green, blue, _ = image.cmap(image.norm(cell))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            said = f"{cell:.3g}".replace("-", "\u2212")
            colour = "white" if dark else INK
            panel.text(column, row, said, ha="center", va="center", fontsize=8.5, color=colour)
    best = sweep.best
    if best is not None:
        from matplotlib.patches import Rectangle

        at = x.texts.index(best.values[x.key]), y.texts.index(best.values[y.key])
        corner = at[0] - 0.47, at[1] - 0.47
        panel.add_patch(Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=INK, linewidth=2.5))
    panel.set_xticks(range(len(x.texts)), [text[:24] for text in x.texts], fontsize=8.5)
    panel.set_yticks(range(len(y.texts)), [text[:24] for text in y.texts], fontsize=8.5)
    panel.set_xlabel(x.key, fontsize=9.0)
    panel.set_ylabel(y.key, fontsize=9.0)
    fig.colorbar(image, ax=panel).set_label(sweep.figure.replace("_", " "), fontsize=9.0)


def _lines(
    panel: Any, sweep: Sweep, done: list[Standing], along: Scale, hue: Union[Scale, Pairs]
) -> None:
    """A line for each value of the key that has few."""
    for i, text in enumerate(hue.texts):
        own = [each for each in done if hue.of(each) == text]
        if own:
            colour, mark = COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]
            _runs(panel, own, along, colour)
            x, y = _means(own, along)
            panel.plot(
                x, y, color=colour, marker=mark, linewidth=1.7, markersize=5.5,
                markeredgecolor="white", markeredgewidth=0.6, label=text[:24], zorder=3,
                linestyle="-" if along.numeric else "",
            )  # fmt: skip
    _finish(panel, sweep, done, along)
    handles, labels = panel.get_legend_handles_labels()
    kept = [(h, name) for h, name in zip(handles, labels) if name != "failed"]
    panel.legend(
        *zip(*kept), title=hue.key, frameon=False, fontsize=8.5, title_fontsize=8.5,
        loc="upper left", bbox_to_anchor=(1.0, 1.0),
    )  # fmt: skip


def _cloud(
    fig: Any, panel: Any, sweep: Sweep, done: list[Standing], scales: Sequence[Scale]
) -> None:
    """A point for each pair, coloured by its figure."""
    x, y = scales
    values = np.array([each.figure for each in done], dtype=float)
    at = [x.at(each) for each in done], [y.at(each) for each in done]
    image = panel.scatter(
        *at, c=values, s=48, cmap=_cmap(sweep), norm=_norm(values), edgecolors="white",
        linewidths=0.6, zorder=3,
    )  # fmt: skip
    failed = [each for each in sweep.standings if each.status == "failed"]
    if failed:
        where = [x.at(each) for each in failed], [y.at(each) for each in failed]
        panel.scatter(*where, marker="x", color=GREY, s=36, zorder=3)
    best = sweep.best
    if best is not None:
        circled = {"facecolors": "none", "edgecolors": INK, "linewidths": 1.5}
        panel.scatter(x.at(best), y.at(best), s=150, zorder=4, **circled)
    x.dress(panel.xaxis, panel, "x")
    y.dress(panel.yaxis, panel, "y")
    fig.colorbar(image, ax=panel).set_label(sweep.figure.replace("_", " "), fontsize=9.0)


def _cmap(sweep: Sweep) -> str:
    """The better, the lighter."""
    return "viridis" if sweep.larger else "viridis_r"


def _norm(values: np.ndarray) -> Any:
    """Logarithmic where the figures span as much as a panel's would."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return LogNorm(low, high) if low > 0 and high > SPAN * low else Normalize(low, high)
