"""The curves of several runs in one picture: a panel a quantity, a colour a run.

Holds no choice of runs, that is comparing.py's; the house's look is that of plots.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from dope.core.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PANELS,
    RULE,
    SPLITS,
    WIDE,
    blank,
    dress,
    save,
)

if TYPE_CHECKING:
    from dope.core.comparing.runs import Compared, Comparison

COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#8A8A8A")
DASHES: dict[str, Any] = {"train": (0, (3, 1.5)), "valid": "-", "test": (0, (1, 1))}
NAMED = 20  # runs that the legend names
KEYS = 3  # differing keys in a label
OWN = ("epoch", "step")


def curves(path: Path, comparison: Comparison) -> Optional[Path]:
    """Draw what at least two runs have; None where that is nothing.

    Solid lines are validation, dashed ones training, dotted ones test.
    """
    runs = comparison.runs
    series = [_series(run) for run in runs]
    found = _quantities(series)
    if not found:
        return None
    colours = _colours(len(runs))
    across = len(found) if len(found) <= 3 else -(-len(found) // 2)
    down = -(-len(found) // across)
    shown = min(len(runs), NAMED)
    fig = blank(max(7.0, 4.4 * across), 3.3 * down + 0.5 + 0.22 * -(-shown // across))
    panels = np.ravel(fig.subplots(down, across, squeeze=False))
    for panel, name in zip(panels, found):
        _panel(panel, name, series, colours)
    for panel in panels[len(found) :]:
        panel.set_visible(False)
    _legend(fig, comparison, colours, across)
    with contextlib.suppress(OSError):  # saving says why
        path.parent.mkdir(parents=True, exist_ok=True)
    return save(fig, path)


Lines = dict[tuple[str, str], tuple[list[float], list[float]]]  # quantity and split to a line


def _series(run: Compared) -> Lines:
    found: Lines = {}
    for row in run.history:
        for key, value in row.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if key in OWN or not number or not isinstance(row.get("epoch"), (int, float)):
                continue
            split, _, name = key.partition("_")
            if split not in SPLITS or not name:
                split, name = "train", key
            x, y = found.setdefault((name, split), ([], []))
            x.append(row["epoch"])
            y.append(value)
    return found


def _quantities(series: Sequence[Lines]) -> list[str]:
    """Names that at least two runs have, the most telling first."""
    counts: dict[str, int] = {}
    for lines in series:
        for name in dict.fromkeys(name for name, _ in lines):
            counts[name] = counts.get(name, 0) + 1
    first = ("loss", "accuracy")
    found = [name for name, count in counts.items() if count > 1]
    rank = {name: first.index(name) if name in first else len(first) for name in found}
    return sorted(found, key=lambda name: (rank[name], -counts[name]))[:PANELS]


def _colours(count: int) -> list[Any]:
    """Colours that are told apart while there are few runs, and their order when there are many."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    import matplotlib as mpl

    return [mpl.colormaps["viridis"](share) for share in np.linspace(0.0, 0.92, count)]


def _panel(panel: Any, name: str, series: Sequence[Lines], colours: Sequence[Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    dress(panel, name.replace("_", " "), size=11.0)
    values: list[float] = []
    for lines, colour in zip(series, colours):
        own = {split: line for (quantity, split), line in lines.items() if quantity == name}
        for split, (x, y) in own.items():
            side = split == "train" and len(own) > 1
            panel.plot(
                x, y, color=colour, linewidth=1.0 if side else 1.7, alpha=0.7 if side else 1.0,
                linestyle=DASHES[split] if len(own) > 1 else "-",
                marker="o" if len(x) == 1 else "", markersize=4.5,
            )  # fmt: skip
            values += y
    if name.endswith("loss") and min(values) > 0 and max(values) > WIDE * min(values):
        panel.set_yscale("log")
        panel.grid(axis="y", which="minor", color=RULE, linewidth=0.4)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    panel.margins(x=0.02)
    panel.set_xlabel("epoch", fontsize=9.0)
    panel.tick_params(labelsize=8.5)


def _legend(fig: Any, comparison: Comparison, colours: Sequence[Any], across: int) -> None:
    from matplotlib.lines import Line2D

    labels = names(comparison)
    handles = [Line2D([], [], color=colour, linewidth=2.0) for colour in colours]
    splits = {split for run in comparison.runs for _, split in _series(run)}
    if len(labels) > NAMED:
        labels = [*labels[: NAMED - 1], f"… and {len(labels) - NAMED + 1} more"]
        handles = [*handles[: NAMED - 1], Line2D([], [], linewidth=0.0)]
    if len(splits) > 1:
        labels += [SPLITS[split] for split in SPLITS if split in splits]
        handles += [
            Line2D([], [], color=GREY, linewidth=1.5, linestyle=DASHES[split])
            for split in SPLITS
            if split in splits
        ]
    fig.legend(
        handles, labels, loc="outside lower left", ncols=across, frameon=False, fontsize=8.5
    )  # fmt: skip


def names(comparison: Comparison) -> list[str]:
    """A name for each run: its label, and its values of the first options that differ."""
    rows: Mapping[str, Sequence[Any]] = {
        key: row
        for key, row in comparison.differing.items()
        if not key.startswith("run.") or key == "run.seed"
    }
    chosen = list(rows.items())[:KEYS]
    made = []
    for place, run in enumerate(comparison.runs):
        said = [
            f"{key.rpartition('.')[2]}={row[place]}"
            for key, row in chosen
            if row[place] is not None
        ]
        text = f"{run.label}  {' '.join(said)}".strip()
        made.append(text if len(text) <= 48 else text[:47] + "…")
    return made
