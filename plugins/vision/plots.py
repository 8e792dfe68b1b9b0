"""Pictures of pictures: predictions on images, confusion matrices, filters and mean images.

Holds drawing only; what all pictures share is in core/plots.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

from dope.core.plots import GREY, INK, ORANGE, blank, save

COUNTED = 20  # classes up to which a confusion matrix shows its counts
NAMED = 120  # classes up to which each is named on the axes
LONGEST = 18  # characters of a class name that are shown beside a matrix
SIZE = 8.5  # points of the text at small images
LETTER, LINE = 0.073, 0.17  # inches that it takes


def grid(
    path: Path,
    pixels: np.ndarray,
    titles: Sequence[str],
    wrong: Optional[Sequence[Optional[str]]] = None,
    heading: str = "",
) -> Path:
    """Images with what they were taken for; the wrong ones say what they are.

    Parameters
    ----------
    path
        The PNG to write.
    pixels
        (n, C, H, W), 0 to 255 as uint8 or 0 to 1 as floats. Three channels are red, green and
        blue; of any other number the mean is shown.
    titles
        What stands over each image, as from `caption`. A long one loses some of its middle.
    wrong
        The true class where the prediction is wrong, None where it is right. A wrong one gets a
        cross, its true class below and a frame.
    heading
        Over all.
    """
    images = _images(pixels)
    wrong = wrong if wrong is not None else [None] * len(images)
    side = 1.15 if max(images.shape[1:3]) < 64 else 1.55
    sheet = _sheet(images.shape, side, gap=0.18, above=1, below=int(any(wrong)), heading=heading)
    room = int((sheet.width + 0.14) / LETTER)
    for image, title, true, place in zip(images, titles, wrong, sheet.places):
        sheet.show(image, place, cmap="gray", vmin=0.0, vmax=1.0)
        if true is None:
            sheet.over(place, _cut(title, room))
            continue
        sheet.over(place, "\u2717 " + _cut(title, room - 2), ORANGE)
        sheet.under(place, _cut(f"is {true}", room - 1), ORANGE)
        sheet.frame(place, ORANGE, 2.5)
    return save(sheet.figure, path)


def caption(name: str, probability: float) -> str:
    """A predicted class and its probability, for `grid`; never a rounded 100 %."""
    percent = f"{100 * probability:.0f}"
    return f"{name}  {'>99' if percent == '100' else percent} %"


def confusion(path: Path, matrix: np.ndarray, classes: Sequence[str], heading: str = "") -> Path:
    """How often each class was taken for each: blue where right, orange where wrong.

    Parameters
    ----------
    path
        The PNG to write.
    matrix
        (K, K) counts, true class by predicted class. Colours show the share of a row, on a
        square-root scale, so that rare confusions can be seen. Counts are written up to 20
        classes.
    classes
        K names; long ones are cut.
    heading
        In place of the accuracy.
    """
    matrix = np.asarray(matrix)
    K = len(matrix)
    total = matrix.sum()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.5 * K, 3.2, 11.0))
    names = [_cut(str(name), LONGEST) for name in classes]
    size, every = _text_size(K, side)
    wide = max(map(len, names)) * 0.6 * size / 72  # inches of the longest name
    upright = wide < 0.95 * side / K * every
    fig = blank(side + wide + 2.0, side + (0.15 if upright else wide) + 1.0)
    fig.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    axes = fig.add_subplot(facecolor="#F5F5F5")
    right = np.eye(K, dtype=bool)
    _shares(fig, axes, np.ma.masked_array(share, right | (matrix == 0)), "Oranges", "wrong", side)
    _shares(fig, axes, np.ma.masked_array(share, ~right | (matrix == 0)), "Blues", "right", side)
    if K <= COUNTED:
        digits = len(str(matrix.max()))
        most = float(np.clip(72 * side / K / (0.75 * digits), 5.0, 10.0))
        for i, j in np.argwhere(matrix):
            # white on the darker half of both colour scales, which grow with the square root
            colour = "white" if share[i, j] > 0.36 else INK
            text = f"{matrix[i, j]}"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=most)
    ticks = np.arange(0, K, every)
    shown = [names[i] for i in ticks]
    axes.set_xticks(ticks, shown, fontsize=size, rotation=0 if upright else 90)
    axes.set_yticks(ticks, shown, fontsize=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(K - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(K - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.0 if K <= 40 else 0.4)
    axes.tick_params(which="both", length=0)
    accuracy = np.trace(matrix) / total if total else float("nan")
    text = heading or f"accuracy {accuracy:.4f} on {total:,} images"
    axes.set_title(text, loc="left", fontsize=12, pad=10)
    return save(fig, path)


def _text_size(K: int, side: float) -> Tuple[float, int]:
    """Points of the class names beside a matrix of ``side`` inches, and each how manieth fits."""
    every = -(-K // NAMED)
    return float(np.clip(0.85 * 72 * side / K * every, 5.0, 9.0)), every


def _shares(
    fig: Any, axes: Any, share: np.ma.MaskedArray, colours: str, name: str, side: float
) -> None:
    """One half of a confusion matrix, right or wrong, with its colour scale."""
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import PercentFormatter

    shown = axes.imshow(share, cmap=colours, norm=PowerNorm(0.5, vmin=0.0, vmax=1.0))
    tall = min(side, 4.0)
    bar = fig.colorbar(
        shown, ax=axes, shrink=tall / side, aspect=tall / 0.12, anchor=(0.0, 1.0), pad=0.01,
        ticks=[0.01, 0.05, 0.2, 0.5, 1],
    )  # fmt: skip
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.ax.set_title(name, fontsize=8.5, loc="left")
    bar.outline.set_visible(False)


def filters(
    path: Path,
    weights: np.ndarray,
    names: Optional[Sequence[str]] = None,
    most: int = 64,
    heading: str = "",
) -> Path:
    """Weights of a first layer as images.

    Parameters
    ----------
    path
        The PNG to write.
    weights
        (n, C, h, w): filters of a convolution, or rows of a dense layer in the shape of the
        images. Three channels are shown as colours, each filter on its own scale with grey for
        zero; other numbers of channels one by one, on one scale that is symmetric about zero.
    names
        What stands over each filter: the classes, where there is one a class.
    most
        Filters that are drawn, the first ones.
    heading
        Over all.
    """
    n, channels = weights.shape[:2]
    weights = np.asarray(weights, dtype=np.float64)
    colour = channels == 3
    if not colour:
        weights = weights.reshape(n * channels, 1, *weights.shape[2:])
    shown = weights[:most]
    if len(shown) < len(weights):
        heading += f"{', ' if heading else ''}the first {len(shown)} of {len(weights)}"
    side = 1.15 if names is not None else float(np.clip(0.032 * max(shown.shape[2:]), 0.62, 1.15))
    top = max(float(np.quantile(np.abs(shown), 0.999)), 1e-12)
    if colour:
        largest = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
        shown = 0.5 + 0.5 * shown / np.maximum(largest, 1e-12)
    images = np.moveaxis(shown, 1, -1) if colour else shown[:, 0]
    lines = int(names is not None)
    sheet = _sheet(images.shape, side, gap=0.08, above=lines, bar=not colour, heading=heading)
    for i, (image, place) in enumerate(zip(images, sheet.places)):
        artist = sheet.show(image, place, cmap="RdBu_r", vmin=-top, vmax=top)
        sheet.frame(place, GREY, 0.4)
        if names is not None:
            sheet.over(place, _cut(str(names[i]), int(side / LETTER)))
    if not colour:
        sheet.bar(artist, "weight")
    return save(sheet.figure, path)


def means(path: Path, images: np.ndarray, classes: Sequence[str], heading: str = "") -> Path:
    """The mean image of each class, or its probability of each pixel to be on.

    Parameters
    ----------
    path
        The PNG to write.
    images
        (K, H, W) or (K, C, H, W), 0 to 1.
    classes
        K names.
    heading
        Over all.
    """
    tiles = _images(images if images.ndim == 4 else images[:, None])
    gray = tiles.ndim == 3
    sheet = _sheet(tiles.shape, 1.3, gap=0.12, above=1, bar=gray, heading=heading)
    for image, name, place in zip(tiles, classes, sheet.places):
        artist = sheet.show(image, place, cmap="magma", vmin=0.0, vmax=1.0)
        sheet.over(place, _cut(str(name), LONGEST))
    if gray:
        sheet.bar(artist, "share of images with the pixel on")
    return save(sheet.figure, path)


def _images(pixels: np.ndarray) -> np.ndarray:
    """(n, C, H, W) of bytes or floats to (n, H, W) or (n, H, W, 3) between 0 and 1."""
    pixels = np.asarray(pixels)
    values = pixels / 255.0 if pixels.dtype == np.uint8 else np.clip(pixels, 0.0, 1.0)
    return np.moveaxis(values, 1, -1) if values.shape[1] == 3 else values.mean(axis=1)


def _cut(text: str, room: int) -> str:
    """``text`` in at most ``room`` characters, its middle left out: its end tells most."""
    if len(text) <= room:
        return text
    tail = min(6, room // 2)
    return text[: max(1, room - tail - 1)].rstrip() + "\u2026" + text[len(text) - tail :]


class Sheet(NamedTuple):
    """Many small images on one set of axes in inches: far faster than a set of axes for each."""

    figure: Any
    axes: Any
    places: Sequence[Tuple[float, float]]  # left and lower end of each image
    width: float
    height: float

    def show(self, image: np.ndarray, place: Tuple[float, float], **scale: Any) -> Any:
        """One image, its pixels as they are where it is small."""
        x, y = place
        return self.axes.imshow(
            image, extent=(x, x + self.width, y, y + self.height),
            interpolation="nearest" if max(image.shape[:2]) < 100 else "antialiased", **scale,
        )  # fmt: skip

    def over(self, place: Tuple[float, float], text: str, colour: str = INK) -> None:
        """A line of text above the image."""
        x, y = place[0] + self.width / 2, place[1] + self.height + 0.04
        self.axes.text(x, y, text, ha="center", va="bottom", fontsize=SIZE, color=colour)

    def under(self, place: Tuple[float, float], text: str, colour: str = INK) -> None:
        """A line of bold text below the image."""
        x, y = place[0] + self.width / 2, place[1] - 0.05
        self.axes.text(
            x, y, text, ha="center", va="top", fontsize=SIZE, color=colour, fontweight="bold"
        )

    def frame(self, place: Tuple[float, float], colour: str, width: float) -> None:
        """A frame around the image, ``width`` in points."""
        from matplotlib.patches import Rectangle

        box = Rectangle(place, self.width, self.height, fill=False, clip_on=False)
        box.set(edgecolor=colour, linewidth=width)
        self.axes.add_patch(box)

    def bar(self, artist: Any, name: str) -> None:
        """A colour scale in the room that was left for it."""
        width, height = self.figure.get_size_inches()
        box = self.axes.get_position()
        tall = min(box.height, 2.6 / height)
        place = (box.x1 + 0.18 / width, box.y0 + (box.height - tall) / 2, 0.1 / width, tall)
        bar = self.figure.colorbar(artist, cax=self.figure.add_axes(place))
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7.5, length=2)
        bar.set_label(name, fontsize=SIZE)


def _sheet(
    shape: Sequence[int],
    side: float,
    *,
    gap: float,
    above: int = 0,
    below: int = 0,
    bar: bool = False,
    heading: str = "",
) -> Sheet:
    """Room for ``shape[0]`` images, the longer side of each ``side`` inches, and lines of text."""
    n, h, w = shape[:3]
    width, height = side * w / max(h, w), side * h / max(h, w)
    right, up = width + gap, height + gap + LINE * (above + below)
    # about twice as wide as tall, the rows as even as can be
    rows = max(1, round((n * right / up / 1.9) ** 0.5)) if n > 6 else 1
    columns = -(-n // rows)
    rows = -(-n // columns)
    places = [(i % columns * right, -(i // columns) * up - height - LINE * above) for i in range(n)]
    total = columns * right - gap, rows * up - gap
    edge, top = 0.15, 0.3 * bool(heading)
    size = max(total[0] + 2 * edge + 0.85 * bar, 0.1 * len(heading)), total[1] + 2 * edge + top
    fig = blank(*size, layout=None)
    axes = fig.add_axes((edge / size[0], edge / size[1], total[0] / size[0], total[1] / size[1]))
    axes.set_axis_off()
    axes.set(xlim=(0, total[0]), ylim=(-total[1], 0))
    axes.set_autoscale_on(False)
    if heading:
        fig.text(edge / size[0], 1 - 0.1 / size[1], heading, ha="left", va="top", fontsize=12)
    return Sheet(fig, axes, places, width, height)
