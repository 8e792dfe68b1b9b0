"""The one verb: one context, two, and an uneven batch make the same update; contracts are kept.

Holds the tests of engine.py with the updates behind it; the loop around it is test_trainer.py's.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx, nd, seed, use_threads
from dope.core.engine import Engine
from dope.core.errors import DopeError, RunError
from dope.core.task import Group

# MXNet hands learning rate and scale to an optimizer in float32, hence 1e-6 in some tests
ONE, TWO, THREE = ([mx.cpu(i) for i in range(n)] for n in (1, 2, 3))
RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=(13, 4)), RNG.normal(size=13)


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small are quicker on one thread, above all on a busy machine."""
    use_threads(1)
    yield
    use_threads(None)


class Line(mx.gluon.HybridBlock):
    """w'x + b in float64, from a fixed start."""

    def __init__(self, start=0.5):
        super().__init__()
        self.w = self.params.get("w", shape=(4,), dtype="float64", init=mx.init.Constant(start))

    def hybrid_forward(self, F, x, w):
        return F.sum(F.broadcast_mul(x, w.expand_dims(0)), axis=1)


def engine_of(contexts, optimizer="sgd", clip=None, hybridize=True, **options):
    net = Line()
    options = options or {"learning_rate": 0.1}
    groups = {"main": Group([net], optimizer, options, clip)}
    return Engine(net, groups, contexts, hybridize=hybridize)


def batch(rows=slice(None)):
    return nd.array(X[rows], dtype="float64"), nd.array(Y[rows], dtype="float64")


def square(net, shard, carry):
    x, y = shard
    return nd.square(net(x) - y)


def weights(engine):
    return [w.asnumpy() for w in engine.nets.w.list_data()]


def gradient(w, x, y):
    return 2 * x.T @ (x @ w - y)


def test_one_update_is_the_mean_gradient_and_the_sum_of_the_losses_comes_back():
    engine = engine_of(ONE)
    total = engine.minimize("main", square, batch())
    start = np.full(4, 0.5)
    assert total.count == 13
    assert total.mean() == pytest.approx(np.mean((X @ start - Y) ** 2), rel=1e-12)
    expected = start - 0.1 * gradient(start, X, Y) / 13
    np.testing.assert_allclose(weights(engine)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("contexts", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("n", [1, 2, 12, 13])
def test_any_split_makes_the_update_of_the_whole(contexts, n, optimizer):
    found = []
    for each in (ONE, contexts):
        engine = engine_of(each, optimizer, learning_rate=0.05)
        losses = [
            engine.minimize("main", square, batch(slice(step, step + n))).mean()
            for step in (0, 0, 0)
        ]
        copies = weights(engine)
        for copy in copies[1:]:  # the contexts never part
            np.testing.assert_array_equal(copy, copies[0])
        found.append((losses, copies[0]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-10)


def test_an_empty_shard_counts_as_nothing_and_not_as_its_last_gradient():
    engine = engine_of(TWO)
    engine.minimize("main", square, batch())  # leaves a gradient on both contexts
    before = weights(engine)[0]
    engine.minimize("main", square, batch(slice(0, 1)))
    expected = before - 0.1 * gradient(before, X[:1], Y[:1])
    for copy in weights(engine):
        np.testing.assert_allclose(copy, expected, rtol=1e-6)


@pytest.mark.parametrize("shape", ["mean", "column", "sum"])
def test_a_loss_that_is_no_vector_over_examples_is_refused(shape):
    def loss(net, shard, carry):
        found = square(net, shard, carry)
        return {"mean": found.mean(), "column": found.expand_dims(1), "sum": found[:1]}[shape]

    engine = engine_of(ONE)
    before = weights(engine)[0]
    with pytest.raises(DopeError, match=r"the loss has shape .* for 13 examples") as caught:
        engine.minimize("main", loss, batch())
    assert "return shape (13,)" in str(caught.value) and "\n" not in str(caught.value)
    np.testing.assert_array_equal(weights(engine)[0], before)


def test_a_loss_of_the_whole_batch_on_a_shard_is_refused():
    def loss(net, shard, carry):
        return nd.zeros(13, ctx=shard[0].context)

    with pytest.raises(DopeError, match=r"shape \(13,\) for 6 examples"):
        engine_of(TWO).minimize("main", loss, batch())


@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_clip_bounds_the_norm_of_the_mean_gradient(contexts):
    start = np.full(4, 0.5)
    whole = gradient(start, X, Y) / 13
    norm = np.linalg.norm(whole)
    for limit, scale in ((0.3 * norm, 0.3), (3 * norm, 1.0)):
        engine = engine_of(contexts, clip=float(limit))
        engine.minimize("main", square, batch())
        step = start - weights(engine)[0]
        np.testing.assert_allclose(step, 0.1 * scale * whole, rtol=1e-6)


@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_carry_comes_back_detached_per_context_and_is_reset(contexts):
    seen = []

    def loss(net, shard, carry):
        x, y = shard
        seen.append((x.context, None if carry is None else [each.asnumpy() for each in carry]))
        state = net(x) if carry is None else 0.5 * carry[0] + net(x)
        return nd.square(state - y), [state, x.sum()]

    engine = engine_of(contexts)
    engine.minimize("main", loss, batch())
    w = weights(engine)[0]
    start = np.full(4, 0.5)
    engine.minimize("main", loss, batch())
    # detached: the carried state is a constant to the second step's gradient
    state = 0.5 * X @ start + X @ w
    expected = w - 0.1 * 2 * X.T @ (state - Y) / 13
    np.testing.assert_allclose(weights(engine)[0], expected, rtol=1e-6)
    shards = len(contexts)
    first, second = seen[:shards], seen[shards:]
    assert all(carry is None for _, carry in first)
    carried = np.concatenate([carry[0] for _, carry in second])
    np.testing.assert_allclose(carried, X @ start, rtol=1e-12)
    assert [context for context, _ in second] == contexts
    assert engine.carries  # so that an interrupted run waits for the end of the epoch
    engine.start_epoch()
    assert not engine.carries
    engine.minimize("main", loss, batch())
    assert all(carry is None for _, carry in seen[2 * shards :])


@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_no_gradient_flows_into_a_carry_that_no_loss_has_used_yet(contexts):
    def loss(net, shard, carry):
        x, y = shard
        state = net(2 * x)  # its graph outlives the first backward, which does not pass here
        return nd.square(net(x) - y + (0 if carry is None else carry[0][0])), ([state],)

    engine = engine_of(contexts, hybridize=False)
    start = np.full(4, 0.5)
    engine.minimize("main", loss, batch())
    w = weights(engine)[0]
    engine.minimize("main", loss, batch())
    expected = w - 0.1 * 2 * X.T @ (X @ w - Y + 2 * X @ start) / 13
    for copy in weights(engine):
        np.testing.assert_allclose(copy, expected, atol=1e-6)


def test_total_and_gather_learn_nothing():
    for contexts in (ONE, TWO):
        engine = engine_of(contexts)
        total = engine.total(square, batch())
        assert total.mean() == pytest.approx(np.mean((X @ np.full(4, 0.5) - Y) ** 2))
        parts = engine.gather(lambda net, shard: net(shard[0]).asnumpy(), batch())
        np.testing.assert_allclose(np.concatenate(parts), X @ np.full(4, 0.5))
        np.testing.assert_array_equal(weights(engine)[0], 0.5)
        assert len(engine.gather(lambda net, shard: 0, batch(slice(0, 1)))) == 1


def test_hybridized_equals_imperative():
    found = []
    for hybridize in (True, False):
        engine = engine_of(ONE, "adam", hybridize=hybridize, learning_rate=0.05)
        for _ in range(5):
            engine.minimize("main", square, batch())
        found.append(weights(engine)[0])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_two_groups_are_updated_apart():
    nets = {"a": Line(), "b": Line()}
    groups = {name: Group([net], "sgd", {"learning_rate": 0.1}) for name, net in nets.items()}
    engine = Engine(nets, groups, TWO)
    engine.minimize("a", lambda nets, shard, carry: square(nets["a"], shard, carry), batch())
    assert (nets["b"].w.list_data()[0].asnumpy() == 0.5).all()
    assert (nets["a"].w.list_data()[0].asnumpy() != 0.5).any()


def test_the_seed_decides_the_bits():
    found = []
    for key in (4, 4, 5):
        seed(key)
        net = mx.gluon.nn.HybridSequential()
        net.add(mx.gluon.nn.Dense(8, activation="relu"), mx.gluon.nn.Dropout(0.5))
        net.add(mx.gluon.nn.Dense(1))
        engine = Engine(net, {"main": Group([net], "adam", {"learning_rate": 0.1})}, ONE)
        for _ in range(4):
            engine.minimize(
                "main",
                lambda net, shard, _: nd.square(net(shard[0])[:, 0] - shard[1]),
                tuple(each.astype("float32") for each in batch()),
            )
        found.append({key: value.tobytes() for key, value in engine.state()[0].items()})
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_state_and_restore_go_on_with_the_same_bits(contexts):
    engine = engine_of(contexts, "adam", learning_rate=0.05)
    for _ in range(3):
        engine.minimize("main", square, batch())
    arrays, counts = engine.state()
    assert counts == {"main": 3}
    other = engine_of(contexts, "adam", learning_rate=0.05)
    other.restore(arrays, counts)
    for each in (engine, other):
        each.minimize("main", square, batch())
    for one, two in zip(weights(engine), weights(other)):
        np.testing.assert_array_equal(one, two)


def test_a_checkpoint_of_another_network_is_refused():
    engine = engine_of(ONE)
    with pytest.raises(RunError, match=r"has no parameter 'net\.w'"):
        engine.restore({}, {})
    with pytest.raises(RunError, match=r"'net.w' has shape \(5,\), the model's \(4,\)"):
        engine.restore({"parameter/net.w": np.zeros(5)}, {})


def test_the_first_bad_parameter_is_named():
    engine = engine_of(ONE)
    assert engine.networks.first_bad() is None
    engine.nets.w.set_data(nd.array([1, np.nan, 1, 1], dtype="float64"))
    assert engine.networks.first_bad() == "net.w"


@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_bfgs_sees_the_losses_of_the_rows_of_every_shard(contexts):
    class Rows(mx.gluon.Block):
        def __init__(self):
            super().__init__()
            self.x = self.params.get("x", shape=(7, 2), dtype="float64", init=mx.init.Zero())

        def forward(self, rows):
            return nd.take(self.x.data(rows.context), rows)

    bottom = RNG.normal(size=(7, 2))

    def loss(net, shard, carry):
        rows, target = shard
        scale = nd.array([[1, 9]], ctx=rows.context, dtype="float64")
        return nd.sum(nd.broadcast_mul(nd.square(net(rows) - target), scale), axis=1)

    net = Rows()
    engine = Engine(net, {"main": Group([net], "bfgs", {"tolerance": 1e-8})}, contexts)
    whole = nd.array(np.arange(7), dtype="int32"), nd.array(bottom, dtype="float64")
    assert not engine.settled()
    for _ in range(25):
        engine.minimize("main", loss, whole)
    assert engine.settled()
    engine.settle()
    for copy in net.x.list_data():
        np.testing.assert_allclose(copy.asnumpy(), bottom, atol=1e-7)
    losses, settled = engine.rows("main")
    np.testing.assert_allclose(losses, 0, atol=1e-12)
    assert settled.shape == (7,)


def weighted(net, shard, carry):
    x, y, weight = shard
    return weight * nd.square(net(x) - y)


@pytest.mark.parametrize("clip", [None, 0.2])
@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_pieces_of_a_batch_make_the_update_of_the_whole(name, contexts, clip):
    """13 examples in pieces of 4, 4 and 5, each on two contexts; then 2, fewer than pieces."""
    weight = np.random.default_rng(5).uniform(0, 3, 13)
    found = []
    for where, pieces in ((ONE, 1), (contexts, 3), (contexts, 5)):
        net = Line()
        groups = {"main": Group([net], name, {"learning_rate": 0.05}, clip)}
        engine = Engine(net, groups, where, accumulate=pieces)
        losses = []
        for rows in (slice(None), slice(2), slice(3, 13), slice(None)):
            whole = (*batch(rows), nd.array(weight[rows], dtype="float64"))
            losses.append(engine.minimize("main", weighted, whole).mean())
        assert engine._updates["main"]._pieces == []  # no sums are kept from batch to batch
        copies = weights(engine)
        for copy in copies[1:]:
            np.testing.assert_array_equal(copy, copies[0])
        found.append((losses, copies[0]))
    for losses, end in found[1:]:
        np.testing.assert_allclose(losses, found[0][0], rtol=1e-12)
        np.testing.assert_allclose(end, found[0][1], rtol=1e-6 if clip else 1e-10)


def test_a_short_first_batch_leaves_room_for_the_states_of_later_pieces():
    def loss(net, shard, carry):
        x, y = shard
        return nd.square(net(x) - y), [x.sum()]

    net = Line()
    groups = {"main": Group([net], "sgd", {"learning_rate": 0.05})}
    engine = Engine(net, groups, TWO, accumulate=3)
    for rows in (slice(2), slice(None)):
        engine.minimize("main", loss, batch(rows))
    assert engine.carries


def normalized(contexts, **options):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(5, in_units=4), mx.gluon.nn.BatchNorm(in_channels=5, momentum=0.5))
    net.add(mx.gluon.nn.Dense(1, in_units=5))
    seed(3)
    engine = Engine(net, {"main": Group([net], "sgd", {"learning_rate": 0.1})}, contexts, **options)
    return net, engine


def single(rows=slice(None)):
    return tuple(each.astype("float32") for each in batch(rows))


def column(net, shard, carry):
    x, y = shard
    return nd.square(net(x).reshape((-1,)) - y)


def moving(net):
    return [
        [copy.asnumpy() for copy in p.list_data()]
        for p in (net[1].running_mean, net[1].running_var)
    ]


def test_batch_norm_differs_on_contexts_and_average_makes_them_one():
    """Each context normalizes with the moments of its own shard: MXNet's layer knows no other.

    So the update is not that of one context, the copies of what is learned still agree, and the
    moving averages part until they are averaged.
    """
    (net, engine), (alone, other) = normalized(TWO), normalized(ONE)
    for p, q in zip(net.collect_params().values(), alone.collect_params().values()):
        q.set_data(p.data(mx.cpu(0)))
    w, b = (p.data(mx.cpu(0)).asnumpy() for p in (net[0].weight, net[0].bias))
    engine.minimize("main", column, single())
    other.minimize("main", column, single())
    hidden = X @ w.T + b
    for i, rows in enumerate((slice(0, 6), slice(6, 13))):  # the shards
        found = [each[i] for each in moving(net)]
        np.testing.assert_allclose(found[0], 0.5 * hidden[rows].mean(0), atol=1e-5)
        np.testing.assert_allclose(found[1], 0.5 + 0.5 * hidden[rows].var(0), rtol=1e-4)
    ours, theirs = net[2].weight.list_data(), alone[2].weight.data().asnumpy()
    np.testing.assert_array_equal(ours[0].asnumpy(), ours[1].asnumpy())
    assert abs(ours[0].asnumpy() - theirs).max() > 1e-4
    before = moving(net)
    engine.networks.average()
    for (one, two), (first, second) in zip(moving(net), before):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, (first + second) / 2, rtol=1e-6)


@pytest.mark.parametrize("hybridize", [True, False])
def test_evaluation_does_not_depend_on_contexts_once_they_are_averaged(hybridize):
    _, engine = normalized(THREE, hybridize=hybridize)
    for rows in (slice(None), slice(1, 9), slice(2, 4)):
        engine.minimize("main", column, single(rows))
    apart = engine.total(column, single()).mean()
    arrays, counts = engine.state()
    engine.networks.average()
    together = engine.total(column, single()).mean()
    assert together != pytest.approx(apart, rel=1e-5)
    for contexts in (ONE, TWO):
        _, other = normalized(contexts, hybridize=hybridize)
        other.restore(arrays, counts)  # the mean, where their number is another
        assert other.total(column, single()).mean() == pytest.approx(together, rel=1e-5)


def test_a_checkpoint_holds_what_each_context_has_counted():
    """Of twelve contexts: their order is that of numbers, not of texts."""
    many = [mx.cpu(i) for i in range(12)]
    net, engine = normalized(many)
    engine.minimize("main", column, single())
    arrays, counts = engine.state()
    own = [key for key in arrays if key.startswith("context/")]
    names = {"net.1.running_mean", "net.1.running_var"}
    assert sorted(own) == sorted(f"context/{i}/{name}" for i in range(1, 12) for name in names)
    again, other = normalized(many)
    other.restore(arrays, counts)
    for one, two in zip(moving(net), moving(again)):
        np.testing.assert_array_equal(np.array(one), np.array(two))
    for each in (engine, other):  # and they go on with the same bits
        each.minimize("main", column, single(slice(5)))
    for key, value in engine.state()[0].items():
        np.testing.assert_array_equal(value, other.state()[0][key], err_msg=key)
    few, third = normalized(THREE)
    third.restore(arrays, counts)
    everyone = [f"context/{i}/net.1.running_mean" for i in range(1, 12)]
    wanted = np.mean([arrays[k] for k in ["parameter/net.1.running_mean", *everyone]], axis=0)
    for copy in moving(few)[0]:
        np.testing.assert_allclose(copy, wanted, rtol=1e-6)
    _, alone = normalized(ONE)
    assert not [key for key in alone.state()[0] if key.startswith("context/")]
