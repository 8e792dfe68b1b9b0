"""The numbers of docs/errata.md on pix2pix: what the book's recipe gives, and what is right.

Holds computations only; the steps of the book are written anew here, from its description.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.plugins.generative.pool import ImagePool

PAGE = (Path(__file__).parents[3] / "docs" / "errata.md").read_text(encoding="utf-8")


def said(text):
    """Insist that the page has this text, however its lines are broken."""
    assert text in " ".join(PAGE.split()), text


def share_of_last(momentum):
    """Weight of the last batch's mean in the moving average, as MXNet's operator computes it."""
    net = mx.gluon.nn.BatchNorm(momentum=momentum, in_channels=1)
    net.initialize()
    for value in (0.0, 1.0):
        with mx.autograd.record():
            y = net(nd.full((4, 1, 2, 2), value))
        y.backward()  # which is where MXNet moves the average
    return float(net.running_mean.data().asscalar())


def test_momentum_is_the_share_of_the_old_average():
    assert share_of_last(0.1) == pytest.approx(0.9, abs=1e-6)
    assert share_of_last(0.9) == pytest.approx(0.1, abs=1e-6)
    said("the last batch has a weight of 0.9 in the average, not of 0.1")


def test_the_average_of_the_book_scatters_as_that_of_one_batch():
    """Against sqrt((1 - m) / (1 + m)), the scatter of an exponential average of noise."""
    means = np.random.default_rng(0).standard_normal((4000, 200))
    scatter = {}
    for m in (0.1, 0.9):
        average = np.zeros(200)
        found = []
        for i, mean in enumerate(means):
            average = m * average + (1 - m) * mean
            if i > 200:
                found.append(average)
        scatter[m] = np.std(found)
        assert scatter[m] == pytest.approx(((1 - m) / (1 + m)) ** 0.5, rel=0.02)
    assert (round(scatter[0.1], 1), round(scatter[0.9], 2)) == (0.9, 0.23)
    said("0.90 times as much as the mean of a single batch; with 0.9 it would be 0.23 times")


def test_the_books_pool_never_returns_its_last_image():
    """Floors of uniform numbers between 0 and size - 1 do not reach size - 1."""
    size = 50
    mx.random.seed(0)
    drawn = nd.random.uniform(0, size - 1, shape=(100_000,)).astype("uint8").asnumpy()
    assert set(drawn.tolist()) == set(range(size - 1))
    said("The places are 0 to 48")
    pool = ImagePool(size, seed=0)
    places = {int(pool._rng.integers(size)) for _ in range(2000)}
    assert places == set(range(size))


def started(book):
    """Scatter of what a normalization makes of values of variance 1 before it has learned."""
    net = mx.gluon.nn.BatchNorm(in_channels=1)
    if book:
        for parameter in net.collect_params().values():
            parameter.initialize(init=mx.init.Zero())
        net.gamma.set_data(nd.ones((1,)))
        assert net.running_var.data().asscalar() == 0
    else:
        net.initialize()
    x = nd.array(np.random.default_rng(0).standard_normal((64, 1, 8, 8)))
    return float(net(x).asnumpy().std())


def test_variances_that_start_at_zero_blow_up_the_first_false_images():
    assert started(False) == pytest.approx(1, abs=0.03)
    assert started(True) == pytest.approx(1e-5**-0.5, rel=0.03)
    assert round(1e-5**-0.5) == 316
    said("multiplies what it gets by 316")


def test_a_logit_of_a_half_is_no_even_chance():
    assert round(float(1 / (1 + np.exp(-0.5))), 3) == 0.622
    said("a probability of 0.622")


def test_scores_on_the_edge():
    """Sizes of the maps by the operator's own rule, with a padding of 2 and of 1."""
    found = {}
    for padding in (2, 1):
        x = mx.sym.var("x")
        for stride in (2, 2, 2, 1, 1):
            x = mx.sym.Convolution(
                x, kernel=(4, 4), stride=(stride, stride), pad=(padding, padding), num_filter=1
            )
        found[padding] = x.infer_shape(x=(1, 6, 256, 256))[1][0][2:]
    assert found == {2: (35, 35), 1: (30, 30)}
    said("35 x 35 scores for 256 x 256 pixels, the paper's 30 x 30")
