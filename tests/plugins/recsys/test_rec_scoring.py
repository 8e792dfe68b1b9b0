"""The arithmetic of scores: against MXNet's operators, and SVD++ against its formula in NumPy.

Holds no runs; those are in test_rec_task.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.core.engine import Engine
from dope.core.errors import ConfigError
from dope.core.task import Group, compiled
from dope.plugins.recsys import rows
from dope.plugins.recsys.bias import Bias
from dope.plugins.recsys.generated import Generated
from dope.plugins.recsys.mean import Mean
from dope.plugins.recsys.mf import MF

CONTEXT = mx.cpu(0)


@pytest.fixture
def data():
    return Generated(users=23, items=17, ratings=150, cold_users=2, cold_items=2, seed=3)


def ready(net, seed=0):
    """A network with all its learned tables drawn, warm or not."""
    net.initialize(ctx=CONTEXT)
    rng = np.random.default_rng(seed)
    for p in net.collect_params().values():
        if p.grad_req != "null":
            p.set_data(nd.array(rng.normal(scale=0.5, size=p.shape)))
    return net


def pairs(width, n=40, seed=1):
    rng = np.random.default_rng(seed)
    shape = (n,) if width is None else (n, width)
    return (
        rng.integers(0, 23, n).astype(np.int32),
        rng.integers(0, 17, shape).astype(np.int32),
        rng.normal(3, 1, n).astype(np.float32),
    )


def slopes(net, call):
    """Result of a call, and gradients by name for fixed head gradients."""
    with mx.autograd.record():
        found = call()
        found = found if isinstance(found, (list, tuple)) else [found]
        rng = np.random.default_rng(9)
        heads = [nd.array(rng.normal(size=each.shape)) for each in found]
    mx.autograd.backward(list(found), heads)
    grads = {
        name: p.grad().asnumpy().copy()
        for name, p in net._collect_params_with_prefix().items()
        if p.grad_req != "null"
    }
    return [each.asnumpy() for each in found], grads


@pytest.mark.parametrize("width", [None, 1, 4])
@pytest.mark.parametrize("make", [Bias, lambda d, l2: MF(d, factors=5, l2=l2)])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_numpy_and_mxnet_agree(data, monkeypatch, make, width, l2):
    net = ready(make(data, l2=l2))
    given = [nd.array(each, dtype=each.dtype) for each in pairs(width)[:2]]
    quick = slopes(net, lambda: net(*given))
    monkeypatch.setattr(type(net), "_synchronous", False)
    slow = slopes(net, lambda: net(*given))
    for one, other in zip(quick[0], slow[0]):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
    for name, grad in slow[1].items():
        np.testing.assert_allclose(quick[1][name], grad, rtol=2e-4, atol=2e-4, err_msg=name)


def test_squared_error_is_that_of_the_scores(data, monkeypatch):
    net = ready(MF(data, factors=5, l2=0.1))
    users, items, values = (nd.array(each, dtype=each.dtype) for each in pairs(None))
    quick = slopes(net, lambda: net(users, items, values))
    scores, penalty = net(users, items)
    expected = 0.5 * (scores - values).square() + penalty
    np.testing.assert_allclose(quick[0][0], expected.asnumpy(), rtol=1e-5)
    monkeypatch.setattr(MF, "_synchronous", False)
    slow = slopes(net, lambda: net(users, items, values))
    for name, grad in slow[1].items():
        np.testing.assert_allclose(quick[1][name], grad, rtol=2e-4, atol=2e-4, err_msg=name)


def plus_plus(data, tables, l2, users, items, values):
    """Koren (2008), equation 15, and the gradients of its regularized error, pair by pair."""
    mean, (b, c), (p, q), y = tables
    rated = {u: [] for u in range(len(data.users))}
    for u, i in zip(*data.parts["train"][:2]):
        rated[int(u)].append(int(i))
    loss = np.zeros(len(users))
    grads = [np.zeros_like(each) for each in (b, c, p, q, y)]
    db, dc, dp, dq, dy = grads
    for n, (u, i, value) in enumerate(zip(users, items, values)):
        own = rated[int(u)]
        norm = len(own) ** -0.5 if own else 0.0
        whole = p[u] + norm * sum((y[j] for j in own), np.zeros(p.shape[1]))
        error = mean + b[u] + c[i] + q[i] @ whole - value
        squares = b[u] ** 2 + c[i] ** 2 + p[u] @ p[u] + q[i] @ q[i] + sum(y[j] @ y[j] for j in own)
        loss[n] = 0.5 * error**2 + 0.5 * l2 * squares
        db[u] += error + l2 * b[u]
        dc[i] += error + l2 * c[i]
        dp[u] += error * q[i] + l2 * p[u]
        dq[i] += error * whole + l2 * q[i]
        for j in own:
            dy[j] += error * norm * q[i] + l2 * y[j]
    return loss, grads


@pytest.mark.parametrize("l2", [0.0, 0.2])
def test_svd_plus_plus_is_its_formula(data, l2):
    net = ready(MF(data, factors=4, l2=l2, implicit=True))
    given = pairs(None)
    with mx.autograd.record():
        found = net(*(nd.array(each, dtype=each.dtype) for each in given))
    found.backward()
    mean, b, p = (net.table(k).astype(float) for k in ("mean", "bias", "factors"))
    users = len(data.users)
    halves = [(each[:users], each[users:]) for each in (b, p)]
    y = net.table("implicit").astype(float)
    loss, grads = plus_plus(data, (mean[0], *halves, y), l2, *given)
    np.testing.assert_allclose(found.asnumpy(), loss, rtol=1e-4)
    bias, factors = np.concatenate(grads[:2]), np.concatenate(grads[2:4])
    for name, expected in (("bias", bias), ("factors", factors), ("implicit", grads[4])):
        made = getattr(net, name).grad().asnumpy()
        np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-4, err_msg=name)
    scores = net(*(nd.array(each, dtype=each.dtype) for each in given[:2]))[0].asnumpy()
    np.testing.assert_allclose(net.tables().pairs(*given[:2]), scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implicit", [False, True])
def test_two_contexts_learn_the_same(data, implicit):
    given = [nd.array(each, dtype=each.dtype) for each in pairs(None, n=41)]

    @compiled
    def loss(nets, shard, carry):
        return nets(*shard)

    def learned(contexts):
        np.random.seed(4)
        net = MF(data, factors=3, implicit=implicit)
        group = Group([net], "sgd", {"learning_rate": 0.5})
        engine = Engine(net, {"main": group}, contexts)
        for _ in range(4):
            engine.minimize("main", loss, tuple(given))
        return {k: v for k, v in engine.state()[0].items() if k.startswith("parameter/")}

    one, two = learned([mx.cpu(0)]), learned([mx.cpu(0), mx.cpu(1)])
    assert set(one) == set(two) and len(one) == 3 + implicit
    for key in one:
        np.testing.assert_allclose(one[key], two[key], rtol=1e-4, atol=1e-6, err_msg=key)


def test_cold_rows_begin_at_zero(data):
    net = MF(data, factors=6, implicit=True)
    net.initialize(ctx=CONTEXT)
    tables = net.tables()
    for rows_of, counts in (
        (tables.user_factors, data.user_counts),
        (tables.item_factors, data.item_counts),
    ):
        assert (counts == 0).any()
        assert (rows_of[counts == 0] == 0).all()
        assert (np.abs(rows_of[counts > 0]).sum(axis=1) > 0).all()


def test_mean_is_that_of_training(data):
    net = Mean(data)
    net.initialize(ctx=CONTEXT)
    expected = data.parts["train"].values.mean(dtype=float)
    users, items, _ = pairs(3)
    scores, penalty = net(nd.array(users, dtype="int32"), nd.array(items, dtype="int32"))
    np.testing.assert_allclose(scores.asnumpy(), np.full((40, 3), expected), rtol=1e-6)
    assert penalty.shape == (40,) and not penalty.asnumpy().any()
    np.testing.assert_allclose(net.tables().rows(np.array([0, 5])), expected, rtol=1e-6)


@pytest.mark.parametrize("limit", [40, 1 << 17])
def test_order_sorts_small_and_large_tables(limit):
    given = np.random.default_rng(0).integers(0, limit, 5000)
    at = rows._order(given, limit)
    assert sorted(at) == list(range(5000))
    assert (np.diff(given[at]) >= 0).all()


def test_bad_options_are_refused(data):
    for options in ({"factors": 0}, {"l2": -1.0}, {"spread": 0.0}):
        with pytest.raises(ConfigError, match=f"model.{next(iter(options))}="):
            MF(data, **options)
