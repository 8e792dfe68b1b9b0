"""How the parts of a drawn house look: their labels' colours, surfaces, light and shadow.

Holds no layout; where the parts are is in ``houses.py``.
"""

from __future__ import annotations

import numpy as np

# Colours of the map of labels
LABELS = {
    "sky": (120, 200, 255),
    "dusk": (90, 60, 140),
    "pavement": (130, 130, 130),
    "brick": (200, 60, 40),
    "plaster": (250, 210, 90),
    "stone": (190, 200, 190),
    "roof": (110, 30, 90),
    "trim": (255, 255, 255),
    "pane": (20, 60, 200),
    "lamp": (255, 140, 0),
    "door": (90, 50, 10),
    "shutter": (0, 150, 130),
    "rail": (0, 0, 0),
    "trunk": (150, 100, 50),
    "leaves": (40, 170, 30),
}
# How far each stands out of the wall, in thousandths of the picture's width
DEPTH = {
    "sky": -60.0,
    "dusk": -60.0,
    "pavement": 0.0,
    "brick": 0.0,
    "plaster": 0.0,
    "stone": 0.0,
    "roof": 4.0,
    "trim": 7.0,
    "pane": -9.0,
    "lamp": -9.0,
    "door": -12.0,
    "shutter": 5.0,
    "rail": 16.0,
    "trunk": 30.0,
    "leaves": 40.0,
}
NAMES = list(LABELS)
SHADOW = 0.045  # the longest, as a share of the width
SUN = np.array([1.0, 0.97, 0.9])
EVENING = np.array([0.62, 0.52, 0.66])


class Canvas:
    """Labels of a square picture whose sides have length 1, with y downwards.

    Parameters
    ----------
    side
        Pixels each way.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self.ids = np.zeros((side, side), np.int8)  # places in NAMES
        centres = (np.arange(side) + 0.5) / side
        self.y, self.x = np.meshgrid(centres, centres, indexing="ij")
        self.ground = 1.0  # where the pavement begins

    def box(self, x0: float, y0: float, x1: float, y1: float, name: str) -> None:
        """A rectangle; it covers what was there."""
        a, b, c, d = (max(0, round(v * self.side)) for v in (y0, y1, x0, x1))
        self.ids[a:b, c:d] = NAMES.index(name)

    def disc(self, x: float, y: float, radius: float, name: str) -> None:
        """A filled circle."""
        self.ids[(self.x - x) ** 2 + (self.y - y) ** 2 < radius**2] = NAMES.index(name)

    def slope(
        self, x0: float, x1: float, bottom: float, height: float, inset: float, name: str
    ) -> None:
        """A trapezium whose upper side is shorter by ``inset`` at both ends."""
        up = (bottom - self.y) / height
        edge = np.minimum(self.x - x0, x1 - self.x)
        inside = (up > 0) & (up <= 1) & (edge > inset * up)
        self.ids[inside] = NAMES.index(name)


def labelled(canvas: Canvas) -> np.ndarray:
    """The map of labels, uint8 (3, side / 2, side / 2): each pixel has one label's colour."""
    colours = np.array(list(LABELS.values()), np.uint8)
    return np.ascontiguousarray(colours[canvas.ids[::2, ::2]].transpose(2, 0, 1))


def painted(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """The picture, uint8 (3, side / 2, side / 2)."""
    surface = _surfaces(canvas, rng)  # (side, side, 3)
    evening = bool((canvas.ids == NAMES.index("dusk")).any())
    light = EVENING if evening else SUN
    glows = np.isin(canvas.ids, [NAMES.index(n) for n in ("sky", "dusk", "lamp")])[..., None]
    shade = 1 - (0.25 if evening else 0.45) * _shadow(canvas)[..., None]
    shade = shade * (0.86 + 0.2 * (1 - canvas.y[..., None]))  # darker towards the street
    made = np.where(glows, surface, surface * light * shade)
    side = canvas.side // 2
    made = made.reshape(side, 2, side, 2, 3).mean(axis=(1, 3))
    return np.ascontiguousarray(np.clip(made * 255, 0, 255).astype(np.uint8).transpose(2, 0, 1))


def _shadow(canvas: Canvas) -> np.ndarray:
    """1 where something up to the left hides the sun, softened, (side, side)."""
    depth = np.array(list(DEPTH.values()), np.float32)[canvas.ids] / 1000
    found = np.zeros_like(depth)
    steps = max(2, round(SHADOW * canvas.side))
    flat = depth > -0.05  # nothing falls on the sky
    for k in range(1, steps):
        higher = np.full_like(depth, -1)
        higher[k:, k:] = depth[:-k, :-k]
        found[(higher - depth > k / canvas.side) & flat] = 1
    soft = found.copy()
    soft[1:] += found[:-1]
    soft[:, 1:] += found[:, :-1]
    soft[1:, 1:] += found[:-1, :-1]
    return soft / 4


def _surfaces(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """What each pixel looks like in full light, float (side, side, 3)."""
    made = np.zeros((*canvas.ids.shape, 3))
    fine = rng.standard_normal(canvas.ids.shape)
    for number, name in enumerate(NAMES):
        inside = canvas.ids == number
        if inside.any():
            x, y = canvas.x[inside], canvas.y[inside]
            made[inside] = (
                _surface(name, x, y, canvas.ground, rng) + _GRAIN[name] * fine[inside][:, None]
            )
    return made


_GRAIN = dict.fromkeys(NAMES, 0.02) | {"sky": 0.004, "dusk": 0.004, "pane": 0.01, "leaves": 0.05}


def _surface(
    name: str, x: np.ndarray, y: np.ndarray, ground: float, rng: np.random.Generator
) -> np.ndarray:
    """Colours (n, 3) of the points of one label."""
    if name == "sky":
        cloud = np.clip(np.sin(7 * x + 3 * np.sin(9 * y)) * np.sin(13 * y + 2 * x) - 0.25, 0, 1)
        return _mix((0.36, 0.58, 0.86), (0.78, 0.88, 0.95), y / 0.9) + 0.28 * cloud[:, None]
    if name == "dusk":
        return _mix((0.16, 0.14, 0.34), (0.95, 0.55, 0.35), np.clip(y / 0.9, 0, 1) ** 1.3)
    if name == "pavement":
        depth = (y - ground) / (1 - ground + 1e-9)  # 0 at the house, 1 in front
        joints = _near(np.log1p(3 * depth) * 4, 0.1) | _near((x - 0.5) / (0.6 + depth) * 9, 0.04)
        return _flat((0.56, 0.54, 0.52), x, 1 - 0.18 * joints + 0.12 * depth)
    if name == "brick":
        return _courses((0.66, 0.29, 0.21), (0.76, 0.7, 0.64), x, y, 0.02, 0.045, 0.13, rng)
    if name == "stone":
        return _courses((0.66, 0.64, 0.58), (0.5, 0.48, 0.45), x, y, 0.045, 0.09, 0.07, rng)
    if name == "plaster":
        stain = 0.05 * np.sin(11 * x + 2 * np.sin(5 * y)) * np.sin(8 * y) - 0.08 * (
            y > ground - 0.07
        )
        return _flat((0.9, 0.76, 0.5), x, 1 + stain)
    if name == "roof":
        row = np.floor(y / 0.022)
        tile = np.abs(((x / 0.028 + 0.5 * (row % 2)) % 1) - 0.5) * 2
        return _flat((0.44, 0.23, 0.2), x, 0.7 + 0.3 * (1 - tile**2) + 0.25 * (y / 0.022 % 1))
    if name == "pane":
        streak = ((x + 0.7 * y) * 9 % 1) < 0.3
        return _mix((0.2, 0.27, 0.36), (0.42, 0.52, 0.6), (y * 7) % 1) + 0.1 * streak[:, None]
    if name == "lamp":
        return _mix((1.0, 0.86, 0.5), (0.95, 0.62, 0.25), (y * 7) % 1)
    if name == "door":
        return _flat((0.36, 0.2, 0.12), x, 1 - 0.3 * _near(x / 0.018, 0.15))
    if name == "shutter":
        return _flat((0.2, 0.42, 0.36), x, 0.75 + 0.45 * (y / 0.012 % 1))
    if name == "rail":
        bars = np.where(_near(x / 0.014, 0.3), 0.16, 0.42)
        return np.repeat(bars[:, None], 3, axis=1)
    if name == "leaves":
        clump = np.sin(60 * x + 4 * np.sin(45 * y)) * np.sin(55 * y + 3 * np.sin(40 * x))
        return _flat((0.24, 0.42, 0.16), x, 1.05 + 0.35 * clump)
    plain = {"trim": (0.88, 0.85, 0.78), "trunk": (0.35, 0.26, 0.19)}
    return _flat(plain[name], x, np.ones_like(x))


def _flat(colour: tuple[float, float, float], x: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    return np.asarray(colour) * brightness[:, None]


def _mix(
    one: tuple[float, float, float], other: tuple[float, float, float], share: np.ndarray
) -> np.ndarray:
    share = np.clip(share, 0, 1)[:, None]
    return np.asarray(one) * (1 - share) + np.asarray(other) * share


def _near(values: np.ndarray, width: float) -> np.ndarray:
    """Whether values lie within ``width`` above a whole number."""
    return np.asarray(values % 1 < width)


def _courses(
    colour: tuple[float, float, float],
    mortar: tuple[float, float, float],
    x: np.ndarray,
    y: np.ndarray,
    height: float,
    width: float,
    spread: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Bricks or blocks in bond, each a little lighter or darker than the next."""
    row = np.floor(y / height).astype(int)
    along = x / width + 0.5 * (row % 2)
    tones = 1 + spread * rng.standard_normal(1024)
    each = tones[(row * 57 + np.floor(along).astype(int) * 131) % 1024]
    joint = _near(y / height, 0.14) | _near(along, 0.07)
    return np.where(joint[:, None], np.asarray(mortar), _flat(colour, x, each))
