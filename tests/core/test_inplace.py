"""NumPy's update rules are MXNet's own, whatever the size, and oneDNN's layouts do no harm.

Holds the tests of inplace.py, of its use in updates.py and of backend.HostView.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import HostView, mx, nd, synchronous, use_threads
from dope.core.engine import Engine
from dope.core.optimizing import inplace
from dope.core.optimizing.inplace import BLOCK
from dope.core.optimizing.updates import Updates
from dope.core.task import Group, compiled

ONE, TWO = ([mx.cpu(i) for i in range(n)] for n in (1, 2))

# Options are sums of a few powers of two: MXNet takes them in float32, and so nothing is rounded
RULES = {
    "sgd": ("sgd", {}),
    "sgd-momentum": ("sgd", {"momentum": 0.875}),
    "sgd-decay": ("sgd", {"wd": 0.0625}),
    "sgd-momentum-decay-clip": ("sgd", {"momentum": 0.5, "wd": 0.0625, "clip_gradient": 0.25}),
    "sgd-clip": ("sgd", {"clip_gradient": 0.125}),
    "adam": ("adam", {"beta1": 0.875, "beta2": 0.984375}),
    "adam-decay-clip": (
        "adam",
        {"beta1": 0.5, "beta2": 0.96875, "epsilon": 2.0**-20, "wd": 0.0625, "clip_gradient": 0.25},
    ),
    "adagrad": ("adagrad", {}),
    "adagrad-decay-clip": ("adagrad", {"wd": 0.0625, "clip_gradient": 0.25, "eps": 2.0**-20}),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small are quicker on one thread, above all on a busy machine."""
    use_threads(1)
    yield
    use_threads(None)


class Bag(mx.gluon.Block):
    """Parameters of these shapes, without a use; given to every context."""

    def __init__(self, shapes, dtype, contexts):
        super().__init__()
        rng = np.random.default_rng(4)
        for i, shape in enumerate(shapes):
            self.params.get(f"p{i}", shape=shape, dtype=dtype)
        self.initialize(ctx=contexts)
        for each in self.params.values():
            each.set_data(nd.array(rng.normal(size=each.shape), dtype=dtype))


def updates_of(shapes, name, options, dtype="float32", contexts=ONE):
    bag = Bag(shapes, dtype, contexts)
    made = Updates("main", Group([bag], name, {"learning_rate": 0.125, **options}), contexts)
    made.prepare()
    return made


def give(updates, rng, context=0):
    """New gradients for all parameters; the second half of some is 0, as of pixels never lit."""
    for i, parameter in enumerate(updates.parameters):
        value = rng.normal(size=parameter.shape)
        if i % 2:
            value[len(value) // 2 :] = 0
        parameter.list_grad()[context][:] = nd.array(value, dtype=parameter.dtype)


def close(found, expected, dtype, last=0.0):
    """To some roundings of the type, and to the rounding of a float32 rate for the last steps."""
    unit = np.finfo(dtype).eps
    np.testing.assert_allclose(
        found.astype("float64"), expected.astype("float64"), rtol=8 * unit, atol=8 * unit + last
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_mxnets_operator(rule, dtype):
    name, options = RULES[rule]
    shapes = [(1,), (3, 5), (BLOCK - 1,), (BLOCK,), (BLOCK + 1,), (2, BLOCK + 3)]
    updates = updates_of(shapes, name, options, dtype)
    assert all(place.rule is not None for place in updates._places[0])
    n, rng = 16, np.random.default_rng(0)
    reference = mx.optimizer.create(name, learning_rate=0.125, rescale_grad=1 / n, **options)
    weights = [p.data().copy() for p in updates.parameters]
    states = [reference.create_state_multi_precision(i, w) for i, w in enumerate(weights)]
    if name == "adagrad":  # MXNet makes its state in float32 and then cannot use it
        states = [state.astype(dtype) for state in states]
    # Adam's corrected rate is no sum of powers of two: MXNet rounds it to float32
    rounding = 6 * 0.125 * 2**-23 if name == "adam" else 0.0
    for _ in range(6):
        give(updates, rng)
        grads = [p.grad().copy() for p in updates.parameters]
        updates.reduce([True])
        updates.apply((), (), n)
        for i, weight in enumerate(weights):
            reference.update_multi_precision(i, weight, grads[i], states[i])
    for i, (parameter, weight) in enumerate(zip(updates.parameters, weights)):
        close(parameter.data().asnumpy(), weight.asnumpy(), dtype, rounding)
        found = updates._first[i].state
        for mine, theirs in zip(_flat(found), _flat(states[i])):
            close(mine.asnumpy(), theirs.asnumpy(), dtype, rounding)
        np.testing.assert_array_equal(parameter.grad().asnumpy(), grads[i].asnumpy())


def _flat(state):
    if state is None:
        return []
    return list(state) if isinstance(state, (list, tuple)) else [state]


@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 7])
@pytest.mark.parametrize("rule", ["sgd-momentum-decay-clip", "adam-decay-clip", "adagrad"])
def test_blocks_make_no_difference(rule, n):
    name, options = RULES[rule]
    optimizer = mx.optimizer.create(name, learning_rate=0.125, **options)
    states = {"sgd": 1, "adam": 2, "adagrad": 1}[name]
    rng = np.random.default_rng(n)
    whole = [rng.normal(size=n) ** 2 for _ in range(2 + states)]
    parts = [array.copy() for array in whole]
    step = inplace.Step(rate=0.1, decay=0.01, scale=0.5, number=3)
    rule = inplace.rule_for(optimizer)
    gradient = whole[1].copy()
    inplace.update(rule, optimizer, step, whole, np.full((2, BLOCK), np.nan))
    rule(optimizer, step, parts, np.full(n, np.nan), np.full(n, np.nan))
    for one, other in zip(whole, parts):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(whole[1], gradient)


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("n", [64 * inplace.RUN, BLOCK + 300, 3 * BLOCK - 7])
@pytest.mark.parametrize("used", [0, 1, 40, 500])
def test_runs_without_a_gradient_make_no_difference_to_adagrad(n, used, decay):
    optimizer = mx.optimizer.create("adagrad", clip_gradient=0.25)
    rng = np.random.default_rng(n + used)
    weight, gradient, square = rng.normal(size=(3, n)).astype(np.float32)
    kept = np.zeros(n, bool)
    kept[rng.integers(n, size=used)] = True
    kept[-3:] = used == 40  # behind the last whole run
    gradient[~kept] = 0
    sparse = [weight, gradient, square**2]
    dense = [array.copy() for array in sparse]
    step = inplace.Step(rate=0.1, decay=decay, scale=0.5, number=3)
    inplace.update(inplace.RULES["AdaGrad"], optimizer, step, sparse, np.empty((2, BLOCK), "f"))
    inplace._adagrad_all(optimizer, step, dense, *np.empty((2, n), "f"))
    for one, other in zip(sparse, dense):
        np.testing.assert_array_equal(one, other)
    assert used > 1 or len(inplace._used(gradient[: 64 * inplace.RUN])) <= used
    assert inplace._used(np.ones(BLOCK)) is None


@pytest.mark.parametrize(
    "name", ["nag", "rmsprop", "adadelta", "ftrl", "ftml", "signum", "lamb", "lars"]
)
def test_every_other_optimizer_goes_mxnets_way(name):
    options = {} if name == "adadelta" else {"learning_rate": 0.125}
    bag = Bag([(3, 4), (5,)], "float32", ONE)
    updates = Updates("main", Group([bag], name, options), ONE)
    updates.prepare()
    assert all(place.rule is None for place in updates._places[0])
    reference = mx.optimizer.create(name, rescale_grad=1 / 16, **options)
    if name == "lars":
        reference.idx2name = {i: p.name for i, p in enumerate(updates.parameters)}
    weights = [p.data().copy() for p in updates.parameters]
    states = [reference.create_state_multi_precision(i, w) for i, w in enumerate(weights)]
    rng = np.random.default_rng(1)
    for _ in range(3):
        give(updates, rng)
        updates.reduce([True])
        for i, p in enumerate(updates.parameters):
            reference.update_multi_precision(i, weights[i], p.grad().copy(), states[i])
        updates.apply((), (), 16)
    for parameter, weight in zip(updates.parameters, weights):
        np.testing.assert_array_equal(parameter.data().asnumpy(), weight.asnumpy())


@pytest.mark.filterwarnings("ignore:Accumulating with float16:UserWarning")
def test_numbers_that_numpy_cannot_mend_go_mxnets_way():
    updates = updates_of([(3,)], "sgd", {"momentum": 0.5}, "float16")
    assert updates._places[0][0].rule is None
    updates = updates_of([(3,)], "sgd", {"momentum": 0.5}, "float32")
    assert updates._places[0][0].rule is not None
    assert inplace.rule_for(mx.optimizer.create("nag")) is None


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad"])
def test_factors_of_single_parameters_and_of_the_schedule_are_obeyed(name):
    shapes = [(4,), (4,), (4,)]
    updates = updates_of(shapes, name, {"wd": 0.25}, "float64")
    first, second, _ = updates.parameters
    first.lr_mult, second.wd_mult = 0.0, 0.0
    before = [p.data().asnumpy() for p in updates.parameters]
    for p in updates.parameters:
        p.grad()[:] = 0
    updates.apply((), (), 8, 0.5)
    after = [p.data().asnumpy() for p in updates.parameters]
    np.testing.assert_array_equal(after[0], before[0])  # no rate
    np.testing.assert_array_equal(after[1], before[1])  # no gradient and no decay
    if name == "adam":  # its first step is of length rate, whatever the gradient
        expected = before[2] - 0.5 * 0.125 * np.sign(before[2])
        np.testing.assert_allclose(after[2], expected, atol=1e-6)
    else:
        np.testing.assert_allclose(after[2], before[2] * (1 - 0.5 * 0.125 * 0.25), rtol=1e-12)


def test_two_contexts_get_the_same_update_of_the_sum():
    whole = updates_of([(BLOCK + 5,)], "adam", {}, "float64")
    split = updates_of([(BLOCK + 5,)], "adam", {}, "float64", TWO)
    rng = np.random.default_rng(5)
    for _ in range(3):
        for context in (0, 1):
            give(split, rng, context)
        one, two = (g.asnumpy() for g in split.parameters[0].list_grad())
        whole.parameters[0].grad()[:] = nd.array(one + two, dtype="float64")
        for updates, used in ((whole, [True]), (split, [True, True])):
            updates.reduce(used)
            updates.apply((), (), 4)
    expected = whole.parameters[0].data().asnumpy()
    for copy in split.parameters[0].list_data():
        np.testing.assert_array_equal(copy.asnumpy(), expected)


def test_what_is_not_finite_stays_so_without_a_warning(recwarn):
    updates = updates_of([(3,)], "adam", {})
    updates.parameters[0].grad()[:] = nd.array([np.nan, np.inf, 1.0])
    updates.reduce([True])
    updates.apply((), (), 1)
    assert np.isfinite(updates.parameters[0].data().asnumpy()).tolist() == [False, False, True]
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_a_view_is_the_memory_itself():
    assert synchronous(mx.cpu(1)) and not synchronous(mx.gpu(0))
    array = nd.arange(6, dtype="float64").reshape((2, 3))
    view = HostView(array)
    view()[4] = 40
    assert array.asnumpy()[1, 1] == 40
    array[:] = array * 2
    np.testing.assert_array_equal(view(), [0, 2, 4, 6, 80, 10])
    part = HostView(array[1])  # a view of a view
    part()[0] = -1
    assert array.asnumpy()[1, 0] == -1


def test_a_view_follows_weights_that_onednn_lays_out_anew():
    """Prediction puts a convolution's weights into blocks of 16 channels, where the CPU has them.

    The plain memory then is out of order; asking the view puts it back into rows.
    """
    x = nd.array(np.random.default_rng(3).normal(size=(8, 16, 10, 10)))
    net = mx.gluon.nn.Conv2D(32, 3, in_channels=16)
    net.initialize()
    weight = net.weight.data()
    kept, view = weight.asnumpy(), HostView(weight)
    for _ in range(3):
        net(x).wait_to_read()
        np.testing.assert_array_equal(view().reshape(kept.shape), kept)
        view()[:] += 1  # it is the array that the next call reads
        kept = kept + 1
        expected = nd.Convolution(
            x, nd.array(kept), net.bias.data(), kernel=(3, 3), num_filter=32
        ).asnumpy()
        np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(weight.asnumpy(), kept)


def layers():
    net = mx.gluon.nn.HybridSequential()
    net.add(
        mx.gluon.nn.Conv2D(16, 3, activation="relu", in_channels=3),
        mx.gluon.nn.Conv2D(32, 3, activation="relu", in_channels=16),
        mx.gluon.nn.Flatten(),
        mx.gluon.nn.Dense(10, in_units=32 * 16),
    )
    return net


class Entropy:
    """A task as far as the engine looks at it."""

    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()

    @compiled
    def loss(self, net, shard, carry):
        return self.criterion(net(shard[0]), shard[1])


@pytest.mark.parametrize("hybridize", [True, False])
@pytest.mark.parametrize("name", ["sgd-momentum", "adam", "adagrad"])
def test_learning_goes_on_after_evaluation_has_laid_weights_out_anew(name, hybridize):
    """Against imperative MXNet with its own operators and optimizers, by gluon's Trainer."""
    name, options = RULES[name]
    options = {"learning_rate": 0.0078125 if name == "adam" else 0.0625, **options}
    rng = np.random.default_rng(6)
    x, y = nd.array(rng.normal(size=(12, 3, 8, 8))), nd.array(rng.integers(0, 10, 12))
    mine, theirs = layers(), layers()
    engine = Engine(mine, {"main": Group([mine], name, options)}, ONE, hybridize=hybridize)
    theirs.initialize()
    for p, q in zip(mine.collect_params().values(), theirs.collect_params().values()):
        q.set_data(p.data())
    trainer = mx.gluon.Trainer(theirs.collect_params(), name, options)
    task = Entropy()
    for step in range(8):
        found = engine.minimize("main", task.loss, (x, y)).mean()
        with mx.autograd.record():
            loss = Entropy.criterion(theirs(x), y)
        loss.backward()
        trainer.step(12)
        assert found == pytest.approx(float(loss.mean().asscalar()), rel=1e-4)
        if step % 3 == 1:  # in prediction mode, which lays the weights out anew
            judged = engine.total(task.loss, (x, y)).mean()
            expected = Entropy.criterion(theirs(x), y).mean().asscalar()
            assert judged == pytest.approx(float(expected), rel=1e-4)
            assert np.isfinite(engine.state()[0]["parameter/net.0.weight"]).all()
    for p, q in zip(mine.collect_params().values(), theirs.collect_params().values()):
        scale = np.abs(q.data().asnumpy()).max()
        np.testing.assert_allclose(
            p.data().asnumpy() / scale, q.data().asnumpy() / scale, atol=2e-5, err_msg=q.name
        )


def test_long_arrays_are_left_to_operators_where_these_have_threads():
    adam, sgd = mx.optimizer.create("adam"), mx.optimizer.create("sgd")
    assert inplace.rule_for(adam, BLOCK, 2) is not None
    assert inplace.rule_for(adam, BLOCK + 1, 1) is not None
    assert inplace.rule_for(adam, BLOCK + 1, 2) is None
    assert inplace.rule_for(sgd, BLOCK + 1, 2) is not None
