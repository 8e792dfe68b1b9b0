"""The variational wrapper: samples, both ways to draw, divergences, contexts, names.

Golden numbers are NumPy and SciPy written out; nothing is trained for long.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from dope.core.backend import mx, nd
from dope.core.engine import Engine
from dope.core.errors import ConfigError
from dope.core.task import Group, parameters
from dope.plugins.bayes.classification import BayesianClassifier
from dope.plugins.bayes.noise import Noise, normal
from dope.plugins.bayes.priors import GaussianPrior, MixturePrior
from dope.plugins.bayes.variational import Variational
from dope.plugins.losses.losses import SoftmaxCrossEntropy
from dope.plugins.tabular import dense
from dope.plugins.vision.cnn import CNN
from dope.plugins.vision.mlp import MLP

IMAGES = SimpleNamespace(shape=(1, 8, 8), classes=list("abc"))


def wrapped(net, shape=(1, 1, 8, 8), contexts=None, **given):
    made = Variational(net, shape, **given)
    made.initialize(ctx=contexts or [mx.cpu()])
    return made


def spread(net, seed=0):
    """Give every rho another value."""
    rng = np.random.default_rng(seed)
    for p in net.rho.collect_params().values():
        p.set_data(nd.array(rng.uniform(-4, -1, p.shape)))


@pytest.fixture
def perceptron():
    mx.random.seed(3)
    net = wrapped(MLP(IMAGES, hidden=(7,)), rho=-1.5)
    spread(net)
    return net


def by_hand(net, x, noise):
    """The perceptron in NumPy: w = mu + log(1 + exp(rho)) eps."""
    mean, deviation = net.moments()
    w = mean + deviation * noise
    first, w = w[: 7 * 64].reshape(7, 64), w[7 * 64 :]
    bias, w = w[:7], w[7:]
    second, last = w[:21].reshape(3, 7), w[21:]
    hidden = np.maximum(x.reshape(len(x), -1) @ first.T + bias, 0)
    return hidden @ second.T + last


def test_a_sample_is_the_network_of_its_weights(perceptron):
    x = np.random.default_rng(1).normal(size=(5, 1, 8, 8)).astype("float32")
    for noise in (np.zeros(perceptron.size), normal(4, perceptron.size)):
        perceptron.fill(noise.astype("float32"))
        found = perceptron(nd.array(x)).asnumpy()
        np.testing.assert_allclose(found, by_hand(perceptron, x, noise), rtol=2e-5, atol=2e-5)
    perceptron.hybridize(static_alloc=True, static_shape=True)
    np.testing.assert_allclose(perceptron(nd.array(x)).asnumpy(), found, rtol=1e-6)


def test_means_start_as_the_wrapped_network_and_names_are_stable():
    mx.random.seed(8)
    plain = MLP(IMAGES, hidden=(7,))
    plain.initialize()
    x = nd.random.normal(shape=(2, 1, 8, 8))
    expected = plain(x).asnumpy()
    mx.random.seed(8)
    net = wrapped(MLP(IMAGES, hidden=(7,)))
    np.testing.assert_array_equal(net(x).asnumpy(), expected)
    layers = [f"{i}.{what}" for i in (0, 1) for what in ("weight", "bias")]
    assert sorted(parameters(net)) == sorted(f"{a}.{b}" for a in ("mu", "rho") for b in layers)
    deviation = net.moments()[1]
    np.testing.assert_allclose(deviation, np.log1p(np.exp(-3.0)), rtol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_any_convolutional_network_is_wrapped(batch_norm):
    mx.random.seed(8)
    made = CNN(IMAGES, channels=(4, 5), dense=6, batch_norm=batch_norm)
    net = wrapped(made)
    x = nd.random.normal(shape=(3, 1, 8, 8))
    np.testing.assert_allclose(net(x).asnumpy(), made(x).asnumpy(), rtol=1e-5, atol=1e-6)
    learned = {k for k, p in parameters(made).items() if p.grad_req != "null"}
    assert {k[4:] for k in parameters(net) if k.startswith("rho.")} == learned
    assert (
        len(net.local) < net.arrays
    ) == batch_norm  # its scales are of no layer whose outputs could be drawn


def convolution():
    """A convolution alone: deeper, positions that share weights would have to be drawn together."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(2, 3), mx.gluon.nn.Flatten())
    return net


@pytest.mark.parametrize("make", [lambda: MLP(IMAGES, hidden=(6,)), convolution])
def test_outputs_drawn_locally_have_the_moments_of_sampled_weights(make):
    mx.random.seed(2)
    net = wrapped(make(), rho=-2.0)
    spread(net)
    rng = np.random.default_rng(0)
    x = nd.array(rng.normal(size=(1, 1, 8, 8)))
    n = 3000
    direct = []
    for seed in range(n):
        net.fill(normal(seed, net.size))
        direct.append(net(x).asnumpy()[0])
    many = nd.broadcast_to(x, (n, 1, 8, 8))
    noises = [nd.array(rng.normal(size=(n, *site))) for site in net.recipe.sites]
    local = net.output_locally(many, net.posterior(many), noises, {}).asnumpy()
    error = np.std(direct, axis=0) / np.sqrt(n)
    assert (np.abs(np.mean(direct, axis=0) - local.mean(axis=0)) < 6 * error).all()
    np.testing.assert_allclose(np.std(direct, axis=0), local.std(axis=0), rtol=0.1)


def test_local_moments_of_a_linear_layer_are_exact():
    net = wrapped(dense.MLP(SimpleNamespace(shape=(4,)), hidden=()), (1, 4))
    spread(net)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4)).astype("float32")
    mean, deviation = net.moments()
    noise = np.array([[0.0], [1.0], [-2.0]], "float32")
    found = net.output_locally(nd.array(x), net.posterior(nd.array(x)), [nd.array(noise)], {})
    variance = x**2 @ deviation[:4] ** 2 + deviation[4] ** 2
    expected = x @ mean[:4] + mean[4] + np.sqrt(variance) * noise[:, 0]
    np.testing.assert_allclose(found.asnumpy()[:, 0], expected, rtol=1e-5)


def test_divergence_from_the_gaussian_prior(perceptron):
    """KL(N(m, s^2) || N(0, p^2)) = log(p / s) + (s^2 + m^2) / (2 p^2) - 1 / 2, weight by weight."""
    x = nd.zeros((1, 1, 8, 8))
    posterior = perceptron.posterior(x)
    mean, deviation = perceptron.moments()
    for p in (1.0, 0.3):
        found = GaussianPrior(p).divergence(x, posterior, (), perceptron.size).asscalar()
        each = np.log(p / deviation) + (deviation**2 + mean**2) / (2 * p**2) - 0.5
        assert found == pytest.approx(each.sum(), rel=1e-5)


def test_divergence_from_the_mixture_is_that_of_many_samples(perceptron):
    x, rng = nd.zeros((1, 1, 8, 8)), np.random.default_rng(0)
    mean, deviation = (each.astype("float64") for each in perceptron.moments())
    prior, posterior = MixturePrior(0.25, 0.75, 0.1), perceptron.posterior(x)
    found = []
    for seed in range(400):
        perceptron.fill(normal(seed, perceptron.size))
        sets = [perceptron.weights(x, posterior)]
        found.append(prior.divergence(x, posterior, sets, perceptron.size).asscalar())
    w = mean + deviation * rng.normal(size=(4000, perceptron.size))
    p = 0.25 * stats.norm.pdf(w, 0, 0.75) + 0.75 * stats.norm.pdf(w, 0, 0.1)
    estimates = (stats.norm.logpdf(w, mean, deviation) - np.log(p)).sum(axis=1)
    error = np.hypot(np.std(found) / 20, estimates.std() / np.sqrt(4000))
    assert abs(np.mean(found) - estimates.mean()) < 4 * error
    # and one of them exactly, given its weights: the entropy is in closed form
    noise = normal(399, perceptron.size)
    w = mean + deviation * noise
    p = 0.25 * stats.norm.pdf(w, 0, 0.75) + 0.75 * stats.norm.pdf(w, 0, 0.1)
    expected = -np.log(p).sum() - stats.norm.entropy(0, deviation).sum()
    assert found[-1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("prior", [GaussianPrior(0.3), MixturePrior(0.25, 0.75, 0.1)])
@pytest.mark.parametrize("local", [False, True])
def test_one_operator_in_numpy_computes_what_mxnets_do(monkeypatch, prior, local):
    """Values and gradients, for rho from far below to far above."""
    mx.random.seed(6)
    net = wrapped(CNN(IMAGES, channels=(3, 4), dense=5, batch_norm=True), samples=2)
    rng = np.random.default_rng(0)
    for p in net.rho.collect_params().values():
        p.set_data(nd.array(rng.uniform(-9, 1, p.shape)))
    net.rho.collect_params().values().__iter__().__next__().data()[0] = 30.0
    for s in range(2):
        net.fill(normal(s, net.size), s)
    x = nd.array(rng.normal(size=(2, 1, 8, 8)))
    ways = []
    for synchronous in (True, False):
        monkeypatch.setattr(Variational, "_synchronous", synchronous)
        with mx.autograd.record():
            posterior, drawn, divergence = net.sample(x, prior, 2, local=local)
            total = 0.01 * divergence
            for i, k in enumerate(posterior):
                for s, weights in enumerate(drawn):
                    if k in weights:
                        total = total + ((i + s + 1) * weights[k]).sin().sum()
                if local:
                    total = total + (posterior[k][1] * (i + 1)).sum()
        total.backward()
        learned = {k: p for k, p in parameters(net).items() if p.grad_req != "null"}
        gradients = {k: p.grad().asnumpy().copy() for k, p in learned.items()}
        ways.append((divergence.asscalar(), total.asscalar(), gradients))
    (kl, value, found), (kl_plain, value_plain, expected) = ways
    assert kl == pytest.approx(kl_plain, rel=1e-5)
    if not local or prior.sampled:  # else MXNet's way draws all weights and so adds more up
        assert value == pytest.approx(value_plain, rel=1e-4)
        for k, each in expected.items():
            np.testing.assert_allclose(found[k], each, rtol=1e-3, atol=1e-4, err_msg=k)


def test_mixture_far_from_zero_is_finite(perceptron):
    perceptron.set_means(np.full(perceptron.size, 50.0, "float32"))
    x = nd.zeros((1, 1, 8, 8))
    posterior = perceptron.posterior(x)
    sets = [perceptron.weights(x, posterior)]
    found = MixturePrior(0.25, 0.75, 0.0025).divergence(x, posterior, sets, perceptron.size)
    assert np.isfinite(found.asscalar())


def task(**given):
    made = BayesianClassifier(**given)
    made.criterion = SoftmaxCrossEntropy()
    return made


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("prior", ["gaussian", "mixture"])
def test_contexts_and_compiling_change_nothing(local, prior):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 1, 8, 8)).astype("float32"), rng.integers(0, 3, 7)
    batch = nd.array(x), nd.array(y), nd.full((7,), 1 / 50)
    ends = {}
    for name, contexts, hybridize in (
        ("one", [mx.cpu(0)], True),
        ("two", [mx.cpu(0), mx.cpu(1)], True),
        ("imperative", [mx.cpu(0)], False),
    ):
        mx.random.seed(4)
        made = task(local=local, prior=prior, samples=2)
        net = Variational(CNN(IMAGES, channels=(3, 4), dense=5), (1, 1, 8, 8), samples=2)
        groups = {"main": Group([net], "sgd", {"learning_rate": 0.1})}
        engine = Engine(net, groups, contexts, hybridize=hybridize)
        for step in range(3):
            np.random.seed(step)
            found = made.step(engine, batch)
        ends[name] = np.concatenate(net.moments()), found["kl"].mean(), found["nll"].mean()
        assert found["loss"].mean() == pytest.approx(
            found["nll"].mean() + found["kl"].mean() / 50, rel=1e-5
        )
    for name in ("two", "imperative"):
        for a, b in zip(ends["one"], ends[name]):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_the_paper(perceptron):
    """dL/drho = (dL/dw eps + dL/dsigma) / (1 + exp(-rho)); the loss by central differences."""
    rng = np.random.default_rng(0)
    x, y = nd.array(rng.normal(size=(6, 1, 8, 8))), nd.array(rng.integers(0, 3, 6))
    perceptron.fill(normal(1, perceptron.size))
    made, share = task(), nd.full((6,), 0.01)
    with mx.autograd.record():
        value = made.loss(perceptron, (x, y, share), None)["loss"].sum()
    value.backward()

    def total():
        return made.loss(perceptron, (x, y, share), None)["loss"].asnumpy().sum(dtype="float64")

    for name, p in parameters(perceptron).items():
        array, gradient = p.data().asnumpy(), p.grad().asnumpy()
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        ends = []
        for sign in (1, -1):
            moved = array.copy()
            moved[place] += sign * 1e-2
            p.set_data(nd.array(moved))
            ends.append(total())
        p.set_data(nd.array(array))
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(gradient[place], rel=2e-2), name


def test_noise_is_normal_and_does_not_depend_on_the_thread():
    values = normal(0, 1_000_001)
    assert values.dtype == np.float32 and len(values) == 1_000_001
    assert stats.kstest(values[:200_000], "norm").pvalue > 0.001
    assert stats.kurtosis(values) == pytest.approx(0, abs=0.03)
    assert abs(np.corrcoef(values[:500_000], values[-500_000:])[0, 1]) < 0.006
    one, other = Noise(), Noise()
    np.random.seed(5)
    drawn = [one.draw(10) for _ in range(4)]  # from the second on, drawn ahead
    np.random.seed(5)
    again = []
    for _ in range(4):
        other._ahead = None
        again.append(other.draw(10))
    np.testing.assert_array_equal(drawn, again)
    np.random.seed(5)  # as where a run is resumed: what was drawn ahead is of no use
    np.testing.assert_array_equal(one.draw(10), drawn[0])
    np.testing.assert_array_equal(one.draw(7), normal_after(5, 1, 7))


def normal_after(seed, calls, size):
    fresh = Noise()
    np.random.seed(seed)
    for _ in range(calls):
        fresh.draw(10)
    fresh._ahead = None
    return fresh.draw(size)


def test_models_that_cannot_be_wrapped_are_refused():
    class Plain(mx.gluon.Block):
        pass

    with pytest.raises(ConfigError, match="Plain is no HybridBlock"):
        Variational(Plain(), (1, 4))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sigma": 0.0}, "task.sigma=0.0"),
        ({"pi": 1.0}, "task.pi=1.0"),
        ({"sigma1": 0.1, "sigma2": 0.2}, "task.sigma2=0.2"),
        ({"samples": 0}, "task.samples=0"),
        ({"draws": 0}, "task.draws=0"),
        ({"strength": -1.0}, "task.strength"),
    ],
)
def test_options_out_of_range_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        BayesianClassifier(**given)
