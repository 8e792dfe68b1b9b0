"""Augmentation: whole chunks at once against one image after the other.

Holds tests of the two functions; which sets use them is tested with the sets.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.plugins.vision.augment import random_crop, random_mirror


@pytest.fixture
def pixels():
    return np.random.default_rng(8).integers(1, 256, (50, 3, 7, 9), dtype=np.uint8)


@pytest.mark.parametrize("pad", [0, 1, 4, 9])
def test_crop_is_a_window_of_each_padded_image(pixels, pad):
    before = pixels.copy()
    found = random_crop(pixels, pad, np.random.default_rng(2))
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    top, left = np.random.default_rng(2).integers(0, 2 * pad + 1, (2, 50))
    for image, got, y, x in zip(pixels, found, top, left):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
        np.testing.assert_array_equal(got, padded[:, y : y + 7, x : x + 9])
    np.testing.assert_array_equal(pixels, before)


def test_crop_draws_every_shift_evenly():
    dots = np.zeros((20000, 1, 5, 5), np.uint8)
    dots[:, 0, 2, 2] = 1
    found = random_crop(dots, 1, np.random.default_rng(0))[:, 0, 1:4, 1:4]
    counts = found.sum(axis=0)
    assert counts.sum() == 20000
    # 9 places of 2,222 each, standard deviation 44
    assert np.abs(counts - 20000 / 9).max() < 4.5 * 44


def test_mirror_turns_the_drawn_half(pixels):
    before = pixels.copy()
    found = random_mirror(pixels, np.random.default_rng(3))
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    drawn = np.random.default_rng(3).random(50) < 0.5
    assert 10 < drawn.sum() < 40
    for image, got, turn in zip(pixels, found, drawn):
        np.testing.assert_array_equal(got, np.flip(image, axis=2) if turn else image)
    np.testing.assert_array_equal(pixels, before)


def test_same_generator_same_images(pixels):
    def varied(seed):
        rng = np.random.default_rng(seed)
        return random_mirror(random_crop(pixels, 3, rng), rng)

    np.testing.assert_array_equal(varied(1), varied(1))
    assert (varied(1) != varied(2)).any()


def test_no_images_at_all():
    none = np.zeros((0, 3, 7, 9), np.uint8)
    assert random_crop(none, 2, np.random.default_rng(0)).shape == (0, 3, 7, 9)
    assert random_mirror(none, np.random.default_rng(0)).shape == (0, 3, 7, 9)
