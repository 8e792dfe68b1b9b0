"""Arithmetic of boxes, and the ways in which training images and their boxes are varied.

Holds tests by brute force on grids of pixels; whole data sets are in other files.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dope.plugins.vision import boxes
from dope.plugins.vision.detection_augment import (
    OVERLAPS,
    compact,
    cut_out,
    random_colours,
    random_mirror,
    random_windows,
)

EDGE = st.integers(0, 12)
BOX = st.tuples(EDGE, EDGE, EDGE, EDGE)


def cells(box, size=12):
    """The unit squares that a box of whole numbers holds."""
    grid = np.zeros((size, size), bool)
    left, top, right, bottom = box
    grid[top:bottom, left:right] = True
    return grid


@settings(deadline=None, max_examples=100)
@given(st.lists(BOX, min_size=1, max_size=4), st.lists(BOX, min_size=1, max_size=4))
def test_overlap_counts_squares(first, second):
    a, b = np.array(first, float), np.array(second, float)
    found = boxes.iou(a, b)
    for i, one in enumerate(first):
        assert boxes.area(a)[i] == cells(one).sum()
        for j, other in enumerate(second):
            union = (cells(one) | cells(other)).sum()
            want = (cells(one) & cells(other)).sum() / union if union else 0
            assert found[i, j] == pytest.approx(want, abs=1e-12)


def test_overlap_broadcasts_over_images():
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.random((3, 5, 4))), np.sort(rng.random((3, 2, 4)))
    assert np.allclose(boxes.iou(a, b)[1], boxes.iou(a[1], b[1]))
    assert boxes.iou(a, b).shape == (3, 5, 2)


def test_flip_clip_and_crop_by_hand():
    box = np.array([0.1, 0.2, 0.5, 0.9])
    assert np.allclose(boxes.flip(box), [0.5, 0.2, 0.9, 0.9])
    assert np.allclose(boxes.flip(boxes.flip(box)), box)
    assert np.allclose(boxes.clip(np.array([-1.0, 2, 30, 8]), 20, 5), [0, 2, 20, 5])
    # the right half of the image: half as wide, so shares double
    assert np.allclose(boxes.crop(box, np.array([0.25, 0.0, 0.75, 1.0])), [0, 0.2, 0.5, 0.9])
    outside = boxes.crop(box, np.array([0.6, 0.0, 1.0, 1.0]))
    assert boxes.area(outside) == 0


def scenes(n=40, size=48, most=3, seed=0):
    """Black images; object k is a rectangle, full in colour k and in no other."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, size, size, 3), np.uint8)
    labels = np.full((n, most, 5), -1, np.float32)
    for i in range(n):
        columns = rng.permutation(3)  # side by side, so that none hides another
        for k in range(int(rng.integers(1, most + 1))):
            left = 16 * columns[k] + int(rng.integers(0, 4))
            top, width, height = int(rng.integers(0, 20)), int(rng.integers(6, 12)), 20
            images[i, top : top + height, left : left + width, k] = 255
            edges = np.array([left, top, left + width, top + height]) / size
            labels[i, k] = [k, *edges]
    return images, labels


def seen(image, k):
    """The box of the pixels of object ``k``, in shares."""
    mask = image[..., int(k)] > 127
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / image.shape[0]


def test_mirrored_boxes_are_where_the_pixels_are():
    images, labels = scenes()
    before = images.copy(), labels.copy()
    made, marks = random_mirror(images, labels, np.random.default_rng(1))
    assert (images == before[0]).all() and (labels == before[1]).all()
    turned = (made != images).any((1, 2, 3))
    assert 10 < turned.sum() < 30
    for image, rows in zip(made, marks):
        for row in rows[rows[:, 0] >= 0]:
            assert np.allclose(row[1:], seen(image, row[0]), atol=1e-6)
    assert ((marks == -1).all(-1) == (labels == -1).all(-1)).all()


def test_cut_out_boxes_are_where_the_pixels_are():
    images, labels = scenes(n=200)
    windows = random_windows(labels, 1.0, np.random.default_rng(2))
    made, marks = cut_out(images, labels, windows)
    cut = (windows != [0, 0, 1, 1]).any(1)
    assert cut.sum() > 180 and made.shape == images.shape
    kept = 0
    for image, rows, old, window in zip(made, marks, labels, windows):
        middle = (old[:, 1:3] + old[:, 3:5]) / 2
        inner = ((middle >= window[:2]) & (middle < window[2:])).all(1) & (old[:, 0] >= 0)
        assert rows[rows[:, 0] >= 0, 0].tolist() == old[inner, 0].tolist()
        for row in rows[rows[:, 0] >= 0]:
            assert np.allclose(row[1:], seen(image, row[0]), atol=1.5 / 48)
            kept += 1
    assert kept > 150


def test_windows_overlap_an_object_and_hold_a_centre():
    labels = scenes(n=200)[1]
    windows = random_windows(labels, 1.0, np.random.default_rng(3))
    cut = (windows != [0, 0, 1, 1]).any(1)
    side = windows[:, 2:] - windows[:, :2]
    assert (side > 0.2).all() and (side <= 1 + 1e-6).all()
    assert (windows >= 0).all() and (windows <= 1 + 1e-6).all()
    assert ((side[cut, 0] / side[cut, 1]) <= 2.001).all()
    for rows, window in zip(labels[cut], windows[cut]):
        real = rows[rows[:, 0] >= 0]
        middle = (real[:, 1:3] + real[:, 3:5]) / 2
        assert ((middle >= window[:2]) & (middle < window[2:])).all(1).any()
    assert cut.mean() > 0.9
    overlap = boxes.iou(windows[:, None], labels[..., 1:5]).max((1, 2))[cut]
    # the draw is even over the overlaps that a window reached, so tight windows are frequent
    assert (overlap >= OVERLAPS[2]).mean() > 0.15 and (overlap < OVERLAPS[2]).mean() > 0.15
    some = random_windows(labels, 0.25, np.random.default_rng(3))
    assert 0.15 * cut.sum() < (some != [0, 0, 1, 1]).any(1).sum() < 0.35 * cut.sum()
    empty = random_windows(np.full((5, 3, 5), -1, np.float32), 1.0, np.random.default_rng(0))
    assert (empty == [0, 0, 1, 1]).all()


def test_colours_follow_their_definition():
    rng = np.random.default_rng(4)
    images = rng.integers(60, 190, (6, 9, 9, 3)).astype(np.uint8)
    light, contrast, colour = np.random.default_rng(5).uniform(0.7, 1.3, (3, 6))
    made = random_colours(images, 0.3, np.random.default_rng(5))
    for i in range(6):
        x = images[i] * light[i]
        gray = x @ [0.299, 0.587, 0.114]
        x = contrast[i] * x + (1 - contrast[i]) * gray.mean()
        own = contrast[i] * gray + (1 - contrast[i]) * gray.mean()
        x = colour[i] * x + (1 - colour[i]) * own[..., None]
        assert np.abs(np.clip(x, 0, 255) - made[i]).max() <= 0.51
    assert (random_colours(images, 0.0, np.random.default_rng(0)) == images).all()


def test_kept_rows_come_first():
    labels = np.arange(20, dtype=np.float32).reshape(1, 4, 5)
    moved = compact(labels, np.array([[False, True, False, True]]))
    assert moved[0, :, 0].tolist() == [5, 15, -1, -1] and (moved[0, 2:] == -1).all()
