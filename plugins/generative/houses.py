"""Houses that are drawn, each as a map of labels and as a picture with texture, light and shadow.

Holds the data set and where the parts of a house are; how a surface looks is in ``paint.py``.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.generative.paint import DEPTH, LABELS, Canvas, labelled, painted
from dope.plugins.generative.pairs import Pair, PairSet

WALLS = ("brick", "plaster", "stone")
SALT = {"train": 0, "valid": 1, "test": 2}


class Houses(PairSet):
    """Facades of houses that are drawn at random: maps of labels (A) and pictures of them (B).

    A picture has walls of brick, plaster or stone, panes, doors, shutters, balconies, roofs, a
    pavement and trees, by day or at dusk, when panes are lit. The sun stands to the upper left,
    and what stands out throws a shadow. All that matters can be told from the labels; the grain
    of a surface cannot. The same seed draws the same houses.

    Parameters
    ----------
    train
        Pairs to learn from.
    valid
        Pairs held out.
    seed
        Of the drawing.
    mirror
        Turn each training pair left to right with probability one half. The sun then stands on
        either side, and no label says on which.
    """

    def __init__(
        self,
        *,
        train: int = 400,
        valid: int = 64,
        seed: int = 0,
        mirror: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(mirror=mirror, **options)
        for name, value, least in (("train", train, 1), ("valid", valid, 1), ("seed", seed, 0)):
            if value < least:
                raise ConfigError(f"dataset.{name} is {value}", f"It is at least {least}.")
        self.counts, self.seed = {"train": train, "valid": valid}, seed

    def read(self, part: str, size: int) -> Optional[Pair]:
        """Draw the pairs of one part."""
        n = self.counts.get(part, 0)
        if not n:
            return None
        made = [house(np.random.default_rng([self.seed, SALT[part], i]), size) for i in range(n)]
        return np.stack([a for a, _ in made]), np.stack([b for _, b in made])


def house(rng: np.random.Generator, size: int) -> Pair:
    """One pair: labels and picture, uint8 (3, size, size) each.

    It is drawn at twice the size, so that edges in the picture are smooth. The layout does not
    depend on the size.
    """
    canvas = Canvas(2 * size)
    dusk = bool(rng.random() < 0.3)
    canvas.box(0, 0, 1, 1, "dusk" if dusk else "sky")
    _street(canvas, rng)
    _building(canvas, rng, dusk)
    _trees(canvas, rng)
    return labelled(canvas), painted(canvas, rng)


def _street(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.ground = float(rng.uniform(0.84, 0.9))
    canvas.box(0, canvas.ground, 1, 1, "pavement")


def _building(canvas: Canvas, rng: np.random.Generator, dusk: bool) -> None:
    """Roof, walls and floors of one house."""
    floors, columns = int(rng.integers(2, 5)), int(rng.integers(2, 6))
    width = float(rng.uniform(0.6, 0.86)) if columns > 2 else float(rng.uniform(0.42, 0.6))
    left = float(rng.uniform(0.04, 0.96 - width))
    right, bottom = left + width, canvas.ground
    top = bottom - floors * float(rng.uniform(0.15, 0.19))
    wall = str(rng.choice(WALLS))
    _roof(canvas, rng, left, right, top)
    canvas.box(left, top, right, bottom, wall)
    canvas.box(left, bottom - 0.035, right, bottom, "trim")  # the base
    storey, bay = (bottom - top) / floors, width / columns
    door = int(rng.integers(columns))
    wide, tall = float(rng.uniform(0.4, 0.58)), float(rng.uniform(0.5, 0.66))
    shutters = bool(rng.random() < 0.35) and wide < 0.5
    ledge = int(rng.integers(floors + 1))  # above this floor, or nowhere
    for floor in range(floors):
        y = bottom - (floor + 1) * storey
        if floor == ledge:
            canvas.box(left - 0.008, y - 0.009, right + 0.008, y + 0.009, "trim")
        balcony = floor > 0 and bool(rng.random() < 0.3)
        for column in range(columns):
            x = left + (column + 0.5) * bay
            if floor == 0 and column == door:
                _door(canvas, x, bottom, 0.56 * bay, 0.78 * storey)
                continue
            lit = dusk and bool(rng.random() < 0.55)
            box = (x - wide * bay / 2, y + 0.2 * storey)
            _window(canvas, *box, wide * bay, tall * storey, lit, shutters)
            if balcony:
                under = y + (0.2 + tall) * storey
                canvas.box(x - 0.36 * bay, under - 0.045, x + 0.36 * bay, under + 0.004, "rail")
    canvas.box(left - 0.014, top - 0.012, right + 0.014, top + 0.014, "trim")  # under the roof


def _roof(canvas: Canvas, rng: np.random.Generator, left: float, right: float, top: float) -> None:
    kind, height = rng.random(), float(rng.uniform(0.08, 0.16))
    height = min(height, top - 0.05)
    chimney = float(rng.uniform(left + 0.12, right - 0.17))
    if kind < 0.8:
        canvas.box(chimney, top - height - 0.03, chimney + 0.055, top, "brick")
    if kind < 0.4:  # a gable
        canvas.slope(left - 0.03, right + 0.03, top, height, 0.5 * (right - left + 0.06), "roof")
    elif kind < 0.8:  # a steep mansard
        canvas.slope(left - 0.02, right + 0.02, top, 0.8 * height, 0.08, "roof")
        for x in np.linspace(left, right, 5)[1:-1]:
            canvas.box(x - 0.028, top - 0.62 * height, x + 0.028, top - 0.1, "trim")
            canvas.box(x - 0.018, top - 0.5 * height, x + 0.018, top - 0.02, "pane")
    else:  # flat
        canvas.box(left, top - 0.035, right, top, "trim")


def _window(
    canvas: Canvas, x: float, y: float, w: float, h: float, lit: bool, shutters: bool
) -> None:
    frame = 0.009
    if shutters:
        canvas.box(x - 0.42 * w, y, x - frame, y + h, "shutter")
        canvas.box(x + w + frame, y, x + 1.42 * w, y + h, "shutter")
    canvas.box(x - frame, y - frame, x + w + frame, y + h + frame, "trim")
    canvas.box(x, y, x + w, y + h, "lamp" if lit else "pane")
    canvas.box(x - 0.018, y + h + frame, x + w + 0.018, y + h + 0.024, "trim")  # the sill


def _door(canvas: Canvas, x: float, bottom: float, w: float, h: float) -> None:
    canvas.box(x - w / 2 - 0.012, bottom - h - 0.012, x + w / 2 + 0.012, bottom, "trim")
    canvas.box(x - w / 2, bottom - h, x + w / 2, bottom, "door")
    canvas.box(x - 0.36 * w, bottom - 0.94 * h, x + 0.36 * w, bottom - 0.74 * h, "pane")
    canvas.box(x - w / 2 - 0.025, bottom, x + w / 2 + 0.025, bottom + 0.018, "trim")  # a step


def _trees(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(0, 3))):
        x = float(rng.choice([rng.uniform(0.02, 0.14), rng.uniform(0.86, 0.98)]))
        height, radius = float(rng.uniform(0.2, 0.34)), float(rng.uniform(0.055, 0.09))
        foot = canvas.ground + float(rng.uniform(0.01, 0.05))
        canvas.box(x - 0.009, foot - height, x + 0.009, foot, "trunk")
        for dx, dy, r in ((-0.5, 0.1, 0.8), (0.5, 0.15, 0.75), (0, -0.35, 0.9), (0, 0.2, 0.9)):
            canvas.disc(x + dx * radius, foot - height + dy * radius, r * radius, "leaves")


assert LABELS.keys() == DEPTH.keys()
