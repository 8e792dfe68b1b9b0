"""Faces that are drawn by rule, each from a few random numbers: the pictures that need no file.

Holds the data set and its drawing; what all sets of images share is in ``images.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.generative.images import Pictures

Array = np.ndarray
CHUNK = 256  # faces that are drawn together
DARK = (52.0, 36.0, 32.0)
WHITE = (250.0, 250.0, 250.0)
RED = (196.0, 54.0, 62.0)
SKINS = ((255, 214, 90), (250, 206, 170), (226, 168, 122), (158, 104, 68), (150, 210, 140))
HAIRS = ((44, 32, 28), (122, 70, 34), (226, 182, 84), (190, 74, 40), (70, 90, 190), (150, 150, 158))
GROUNDS = ((196, 224, 246), (250, 226, 200), (214, 240, 208), (236, 212, 240), (245, 245, 230))


class Faces(Pictures):
    """Drawn faces in colour: each with a shape, skin, hair, eyes and mouth of its own.

    Faces are round or long, turned a little to either side, in front of a plain colour. Hair is of
    six colours and grows low or high, eyes are wide or narrow, near or far from each other, and
    look somewhere; mouths smile, are straight, turn down, or stand open. The same options give the
    same bytes on any machine.

    Parameters
    ----------
    n
        How many; at least 1.
    size
        Height and width in pixels, 16 to 256.
    seed
        Of the random numbers.
    """

    def __init__(self, *, n: int = 4096, size: int = 32, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        if n < 1:
            raise ConfigError(f"dataset.n is {n}", "It is at least 1.")
        if not 16 <= size <= 256:
            raise ConfigError(f"dataset.size is {size}", "It is between 16 and 256.")
        if seed < 0:
            raise ConfigError(f"dataset.seed is {seed}", "It is 0 or more.")
        self.n, self.size, self.seed = n, size, seed
        self.shape = (3, size, size)

    def read(self) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        counts = [min(CHUNK, self.n - i) for i in range(0, self.n, CHUNK)]
        return np.concatenate([draw_faces(count, self.size, rng) for count in counts])


def draw_faces(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """So many faces, uint8 (n, 3, size, size)."""
    u = _Drawn(rng, n)
    canvas = _Canvas(u.colour(GROUNDS), size)
    # the middle of the face and its half axes, in halves of the picture; y grows downwards
    cx, cy = u(-0.08, 0.08), u(0.02, 0.12)
    wide, high = u(0.52, 0.72), u(0.62, 0.78)
    turn = u(-0.16, 0.16)  # to the left or right, in half axes
    _draw_hair(canvas, u, cx, cy, wide, high)
    skin = u.colour(SKINS)
    canvas.paint(canvas.ellipse(cx, cy, wide, high), skin)
    _draw_fringe(canvas, u, cx, cy, wide, high)
    middle = cx + turn * wide
    _draw_eyes(canvas, u, middle, cy - 0.12 * high, wide)
    _draw_mouth(canvas, u, middle, cy + 0.45 * high, wide)
    return canvas.pixels()


def _draw_hair(canvas: _Canvas, u: _Drawn, cx: Array, cy: Array, wide: Array, high: Array) -> None:
    """What is seen of the hair behind the head: a rim, or long hair down the sides."""
    u.hair = u.colour(HAIRS)
    long = u.chance(0.4)
    rim = u(1.08, 1.22)
    canvas.paint(canvas.ellipse(cx, cy - 0.08 * high, wide * rim, high * 1.12), u.hair)
    sides = np.maximum(abs(canvas.x - cx) - wide * rim, cy - canvas.y)
    canvas.paint(np.where(long, sides, 1.0), u.hair)


def _draw_fringe(
    canvas: _Canvas, u: _Drawn, cx: Array, cy: Array, wide: Array, high: Array
) -> None:
    """The hair over the forehead: the head above a slanting line."""
    line = cy - u(0.42, 0.7) * high + u(-0.25, 0.25) * (canvas.x - cx)
    inside = canvas.ellipse(cx, cy, wide, high)
    canvas.paint(np.maximum(inside, canvas.y - line), u.hair)


def _draw_eyes(canvas: _Canvas, u: _Drawn, cx: Array, cy: Array, wide: Array) -> None:
    apart, across = u(0.34, 0.48) * wide, u(0.15, 0.21) * wide
    tall = across * u(0.75, 1.35)
    look = u(-0.35, 0.35) * across
    for side in (-1, 1):
        x = cx + side * apart
        canvas.paint(canvas.ellipse(x, cy, across, tall), WHITE)
        canvas.paint(
            canvas.ellipse(x + look, cy, 0.6 * across, 0.6 * np.minimum(tall, across)), DARK
        )


def _draw_mouth(canvas: _Canvas, u: _Drawn, cx: Array, cy: Array, wide: Array) -> None:
    """An open mouth, or a line that is a parabola: up at its ends, level or down."""
    half, bend, thick = u(0.28, 0.46) * wide, u(-0.1, 0.2), u(0.035, 0.055)
    t = (canvas.x - cx) / half
    curve = cy + bend * (0.5 - t * t)
    slope = 2 * bend * t / half
    line = np.maximum(
        abs(canvas.y - curve) / np.sqrt(1 + slope * slope) - thick, abs(canvas.x - cx) - half
    )
    open_ = u.chance(0.25)
    hole = canvas.ellipse(cx, cy, half * 0.6, u(0.08, 0.16))
    canvas.paint(np.where(open_, hole, line), RED)


class _Drawn:
    """Random numbers for n faces, as arrays (n, 1, 1)."""

    hair: Array

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.rng, self.n = rng, n

    def __call__(self, low: float, high: float) -> Array:
        return low + (high - low) * self.rng.random((self.n, 1, 1))

    def chance(self, share: float) -> Array:
        return self.rng.random((self.n, 1, 1)) < share

    def colour(self, known: tuple[tuple[int, int, int], ...]) -> Array:
        """One of the known colours, a little lighter, darker or more of a hue: (n, 3, 1, 1)."""
        chosen = np.array(known, float)[self.rng.integers(len(known), size=self.n)]
        light = 24 * (self.rng.random((self.n, 1)) - 0.5)
        hue = 16 * (self.rng.random((self.n, 3)) - 0.5)
        return np.clip(chosen + light + hue, 0, 255)[:, :, None, None]


class _Canvas:
    """Pictures of one colour each, on which shapes are painted with soft edges.

    A shape is its signed distance, negative inside, in halves of the picture. Only sums, products,
    quotients and square roots are taken, which give the same bits everywhere.
    """

    def __init__(self, colour: Array, size: int) -> None:
        places = (np.arange(size) + 0.5) * (2 / size) - 1
        self.x, self.y = places[None, None, :], places[None, :, None]
        self.size = size
        self.colours = colour + np.zeros((len(colour), 3, size, size))

    def ellipse(self, x: Array, y: Array, a: Array, b: Array) -> Array:
        """Distance to an ellipse, to first order in the distance: (n, size, size)."""
        u, v = (self.x - x) / a, (self.y - y) / b
        inside = u * u + v * v
        steep = 2 * np.sqrt((u / a) * (u / a) + (v / b) * (v / b)) + 1e-9
        return (inside - 1) / steep

    def paint(self, distance: Array, colour: object) -> None:
        """Cover what is inside; a pixel on the edge is covered in part."""
        share = np.clip(0.5 - distance * (self.size / 2), 0, 1)[:, None]  # (n, 1, size, size)
        one = np.asarray(colour, float)
        self.colours += share * ((one[:, None, None] if one.ndim == 1 else one) - self.colours)

    def pixels(self) -> Array:
        return np.floor(self.colours + 0.5).astype(np.uint8)
