"""Pictures of answers: accuracy by kind of question, and scenes with what was asked of them.

Holds drawing only; what all pictures share is in core/plots.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dope.core.plots import BLUE, GREEN, GREY, INK, ORANGE, blank, dress, save

COLOURS = {
    "model": BLUE,
    "image_only": ORANGE,
    "question_only": GREEN,
    "most_frequent": GREY,
}
TALL = 0.155  # inches of a line of text


class Told(NamedTuple):
    """A question, the answer that was given, how sure it is, and the right one."""

    question: str
    answer: str
    probability: float
    right: str


def by_kind(path: Path, table: Mapping[str, Mapping[str, float]], title: str = "") -> Path:
    """Accuracy of each kind of question, beside what blind networks reach.

    Parameters
    ----------
    path
        The PNG to write.
    table
        Kind of question to share of right answers, by who answers; other columns are left alone.
    title
        Over all.
    """
    kinds = list(table)
    who = [name for name in COLOURS if any(name in row for row in table.values())]
    fig = blank(max(5.5, 1.8 + 1.05 * len(kinds)), 4.0)
    axes = dress(fig.add_subplot(), title)
    width = 0.82 / len(who)
    for i, name in enumerate(who):
        at = np.arange(len(kinds)) + (i - (len(who) - 1) / 2) * width
        values = [table[kind].get(name, np.nan) for kind in kinds]
        label = name.replace("_", " ")
        bars = axes.bar(at, values, 0.92 * width, color=COLOURS[name], label=label)
        if i == 0:
            texts = [f"{value:.2f}" for value in values]
            axes.bar_label(bars, texts, fontsize=8, color=INK, padding=1)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(ylabel="share of right answers", ylim=(0, 1.05))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, frameon=False, fontsize=9)
    return save(fig, path)


def answers(
    path: Path, images: np.ndarray, told: Sequence[Sequence[Told]], heading: str = ""
) -> Path:
    """Images, each with its questions and answers beside it; wrong answers say what is right.

    Parameters
    ----------
    path
        The PNG to write.
    images
        Bytes (n, 3, H, W).
    told
        For each image what was asked and answered.
    heading
        Over all.
    """
    lines = max(map(len, told))
    side = max(1.3, lines * TALL + 0.1)
    columns = 2 if len(images) > 1 else 1
    rows = -(-len(images) // columns)
    room, gap = 4.1, 0.2
    width, height = columns * (side + room), rows * (side + gap) + 0.35
    fig = blank(width, height, layout=None)
    fig.text(0.1 / width, 1 - 0.08 / height, heading, fontsize=12, va="top", color=INK)
    for i, (image, asked) in enumerate(zip(images, told)):
        left = (i % columns) * (side + room) + 0.1
        low = height - 0.35 - (i // columns + 1) * (side + gap) + gap
        axes = fig.add_axes((left / width, low / height, side / width, side / height))
        axes.imshow(np.moveaxis(image, 0, -1), interpolation="nearest")
        axes.set_axis_off()
        for line, each in enumerate(asked):
            wrong = each.answer != each.right
            percent = f"{100 * each.probability:.0f}"
            text = f"{each.question}?  {each.answer}  {'>99' if percent == '100' else percent} %"
            text += f"   \u2717 is {each.right}" if wrong else ""
            y = low + side - (line + 0.5) * side / lines
            fig.text(
                (left + side + 0.12) / width, y / height, text, va="center", fontsize=8.5,
                color=ORANGE if wrong else INK,
            )  # fmt: skip
    return save(fig, path)
