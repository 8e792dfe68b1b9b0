"""The numbers of docs/errata.md: what the book's recipes give, and what is right.

Holds computations only; the book's steps are written anew here, in NumPy, from its equations.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.core.engine import Engine
from dope.core.task import Group
from dope.plugins.timeseries.innovations import Structure, Trajectory, filter_states
from dope.plugins.timeseries.kalman import filter as kalman_filter
from dope.plugins.timeseries.kalman import sample
from dope.plugins.timeseries.rotation import Rotation
from dope.plugins.timeseries.series import Nile
from dope.plugins.vision.cnn import CNN, shrunk
from dope.plugins.vision.digits import Digits
from dope.plugins.vision.idx import Mnist, read_idx
from dope.plugins.vision.naive_bayes import NaiveBayes
from dope.plugins.vision.scratch import BatchNorm

SIGMA = 0.5
SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
needs_mnist = pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="needs the MNIST files")


def book_filter(z, F, a, g, sigma):
    """One-step predictions (T,), and the last filtered mean (H,) and covariance (H, H).

    The prior of the first state has mean zero and covariance zero, as printed.
    """
    mean, cov, predictions = np.zeros(len(a)), np.zeros((len(a), len(a))), []
    for t, value in enumerate(z):
        if t:
            mean, cov = F @ mean, F @ cov @ F.T + np.outer(g, g)
        predictions.append(a @ mean)
        gain = cov @ a / (a @ cov @ a + sigma**2)
        mean = mean + gain * (value - a @ mean)
        cov = cov - np.outer(gain, a @ cov)
    return np.array(predictions), mean, cov


def book_forecast(mean, cov, F, a, sigma, horizon):
    """The book's means and what it calls standard deviations, (horizon,) each."""
    means, deviations = [], []
    for _ in range(horizon):
        means.append(a @ mean)
        deviations.append(a @ cov @ a + sigma**2)
        mean, cov = F @ mean, F @ cov @ F.T
    return np.array(means), np.array(deviations)


def ours(structure: Structure, g, z, delta=1.0, phi=1.0, *, known=True) -> Trajectory:
    """dope's filter with strengths ``g`` and noise SIGMA, from a zero state if it is known."""
    start = np.zeros((1, structure.size)) if known else None
    damping = (np.full(1, d) for d in (delta, phi))
    return filter_states(structure, np.array([g]) / SIGMA, z[None], *damping, initial=start)


def deviations(found: Trajectory, horizon: int) -> np.ndarray:
    """Standard deviations of the forecast for noise SIGMA, not for the one that fits best."""
    return found.forecast(horizon)[1][0] / found.sigma[0] * SIGMA


@pytest.fixture
def nile() -> np.ndarray:
    """The Nile, standardized as the book standardizes its series, (100,)."""
    values = Nile(holdout=0).load().values[0]
    return (values - values.mean()) / values.std()


def test_the_books_bands_of_the_level_model_are_flat_and_too_narrow(nile):
    F, a, g = np.ones((1, 1)), np.ones(1), np.array([0.5])
    _, mean, cov = book_filter(nile, F, a, g, SIGMA)
    _, said = book_forecast(mean, cov, F, a, SIGMA, 13)
    np.testing.assert_allclose(said, 0.4045, atol=5e-5)
    right = deviations(ours(Structure(), g, nile), 13)
    np.testing.assert_allclose(right[[0, 12]], [0.8090, 1.9117], atol=5e-5)
    golden = (1 + 5**0.5) / 2  # the closed form for alpha = sigma
    np.testing.assert_allclose(right**2, SIGMA**2 * (golden + np.arange(1, 14)), rtol=1e-9)
    inside = [math.erf(said[h] / right[h] / math.sqrt(2)) for h in (0, 12)]
    np.testing.assert_allclose(inside, [0.383, 0.168], atol=5e-4)


def test_the_books_forecast_of_level_and_trend_starts_one_step_late(nile):
    F, a, g = np.array([[1.0, 1.0], [0.0, 1.0]]), np.ones(2), np.array([0.5, 0.1])
    _, mean, cov = book_filter(nile, F, a, g, SIGMA)
    means, said = book_forecast(mean, cov, F, a, SIGMA, 14)
    found = ours(Structure(trend=True), g, nile)
    np.testing.assert_allclose(found.forecast(13)[0][0], means[1:], rtol=1e-9)
    right = deviations(found, 13)
    np.testing.assert_allclose(said[[0, 12]], [0.4261, 1.7613], atol=5e-5)
    np.testing.assert_allclose(right[[0, 12]], [0.9193, 4.7407], atol=5e-5)


def test_the_filter_itself_is_the_model_of_the_text(nile):
    """With damping, too: a and F both hold it, and the state is counted one step later."""
    delta, phi = 0.9, 0.8
    F, a, g = np.array([[delta, phi], [0.0, phi]]), np.array([delta, phi]), np.array([0.5, 0.1])
    predicted, _, _ = book_filter(nile, F, a, g, SIGMA)
    np.testing.assert_allclose(
        ours(Structure(trend=True), g, nile, delta, phi).fitted[0], predicted, atol=1e-10
    )


def test_a_first_state_that_is_known_exactly_ignores_the_first_value(nile):
    F, a, g = np.ones((1, 1)), np.ones(1), np.array([0.5])
    predicted, _, _ = book_filter(nile, F, a, g, SIGMA)
    moved = nile.copy()
    moved[0] += 100.0
    np.testing.assert_array_equal(book_filter(moved, F, a, g, SIGMA)[0], predicted)
    assert predicted[1] == 0.0 and nile[0] > 1
    fitted = ours(Structure(), g, nile, known=False).fitted[0]
    np.testing.assert_allclose([nile[0], fitted[1]], [1.192, 1.184], atol=5e-4)


def test_a_variance_passed_as_a_deviation():
    system = Rotation(noise=0.5).system
    states, seen = sample(np.random.default_rng(1), *system, 400, 50)
    noise = (seen - states @ system.B.T).std()
    assert abs(noise - 0.5) < 0.01  # 20,000 draws: standard error 0.0025
    as_printed = np.random.default_rng(1).normal(0.0, system.S_v[0, 0], 20000).std()
    assert abs(as_printed - 0.25) < 0.005


def test_a_zero_prior_of_the_first_state_costs_likelihood():
    data, system = Rotation(series=2000), Rotation().system
    values = data.load().values[:, :, None]
    right = [nd.array(x, dtype="float64") for x in system]
    zero = [*right[:4], nd.zeros_like(right[4]), nd.zeros_like(right[5])]
    found = [kalman_filter(values, *s).log_likelihood.asnumpy().mean() for s in (right, zero)]
    np.testing.assert_allclose(found, [-66.62, -69.07], atol=5e-3)


def fitted_start(structure, ratios, z):
    """Log-likelihood in nats at the initial state that is best for these strengths over sigma."""
    g = structure.innovation_vector(np.array([ratios]))
    ones = np.ones(1)
    free = filter_states(structure, g, z[None], ones, ones)
    known = filter_states(structure, g, z[None], ones, ones, initial=free.initial)
    return known.log_likelihood[0], free.log_likelihood[0]


def test_a_fitted_initial_state_has_no_best_likelihood(nile):
    logs = np.arange(4.0, 10.0)
    both = np.array([fitted_start(Structure(), [np.exp(k)], nile) for k in logs])
    np.testing.assert_allclose(np.diff(both[:, 0]), 1.0, atol=0.02)  # one free value
    assert (np.diff(both[:, 1]) < 0).all()
    z = np.tile(np.random.default_rng(0).normal(size=12), 10)
    z = z + np.random.default_rng(1).normal(size=120)
    both = np.array([fitted_start(Structure(season=12), [1e-4, np.exp(k)], z) for k in logs])
    np.testing.assert_allclose(np.diff(both[:, 0]), 12.0, atol=0.05)  # level and 11 of the season
    assert (np.diff(both[:, 1]) < 0).all()


# Image classifiers


def flat(dataset, part):
    """Pixels between 0 and 1, (N, D), and labels, (N,)."""
    pixels, labels = dataset.split(part)
    return pixels.reshape(len(pixels), -1) / 255, labels


def book_counts(x, y):
    """p(x_i = 1 | y = k), (10, D), and p(y = k), (10,), by the book's smoothing."""
    one_hot = y[:, None] == np.arange(10)
    classes = 1 + one_hot.sum(axis=0)
    return (1 + one_hot.T @ x) / classes[:, None], classes / classes.sum()


def book_joint(x, p):
    """What the book takes for log p(x, y = k): (N, 10), with 0 log 0 not a number, as there."""
    with np.errstate(all="ignore"):
        on, off = np.log(p), np.log(1 - p)
        return np.stack([(x * a + (1 - x) * b).sum(axis=1) for a, b in zip(on, off)], axis=1)


def posterior(joint):
    e = np.exp(joint - joint.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_a_pixel_that_is_always_on_spoils_the_books_naive_bayes():
    digits = Digits()
    (x, y), (x_test, y_test) = flat(digits, "train"), flat(digits, "test")
    p, _ = book_counts((x > 0.5) * 1.0, y)
    assert np.argwhere(p == 1).tolist() == [[6, 60]]
    joint = book_joint((x_test > 0.5) * 1.0, p)
    assert len(joint) == 359
    assert [np.isnan(joint[:, 6]).sum(), np.isneginf(joint[:, 6]).sum()] == [290, 69]
    assert np.isfinite(np.delete(joint, 6, axis=1)).all()
    kindly = np.where(np.isnan(joint), -np.inf, joint).argmax(axis=1)
    assert round((kindly == y_test).mean(), 3) == 0.794

    net = NaiveBayes(digits)
    net.initialize()
    pixels, labels = digits.split("train")
    found = net.count(nd.array(digits.to_input(pixels)), nd.array(labels))
    net.add([found], len(labels))
    ours = net.joint(nd.array(digits.to_input(digits.split("test")[0]))).asnumpy()
    assert np.isfinite(ours).all()
    assert round((ours.argmax(axis=1) == y_test).mean(), 4) == 0.8914
    assert round(ours[np.arange(len(ours)), y_test].mean(), 2) == -20.81


@needs_mnist
def test_no_pixel_of_mnist_is_always_on_and_what_the_lost_prior_changes():
    mnist = Mnist(path=SHARED / "mnist", source="test")
    (x, y), (x_test, _) = flat(mnist, "train"), flat(mnist, "test")
    p, prior = book_counts(x, y)
    assert len(x) == 8000 and p.max() < 1
    assert round(prior.max() / prior.min(), 2) == 1.25
    joint = book_joint(x_test, p)
    lost, right = posterior(joint), posterior(joint + np.log(prior))
    assert round(np.abs(lost - right).max(), 3) == 0.053
    assert (lost.argmax(axis=1) == right.argmax(axis=1)).all()


def book_softmax(logits):
    e = nd.exp(logits - nd.max(logits))  # of the whole batch
    return e / nd.sum(e, axis=1, keepdims=True)


def test_the_books_softmax_needs_logits_of_one_size():
    logits = nd.array([[0, 1], [200, 201]])
    got = book_softmax(logits).asnumpy()
    assert np.isnan(got[0]).all()
    np.testing.assert_allclose(got[1], [0.2689, 0.7311], atol=5e-5)
    right = logits.softmax().asnumpy()
    np.testing.assert_allclose(right, [[0.2689, 0.7311]] * 2, atol=5e-5)

    logits, targets = nd.array([[0, 120]]), nd.array([[0, 1], [1, 0]])
    losses = [-nd.sum(t * nd.log(book_softmax(logits))).asscalar() for t in targets]
    assert np.isnan(losses[0]) and losses[1] == np.inf
    right = [-nd.sum(t * logits.log_softmax()).asscalar() for t in targets]
    np.testing.assert_allclose(right, [0, 120], atol=1e-5)


def test_the_books_loss_of_a_diverged_network_is_zero():
    logits, targets = nd.full((3, 10), np.nan), nd.one_hot(nd.array([1, 2, 3]), 10)
    loss = -nd.nansum(targets * nd.log_softmax(logits), axis=1)
    assert (loss.asnumpy() == 0).all() and (logits.argmax(axis=1).asnumpy() == 0).all()


def one_update(n, rate, wd=0.0):
    """Weights of a linear layer after one update of the engine on n digits, from 0.01 each."""
    x, y = flat(Digits(), "train")
    net = mx.gluon.nn.Dense(10, in_units=64, weight_initializer=mx.init.Constant(0.01))
    group = Group([net], "sgd", {"learning_rate": rate, "wd": wd})
    engine = Engine(net, {"main": group}, [mx.cpu(0)])
    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    engine.minimize(
        "main",
        lambda nets, shard, carry: criterion(nets(shard[0]), shard[1]),
        (nd.array(x[:n]), nd.array(y[:n])),
    )
    return net.weight.data().asnumpy()


def book_update(n, penalty=0.0):
    """The same by the book's loop: the gradient of the sum over n digits, times 0.001."""
    x, y = flat(Digits(), "train")
    weights = np.full((10, 64), 0.01)
    error = posterior(x[:n] @ weights.T) - (y[:n, None] == np.arange(10))
    return weights - 0.001 * (error.T @ x[:n] + 2 * penalty * weights)


def test_the_books_rate_is_of_the_sum_and_its_last_batch_counts_less():
    np.testing.assert_allclose(book_update(64), one_update(64, 0.064), rtol=1e-5)
    last = len(Digits().split("train")[0]) % 64
    assert last == 30 and 60000 % 64 == 32
    steps = [update - 0.01 for update in (book_update(last), one_update(last, 0.064))]
    share = np.linalg.norm(steps[0]) / np.linalg.norm(steps[1])
    assert round(share, 3) == round(30 / 64, 3) == 0.469


def test_the_books_penalty_is_a_weight_decay_that_depends_on_the_batch():
    ours = one_update(64, 0.064, wd=0.003125)
    np.testing.assert_allclose(book_update(64, penalty=0.1), ours, rtol=1e-5)
    assert 0.2 / 64 == 0.003125 and 0.2 / (1000 % 64) == 0.005
    wrong = book_update(64, penalty=0.2) - ours
    assert np.abs(wrong).max() > 1e-6  # the tolerance above would see another strength


def test_the_books_mean_of_batch_means_favours_the_last_batch():
    n, batch = 1000, 64
    batches, last = math.ceil(n / batch), n % batch
    assert (batches, last) == (16, 40)
    np.testing.assert_allclose((1 / batches / last) / (1 / batches / batch), 1.6)


def test_figures_of_the_overfitting_chapters():
    assert 784 * 10 + 10 == 7850
    assert mx.optimizer.create("sgd").wd == 0
    assert round(math.sqrt(0.845 * 0.155 / 1000), 3) == 0.011
    half = math.log(0.5) / math.log(0.99)
    assert round(half) == 69


@needs_mnist
def test_a_small_start_does_more_than_the_books_penalty():
    mnist = Mnist(path=SHARED / "mnist", source="test", train=1000)
    (x, y), (x_test, y_test) = flat(mnist, "train"), flat(mnist, "test")
    x, x_test = (np.c_[a, np.ones(len(a))].astype("f4") for a in (x, x_test))
    one_hot = (y[:, None] == np.arange(10)).astype("f4")

    def accuracy(deviation, penalty):
        rng = np.random.default_rng(0)
        weights = (deviation * rng.normal(size=(785, 10))).astype("f4")
        for _ in range(500):
            order = rng.permutation(len(x))
            for start in range(0, len(x), 64):
                rows = order[start : start + 64]
                error = posterior(x[rows] @ weights) - one_hot[rows]
                weights -= 0.001 * (x[rows].T @ error + 2 * penalty * weights)
        return ((x_test @ weights).argmax(axis=1) == y_test).mean()

    found = [accuracy(1, 0), accuracy(1, 0.1), accuracy(0.01, 0)]
    np.testing.assert_allclose(found, [0.817, 0.861, 0.873], atol=0.0021)  # 4 of 2,000 images


def test_dropout_scales_in_training_and_not_in_prediction():
    layer, x = mx.gluon.nn.Dropout(0.5), nd.ones((100, 100))
    assert (layer(x) == 1).asnumpy().all()
    with mx.autograd.train_mode():
        assert set(np.unique(layer(x).asnumpy())) == {0, 2}


def test_the_two_convolutional_networks_differ():
    images = SimpleNamespace(shape=(1, 28, 28), classes=range(10))
    scratch = CNN(images, kernels=(3, 5), pool="avg", dense=128)
    gluon = CNN(images, kernels=(5, 5), pool="max", dense=512)
    counts = [
        sum(math.prod(p.shape) for p in net.collect_params().values()) for net in (scratch, gluon)
    ]
    assert counts == [129068, 440812]


def test_alexnet_gets_bytes_and_some_test_images_are_left_out():
    image = nd.full((32, 32, 3), 255, dtype="uint8")
    assert mx.image.imresize(image, 224, 224).astype("float32").max().asscalar() == 255
    tested = 10000 // 64 * 64
    right = 0.347956730769 * tested
    assert tested == 9984 and abs(right - 3474) < 1e-5

    def side(paddings):
        now = 224
        for (kernel, stride, pooled), pad in zip(
            [(11, 4, True), (5, 1, True), (3, 1, False), (3, 1, False), (3, 1, True)], paddings
        ):
            now = shrunk(now, kernel, stride, pad)
            now = shrunk(now, 3, 2) if pooled else now
        return now

    assert [side([0, 0, 0, 0, 0]), side([2, 2, 1, 1, 1])] == [1, 6]
    assert 256 * 6 * 6 == 9216


class BookNorm:
    """The book's batch normalization of a dense layer: it moves its statistics at every call."""

    def __init__(self):
        self.mean = self.variance = None

    def __call__(self, x, training):
        mean, variance = x.mean(axis=0), x.var(axis=0)
        out = x - (mean if training else self.mean)
        out = out / np.sqrt((variance if training else self.variance) + 1e-5)
        if self.mean is None:
            self.mean, self.variance = mean, variance
        else:
            self.mean = 0.9 * self.mean + 0.1 * mean
            self.variance = 0.9 * self.variance + 0.1 * variance
        return out


def test_the_books_batch_norm_learns_from_test_images():
    (x, _), (x_test, _) = flat(Digits(), "train"), flat(Digits(), "test")
    norm, ours = BookNorm(), BatchNorm(64)
    ours.initialize()
    for start in range(0, len(x), 64):
        norm(x[start : start + 64], training=True)
        with mx.autograd.record():
            ours(nd.array(x[start : start + 64]))
    first, second = (norm(x_test[:64], training=False) for _ in range(2))
    assert round(np.abs(first - second).max(), 2) == 0.18
    first, second = (ours(nd.array(x_test[:64])).asnumpy() for _ in range(2))
    assert (first == second).all()
    batches = math.ceil(10000 / 64)
    assert batches == 157 and f"{0.9**batches:.1e}" == "6.5e-08"


def test_the_books_moving_statistics_keep_their_history():
    scale, moving, operators = nd.ones(3), None, []
    scale.attach_grad()
    for _ in range(5):
        with mx.autograd.record():
            x = nd.ones((8, 3)) * scale
            mean = x.mean(axis=0)
            moving = mean if moving is None else moving * 0.9 + mean * 0.1
            loss = nd.square(x - mean.reshape((1, 3)))
        loss.backward()
        if moving is not mean:
            graph = mx.autograd.get_symbol(moving)
            operators.append(len(graph.get_internals().list_outputs()))
    assert np.diff(operators).tolist() == [4, 4, 4]


def test_padding_counts_images_twice_and_uneven_batches_are_refused():
    def seen(n, batch):
        batches = mx.io.NDArrayIter(np.arange(float(n)), np.zeros(n), batch)
        return np.concatenate([b.data[0].asnumpy() for b in batches])

    assert [len(seen(10000, 64)), len(seen(10000, 128))] == [10048, 10112]
    train = seen(60000, 64)
    assert len(train) == 60032
    np.testing.assert_array_equal(train, [*range(60000), *range(32)])  # and never shuffled
    with pytest.raises(ValueError, match="evenly"):
        mx.gluon.utils.split_and_load(nd.ones((63, 3)), [mx.cpu(0), mx.cpu(1)])


@needs_mnist
def test_the_books_network_on_two_devices_calls_every_image_a_one():
    labels = read_idx(SHARED / "mnist" / "t10k-labels-idx1-ubyte.gz")
    found = {}
    for batch in (64, 128):
        padded = np.r_[labels, labels[: -len(labels) % batch]]
        found[batch] = [round((padded == digit).mean(), 4) for digit in range(10)]
    assert found[64].index(0.1139) == found[128].index(0.1137) == 1
    assert found[128].index(0.1010) == 3
