"""Count sketches and compact bilinear pooling, against NumPy written out and finite differences.

Holds no network; that is in test_vqa_answers.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.plugins.vision.sketch import (
    Buckets,
    Signs,
    compact_bilinear,
    count_sketch,
    pooled,
    pooled_gradient,
)


def drawn(rng, D, E, size):
    """h and s, g and t."""
    return (
        rng.integers(0, size, D),
        rng.choice([-1.0, 1.0], D),
        rng.integers(0, size, E),
        rng.choice([-1.0, 1.0], E),
    )


def test_each_number_is_added_to_its_bucket():
    rng = np.random.default_rng(0)
    x, (h, s, _, _) = rng.standard_normal((3, 50)), drawn(rng, 50, 1, 16)
    wanted = np.zeros((3, 16))
    for n in range(3):
        for i in range(50):
            wanted[n, h[i]] += s[i] * x[n, i]
    np.testing.assert_allclose(count_sketch(x, h, s, 16), wanted, atol=1e-12)
    one = count_sketch(x, np.full(50, 7), s, 16)  # all in one bucket
    np.testing.assert_allclose(one[:, 7], x @ s)
    assert not one[:, np.arange(16) != 7].any()


def test_inner_products_of_sketches_are_unbiased():
    rng, trials, D, d = np.random.default_rng(1), 2000, 40, 32
    x, y = rng.standard_normal((2, D))
    found = np.empty(trials)
    for k in range(trials):
        h, s, _, _ = drawn(rng, D, 1, d)
        a, b = count_sketch(np.stack([x, y]), h, s, d)
        found[k] = a @ b
    error = found.std(ddof=1) / np.sqrt(trials)
    assert abs(found.mean() - x @ y) < 3 * error
    assert abs(found.mean()) > 3 * error  # so that 0 would not pass
    # Charikar et al. (2002): variance (|x|^2 |y|^2 + (x.y)^2 - 2 sum x^2 y^2) / d
    wanted = (x @ x * (y @ y) + (x @ y) ** 2 - 2 * np.sum(x**2 * y**2)) / d
    assert found.var(ddof=1) == pytest.approx(wanted, rel=0.15)


def test_inner_products_of_pooled_features_are_those_of_outer_products():
    rng, trials, D, E, d = np.random.default_rng(2), 2000, 12, 9, 64
    x, u = rng.standard_normal((2, D))
    u += x
    y, v = rng.standard_normal((2, E))
    v += y
    found = np.empty(trials)
    for k in range(trials):
        a, b = pooled(np.stack([x, u]), np.stack([y, v]), drawn(rng, D, E, d), d)[0]
        found[k] = a @ b
    error, true = found.std(ddof=1) / np.sqrt(trials), (x @ u) * (y @ v)
    assert abs(found.mean() - true) < 3 * error < 0.2 * abs(true)


@pytest.mark.parametrize("d", [16, 15])
def test_pooling_is_the_sketch_of_the_outer_product(d):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((4, 10)), rng.standard_normal((4, 6))
    h, s, g, t = hashes = drawn(rng, 10, 6, d)
    wanted = np.zeros((4, d))
    for i in range(10):
        for j in range(6):
            wanted[:, (h[i] + g[j]) % d] += s[i] * t[j] * x[:, i] * y[:, j]
    np.testing.assert_allclose(pooled(x, y, hashes, d)[0], wanted, atol=1e-12)


@pytest.mark.parametrize("d", [8, 9])
def test_gradient_passes_finite_differences(d):
    rng, step = np.random.default_rng(4), 1e-6
    x, y, head = (rng.standard_normal((3, n)) for n in (7, 5, d))
    hashes = drawn(rng, 7, 5, d)
    _, p, q = pooled(x, y, hashes, d)
    found = pooled_gradient(head, p, q, hashes, d)
    for place, gradient in enumerate(found):
        for at in np.ndindex(gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [x.copy(), y.copy()]
                moved[place][at] += sign * step
                ends.append(np.sum(head * pooled(*moved, hashes, d)[0]))
            assert gradient[at] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def operator_inputs(d, seed=5):
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((3, n)).astype(np.float32) for n in (7, 5))
    hashes = [a.astype(np.float32) for a in drawn(rng, 7, 5, d)]
    return [x, y, *hashes], rng.standard_normal((3, d)).astype(np.float32)


@pytest.mark.parametrize("compiled", [False, True])
def test_operator_gives_value_and_gradient(compiled):
    d = 8
    arrays, head = operator_inputs(d)
    x, y, h, s, g, t = arrays
    hashes = (h.astype(int), s, g.astype(int), t)
    value, p, q = pooled(x, y, hashes, d)
    wanted = pooled_gradient(head, p, q, hashes, d)

    class Net(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x, y, h, s, g, t):
            return compact_bilinear(F, x, y, [h, s, g, t], d)

    net = Net()
    if compiled:
        net.hybridize(static_alloc=True, static_shape=True)
    given = [nd.array(a) for a in arrays]
    for a in given[:2]:
        a.attach_grad()
    for training in (True, True, False):  # from the second time on from static memory
        with mx.autograd.record(train_mode=training):
            out = net(*given)
        out.backward(nd.array(head))
        np.testing.assert_allclose(out.asnumpy(), value, atol=1e-5)
        for a, w in zip(given[:2], wanted):
            np.testing.assert_allclose(a.grad.asnumpy(), w, atol=1e-5)


def test_operator_adds_gradients_where_asked():
    arrays, head = operator_inputs(8)
    given = [nd.array(a) for a in arrays]
    given[0].attach_grad(grad_req="add")
    found = []
    for _ in range(2):
        with mx.autograd.record():
            out = compact_bilinear(nd, given[0], given[1], given[2:], 8)
        out.backward(nd.array(head))
        found.append(given[0].grad.asnumpy().copy())
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5)
    assert np.abs(found[0]).max() > 0.1


def test_operator_keeps_double_precision():
    d, (arrays, _) = 8, operator_inputs(8)
    x, y = (a.astype(np.float64) for a in arrays[:2])
    given = [nd.array(x, dtype="float64"), nd.array(y, dtype="float64")]
    out = compact_bilinear(nd, *given, [nd.array(a) for a in arrays[2:]], d)
    assert out.dtype == np.float64
    h, s, g, t = arrays[2:]
    wanted = pooled(x, y, (h.astype(int), s, g.astype(int), t), d)[0]
    np.testing.assert_allclose(out.asnumpy(), wanted, atol=1e-13)


def test_operator_runs_under_the_threaded_engine():
    code = (
        "import json, numpy as np\n"
        "from dope.core.backend import environment, mx, nd\n"
        "from dope.plugins.vision.sketch import compact_bilinear\n"
        "assert environment['MXNET_ENGINE_TYPE'] == 'ThreadedEnginePerDevice'\n"
        "x, y = nd.arange(6).reshape((2, 3)), nd.array([[1, 2], [3, 4]])\n"
        "h = [nd.array(a) for a in ([0, 1, 3], [1, -1, 1], [2, 3], [1, -1])]\n"
        "x.attach_grad()\n"
        "with mx.autograd.record():\n"
        "    out = compact_bilinear(nd, x, y, h, 4)\n"
        "out.backward()\n"
        "print(json.dumps([out.asnumpy().tolist(), x.grad.asnumpy().tolist()]))\n"
    )
    env = {**os.environ, "MXNET_ENGINE_TYPE": "ThreadedEnginePerDevice"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    out, gradient = json.loads(done.stdout)
    # x = (0, 1, 2): sketch (0, -1, 0, 2); y = (1, 2): sketch (0, 0, 1, -2); convolved by hand
    np.testing.assert_allclose(out[0], [2, 2, -4, -1], atol=1e-5)
    np.testing.assert_allclose(gradient, [[-1, 1, -1], [-1, 1, -1]], atol=1e-5)


def test_hashes_are_drawn_evenly_and_follow_the_seed():
    def draw(seed):
        np.random.seed(seed)
        buckets, signs = nd.empty((20000,)), nd.empty((20000,))
        Buckets(10)(mx.init.InitDesc("buckets_weight"), buckets)
        Signs()(mx.init.InitDesc("signs_weight"), signs)
        return buckets.asnumpy(), signs.asnumpy()

    buckets, signs = draw(1)
    assert set(buckets) == set(range(10)) and set(signs) == {-1, 1}
    assert np.bincount(buckets.astype(int)).min() > 1800 and abs(signs.mean()) < 0.03
    again, other = draw(1), draw(2)
    assert (again[0] == buckets).all() and (again[1] == signs).all()
    assert (other[0] != buckets).mean() > 0.8
