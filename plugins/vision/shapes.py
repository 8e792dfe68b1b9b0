"""Coloured shapes on textured grounds that are drawn at random, with exact boxes.

Holds the data set and how objects are placed; outlines and textures are in ``shape_paint.py``.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.vision.detection_data import DetectionSet, Scenes
from dope.plugins.vision.shape_paint import KINDS, Painter

SALT = {"train": 0, "valid": 1, "test": 2}
ATTEMPTS = 30  # places tried for an object before the image does without it


class Shapes(DetectionSet):
    """Shapes of several kinds, one to several an image, on textured grounds; drawn, not read.

    A class is told by its outline alone: colours, sizes and turns are drawn alike for all. Objects
    may overlap; of each at least ``visible`` is seen. A box is the smallest that holds all that is
    seen of its object. The same seed draws the same images; each image is drawn from a seed of its
    own, so that more images do not change the first ones.

    Parameters
    ----------
    train
        Images to learn from.
    valid
        Images held out, by which the best checkpoint is chosen.
    test
        Images held out that nothing is chosen by.
    classes
        Kinds of shapes, 1 to 8: the first so many of disc, square, triangle, star, ring, cross,
        crescent, hexagon.
    objects
        The most objects of an image; at least one.
    smallest
        Least extent of an object, in shares of the image's side.
    largest
        Greatest extent.
    visible
        Share of each object's surface that is seen at least.
    seed
        Of the drawing.
    """

    def __init__(
        self,
        *,
        train: int = 800,
        valid: int = 200,
        test: int = 200,
        classes: int = 5,
        objects: int = 4,
        smallest: float = 0.16,
        largest: float = 0.5,
        visible: float = 0.75,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        least = (("train", train, 1), ("valid", valid, 0), ("test", test, 0), ("seed", seed, 0))
        for name, value, lowest in (*least, ("objects", objects, 1)):
            if value < lowest:
                raise ConfigError(f"dataset.{name} is {value}", f"It is at least {lowest}.")
        if not 1 <= classes <= len(KINDS):
            raise ConfigError(f"dataset.classes is {classes}", f"It is between 1 and {len(KINDS)}.")
        if not 0.05 <= smallest <= largest <= 0.9:
            raise ConfigError(
                f"dataset.smallest is {smallest} and dataset.largest is {largest}",
                "0.05 <= smallest <= largest <= 0.9.",
            )
        if not 0.3 <= visible <= 1:
            raise ConfigError(f"dataset.visible is {visible}", "It is between 0.3 and 1.")
        self.counts = {"train": train, "valid": valid, "test": test}
        self.classes, self.most = list(KINDS[:classes]), objects
        self.smallest, self.largest, self.visible = smallest, largest, visible
        self.seed = seed

    def read(self, part: str) -> Optional[Scenes]:
        """Draw the images of one part."""
        n = self.counts[part]
        if not n:
            return None
        drawn = [self.draw(np.random.default_rng([self.seed, SALT[part], i])) for i in range(n)]
        return Scenes(np.stack([image for image, _ in drawn]), [found for _, found in drawn])

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One image, uint8 (S, S, 3), and its objects (m, 6)."""
        painter = Painter(self.size)
        kinds: list[int] = []
        for _ in range(int(rng.integers(1, self.most + 1))):
            for _ in range(ATTEMPTS):
                kind = int(rng.integers(len(self.classes)))
                extent = float(np.exp(rng.uniform(np.log(self.smallest), np.log(self.largest))))
                outline = painter.outline(KINDS[kind], extent, rng)
                if painter.place(outline, self.visible):
                    kinds.append(kind)
                    break
        found = np.zeros((len(kinds), 6), np.float32)
        found[:, 0] = kinds
        found[:, 1:5] = painter.boxes()
        return painter.image(rng), found
