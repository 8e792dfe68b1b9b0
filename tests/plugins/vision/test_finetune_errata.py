"""The numbers of docs/errata.md on fine-tuning: what the book prints, and what it is worth.

Holds computations only; no image is read.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.plugins.vision import finetune_scores

PRINTED = [0.185938, 0.612500, 0.611719, 0.643750, 0.735156, 0.810937]  # validation accuracy


def off(count):
    """How far printed accuracies are from whole numbers of images, at most."""
    return max(abs(each * count - round(each * count)) for each in PRINTED)


def test_accuracies_are_of_whole_batches():
    assert off(5 * 256) < 1e-3  # rounding to six digits explains this
    assert off(1259) > 0.4
    assert [round(each * 1280) for each in (PRINTED[0], PRINTED[-1])] == [238, 1038]
    assert -(-1259 // 256) == 5 and 5 * 256 - 1259 == 21


def test_f1_of_the_metric_depends_on_the_batches():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    metric = mx.metric.create("f1")
    for rows in (slice(0, 4), slice(4, 8)):  # all right
        metric.update([nd.array(labels[rows])], [nd.array(np.eye(2)[labels[rows]])])
    assert metric.get()[1] == 0.5
    ours = finetune_scores.f1_scores(finetune_scores.counted(labels, labels, 2))
    assert ours.tolist() == [1.0, 1.0]


def test_a_hot_dog_counts_six_times():
    weight = [(1 + y * 5) / 5 for y in (0, 1)]
    assert weight == pytest.approx([0.2, 1.2]) and weight[1] / weight[0] == pytest.approx(6)
    found = finetune_scores.balanced(np.repeat([0, 1], [15000, 1882]), 2)
    assert round(found[1] / found[0], 1) == 8.0


def test_the_shown_image_lies_on_its_side():
    image = np.arange(2 * 3 * 3).reshape(2, 3, 3)  # height 2, width 3, colours
    assert image.transpose(2, 1, 0).shape == (3, 3, 2)
    assert image.transpose(2, 0, 1).shape == (3, 2, 3)


def test_a_third_of_the_others_is_no_food():
    others, no_food = 10000 + 5000 + 700 + 350, 5000 + 350
    assert (others, no_food) == (16050, 5350) and round(no_food / others, 3) == 0.333
    assert others + 1882 + 209 == 18141
