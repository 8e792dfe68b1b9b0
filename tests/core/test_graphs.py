"""A compiled loss is the plain one: the same sums, gradients and carries; else the loss is named.

Holds the tests of graphs.py, through the engine's verb.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

from dope.core.backend import mx, nd, seed, use_threads
from dope.core.computing import bound
from dope.core.computing.graphs import MOST, _draws
from dope.core.data import leaves, rebuild
from dope.core.engine import Engine
from dope.core.errors import DopeError
from dope.core.task import Group, Task, compiled

ONE, TWO = ([mx.cpu(i) for i in range(n)] for n in (1, 2))
RNG = np.random.default_rng(8)
X, Y = RNG.normal(size=(13, 6)).astype("float32"), RNG.integers(0, 3, 13).astype("float32")


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small are quicker on one thread, above all on a busy machine."""
    use_threads(1)
    seed(1)
    yield
    use_threads(None)


def layers(*more, units=5, in_units=6):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(units, activation="relu", in_units=in_units), *more)
    net.add(mx.gluon.nn.Dense(3, in_units=units if in_units else 0))
    return net


class Classes(Task):
    """The stock loss with a metric."""

    metrics = ("accuracy",)
    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()


class Uncompiled(Classes):
    def loss(self, nets, shard, carry):
        return super().loss(nets, shard, carry)


def engine_of(net, contexts=ONE, optimizer="sgd", **more):
    return Engine(net, {"main": Group([net], optimizer, {"learning_rate": 0.1})}, contexts, **more)


def batch(rows=slice(None)):
    return nd.array(X[rows]), nd.array(Y[rows])


def copied(source, target):
    for p, q in zip(source.collect_params().values(), target.collect_params().values()):
        q.set_data(p.data(mx.cpu(0)))


def values(net):
    return {
        name: [copy.asnumpy() for copy in p.list_data()]
        for name, p in net._collect_params_with_prefix().items()
    }


def graphs(engine):
    return list(engine._graphs._made.values())


def assert_same(one, two, rtol=1e-6):
    assert one.keys() == two.keys()
    for name in one:
        for a, b in zip(one[name], two[name]):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batch-norm"])
def test_a_compiled_loss_gives_the_sums_and_the_gradients_of_the_plain_one(contexts, norm):
    nets = [layers(*[mx.gluon.nn.BatchNorm(in_channels=5)] * norm) for _ in range(2)]
    tasks = [Classes(), Uncompiled()]
    engines = [engine_of(net, contexts) for net in nets]
    copied(*nets)
    for rows in (slice(None), slice(4), slice(4, 13)):
        sums = [e.minimize("main", t.loss, batch(rows)) for e, t in zip(engines, tasks)]
        assert list(sums[0]) == ["loss", "accuracy"] == list(sums[1])
        for name in sums[0]:
            assert sums[0][name].count == sums[1][name].count == len(X[rows])
            assert sums[0][name].mean() == pytest.approx(sums[1][name].mean(), rel=1e-6)
            assert sums[0][name].total.shape == (1,)
        gradients = [
            {
                key: [g.asnumpy() for g in p.list_grad()]
                for key, p in net._collect_params_with_prefix().items()
                if p.grad_req != "null"
            }
            for net in nets
        ]
        assert_same(*gradients, rtol=1e-5)
        assert_same(values(nets[0]), values(nets[1]))
    for engine in engines:
        engine.networks.average()
    judged = [e.total(t.loss, batch())["loss"].mean() for e, t in zip(engines, tasks)]
    assert judged[0] == pytest.approx(judged[1], rel=1e-6)
    assert len(graphs(engines[0])) > 0 == len(graphs(engines[1]))


def test_sums_are_those_of_numpy():
    net = mx.gluon.nn.Dense(3, in_units=6)
    engine = engine_of(net)
    w, b = net.weight.data().asnumpy().astype(float), net.bias.data().asnumpy()
    scores = X @ w.T + b
    loss = np.log(np.exp(scores).sum(1)) - scores[np.arange(13), Y.astype(int)]
    found = engine.minimize("main", Classes().loss, batch())
    assert found["loss"].mean() == pytest.approx(loss.mean(), rel=5e-6)
    assert found["accuracy"].mean() == pytest.approx((scores.argmax(1) == Y).mean())
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    p[np.arange(13), Y.astype(int)] -= 1
    np.testing.assert_allclose(net.weight.data().asnumpy(), w - 0.1 * p.T @ X / 13, atol=1e-6)


def test_metrics_pass_no_gradient_and_prediction_mode_is_not_training_mode():
    class Doubled(Task):
        @compiled
        def loss(self, net, shard, carry):
            loss = (net(shard[0]).reshape((-1,)) - shard[1]).square()
            return {"loss": loss, "hundredfold": 100 * loss}

    net = mx.gluon.nn.Dense(1, in_units=6)
    engine = engine_of(net)
    w = net.weight.data().asnumpy()
    found = engine.minimize("main", Doubled().loss, batch())
    gradient = 2 * (X @ w[0] - Y) @ X / 13
    np.testing.assert_allclose(net.weight.data().asnumpy()[0], w[0] - 0.1 * gradient, atol=1e-5)
    assert found["hundredfold"].mean() == pytest.approx(100 * found["loss"].mean())

    net = layers(mx.gluon.nn.Dropout(0.9))
    engine, task = engine_of(net), Classes()
    judged = [engine.total(task.loss, batch())["loss"].mean() for _ in range(2)]
    assert judged[0] == judged[1]  # nothing is dropped
    net = layers(mx.gluon.nn.Dropout(0.9))
    engine = Engine(net, {"main": Group([net], "sgd", {"learning_rate": 0.0})}, ONE)
    learned = [engine.minimize("main", task.loss, batch())["loss"].mean() for _ in range(2)]
    assert learned[0] != learned[1] and judged[0] not in learned


Pair = namedtuple("Pair", "state count")


@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("form", ["array", "tuple", "list", "nested", "named"])
def test_carries_go_in_and_out_detached_in_the_form_they_have(contexts, form):
    """The next step's loss depends on the state; its gradient does not flow back in time."""
    wraps = {
        "array": (lambda s, c: s, lambda carry: carry),
        "tuple": (lambda s, c: (s, c), lambda carry: carry[0]),
        "list": (lambda s, c: [s, c], lambda carry: carry[0]),
        "nested": (lambda s, c: {"a": [c, (s, None)]}, lambda carry: carry["a"][1][0]),
        "named": (lambda s, c: Pair(s, c), lambda carry: carry.state),
    }
    wrap, unwrap = wraps[form]

    def loss(self, net, shard, carry):
        output = net(shard[0]).reshape((-1,))
        state = output if carry is None else 0.5 * unwrap(carry) + output
        return (state - shard[1]).square(), wrap(state, output * 2)

    kinds = [type("Carried", (Task,), {"loss": each}) for each in (compiled(loss), loss)]
    loss.compiled = False
    plain = type("Plain", (Task,), {"loss": lambda *args: loss(*args)})
    tasks = [kinds[0](), plain()]
    loss.compiled = True
    nets = [mx.gluon.nn.Dense(1, in_units=6) for _ in tasks]
    engines = [engine_of(net, contexts) for net in nets]
    copied(*nets)
    for step in range(3):
        found = [e.minimize("main", t.loss, batch()).mean() for e, t in zip(engines, tasks)]
        assert found[0] == pytest.approx(found[1], rel=1e-5), step
        for engine in engines:
            assert engine.carries
        for i in range(len(contexts)):
            one, two = (e._carry["main"][i] for e in engines)
            assert isinstance(one, type(two))
            for a, b in zip(leaves(one), leaves(two)):
                assert a.context == b.context == contexts[i]
                np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-4, atol=1e-6)
        assert_same(values(nets[0]), values(nets[1]), rtol=1e-5)
    assert len(graphs(engines[0])) == 2 * len(contexts)  # without a carry, and with one
    assert graphs(engines[1]) == []
    engines[0].start_epoch()
    assert not engines[0].carries


def test_each_shape_has_its_own_graph_and_their_number_is_bounded():
    engine, task = engine_of(layers()), Classes()
    for _ in range(3):
        for n in (8, 8, 5):  # a smaller last batch
            engine.minimize("main", task.loss, batch(slice(n)))
    assert len(graphs(engine)) == 2
    made = graphs(engine)
    engine.minimize("main", task.loss, batch(slice(5)))
    assert all(a is b for a, b in zip(graphs(engine), made))  # none is traced anew
    for n in range(1, 14):
        engine.minimize("main", task.loss, batch(slice(n)))
        engine.total(task.loss, batch(slice(n)))
    assert len(graphs(engine)) == 2 * MOST  # to learn and to judge


def test_shapes_left_to_the_data_are_found_before_the_first_step():
    for contexts in (ONE, TWO):
        net = layers(mx.gluon.nn.BatchNorm(), in_units=0)
        engine, task = engine_of(net, contexts), Classes()
        assert net[0].weight.shape == (5, 0)
        first = engine.minimize("main", task.loss, batch())["loss"].mean()
        assert net[0].weight.shape == (5, 6) and net[2].weight.shape == (3, 5)
        for _ in range(20):
            last = engine.minimize("main", task.loss, batch())["loss"].mean()
        assert last < 0.8 * first
        assert len(net[0].weight.list_data()) == len(contexts)
    net = layers(in_units=0)
    assert np.isfinite(engine_of(net).total(task.loss, batch())["loss"].mean())


@pytest.mark.parametrize("task", [Classes(), Uncompiled()], ids=["compiled", "plain"])
def test_shapes_of_a_group_that_this_loss_does_not_touch_may_still_be_open(task):
    nets = {"a": layers(in_units=0), "b": layers(in_units=0)}
    groups = {name: Group([net], "adam", {"learning_rate": 0.1}) for name, net in nets.items()}
    engine = Engine(nets, groups, ONE)
    for name in ("a", "b", "a"):

        def loss(nets, shard, carry, name=name):
            return task.loss(nets[name], shard, carry)

        loss.compiled = getattr(task.loss, "compiled", False)
        engine.minimize(name, loss, batch())
    assert nets["b"][0].weight.shape == (5, 6)
    assert engine.state()[1] == {"a": 2, "b": 1}


DRAWING = {
    "dropout": lambda: mx.gluon.nn.Dropout(0.5),
    "noise": lambda: mx.gluon.nn.HybridLambda(lambda F, x: x + F.random.normal_like(x)),
    "sample": lambda: mx.gluon.nn.HybridLambda(lambda F, x: x * F.sample_normal(x, x * 0 + 1)),
}
CALM = {
    "plain": lambda: mx.gluon.nn.HybridLambda(lambda F, x: x),
    "batch-norm": lambda: mx.gluon.nn.BatchNorm(in_channels=5),
    "leaky": lambda: mx.gluon.nn.LeakyReLU(0.1),
    "l2": lambda: mx.gluon.nn.HybridLambda(lambda F, x: F.L2Normalization(x)),
    "layer-norm": lambda: mx.gluon.nn.LayerNorm(in_channels=5),
}


@pytest.mark.parametrize("kind", [*DRAWING, *CALM])
def test_only_a_network_that_draws_is_random(kind):
    engine = engine_of(layers({**DRAWING, **CALM}[kind]()))
    assert not engine.random
    engine.minimize("main", Classes().loss, batch())
    assert engine.random is (kind in DRAWING)


def test_random_slopes_are_seen():
    x = mx.sym.var("x")  # as a symbol only: MXNet 1.9.1 crashes where it runs with static memory
    assert _draws(mx.sym.LeakyReLU(x, act_type="rrelu")[0])
    assert not _draws(mx.sym.LeakyReLU(x, act_type="leaky"))


def test_what_cannot_be_seen_through_counts_as_random():
    engine = engine_of(layers())
    engine.minimize("main", Uncompiled().loss, batch())
    assert engine.random
    engine = engine_of(layers(), hybridize=False)
    engine.minimize("main", Classes().loss, batch())
    assert engine.random and graphs(engine) == []
    engine = engine_of(layers(), optimizer="sgld")  # its update adds noise
    engine.minimize("main", Classes().loss, batch())
    assert engine.random


@pytest.mark.parametrize("fault", ["shape", "value", "numpy", "truth", "item"])
def test_a_loss_that_cannot_be_traced_is_named(fault):
    class Broken(Task):
        @compiled
        def loss(self, net, shard, carry):
            x, y = shard
            if fault == "shape":
                return net(x).sum(axis=1) / x.shape[0]
            if fault == "value":
                return net(x).sum(axis=1) * y.asnumpy()
            if fault == "numpy":
                return nd.square(net(x)).sum(axis=1)
            if fault == "truth":
                return net(x).sum(axis=1) if (y > 0) else y
            return net(x).sum(axis=1) * float(y[0])

    with pytest.raises(DopeError, match=r"Broken\.loss cannot be compiled: ") as caught:
        engine_of(layers()).minimize("main", Broken().loss, batch())
    assert caught.value.hint == "Use operators that hybridize, or take @compiled off it."


def test_objects_and_networks_that_do_not_hybridize_take_the_plain_way():
    class Seen(mx.gluon.Block):
        def __init__(self):
            super().__init__()
            self.net = layers()

        def forward(self, x):
            assert isinstance(x, nd.NDArray)
            return self.net(x)

    net, hybrid = Seen(), layers()
    engines = engine_of(net), engine_of(hybrid)
    copied(net.net, hybrid)
    task = Classes()
    found = [engine.minimize("main", task.loss, batch())["loss"].mean() for engine in engines]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert len(graphs(engines[0])) == 0 and len(graphs(engines[1])) == 1
    assert_same(values(net.net), values(hybrid))

    class Trees(Task):
        @compiled
        def loss(self, net, shard, carry):
            x = nd.array([each["x"] for each in shard])
            return (net(x) ** 2).sum(axis=1)

    objects = [{"x": row.tolist()} for row in X]
    found = engines[1].minimize("main", Trees().loss, objects)
    assert found.count == 13 and len(graphs(engines[1])) == 1

    class Criterion(Classes):
        @staticmethod
        def criterion(output, target):  # not hybrid: any Python at all
            return nd.softmax_cross_entropy(output, target).tile(len(output)) / len(output)

    engines[1].minimize("main", Criterion().loss, batch())
    assert len(graphs(engines[1])) == 1


def test_types_are_part_of_a_graphs_shape():
    net = mx.gluon.nn.HybridLambda(lambda F, x: x.astype("float32"))
    whole = mx.gluon.nn.HybridSequential()
    whole.add(net, layers())
    engine = engine_of(whole)
    x, y = batch()
    for dtype in ("float32", "float64", "float32"):
        engine.minimize("main", Classes().loss, (x.astype(dtype), y))
    assert len(graphs(engine)) <= 2 * 3


@pytest.mark.parametrize("learns", ["first", "second"])
@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_only_the_parameters_of_the_group_are_differentiated(learns, contexts):
    class Chain(Task):
        @compiled
        def loss(self, nets, shard, carry):
            return nets["second"](nets["first"](shard[0])).square().sum(axis=1)

    nets = {"first": layers(), "second": mx.gluon.nn.Dense(2, in_units=3)}
    groups = {name: Group([net], "sgd", {"learning_rate": 0.1}) for name, net in nets.items()}
    engine, task = Engine(nets, groups, contexts), Chain()
    every = {name: list(net.collect_params().values()) for name, net in nets.items()}
    for p in every["first"] + every["second"]:
        for gradient in p.list_grad():
            gradient[:] = 7  # what nobody writes to stays
    engine.minimize(learns, task.loss, batch())
    for name, found in every.items():
        written = [(p.list_grad()[0].asnumpy() != 7).all() for p in found]
        assert all(written) if name == learns else not any(written)


def test_leaves_and_rebuild_are_inverse():
    item = {"a": [1, (2, None)], "b": Pair(3, [4]), "c": ()}
    assert leaves(item) == [1, 2, 3, 4]
    assert rebuild(item, iter([5, 6, 7, 8])) == {"a": [5, (6, None)], "b": Pair(7, [8]), "c": ()}
    assert rebuild(None, iter([])) is None and leaves(None) == []


def test_a_bound_graph_learns_as_an_unbound_one_does(monkeypatch):
    found = []
    for most in (0, bound.COPIED):
        monkeypatch.setattr(bound, "COPIED", most)
        seed(3)
        net = layers(mx.gluon.nn.BatchNorm(), mx.gluon.nn.Dropout(0.5))
        engine, task = engine_of(net, optimizer="adam"), Classes()
        sums = []
        for step in range(12):
            seed(4, step)
            sums.append(engine.minimize("main", task.loss, batch(slice(step % 5, None))))
        assert [graph._bound is not None for graph in graphs(engine)] == [bool(most)] * 5
        # read at the end: a sum must outlive the calls that come after it
        found.append((values(net), [{k: v.mean() for k, v in each.items()} for each in sums]))
    assert_same(found[0][0], found[1][0])
    for one, two in zip(found[0][1], found[1][1]):
        assert one == pytest.approx(two, rel=1e-6)
    assert len({each["loss"] for each in found[1][1]}) == 12


def test_a_bound_graph_follows_parameters_that_are_put_elsewhere():
    net = layers()
    engine, task = engine_of(net), Classes()
    engine.minimize("main", task.loss, batch())
    (graph,) = graphs(engine)
    assert graph._bound is not None
    for p in net.collect_params().values():
        p.reset_ctx([mx.cpu(0)])  # new arrays, and new ones for gradients
    before = values(net)
    graph(batch(), None)
    assert graph._bound is None  # and the gradients are those of the new arrays
    grads = [p.grad().asnumpy() for p in net.collect_params().values()]
    assert max(np.abs(g).max() for g in grads) > 1e-3
    assert_same(before, values(net))


def test_what_a_bound_graph_gives_outlives_its_next_call():
    engine = engine_of(layers())
    task = Classes()
    engine.minimize("main", task.loss, batch())
    (graph,) = graphs(engine)
    first, sums, _ = graph(batch(), None)
    kept = first.asnumpy(), sums["loss"].asscalar()
    x, y = batch()
    second, _, _ = graph((x * 3, y), None)
    assert graph._bound is not None and np.abs(second.asnumpy() - kept[0]).max() > 1e-3
    np.testing.assert_array_equal(first.asnumpy(), kept[0])
    assert sums["loss"].asscalar() == kept[1]
