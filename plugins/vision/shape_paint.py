"""How shapes and grounds look: outlines, which object is seen where, textures and colours.

Holds one image at a time; how many objects there are, and of which kinds, is in ``shapes.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FINE = 3  # points a pixel and side on which outlines are drawn, so that edges are smooth
KINDS = ("disc", "square", "triangle", "star", "ring", "cross", "crescent", "hexagon")
SQUEEZE = 1.25  # greatest ratio of the two axes along which an outline is stretched
APART = 90.0  # least difference, in some colour, of an object from its ground and others, of 255


class Outline(NamedTuple):
    """Points of a shape on the fine grid: bool (h, w), and where its upper left one lies."""

    mask: np.ndarray
    left: int
    top: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Its rows and columns of the fine grid."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class Painter:
    """One image that is being drawn.

    Parameters
    ----------
    size
        Height and width in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._owner = np.zeros((FINE * size, FINE * size), np.uint8)  # 0: ground, k: object k
        self._outlines: list[Outline] = []
        self._seen: list[int] = []  # points of each object that no other covers

    def outline(self, kind: str, extent: float, rng: np.random.Generator) -> Outline:
        """A shape turned, stretched and put at random so that all of it lies in the image.

        Parameters
        ----------
        extent
            Longer side of its box, in shares of the image's side.
        """
        paths = polygons(kind)
        turn, along = rng.uniform(0, 2 * np.pi, 2)
        stretch = rng.uniform(1, SQUEEZE)
        moved = turning(along) @ np.diag([stretch, 1.0]) @ turning(turn)
        paths = [points @ moved.T for points in paths]
        low, high = paths[0].min(0), paths[0].max(0)  # the first holds all others
        scale = extent * self.size * FINE / (high - low).max()
        mask = filled([(points - low) * scale for points in paths])
        room = FINE * self.size - np.array(mask.shape[::-1])
        left, top = (int(place) for place in rng.integers(0, room + 1))
        return Outline(mask, left, top)

    def place(self, outline: Outline, visible: float) -> bool:
        """Put a shape over the others, unless less than ``visible`` of one would remain seen."""
        if len(self._outlines) == 255:
            return False
        below = self._owner[outline.window]
        covered = np.bincount(below[outline.mask], minlength=len(self._outlines) + 1)[1:]
        for hidden, seen, other in zip(covered, self._seen, self._outlines):
            if seen - hidden < visible * np.count_nonzero(other.mask):
                return False
        self._seen = [int(seen - hidden) for hidden, seen in zip(covered, self._seen)]
        self._outlines.append(outline)
        self._seen.append(int(np.count_nonzero(outline.mask)))
        below[outline.mask] = len(self._outlines)
        return True

    def boxes(self) -> np.ndarray:
        """The smallest box of what is seen of each object: (m, 4), in shares of the side."""
        found = np.zeros((len(self._outlines), 4))
        for k, outline in enumerate(self._outlines):
            seen = self._owner[outline.window] == k + 1
            rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
            found[k] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            found[k] += outline.left, outline.top, outline.left, outline.top
        return found / self._owner.shape[0]

    def image(self, rng: np.random.Generator) -> np.ndarray:
        """What has been placed, in colours: uint8 (S, S, 3)."""
        first = rng.uniform(20, 235, 3)
        second = np.clip(first + rng.uniform(-70, 70, 3), 0, 255)
        ground = mixed(first, second, pattern(self.size, rng))
        canvas = ground.copy()
        used = [first, second, (first + second) / 2]
        for k, outline in enumerate(self._outlines):
            colour = apart(used, rng)
            used.append(colour)
            shade = np.clip(colour + rng.uniform(-30, 30, 3), 0, 255)
            top, left, bottom, right = self._pixels(outline)
            cover = self._cover(k + 1, top, left, bottom, right)[..., None]  # (h, w, 1)
            paint = mixed(colour, shade, pattern(max(bottom - top, right - left), rng))
            paint = paint[: bottom - top, : right - left]
            place = slice(top, bottom), slice(left, right)
            canvas[place] += cover * (paint - ground[place])
        grain = rng.integers(0, 256, (self.size, self.size, 1), np.uint8)
        canvas += (grain - np.float32(127.5)) * np.float32(rng.uniform(0.02, 0.16))
        return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)

    def _pixels(self, outline: Outline) -> tuple[int, int, int, int]:
        """Top, left, bottom and right of the pixels that it touches."""
        rows, columns = outline.window
        return (
            rows.start // FINE,
            columns.start // FINE,
            -(-rows.stop // FINE),
            -(-columns.stop // FINE),
        )

    def _cover(self, k: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """Share of each pixel that object ``k`` takes: float32, (bottom - top, right - left)."""
        fine = self._owner[FINE * top : FINE * bottom, FINE * left : FINE * right] == k
        rows = fine.reshape(bottom - top, FINE, -1).sum(1, dtype=np.uint8)
        points = rows.reshape(bottom - top, right - left, FINE).sum(2, dtype=np.uint8)
        return points.astype(np.float32) / FINE**2


def turning(angle: float) -> np.ndarray:
    """The matrix that turns the plane."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def polygons(kind: str) -> list[np.ndarray]:
    """Outlines (v, 2) of a shape around the origin: the first is filled, the others are holes."""

    def regular(corners: int, radius: float = 1.0, shift: float = 0.0) -> np.ndarray:
        angles = np.arange(corners) * (2 * np.pi / corners)
        return radius * np.stack([np.cos(angles), np.sin(angles)], 1) + [shift, 0]

    if kind == "star":
        points = regular(10)
        points[1::2] *= 0.42
        return [points]
    if kind == "ring":
        return [regular(60), regular(60, 0.55)]
    if kind == "crescent":
        return [regular(60), regular(60, 0.85, 0.5)]
    if kind == "cross":
        arm = 0.33
        corner = np.array([[1, -arm], [1, arm], [arm, arm]])
        return [np.concatenate([corner @ turning(i * np.pi / 2).T for i in range(4)])]
    return [regular({"disc": 60, "square": 4, "triangle": 3, "hexagon": 6}[kind])]


def filled(paths: list[np.ndarray]) -> np.ndarray:
    """Which points lie in the first polygon and in none of the others: bool, cut to fit."""
    from PIL import Image, ImageDraw

    width, height = (int(np.ceil(edge)) + 1 for edge in paths[0].max(0))
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    for path, value in zip(paths, [1] + [0] * len(paths)):
        draw.polygon([(x, y) for x, y in path.tolist()], fill=value)
    return np.asarray(image.crop(image.getbbox())) != 0


def pattern(size: int, rng: np.random.Generator) -> np.ndarray:
    """A texture: float32 in [0, 1], (size, size); clouds, stripes, checks or a slope."""
    angle, wave = rng.uniform(0, 2 * np.pi), rng.uniform(5, 40)
    kind = rng.choice(["clouds", "stripes", "checks", "slope"])
    if kind == "clouds":
        coarse = clouds(size, int(rng.integers(2, 6)), rng)
        return 0.65 * coarse + 0.35 * clouds(size, int(rng.integers(8, 24)), rng)
    places = np.arange(size, dtype=np.float32)
    x = places * np.float32(np.cos(angle)), places * np.float32(np.sin(angle))
    along = x[0][None, :] + x[1][:, None]
    if kind == "slope":
        along -= along.min()
        return along / max(float(along.max()), 1.0)
    phase = np.float32(2 * np.pi / wave)
    waves = np.sin(phase * along)
    if kind == "checks":
        waves = np.sign(waves * np.sin(phase * (x[0][:, None] - x[1][None, :])))
    return 0.5 + 0.5 * waves


def clouds(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth random values in [0, 1], float32 (size, size), ``cells`` hills a side or so."""
    from PIL import Image

    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8))
    smooth = coarse.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / 255


def mixed(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """From one colour to another: float32, (h, w, 3)."""
    step = (second - first).astype(np.float32)
    return first.astype(np.float32) + share.astype(np.float32)[..., None] * step


def apart(used: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A colour (3,) that differs from all that are used, as far as one of twenty does."""
    drawn = rng.uniform(0, 255, (20, 3))
    away = np.abs(drawn[:, None] - np.stack(used)).max(2).min(1)  # (20,)
    far = np.flatnonzero(away >= APART)
    return drawn[far[0] if len(far) else int(away.argmax())]
