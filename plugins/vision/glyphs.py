"""Letters of made-up scripts, painted at random: many of one script, few of another.

Holds the two data sets and their letters; textures and colours are those of ``shape_paint.py``.
"""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.vision.images import ImageSet, Part
from dope.plugins.vision.shape_paint import apart, clouds, mixed, pattern, turning

NAMES = [c + v for c in "bdfghklmnprstvwz" for v in "aeiou"]  # 80 syllables
SALT = {"train": 0, "valid": 1, "test": 2}
FINE = 3  # points a pixel and side on which strokes are drawn, so that edges are smooth
GRID = 3  # places a side between which the strokes of a letter run
STROKES = (3, 4, 5)
BENT = 0.35  # share of strokes that are arcs
APART = 0.30  # least share of their ink in which two letters of a seed differ
TURN = 30.0  # degrees by which a letter is turned at most, either way
SMALLEST, LARGEST = 0.4, 0.8  # extent of a letter, in shares of the side

Stroke = np.ndarray  # (points, 2), in [-1, 1]


class Glyphs(ImageSet):
    """Letters of two made-up scripts on textured grounds; drawn, not read.

    The data set itself is the second script, of which there are few examples. ``source`` is the
    first script, which has other letters and many examples: what a network may learn before. A
    letter is told by its strokes alone; place, size, turn, slant, stroke width, colours and ground
    are drawn alike for all. The same seed draws the same images, each from a seed of its own.

    Parameters
    ----------
    size
        Height and width in pixels.
    classes
        Letters of the second script, 2 to 40.
    each
        Training images of each of them.
    valid_each, test_each
        Images of each that are held out: for choosing the best checkpoint, and for figures that
        nothing is chosen by.
    source_classes
        Letters of the first script, 2 to 40.
    source_each
        Training images of each of them.
    normalize
        Subtract a mean and divide by a standard deviation, those of ImageNet.
    seed
        Of the letters and of the drawing.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(
        self,
        *,
        size: int = 48,
        classes: int = 10,
        each: int = 20,
        valid_each: int = 10,
        test_each: int = 40,
        source_classes: int = 40,
        source_each: int = 80,
        normalize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(normalize=normalize)
        _check(size, {"classes": classes, "source_classes": source_classes})
        least = {"each": (each, 1), "source_each": (source_each, 1), "seed": (seed, 0)}
        least |= {"valid_each": (valid_each, 0), "test_each": (test_each, 0)}
        for name, (value, lowest) in least.items():
            if value < lowest:
                raise ConfigError(f"dataset.{name} is {value}", f"It is at least {lowest}.")
        letters = alphabet(source_classes + classes, seed)
        counts = {"train": each, "valid": valid_each, "test": test_each}
        self.shape = (3, size, size)
        self.classes = NAMES[source_classes : source_classes + classes]
        self._drawn = Script(letters[source_classes:], counts, size, (seed, 1))
        few = {"train": source_each, "valid": max(1, source_each // 20)}
        self.source = Source(
            Script(letters[:source_classes], few, size, (seed, 0)), normalize=normalize
        )

    def read(self) -> dict[str, Part]:
        return self._drawn.parts()


class Source(ImageSet):
    """The first script of `Glyphs`."""

    mean, std = Glyphs.mean, Glyphs.std

    def __init__(self, script: Script, **options: Any) -> None:
        super().__init__(**options)
        self.shape = (3, script.size, script.size)
        self.classes = NAMES[: len(script.letters)]
        self._drawn = script

    def read(self) -> dict[str, Part]:
        return self._drawn.parts()


class Script:
    """Letters, and how many images of each there are in each part.

    Parameters
    ----------
    letters
        Their strokes.
    counts
        Part to the images of each letter.
    size
        Height and width in pixels.
    seeds
        What distinguishes its images from others'.
    """

    def __init__(
        self, letters: List[List[Stroke]], counts: dict[str, int], size: int, seeds: Tuple[int, ...]
    ) -> None:
        self.letters, self.counts, self.size, self.seeds = letters, counts, size, seeds

    def parts(self) -> dict[str, Part]:
        """Pixels uint8 (N, 3, S, S) and labels int32 (N,) of each part, letters in turn."""
        K, made = len(self.letters), {}
        for part, each in self.counts.items():
            if each:
                labels = np.tile(np.arange(K, dtype=np.int32), each)
                pixels = np.empty((len(labels), 3, self.size, self.size), np.uint8)
                for i, label in enumerate(labels):
                    rng = np.random.default_rng([*self.seeds, SALT[part], i])
                    pixels[i] = painted(self.letters[label], self.size, rng).transpose(2, 0, 1)
                made[part] = pixels, labels
        return made


def alphabet(count: int, seed: int) -> List[List[Stroke]]:
    """So many letters, each two of which differ clearly in their ink."""
    rng = np.random.default_rng([seed, 77])
    found: List[List[Stroke]] = []
    inks: List[np.ndarray] = []
    wanted = APART
    while len(found) < count:
        letter = _letter(rng)
        ink = _ink(letter, 24, 0.2)
        shares = [np.logical_xor(ink, other).sum() / (ink | other).sum() for other in inks]
        if min(shares, default=1.0) >= wanted:
            found.append(letter)
            inks.append(ink)
        else:
            wanted *= 0.998  # many letters: they have to come closer
    return found


def painted(letter: List[Stroke], size: int, rng: np.random.Generator) -> np.ndarray:
    """A letter at a random place on a random ground, in random colours: uint8 (S, S, 3)."""
    moved = _moved(letter, size, rng)
    width = rng.uniform(0.09, 0.16) * np.ptp(np.concatenate(moved), axis=0).max()
    cover = _cover(moved, size, width)
    first = rng.uniform(20, 235, 3)
    second = np.clip(first + rng.uniform(-70, 70, 3), 0, 255)
    canvas = mixed(first, second, pattern(size, rng))
    colour = apart([first, second, (first + second) / 2], rng)
    shade = np.clip(colour + rng.uniform(-30, 30, 3), 0, 255)
    canvas += cover[..., None] * (mixed(colour, shade, clouds(size, 4, rng)) - canvas)
    grain = rng.integers(0, 256, (size, size, 1), np.uint8)
    canvas += (grain - np.float32(127.5)) * np.float32(rng.uniform(0.02, 0.16))
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def _letter(rng: np.random.Generator) -> List[Stroke]:
    """Strokes that hang together, between places of a grid."""
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, GRID)] * 2), -1).reshape(-1, 2)
    number = int(rng.choice(STROKES))
    here, used = int(rng.integers(len(places))), set()
    strokes: List[Stroke] = []
    while len(strokes) < number:
        there = int(rng.integers(len(places)))
        pair = (min(here, there), max(here, there))
        if here == there or pair in used:
            continue
        used.add(pair)
        bend = rng.uniform(0.5, 0.9) * rng.choice([-1, 1]) if rng.random() < BENT else 0.0
        strokes.append(_stroke(places[here], places[there], float(bend)))
        touched = sorted({end for each in used for end in each})
        here = there if rng.random() < 0.6 else int(rng.choice(touched))
    return strokes


def _stroke(begin: np.ndarray, end: np.ndarray, bend: float) -> Stroke:
    """A line, or an arc whose middle lies ``bend`` half lengths beside it."""
    if not bend:
        return np.stack([begin, end])
    t = np.linspace(0, 1, 9)[:, None]
    across = (end - begin)[::-1] * [-0.5, 0.5]
    return begin + t * (end - begin) + bend * 4 * t * (1 - t) * across


def _moved(letter: List[Stroke], size: int, rng: np.random.Generator) -> List[Stroke]:
    """Its strokes turned, slanted, enlarged and put so that all of them lie in the image."""
    slant = np.array([[1.0, rng.uniform(-0.25, 0.25)], [0.0, 1.0]])
    stretch = np.diag(np.exp(rng.uniform(-0.15, 0.15, 2)))
    turned = turning(np.deg2rad(rng.uniform(-TURN, TURN))) @ slant @ stretch
    strokes = [points @ turned.T for points in letter]
    low, high = (f(np.concatenate(strokes), axis=0) for f in (np.min, np.max))
    extent = rng.uniform(SMALLEST, LARGEST) * size
    scale = extent / max((high - low).max(), 1.0)
    margin = 0.08 * size
    room = np.maximum(size - 2 * margin - (high - low) * scale, 0)
    corner = margin + rng.random(2) * room
    return [(points - low) * scale + corner for points in strokes]


def _cover(strokes: List[Stroke], size: int, width: float) -> np.ndarray:
    """Share of each pixel that strokes take: float32 (S, S)."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (FINE * size, FINE * size))
    draw, radius = ImageDraw.Draw(image), FINE * width / 2
    for points in strokes:
        path = [(x, y) for x, y in (points * FINE).tolist()]
        draw.line(path, fill=255, width=max(1, round(2 * radius)), joint="curve")
        for x, y in (path[0], path[-1]):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(image.reduce(FINE), np.float32) / 255


def _ink(letter: List[Stroke], size: int, width: float) -> np.ndarray:
    """Which pixels of a small upright picture have ink: bool (S, S)."""
    low, high = (f(np.concatenate(letter), axis=0) for f in (np.min, np.max))
    scale = 0.8 * size / max((high - low).max(), 1.0)
    return _cover([(p - low) * scale + 0.1 * size for p in letter], size, width * size) > 0.5


def _check(size: int, counts: dict[str, int]) -> None:
    if not 32 <= size <= 512:
        raise ConfigError(f"dataset.size is {size}", "It is between 32 and 512.")
    for name, value in counts.items():
        if not 2 <= value <= len(NAMES) // 2:
            raise ConfigError(
                f"dataset.{name} is {value}", f"It is between 2 and {len(NAMES) // 2}."
            )
