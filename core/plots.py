"""What all pictures share: figures without pyplot, the house's colours, and the training curves.

Holds nothing of any domain; Matplotlib is imported by the first picture, not before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Optional

import numpy as np

from dope.core.rundir import replacing

if TYPE_CHECKING:
    from typing import TypeGuard

# Okabe & Ito's palette: told apart with any kind of colour vision
INK, BLUE, ORANGE, GREEN, GREY = "#222222", "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
RULE = "#E6E6E6"
DPI = 120

SPLITS = {"train": "training", "valid": "validation", "test": "test"}
STYLES = {"train": (BLUE, "o", "-"), "valid": (ORANGE, "s", "-"), "test": (GREEN, "D", "--")}
PANELS = 6  # quantities that are drawn
DOTTED = 30  # points up to which each is marked
WIDE = 30.0  # largest over smallest loss from which on its scale is logarithmic
APART = 11.5  # points from one label to the next


Layout = Optional[Literal["constrained", "compressed", "tight"]]


def blank(width: float, height: float, layout: Layout = "constrained") -> Any:
    """An empty figure of this size in inches, which nothing global knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def dress(axes: Any, title: str = "", size: float = 12.0) -> Any:
    """Give axes the house's look: a title to the left, light rules, no box."""
    axes.set_title(title, loc="left", fontsize=size)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def figure(title: str, width: float = 10.0, height: float = 4.8) -> tuple[Any, Any]:
    """A figure with one set of axes."""
    fig = blank(width, height)
    return fig, dress(fig.add_subplot(), title)


def save(fig: Any, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all.

    Raises
    ------
    RunError
        The disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary:
        fig.savefig(temporary, format="png", dpi=DPI)
    return path


def curves(path: Path, rows: Iterable[Mapping[str, Any]], title: str = "") -> Optional[Path]:
    """Training curves: a panel a quantity, with its training, validation and test values.

    The loss comes first, then the accuracy, then what is known of held-out data too, then the
    rest, up to six panels. A loss that spans more than a factor of 30 gets a logarithmic scale.

    Parameters
    ----------
    path
        The PNG to write.
    rows
        The rows of ``metrics.jsonl``: ``epoch`` and metrics by name, where ``valid_X`` and
        ``test_X`` belong to the same quantity as ``X``. Where a row says None, the line is
        broken; where it does not mention a metric, nothing was measured and the line goes on.
    title
        Of the whole figure.

    Returns
    -------
    Path, or None where no row has a number to draw
    """
    found = _quantities(list(rows))
    if not found:
        return None
    across = len(found) if len(found) <= 3 else -(-len(found) // 2)
    down = -(-len(found) // across)
    fig = blank(max(6.0, 4.6 * across), 3.3 * down + 0.4 * bool(title))
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=13)
    panels = np.ravel(fig.subplots(down, across, squeeze=False))
    for axes, (name, lines) in zip(panels, found.items()):
        _panel(axes, name, lines)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    fig.draw_without_rendering()  # sizes are known from here on
    for axes, lines in zip(panels, found.values()):
        _spread(fig, axes, len(lines))
    return save(fig, path)


Line = tuple[np.ndarray, np.ndarray]  # epochs and values, NaN for a gap


def _quantities(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Line]]:
    """Quantity to split to line, the most telling first; later rows of an epoch win."""
    series: dict[str, dict[float, float]] = {}
    for row in rows:
        epoch = row.get("epoch")
        if not _is_number(epoch):
            continue
        for key, value in row.items():
            if key not in ("epoch", "step") and (value is None or _is_number(value)):
                number = math.nan if value is None else float(value)
                series.setdefault(key, {})[epoch] = number if math.isfinite(number) else math.nan
    found: dict[str, dict[str, Line]] = {}
    for key, points in series.items():
        split, _, name = key.partition("_")
        if split not in SPLITS or not name:
            split, name = "train", key
        x = np.array(sorted(points), dtype=float)
        y = np.array([points[epoch] for epoch in sorted(points)])
        if np.isfinite(y).any():
            found.setdefault(name, {})[split] = x, y
    first = ("loss", "accuracy")
    order = sorted(
        found, key=lambda n: (first.index(n) if n in first else len(first), -len(found[n]))
    )
    return {name: found[name] for name in order[:PANELS]}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _panel(axes: Any, name: str, lines: Mapping[str, Line]) -> None:
    """One quantity; each line ends in its name and its last value, spread out by `_spread`."""
    from matplotlib.ticker import MaxNLocator

    dress(axes, name.replace("_", " "), size=11.0)
    for split in (each for each in SPLITS if each in lines):
        x, y = lines[split]
        colour, marker, dash = STYLES[split]
        known = np.isfinite(y)
        padded = np.concatenate([[False], known, [False]])
        alone = known & ~padded[:-2] & ~padded[2:]  # no neighbour to draw a line to
        dots = known if known.sum() <= DOTTED else alone
        axes.plot(
            x, y, color=colour, linewidth=1.7, linestyle=dash, marker=marker, markersize=5.0,
            markevery=np.flatnonzero(dots).tolist(), markeredgecolor="white", markeredgewidth=0.6,
            label=SPLITS[split],
        )  # fmt: skip
        said = "" if list(lines) == ["train"] else f"{SPLITS[split]} "
        axes.annotate(
            said + f"{y[known][-1]:.4g}".replace("-", "\u2212"), (x[known][-1], y[known][-1]),
            xytext=(7, 0), textcoords="offset points", color=colour, fontsize=8.5, va="center",
        )  # fmt: skip
    values = np.concatenate([y[np.isfinite(y)] for _, y in lines.values()])
    if name.endswith("loss") and values.min() > 0 and values.max() > WIDE * values.min():
        axes.set_yscale("log")
        axes.grid(axis="y", which="minor", color=RULE, linewidth=0.4)
    elif values.min() == values.max():
        room = max(0.5 * abs(values[0]), 0.05)
        axes.set_ylim(values[0] - room, values[0] + room)
    epochs = np.concatenate([x for x, _ in lines.values()])
    if epochs.min() == epochs.max():
        axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        axes.set_xticks(epochs[:1])
        axes.margins(y=0.2)
    else:
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.set_xlabel("epoch", fontsize=9.0)
    axes.tick_params(labelsize=8.5)


def _spread(fig: Any, axes: Any, count: int) -> None:
    """Move the labels of a panel apart, each as little as can be, where they would overlap."""
    points = 72.0 / fig.dpi
    labels = list(axes.texts)[:count]
    at = [points * float(axes.transData.transform(label.xy)[1]) for label in labels]
    order = np.argsort(at, kind="stable")
    places = [at[i] for i in order]
    for _ in range(100):
        moved = False
        for i in range(len(places) - 1):
            short = APART - (places[i + 1] - places[i])
            if short > 1e-6:
                places[i], places[i + 1] = places[i] - short / 2, places[i + 1] + short / 2
                moved = True
        if not moved:
            break
    for i, place in zip(order, places):
        labels[i].set_position((7, place - at[i]))
