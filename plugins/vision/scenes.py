"""Scenes of coloured shapes with questions about them, generated: a data set that needs no files.

Holds the scenes and their drawing; questions and answers are in questions.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Optional, Tuple, Union

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError, DataError
from dope.core.pictures import read_image
from dope.plugins.vision.questions import ANSWERS, COLOURS, KINDS, SHAPES, Thing, ask, vocabulary

PAINT = ((214, 48, 40), (48, 160, 62), (44, 92, 210), (235, 200, 40))  # of COLOURS
GRID = 3  # cells in a row and in a column
PARTS = {"train": 0, "valid": 1, "test": 2}


class Asked(NamedTuple):
    """A part of a set of questions, Q about each image.

    Parameters
    ----------
    images
        (N, ...): pixels as bytes, or features.
    questions
        (N, Q, T) numbers of words, or (N, Q, F) features.
    answers
        (N, Q) places among the answers.
    kinds
        (N, Q) places among the kinds of questions.
    texts
        For each image its questions in words; None where nobody knows them.
    """

    images: np.ndarray
    questions: np.ndarray
    answers: np.ndarray
    kinds: np.ndarray
    texts: Optional[list[list[str]]]


class Scenes:
    """Scenes of coloured shapes and questions about them, generated.

    A scene has things in some of 3 x 3 cells: discs, squares and triangles in four colours, a
    little off the middle of their cells, of different sizes, on a grey ground with noise. About
    each scene one question of each kind is asked. Parts share no scene. Within a kind and template
    all answers are given about as often, so that a question says little about its answer.

    Parameters
    ----------
    train, valid, test
        Scenes of each part.
    size
        Height and width in pixels.
    things
        The least and the most things of a scene.
    kinds
        What is asked: ``colour``, ``shape``, ``there``, ``count``, ``place``, ``beside``.
    noise
        Standard deviation of what is added to each pixel and colour, of 255.
    seed
        Of the scenes and questions.

    Attributes
    ----------
    classes : list of str
        The answers.
    kinds : list of str
        The kinds of questions.
    image_shape : tuple of int
        (3, H, W).
    each : int
        Questions about each image.
    vocabulary : Vocabulary
        The words of questions.
    """

    classes = list(ANSWERS)

    def __init__(
        self,
        *,
        train: int = 8000,
        valid: int = 250,
        test: int = 600,
        size: int = 36,
        things: Tuple[int, int] = (3, 6),
        kinds: Tuple[str, ...] = ("colour", "shape", "there", "count", "place", "beside"),
        noise: float = 12.0,
        seed: int = 0,
    ) -> None:
        for name, count, least in (("train", train, 1), ("valid", valid, 0), ("test", test, 0)):
            if count < least:
                raise ConfigError(f"dataset.{name}={count} is out of range", f"At least {least}.")
        if not 18 <= size <= 512:
            raise ConfigError(f"dataset.size={size} is out of range", "It is between 18 and 512.")
        if len(things) != 2 or not 1 <= things[0] <= things[1] <= GRID**2:
            raise ConfigError(
                f"dataset.things={list(things)} is out of range",
                f"Two numbers from 1 to {GRID**2}.",
            )
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or not kinds or len(set(kinds)) < len(kinds):
            raise ConfigError(
                f"dataset.kinds={list(kinds)} has {unknown[0] if unknown else 'a kind twice'}"
                if kinds
                else "dataset.kinds is empty",
                f"Each of {', '.join(KINDS)} at most once.",
            )
        if noise < 0 or seed < 0:
            raise ConfigError("dataset.noise or dataset.seed is below 0", "They are 0 or more.")
        self.sizes = {"train": train, "valid": valid, "test": test}
        self.size, self.things, self.noise, self.seed = size, (things[0], things[1]), noise, seed
        self.kinds = list(kinds)
        self.image_shape = (3, size, size)
        self.each = len(kinds)
        self.vocabulary = vocabulary()
        self._parts: dict[str, Asked] = {}

    def split(self, name: str) -> Optional[Asked]:
        """One part, made at the first call; None where there is no such part."""
        if not self.sizes.get(name):
            return None
        if name not in self._parts:
            rng = np.random.default_rng([self.seed, PARTS[name]])
            self._parts[name] = self._made(self.sizes[name], rng)
        return self._parts[name]

    def _made(self, count: int, rng: np.random.Generator) -> Asked:
        scenes = [scene(self.things, rng) for _ in range(count)]
        pixels = draw(scenes, self.size, self.noise, rng)
        asked = ask(scenes, self.kinds, rng)
        texts = [[question for _, question, _ in each] for each in asked]
        known = {text: self.vocabulary.numbers(text) for each in texts for text in each}
        return Asked(
            pixels,
            np.array([[known[text] for text in each] for each in texts]),
            np.array([[self.classes.index(a) for *_, a in each] for each in asked], np.int32),
            np.array([[self.kinds.index(k) for k, *_ in each] for each in asked], np.int32),
            texts,
        )

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of images (n, 3, H, W), questions (n, Q, T) and answers (n, Q), as float32."""
        part = self.split(split)
        if part is None:
            return None
        arrays = (part.images, part.questions, part.answers)
        return ArrayBatches(arrays, batch_size, shuffle=split == "train", transform=self.transform)

    def transform(self, arrays: Any, rng: Optional[np.random.Generator]) -> Any:
        """A chunk as it goes to the device."""
        images, questions, answers = arrays
        return self.to_input(images), questions.astype(np.float32), answers.astype(np.float32)

    def to_input(self, pixels: np.ndarray) -> np.ndarray:
        """Bytes (N, 3, H, W) as float32, about -0.5 to 0.5."""
        return np.divide(pixels, np.float32(255), dtype=np.float32) - np.float32(0.5)

    def from_image(self, path: Union[str, Path]) -> np.ndarray:
        """Any image file as uint8 (3, H, W), resized and cropped at its centre.

        Raises
        ------
        ConfigError
            There is no such file, or it cannot be read as an image.
        """
        try:
            return read_image(Path(path), self.image_shape)
        except DataError as error:
            raise ConfigError(error.message, error.hint) from error


def scene(things: tuple[int, int], rng: np.random.Generator) -> list[Thing]:
    """A random scene; a third of its things are as one before, so that there is more to count."""
    count = int(rng.integers(things[0], things[1] + 1))
    made: list[Thing] = []
    for cell in rng.permutation(GRID**2)[:count].tolist():
        if made and rng.random() < 1 / 3:
            colour, shape = made[rng.integers(len(made))][:2]
        else:
            colour, shape = int(rng.integers(len(COLOURS))), int(rng.integers(len(SHAPES)))
        made.append(Thing(colour, shape, *divmod(cell, GRID)))
    return made


def draw(
    scenes: list[list[Thing]], size: int, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Scenes as uint8 (N, 3, size, size), edges smooth over one pixel."""
    cell = size / GRID
    y, x = np.mgrid[:size, :size].astype(np.float32) + np.float32(0.5)
    ground = rng.integers(150, 225, len(scenes))
    made = np.empty((len(scenes), 3, size, size), np.uint8)
    for n, things in enumerate(scenes):
        image = np.full((3, size, size), ground[n], np.float32)
        for thing in things:
            radius = cell * rng.uniform(0.28, 0.4)
            room = cell / 2 - radius
            off = rng.uniform(-room, room, 2)
            dy = y - cell * (thing.row + 0.5) - off[0]
            dx = x - cell * (thing.column + 0.5) - off[1]
            inside = np.clip(_edge(SHAPES[thing.shape], dx, dy, radius) + 0.5, 0, 1)
            paint = np.array(PAINT[thing.colour]) + rng.uniform(-20, 20, 3)
            image += inside * (paint[:, None, None] - image)
        if noise:
            image += noise * rng.standard_normal(image.shape, np.float32)
        made[n] = np.clip(image, 0, 255)
    return made


def _edge(shape: str, dx: np.ndarray, dy: np.ndarray, radius: float) -> np.ndarray:
    """How far each pixel is inside of a shape, in pixels; below 0 it is outside."""
    if shape == "disc":
        return radius - np.hypot(dx, dy)
    if shape == "square":
        return 0.9 * radius - np.maximum(np.abs(dx), np.abs(dy))
    slope = np.sqrt(3.0) / 2 * np.abs(dx) - dy / 2  # upright, its corners on the disc's edge
    return np.minimum(radius / 2 - dy, radius / 2 - slope)
