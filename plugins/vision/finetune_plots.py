"""Pictures of fine-tuning: precision over recall, and learning curves beside those from scratch.

Holds drawing only; what all pictures share is in core/plots.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.plots import BLUE, GREY, ORANGE, SPLITS, blank, dress, save
from dope.plugins.vision.detection_plots import COLOURS
from dope.plugins.vision.finetune_scores import Curve

LONGEST = 18  # characters of a class name in a legend


def precision_recall(
    path: Path, curves: Sequence[Curve], classes: Sequence[str], heading: str
) -> Path:
    """Precision over recall of each class; up to eight are named, of more the mean is drawn too.

    Parameters
    ----------
    path
        The PNG to write.
    curves
        One a class.
    classes
        Their names.
    heading
        Over all; the mean average precision follows it.
    """
    shown = [(curve, name) for curve, name in zip(curves, classes) if curve.total]
    mean = float(np.mean([curve.average for curve, _ in shown])) if shown else float("nan")
    fig = blank(6.4, 4.6)
    axes = dress(fig.add_subplot(), f"{heading}, mean average precision {mean:.3f}", 11.0)
    many = len(shown) > len(COLOURS)
    for k, (curve, name) in enumerate(sorted(shown, key=lambda pair: -pair[0].average)):
        axes.step(
            np.concatenate([[0], curve.recall]),
            np.concatenate([curve.precision[:1], curve.precision]),
            where="pre",
            color=GREY if many else COLOURS[k][0],
            linewidth=0.9 if many else 1.7,
            alpha=0.6 if many else 1.0,
            label=None if many else f"{name[:LONGEST]}  {curve.average:.3f}",
        )
    if many:
        grid = np.linspace(0, 1, 201)
        axes.plot(
            grid,
            np.mean([reached(curve, grid) for curve, _ in shown], axis=0),
            color=BLUE,
            linewidth=2.2,
            label=f"mean of {len(shown)} classes",
        )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    return save(fig, path)


def reached(curve: Curve, recall: np.ndarray) -> np.ndarray:
    """Precision at these recalls: that of the first threshold that reaches each."""
    places = np.searchsorted(curve.recall, recall - 1e-12)
    return curve.precision[np.minimum(places, len(curve.precision) - 1)]


def transfer(path: Path, rows: Sequence[Mapping[str, Any]], before: int) -> Optional[Path]:
    """Accuracy on held-out images by epoch: fine-tuned, and learned from scratch.

    Parameters
    ----------
    path
        The PNG to write.
    rows
        Of ``metrics.jsonl``, with ``valid_accuracy`` and ``valid_scratch_accuracy``.
    before
        Epochs of pretraining, which the axis does not count.

    Returns
    -------
    Path, or None where there is nothing to compare
    """
    keys = ("valid_accuracy", "valid_scratch_accuracy")
    if not any(keys[0] in row for row in rows):
        keys = ("test_accuracy", "test_scratch_accuracy")
    known = [row for row in rows if all(key in row for key in keys)]
    if not known:
        return None
    heading = f"Accuracy on {SPLITS[keys[0].partition('_')[0]]} images"
    fig = blank(6.4, 4.0)
    axes = dress(fig.add_subplot(), heading, 11.0)
    epochs = [row["epoch"] - before for row in known]
    labels = ("fine-tuned", "from scratch")
    for key, label, colour, marker in zip(keys, labels, (BLUE, ORANGE), "os"):
        values = [row[key] for row in known]
        axes.plot(epochs, values, color=colour, marker=marker, label=f"{label}  {values[-1]:.3f}")
    axes.set(ylim=(0, 1.02), xlabel="epoch on the new classes", ylabel="accuracy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    return save(fig, path)
