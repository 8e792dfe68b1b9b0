"""The numbers of docs/errata.md on object detection: what the book reports, and what it is worth.

Holds computations only; boxes are drawn at random here.
"""

from __future__ import annotations

import numpy as np

from dope.core.backend import nd
from dope.plugins.vision.anchors import all_boxes, scales
from dope.plugins.vision.matching import targets

SIZES = [[0.2, 0.272], [0.37, 0.447], [0.54, 0.619], [0.71, 0.79], [0.88, 0.961]]
BOXES = all_boxes(scales(256, 256, 3), SIZES, [1.0, 2.0, 0.5])


def one_object(n):
    """Labels (n, 1, 5) of one object an image, as large as the one that the book prints."""
    sides = np.array([0.93332517 - 0.75724518, 0.70017999 - 0.34316057])
    corner = np.random.default_rng(0).random((n, 2)) * (1 - sides)
    return np.concatenate([np.zeros((n, 1)), corner, corner + sides], 1)[:, None].astype("float32")


def test_who_finds_nothing_is_as_accurate_as_the_book():
    classes, offsets = targets(BOXES, one_object(1000))
    accuracy = (classes == 0).mean()  # of a detector that always says background
    error = np.abs(offsets).mean()  # and never moves a box
    assert round(float(accuracy), 4) == 0.9948
    assert round(float(error), 4) == 0.0069
    assert round(float((classes > 0).sum(1).mean())) == 28


def test_offsets_of_sizes_are_logarithms():
    default = np.array([[[0.3, 0.3, 0.7, 0.7]]])
    label = np.array([[[0, 0.3, 0.35, 0.7, 0.65]]])  # three quarters as high
    found = nd.contrib.MultiBoxTarget(nd.array(default), nd.array(label), nd.zeros((1, 2, 1)))[0]
    printed = (0.3 - 0.4) / 0.4
    assert round(printed, 6) == -0.25
    np.testing.assert_allclose(found.asnumpy()[0], [0, 0, 0, np.log(0.75) / 0.2], atol=1e-5)
    assert round(float(found.asnumpy()[0, 3]), 3) == -1.438
