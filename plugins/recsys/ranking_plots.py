"""Pictures of a recommender: errors by popularity, and lists by their length.

Holds drawing only.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, ORANGE, blank, dress, save

GROUPS = 8  # of users or items with like numbers of ratings, at most
NAMES = {"test": "test", "valid": "validation"}


def groups(counts: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Name and rows of ratings whose user or item has like numbers of training ratings.

    The cold ones are a group of their own; the others are cut into groups of about the same size.
    """
    found = [("0", np.flatnonzero(counts == 0))]
    warm = counts[counts > 0]
    if len(warm):
        cuts = np.unique(np.quantile(warm, np.linspace(0, 1, GROUPS + 1)).round().astype(int))
        ends = [*cuts[1:-1], cuts[-1] + 1] if len(cuts) > 1 else [cuts[0] + 1]
        for low, high in zip(cuts, ends):
            name = str(low) if high == low + 1 else f"{low}\u2013{high - 1}"
            found.append((name, np.flatnonzero((counts >= low) & (counts < high))))
    return [(name, rows) for name, rows in found if len(rows)]


def errors(
    path: Path,
    wrong: np.ndarray,
    counts: Mapping[str, np.ndarray],
    floor: Optional[float],
    split: str,
) -> Path:
    """RMSE of held-out ratings by how many training ratings their user, and their item, has.

    Parameters
    ----------
    path
        The PNG to write.
    wrong
        Errors (n,).
    counts
        ``user`` and ``item``: training ratings of each rating's user and item, (n,).
    floor
        The least RMSE that can be had; None where it is not known.
    split
        Which ratings these are.
    """
    fig = blank(11.0, 4.4)
    whole = float(np.sqrt(np.mean(np.square(wrong, dtype=np.float64))))
    for axes, (kind, numbers), colour in zip(fig.subplots(1, 2), counts.items(), (BLUE, GREEN)):
        dress(axes, f"RMSE by training ratings of the {kind}")
        parts = groups(numbers)
        heights = [float(np.sqrt(np.mean(np.square(wrong[rows])))) for _, rows in parts]
        colours = [GREY if name == "0" else colour for name, _ in parts]
        axes.bar(range(len(parts)), heights, color=colours, width=0.75)
        for place, (_, rows) in enumerate(parts):
            axes.annotate(
                f"{len(rows):,}", (place, 0), xytext=(0, 4), textcoords="offset points",
                ha="center", fontsize=8, color="white",
            )  # fmt: skip
        axes.axhline(whole, color=ORANGE, linewidth=1.4, label=f"all {len(wrong):,}: {whole:.4g}")
        if floor:
            label = f"noise: {floor:.4g}"
            axes.axhline(floor, color=GREY, linestyle="--", linewidth=1.2, label=label)
        axes.set_xticks(range(len(parts)), [name for name, _ in parts], fontsize=8)
        axes.set_xlabel(
            f"training ratings of the {kind}; in the bars, how many {NAMES[split]} ratings"
        )
        axes.set_ylim(0, 1.22 * max([*heights, whole]))
        axes.legend(frameon=False, fontsize=9, loc="upper right", ncols=2)
    return save(fig, path)


def lists(
    path: Path,
    found: Mapping[str, Mapping[str, Any]],
    cutoffs: Sequence[int],
    protocol: str,
) -> Path:
    """Recall, precision, NDCG and MAP by the length of the list, beside what is popular.

    Parameters
    ----------
    path
        The PNG to write.
    found
        ``model`` and ``popular``: figures by name, such as ``recall@10``.
    cutoffs
        Lengths.
    protocol
        One sentence, which is written below.
    """
    fig = blank(13.0, 4.0)
    names = {"recall": "Recall", "precision": "Precision", "ndcg": "NDCG", "map": "MAP"}
    styles = {"model": (BLUE, "o", "-"), "popular": (ORANGE, "s", "--")}
    panels = fig.subplots(1, 4)
    for axes, (figure, title) in zip(panels, names.items()):
        dress(axes, f"{title} at k")
        for name, (colour, marker, dash) in styles.items():
            values = [found[name][f"{figure}@{k}"] for k in cutoffs]
            axes.plot(
                range(len(cutoffs)), values, color=colour, marker=marker, markersize=5,
                linestyle=dash, label="this model" if name == "model" else "what is popular",
            )  # fmt: skip
        axes.set_xticks(range(len(cutoffs)), [str(k) for k in cutoffs])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("k")
    panels[0].legend(frameon=False, fontsize=9)
    said = textwrap.fill(f"{found['model']['users']:,} users; {protocol}", 170)
    fig.supxlabel(said, fontsize=8, color=GREY)
    return save(fig, path)
