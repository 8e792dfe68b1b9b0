"""What adversarial tasks share: losses and updates written out in NumPy, and who learns when.

Holds nothing about points or images; networks here are single linear maps.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.engine import Engine
from dope.core.errors import ConfigError
from dope.plugins.generative.adversarial import Adversarial, halves, joined, steepness
from dope.plugins.generative.objectives import Wasserstein
from dope.plugins.losses.losses import L2, Logistic

RATE = 0.1


class Together(Adversarial):
    """Real and false examples in one pass."""

    together = True


def linear(outputs):
    return mx.gluon.nn.Dense(outputs, in_units=2, weight_initializer=mx.init.Normal(1.0))


def pair(dataset):
    made = linear(2)
    made.latent = (2,)
    return {"generator": made, "discriminator": linear(1)}


def made(criterion, cls=Adversarial, contexts=1, hybridize=True, optimizer=None, **options):
    """A task on 33 points, batches of 8, and its engine."""
    task = cls(**options)
    points = np.random.default_rng(0).normal(size=(33, 2)).astype(np.float32)
    task.dataset = SimpleNamespace(
        batches=lambda split, size: (
            None if split == "test" else ArrayBatches([points], size, shuffle=split == "train")
        )
    )
    task.criterion, task.model = criterion, pair
    task.optimizer = optimizer or {"name": "sgd", "learning_rate": RATE}
    task.options = SimpleNamespace(batch_size=8, clip=None)
    mx.random.seed(3)
    nets = task.build()
    engine = Engine(
        nets, task.groups(nets), [mx.cpu(i) for i in range(contexts)], hybridize=hybridize
    )
    return task, engine


def values(engine, name):
    """Weight and bias of a network, float64."""
    net = engine.nets[name]
    return tuple(p.list_data()[0].asnumpy().astype(float) for p in (net.weight, net.bias))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


SLOPES = {  # derivative of each loss of a score y with target t
    Logistic: lambda y, t: sigmoid(y) - t,
    L2: lambda y, t: y - t,
    Wasserstein: lambda y, t: 1 - 2 * t + 0 * y,
}
LOSSES = {
    Logistic: lambda y, t: t * np.log1p(np.exp(-y)) + (1 - t) * np.log1p(np.exp(y)),
    L2: lambda y, t: (y - t) ** 2 / 2,
    Wasserstein: lambda y, t: (1 - 2 * t) * y,
}


@pytest.mark.parametrize("hybridize", [True, False])
@pytest.mark.parametrize("cls", [Adversarial, Together])
@pytest.mark.parametrize(
    ("kind", "real"), [(Logistic, 1.0), (Logistic, 0.9), (L2, 1.0), (Wasserstein, 1.0)]
)
def test_a_step_is_the_two_updates_written_out(kind, real, cls, hybridize):
    task, engine = made(kind(), cls, hybridize=hybridize, real=real)
    x, z = batch = next(iter(task.data("train")))
    x, z = x.asnumpy().astype(float), z.asnumpy().astype(float)
    (a, c), (w, b) = values(engine, "generator"), values(engine, "discriminator")
    found = task.step(engine, batch)
    fake = z @ a.T + c
    true, false = (x @ w.T + b)[:, 0], (fake @ w.T + b)[:, 0]
    loss = LOSSES[kind](true, real) + LOSSES[kind](false, 0.0)
    assert found["discriminator_loss"].mean() == pytest.approx(loss.mean(), abs=2e-5)
    limit = 0.5 if kind is L2 else 0.0
    right = ((true > limit).mean() + (false < limit).mean()) / 2
    assert found["discriminator_accuracy"].mean() == pytest.approx(right)

    up, down = SLOPES[kind](true, real), SLOPES[kind](false, 0.0)
    w2 = w - RATE * (up @ x + down @ fake)[None] / len(x)
    b2 = b - RATE * (up + down).mean()
    np.testing.assert_allclose(values(engine, "discriminator")[0], w2, atol=1e-5)
    np.testing.assert_allclose(values(engine, "discriminator")[1], b2, atol=1e-5)

    score = (fake @ w2.T + b2)[:, 0]  # of the discriminator as it is by now
    passing = LOSSES[kind](score, 1.0).mean()
    assert found["generator_loss"].mean() == pytest.approx(passing, abs=2e-5)
    back = SLOPES[kind](score, 1.0)[:, None] * w2  # (n, 2)
    np.testing.assert_allclose(
        values(engine, "generator")[0], a - RATE * back.T @ z / len(z), atol=1e-5
    )
    np.testing.assert_allclose(values(engine, "generator")[1], c - RATE * back.mean(0), atol=1e-5)


@pytest.mark.parametrize(("kind", "expected"), [(Logistic, 0.0), (L2, 0.5), (Wasserstein, 0.0)])
def test_the_border_between_real_and_false_is_the_losss_own(kind, expected):
    task, _ = made(kind())
    assert task.threshold == expected
    patches = nd.array([[[[-1.0, 4.0]]], [[[-4.0, 1.0]]], [[[expected] * 2]]])  # (3, 1, 1, 2)
    assert task.right(patches).asnumpy().tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("name", ["discriminator", "generator"])
def test_an_update_leaves_the_other_network_and_its_gradients_alone(name):
    task, engine = made(Logistic())
    batch = next(iter(task.data("train")))
    task.step(engine, batch)
    (other,) = {"discriminator", "generator"} - {name}
    for parameter in engine.nets[other].collect_params().values():
        parameter.list_grad()[0][:] = 7.0
    before, own = values(engine, other), values(engine, name)
    loss = task.tell_apart if name == "discriminator" else task.deceive
    for _ in range(3):
        engine.minimize(name, loss, batch)
    for one, two in zip(before, values(engine, other)):
        assert one.tobytes() == two.tobytes()
    for parameter in engine.nets[other].collect_params().values():
        assert (parameter.list_grad()[0].asnumpy() == 7.0).all()
    assert not np.allclose(own[0], values(engine, name)[0])


def test_evaluation_changes_nothing():
    task, engine = made(L2())
    figures = task.evaluate(engine)
    before = engine.state()[0]
    assert task.evaluate(engine) == figures  # the noise of held-out batches is fixed
    assert figures.keys() == {
        "valid_discriminator_loss",
        "valid_discriminator_accuracy",
        "valid_generator_loss",
    }
    for key, value in engine.state()[0].items():
        assert value.tobytes() == before[key].tobytes()


@pytest.mark.parametrize("kind", [Logistic, L2, Wasserstein])
def test_one_and_two_contexts_learn_the_same(kind):
    ends = []
    for contexts in (1, 2):
        options = {"slope_penalty": 1.0, "discriminator_rate": 2.0}
        task, engine = made(kind(), contexts=contexts, **options)
        rng = np.random.default_rng(5)
        for batch in task.data("train").epoch(rng):  # the last one has one point
            task.step(engine, batch)
        ends.append(np.concatenate([v.ravel() for n in engine.nets for v in values(engine, n)]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-6)


def test_noise_comes_with_the_batch_and_from_its_generator():
    task, _ = made(Logistic())
    for seed, same in ((1, True), (2, False)):
        one, two = (
            np.concatenate([b[1].asnumpy() for b in task.data("train").epoch(rng)])
            for rng in (np.random.default_rng(1), np.random.default_rng(seed))
        )
        assert one.shape == (33, 2) and (one == two).all() == same
    assert abs(one.std() - 1) < 0.3


def test_without_latent_batches_are_the_data_sets_own():
    task, _ = made(Logistic())
    task.latent = None
    assert [len(batch) for batch in task.data("train")] == [1] * 5


def test_wasserstein_averages_patches():
    scores = np.random.default_rng(0).normal(size=(3, 1, 2, 4)).astype(np.float32)
    target = np.ones_like(scores)
    for t, sign in ((1.0, -1), (0.0, 1)):
        found = Wasserstein()(nd.array(scores), nd.array(t * target)).asnumpy()
        np.testing.assert_allclose(found, sign * scores.mean(axis=(1, 2, 3)), atol=1e-6)


def test_slope_penalty_written_out():
    rng = np.random.default_rng(0)
    rise, way = 12 * rng.normal(size=(6, 1, 2, 2)), rng.normal(size=(6, 3, 4))
    slopes = abs(rise.mean(axis=(1, 2, 3))) / np.linalg.norm(way.reshape(6, -1), axis=1)
    found = steepness(nd.array(rise), nd.array(way)).asnumpy()
    np.testing.assert_allclose(found, np.maximum(slopes - 1, 0) ** 2, rtol=1e-4, atol=1e-6)
    assert (found > 0).any() and (found == 0).any()
    assert np.isfinite(steepness(nd.ones((2, 1)), nd.zeros((2, 3))).asnumpy()).all()


def test_slope_penalty_is_part_of_the_discriminators_loss():
    task, engine = made(Wasserstein(), slope_penalty=10.0)
    x, z = batch = next(iter(task.data("train")))
    (a, c), (w, _) = values(engine, "generator"), values(engine, "discriminator")
    way = x.asnumpy() - (z.asnumpy() @ a.T + c)
    rise = (way @ w.T)[:, 0]
    slope = abs(rise) / np.linalg.norm(way, axis=1)
    expected = (10 * np.maximum(slope - 1, 0) ** 2 - rise).mean()
    found = task.step(engine, batch)["discriminator_loss"].mean()
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("contexts", [1, 2])
def test_clipped_weights_stay_within_limits_on_every_context(contexts):
    task, engine = made(Wasserstein(), contexts=contexts, clip_weights=0.05)
    for batch in task.data("train"):
        task.step(engine, batch)
    copies = [
        [w.asnumpy() for w in p.list_data()]
        for p in engine.nets["discriminator"].collect_params().values()
    ]
    assert max(abs(w).max() for each in copies for w in each) == pytest.approx(0.05)
    assert all((w == each[0]).all() for each in copies for w in each)
    assert max(abs(v).max() for v in values(engine, "generator")) > 0.05


def test_the_discriminators_rate_is_a_multiple():
    task, engine = made(Logistic(), discriminator_rate=5.0)
    groups = task.groups(engine.nets)
    rates = {name: group.options["learning_rate"] for name, group in groups.items()}
    assert rates == {"discriminator": 5 * RATE, "generator": RATE}
    with pytest.raises(ConfigError, match="discriminator_rate"):
        made(Logistic(), discriminator_rate=5.0, optimizer={"name": "sgd"})


@pytest.mark.parametrize(
    "options",
    [{"real": 0.5}, {"real": 1.1}, {"discriminator_rate": 0.0}, {"slope_penalty": -1.0},
     {"clip_weights": 0.0}],
)  # fmt: skip
def test_options_out_of_range_are_named(options):
    (name,) = options
    with pytest.raises(ConfigError, match=rf"task\.{name}"):
        Adversarial(**options)


def test_halves_undo_joining():
    one, other = nd.arange(6).reshape((3, 2)), nd.zeros((3, 2))
    back = halves(joined(one, other))
    assert (back[0] == one).asnumpy().all() and (back[1] == other).asnumpy().all()


# Facts about MXNet that docs/decisions.md gives as reasons


def gradient_of_gradient(layer, weights, x):
    """d/dw of a weighted sum of squares of dy/dx: by MXNet, and by central differences."""
    scale = nd.arange(x.size).reshape(x.shape)
    for each in (*weights, x):
        each.attach_grad()
    with mx.autograd.record():
        slope = mx.autograd.grad(layer(x, *weights), x, create_graph=True, retain_graph=True)[0]
        found = (slope.square() * scale).sum()
    found.backward()

    def value():
        with mx.autograd.record():
            y = layer(x, *weights)
        y.backward()
        return float((x.grad.square() * scale).sum().asscalar())

    pairs = []
    for weight in weights:
        had, kept = weight.grad.asnumpy().ravel()[0], float(weight.reshape((-1,))[0].asscalar())
        ends = []
        for step in (0.01, -0.01):
            weight.reshape((-1,))[0] = kept + step
            ends.append(value())
        weight.reshape((-1,))[0] = kept
        pairs.append((had, (ends[0] - ends[1]) / 0.02))
    return pairs


def test_second_gradients_of_dense_layers_are_silently_wrong():
    def layer(x, first, second):
        hidden = nd.FullyConnected(x, first, no_bias=True, num_hidden=5)
        return nd.FullyConnected(hidden, second, no_bias=True, num_hidden=1)

    rng = np.random.default_rng(0)
    arrays = [nd.array(rng.normal(size=shape)) for shape in ((5, 2), (1, 5), (6, 2))]
    first, last = gradient_of_gradient(layer, arrays[:2], arrays[2])
    assert first[0] == pytest.approx(first[1], rel=0.01)  # so the differences are right
    assert abs(last[0] - last[1]) > 0.5 * abs(last[1]) > 1


@pytest.mark.parametrize("operator", ["Activation", "Convolution", "LeakyReLU", "BatchNorm"])
def test_other_operators_have_no_second_gradients(operator):
    layers = {
        "Activation": lambda x: nd.Activation(x, act_type="tanh"),
        "LeakyReLU": lambda x: nd.LeakyReLU(x, slope=0.2),
        "Convolution": lambda x: nd.Convolution(
            x, nd.ones((1, 2, 3, 3)), kernel=(3, 3), num_filter=1, no_bias=True
        ),
        "BatchNorm": lambda x: nd.BatchNorm(x, *(nd.ones((2,)) for _ in range(4)), fix_gamma=False),
    }
    x = nd.ones((3, 2, 5, 5))
    x.attach_grad()
    with mx.autograd.record():
        y = layers[operator](x)
        slope = mx.autograd.grad(y, x, create_graph=True, retain_graph=True)[0]
        total = slope.square().sum()
    with pytest.raises(mx.base.MXNetError, match=f"_backward_{operator} is non-differentiable"):
        total.backward()
