"""Sums stay on the device until they are read, and do not depend on how they were gathered.

Holds the tests of metrics.py; figures of merit against NumPy written out.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.core.metrics import METRICS, Sum, absolute_error, accuracy


def parts(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 5)).astype("float32")


@pytest.mark.parametrize("n", [1, Sum.MOST - 1, Sum.MOST, Sum.MOST + 1, 3 * Sum.MOST + 7])
def test_a_sum_is_that_of_all_its_parts(n):
    values = parts(n)
    whole = Sum()
    for row in values:
        whole += Sum.of(nd.array(row))
    assert whole.count == 5 * n
    assert whole.mean() == pytest.approx(values.astype(float).mean(), abs=1e-5)
    assert whole.total.shape == (1,)
    assert len(whole._parts) == 1


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_bounded_and_reading_between_changes_no_bit(seed):
    values = parts(200, seed)
    expected = np.float32(0)
    read, unread = Sum(), Sum()
    rng = np.random.default_rng(seed)
    for row in values[:, 0]:
        read += Sum(nd.array([row]), 1)
        unread += Sum(nd.array([row]), 1)
        expected += row  # in float32, from the left
        assert len(unread._parts) <= Sum.MOST + 1
        if rng.random() < 0.4:  # after one, two, three … parts
            read.mean()
    assert read.total.asnumpy()[0] == unread.total.asnumpy()[0] == expected


def test_adding_leaves_both_sides_as_they_were():
    one, two = (Sum.of(nd.array([float(v)])) for v in (1, 2))
    three = one + two
    assert (one.mean(), two.mean(), three.mean()) == (1, 2, 1.5)
    assert (one.count, two.count, three.count) == (1, 1, 2)
    three += one
    assert (one.mean(), three.count) == (1, 3)


def test_parts_of_several_contexts_come_together():
    whole = Sum()
    for i in (1, 0, 2):
        whole += Sum.of(nd.array([i, i], ctx=mx.cpu(i)))
    assert whole.total.context == mx.cpu(1)
    assert whole.mean() == 1.0


def test_nothing_has_no_mean():
    assert np.isnan(Sum().mean()) and Sum().total is None
    assert np.isnan(Sum(nd.zeros(1), 0).mean())


def test_accuracy_takes_the_first_of_equals():
    output = nd.array([[1, 3, 2], [5, 5, 0], [0, 1, 9]])
    target = nd.array([1, 1, 2])
    assert accuracy(output, target).asnumpy().tolist() == [1, 0, 1]


def test_absolute_error_is_of_each_example_over_its_axes():
    rng = np.random.default_rng(0)
    output, target = rng.normal(size=(2, 4, 3, 2))
    found = absolute_error(nd.array(output), nd.array(target.reshape(4, 6)))
    np.testing.assert_allclose(found.asnumpy(), abs(output - target).mean((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_work_on_symbols_as_on_arrays(name):
    """The stock loss is compiled together with them."""
    rng = np.random.default_rng(1)
    shape = {"accuracy": (4,), "absolute_error": (4, 3)}[name]
    output, target = nd.array(rng.normal(size=(4, 3))), nd.array(rng.integers(0, 3, shape))
    symbol = METRICS[name](mx.sym.var("output"), mx.sym.var("target"))
    (found,) = symbol.eval(ctx=mx.cpu(), output=output, target=target)
    expected = METRICS[name](output, target)
    assert expected.shape == (4,)
    np.testing.assert_array_equal(found.asnumpy(), expected.asnumpy())
