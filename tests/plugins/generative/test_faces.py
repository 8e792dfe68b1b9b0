"""Drawn faces: the same bytes everywhere, varied, and shapes of the right area.

Holds tests on pixels; whether they look like faces is judged by eye.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from dope.core.errors import ConfigError
from dope.plugins.generative.faces import Faces, _Canvas

CHECKSUM = 3727910586  # of the bytes; seen with NumPy 1.26 on x86


def test_the_same_bytes_on_any_machine():
    pixels = Faces(n=300, size=32).pixels
    assert pixels.shape == (300, 3, 32, 32) and pixels.dtype == np.uint8
    assert zlib.crc32(np.ascontiguousarray(pixels).tobytes()) == CHECKSUM
    assert not np.array_equal(pixels, Faces(n=300, size=32, seed=1).pixels)


def test_faces_differ_from_each_other():
    pixels = Faces(n=200, size=16).pixels.reshape(200, -1)
    assert len(np.unique(pixels, axis=0)) == 200
    assert pixels.std(axis=0).min() > 5  # no pixel is the same in all


def test_larger_ones_show_the_same_faces():
    small, large = (Faces(n=20, size=size).pixels.astype(float) for size in (32, 64))
    shrunk = large.reshape(20, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    assert abs(shrunk - small).mean() < 3


@pytest.mark.parametrize("a, b", [(0.7, 0.7), (0.5, 0.8)])
def test_an_ellipse_covers_its_area(a, b):
    canvas = _Canvas(np.zeros((1, 3, 1, 1)), 128)
    one = np.ones((1, 1, 1))
    canvas.paint(canvas.ellipse(0 * one, 0.05 * one, a * one, b * one), (1.0, 1.0, 1.0))
    assert canvas.colours.mean() * 4 == pytest.approx(np.pi * a * b, rel=2e-3)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"size": 8}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"dataset.{name}"):
        Faces(**wrong)
