"""Varying training images together with the boxes in them: mirrored, cut out, other colours.

Holds functions on chunks of uint8 images; which set uses them is the set's matter.
"""

from __future__ import annotations

import numpy as np

from dope.plugins.vision import boxes

TRIALS = 24  # windows drawn for an image, of which the first that fits is taken
SMALLEST = 0.3  # side of a window in shares, before its ratio
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)  # least IoU of a window with some object
GRAY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue: ITU-R BT.601


def compact(labels: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Rows that are kept, in their order, before rows of -1.

    MXNet's matching of anchors stops at the first row of -1, so none may lie in between.

    Parameters
    ----------
    labels
        (N, M, F).
    kept
        Which rows stay: bool, (N, M).
    """
    order = np.argsort(~kept, axis=1, kind="stable")
    moved = np.take_along_axis(labels, order[..., None], 1)
    moved[~np.take_along_axis(kept, order, 1)] = -1
    return moved


def random_mirror(
    images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Exchange left and right with probability one half, of an image and of its boxes.

    Parameters
    ----------
    images
        uint8, (N, H, W, 3); left as they are.
    labels
        (N, M, 5): class, left, top, right, bottom in shares; -1 where there is no object.
    rng
        Draws N numbers in [0, 1); an image is mirrored where its number is below 0.5.
    """
    chosen = rng.random(len(images)) < 0.5
    images, labels = images.copy(), labels.copy()
    images[chosen] = images[chosen, :, ::-1]
    real = chosen[:, None] & (labels[..., 0] >= 0)
    labels[real, 1:5] = boxes.flip(labels[real, 1:5])
    return images, labels


def random_windows(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """What to cut out of each image: float32 (N, 4) in shares; (0, 0, 1, 1) is all of it.

    As in Liu et al., SSD: Single Shot MultiBox Detector (2016), section 2.2, and its program: of
    `TRIALS` windows, whose sides are ``SMALLEST`` (the paper: 0.1) to 1 and whose ratios are 1/2 to
    2, the first is taken for each of `OVERLAPS` that has that IoU with some object at least, and of
    these windows one is drawn. It also has to hold the centre of an object. Where there is none,
    the image stays whole.

    Parameters
    ----------
    labels
        (N, M, 5).
    share
        Of the images from which something is cut out.
    """
    n = len(labels)
    wanted = rng.random(n) < share
    scale = rng.uniform(SMALLEST, 1, (n, TRIALS, 1))
    bend = np.sqrt(np.exp2(rng.uniform(-1, 1, (n, TRIALS, 1))))
    sides = np.minimum(scale * np.concatenate([bend, 1 / bend], -1), 1)  # (N, T, 2)
    origin = rng.random((n, TRIALS, 2)) * (1 - sides)
    windows = np.concatenate([origin, origin + sides], -1)  # (N, T, 4)
    real = labels[:, None, :, 0] >= 0  # (N, 1, M)
    overlap = np.where(real, boxes.iou(windows, labels[..., 1:5]), -1).max(-1, initial=-1)
    held = boxes.inside(boxes.centres(labels[:, None, :, 1:5]), windows[:, :, None])  # (N, T, M)
    overlap[~(held & real).any(-1)] = -1
    fits = overlap[:, None] >= np.array(OVERLAPS)[:, None]  # (N, L, T)
    draws = np.where(fits.any(-1), rng.random((n, len(OVERLAPS))), -1)  # (N, L)
    first = fits[np.arange(n), draws.argmax(1)].argmax(1)
    chosen = windows[np.arange(n), first]
    chosen[~wanted | (draws.max(1) < 0)] = 0, 0, 1, 1
    return chosen.astype(np.float32)


def cut_out(
    images: np.ndarray, labels: np.ndarray, windows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A window of each image at the size of the image, and the objects in it.

    An object whose centre lies outside is left out; of the others the part inside remains.

    Parameters
    ----------
    images
        uint8, (N, H, W, 3); left as they are.
    labels
        (N, M, 5).
    windows
        (N, 4), in shares.
    """
    from PIL import Image

    height, width = images.shape[1:3]
    images, pixels = images.copy(), windows * np.array([width, height, width, height], np.float32)
    for i in np.flatnonzero((windows != np.array([0, 0, 1, 1], np.float32)).any(1)):
        left, top, right, bottom = boxes.clip(pixels[i], width, height).tolist()
        images[i] = Image.fromarray(images[i]).resize(
            (width, height), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
        )
    held = boxes.inside(boxes.centres(labels[..., 1:5]), windows[:, None])
    moved = labels.copy()
    moved[..., 1:5] = boxes.crop(labels[..., 1:5], windows[:, None])
    return images, compact(moved, held & (labels[..., 0] >= 0))


def random_colours(images: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Other brightness, contrast and saturation, each by a factor in [1 - amount, 1 + amount].

    Parameters
    ----------
    images
        uint8, (N, H, W, 3); left as they are.
    amount
        In [0, 1).
    rng
        Draws (3, N) factors: brightness, contrast, saturation.

    Returns
    -------
    ndarray
        uint8, (N, H, W, 3).
    """
    light, contrast, colour = rng.uniform(1 - amount, 1 + amount, (3, len(images)))
    made = np.empty_like(images)
    for i, image in enumerate(images):  # one by one: an image stays in the processor's cache
        x = image.astype(np.float32).reshape(-1, 3)
        gray = x @ GRAY
        own, common = light[i] * contrast[i] * colour[i], light[i] * contrast[i] * (1 - colour[i])
        x *= np.float32(own)
        level = light[i] * (1 - contrast[i]) * float(gray.mean()) + 0.5  # so that cutting rounds
        gray *= np.float32(common)
        gray += np.float32(level)
        x += gray[:, None]
        made[i] = np.clip(x, 0, 255, out=x).reshape(image.shape)
    return made
