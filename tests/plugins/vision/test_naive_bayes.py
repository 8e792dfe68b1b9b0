"""Tests of naive Bayes: its probabilities against scikit-learn's, and learning by counting.

Golden numbers are scikit-learn 1.9.1's BernoulliNB (numpy 2.4.6), which smooths both outcomes of a
pixel as dope does but not the classes: it got dope's class probabilities as ``class_prior``. Each
set of numbers stands with the code that made it.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.engine import Engine
from dope.core.errors import ConfigError
from dope.core.metrics import Sum
from dope.plugins.losses.losses import SoftmaxCrossEntropy
from dope.plugins.vision import naive_bayes
from dope.plugins.vision.naive_bayes import NaiveBayes, NaiveBayesClassifier

SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
DIGITS = Path(naive_bayes.__file__).parent / "data" / "digits.npz"


def images_of(shape, classes):
    return SimpleNamespace(shape=shape, classes=[str(k) for k in range(classes)])


def colour():
    """14 images (2, 2, 3), pixels in tenths, so that some lie on the threshold; 3 classes."""
    i = np.arange(14 * 2 * 2 * 3)
    return ((7 * i * i + 3 * i) % 11 / 10).reshape(14, 2, 2, 3).astype("f4"), np.arange(14) % 3


def handwriting():
    """The bundled digits in the order of their file: (1797, 1, 8, 8) in [0, 1], and labels."""
    with np.load(DIGITS, allow_pickle=False) as file:
        return (file["images"][:, None] / 16).astype("f4"), file["labels"].astype("f4")


def learner(x, y, contexts=None, *, batch=4, hybridize=True, classes=3, **options):
    """A task and an engine over images x and labels y, nothing learned yet."""
    task = NaiveBayesClassifier()
    task.criterion = SoftmaxCrossEntropy()
    task.dataset = SimpleNamespace(
        batches=lambda split, size: ArrayBatches((x, y.astype("f4")), size, shuffle=True)
    )
    task.options = SimpleNamespace(batch_size=batch)
    net = NaiveBayes(images_of(x.shape[1:], classes), **options)
    engine = Engine(net, task.groups(net), contexts or [mx.cpu(0)], hybridize=hybridize)
    return task, engine


def learn(task, engine, epoch=0, skip=0, stop=None):
    """One pass, or the part of it from batch ``skip`` to ``stop``; the mean loss."""
    loss = Sum()
    batches = task.data("train").epoch(np.random.default_rng(epoch), skip)
    for step, batch in enumerate(batches, skip):
        if step == stop:
            break
        loss = loss + task.step(engine, batch)["loss"]
    return loss.mean()


def joint(engine, x):
    """log p(x, y), float64 (n, K); the network's own outputs are the same in float32."""
    found = engine.nets.joint(nd.array(x)).asnumpy()
    logits = engine.nets(nd.array(x)).asnumpy()
    assert found.dtype == np.float64 and logits.dtype == np.float32
    np.testing.assert_array_equal(logits, found.astype(np.float32))
    return found


def test_colour_images_against_scikit_learn():
    # i = np.arange(168); X = ((7*i*i + 3*i) % 11 / 10).reshape(14, 12); y = np.arange(14) % 3
    # BernoulliNB(alpha=.5, binarize=.3, class_prior=(np.array([4, 3, 3]) + .5) / 11.5)
    #     .fit(X[:10], y[:10]).predict_joint_log_proba(X[10:])
    x, y = colour()
    task, engine = learner(x[:10], y[:10], threshold=0.3, alpha=0.5)
    learn(task, engine)
    expected = [
        [-12.3209895479, -9.8945813604, -9.8945813604],
        [-7.2372023856, -10.4054069842, -9.3837557367],
        [-11.4736916875, -8.8729301129, -10.916232608],
        [-8.9317981064, -10.4054069842, -8.3621044891],
    ]
    np.testing.assert_allclose(joint(engine, x[10:]), expected, rtol=0, atol=1e-9)
    state, _ = engine.state()
    assert state["parameter/net.classes"].tolist() == [4, 3, 3]
    assert state["parameter/net.pixels"][0].tolist() == [2, 2, 1, 3, 1, 2, 2, 1, 3, 1, 2, 2]


def test_digits_against_scikit_learn():
    # d = np.load("plugins/vision/data/digits.npz"); X = d["images"].reshape(-1, 64) / 16
    # y = d["labels"].astype(int); n = np.bincount(y[:1437])
    # m = BernoulliNB(alpha=1., binarize=.5, class_prior=(n + 1) / 1447).fit(X[:1437], y[:1437])
    # J = m.predict_joint_log_proba(X[1437:]); J[0]; J.sum(); m.score(X[1437:], y[1437:])
    x, y = handwriting()
    task, engine = learner(x[:1437], y[:1437], batch=200, classes=10)
    learn(task, engine)
    found = joint(engine, x[1437:])
    expected = [
        -61.7970158557, -45.2530968778, -18.7906483688, -37.4719488488, -69.1308325674,
        -40.2723799737, -52.2333752072, -59.9476354713, -36.5730620696, -44.5327762474,
    ]  # fmt: skip
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-9)
    assert found.sum() == pytest.approx(-131373.41831171638, abs=1e-6)
    assert (found.argmax(axis=1) == y[1437:]).mean() == 0.8194444444444444


def test_mnist_against_scikit_learn():
    # X, y: the 10,000 images / 255 as float32; n = np.bincount(y[:8000])
    # m = BernoulliNB(alpha=1., binarize=.5, class_prior=(n + 1) / 8010).fit(X[:8000], y[:8000])
    # m.predict_joint_log_proba(X[8000:])[0]; m.score(X[8000:], y[8000:])
    # -m.predict_log_proba(X[8000:])[np.arange(2000), y[8000:]].mean()
    raw = []
    for name, offset in (("images-idx3", 16), ("labels-idx1", 8)):
        path = SHARED / "mnist" / f"t10k-{name}-ubyte.gz"
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        raw.append(np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset))
    x, y = raw[0].reshape(-1, 1, 28, 28).astype("f4") / np.float32(255), raw[1].astype("f4")
    task, engine = learner(x[:8000], y[:8000], batch=1000, classes=10)
    learn(task, engine)
    found = joint(engine, x[8000:])
    expected = [
        -335.49722883, -705.44772541, -343.89553622, -452.93655234, -257.15556066,
        -345.43208166, -338.62832594, -408.29440681, -369.66773224, -360.90556496,
    ]  # fmt: skip
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-7)
    assert (found.argmax(axis=1) == y[8000:]).mean() == 0.875
    losses = task.loss(engine.nets, (nd.array(x[8000:]), nd.array(y[8000:])), None)["loss"]
    assert losses.shape == (2000,)
    assert losses.mean().asscalar() == pytest.approx(2.369388793705466, abs=1e-5)


def test_a_pixel_that_is_always_on_rules_nothing_out():
    """The book smooths one outcome: (n + 1) / (n + 1) is a probability of exactly 1."""
    x = np.zeros((6, 1, 2, 2), "f4")
    x[:, 0, 0, 0] = 1.0
    y = np.array([0, 0, 0, 1, 1, 1])
    task, engine = learner(x, y, classes=3)
    learn(task, engine)
    np.testing.assert_allclose(engine.nets.probabilities()[:2, 0, 0, 0], [4 / 5, 4 / 5])
    np.testing.assert_allclose(engine.nets.probabilities()[2], 0.5)  # of which nothing is known
    other = joint(engine, np.zeros((1, 1, 2, 2), "f4"))
    expected = [np.log(4 / 9 * (4 / 5) ** 3 / 5)] * 2 + [np.log(1 / 9 / 2**4)]
    np.testing.assert_allclose(other[0], expected, rtol=1e-12)


def test_joint_probabilities_of_all_images_sum_to_one():
    x, y = colour()
    task, engine = learner(x[:, :1, :1], y, threshold=0.4, alpha=0.01)
    learn(task, engine)
    every = np.array(np.meshgrid(*[[0.0, 1.0]] * 3)).reshape(3, -1).T.reshape(-1, 1, 1, 3)
    assert np.exp(joint(engine, every)).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("batch", [1, 3, 7, 14])
def test_two_contexts_and_uneven_batches_count_the_same(batch):
    x, y = colour()
    counts, losses = set(), []
    for contexts in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)], [mx.cpu(i) for i in range(4)]):
        task, engine = learner(x, y, contexts, batch=batch)
        losses.append(learn(task, engine))
        for parameter in (engine.nets.pixels, engine.nets.classes):
            first, *others = [each.asnumpy().tobytes() for each in parameter.list_data()]
            assert len(others) == len(contexts) - 1 and set(others) <= {first}
        counts.add(engine.nets.pixels.list_data()[0].asnumpy().tobytes())
    assert len(counts) == 1
    assert losses == pytest.approx(losses[:1] * 3, rel=1e-6)  # sums of float32
    assert engine.nets.counted() == 14


def test_hybrid_and_imperative_agree():
    x, y = colour()
    found = []
    for hybridize in (True, False):
        task, engine = learner(x, y, hybridize=hybridize)
        found.append((learn(task, engine), joint(engine, x)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12)


def test_a_batch_is_judged_before_it_is_counted():
    x, y = colour()
    task, engine = learner(x, y, batch=None)
    assert learn(task, engine) == pytest.approx(np.log(3), abs=1e-5)  # of which nothing was known


def test_a_second_pass_changes_nothing():
    x, y = colour()
    task, engine = learner(x, y)
    learn(task, engine, epoch=0)
    assert task.finished(engine)
    first = engine.state()[0]
    learn(task, engine, epoch=1, stop=2)
    assert engine.nets.counted() == 8 and not task.finished(engine)
    learn(task, engine, epoch=1, skip=2)
    assert task.finished(engine)
    second = engine.state()[0]
    assert {k: v.tobytes() for k, v in first.items()} == {k: v.tobytes() for k, v in second.items()}


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_resumed_pass_ends_with_the_same_counts(stop):
    x, y = colour()
    task, engine = learner(x, y)
    learn(task, engine)
    whole = engine.state()[0]
    task, engine = learner(x, y)
    learn(task, engine, stop=stop)
    assert engine.nets.counted() == 4 * stop
    saved = engine.state()
    contexts = [mx.cpu(0), mx.cpu(1)]
    task, engine = learner(x, y, contexts)  # a new process: nothing is remembered but the state
    engine.restore(*saved)
    learn(task, engine, skip=stop)
    found = engine.state()[0]
    for key in ("parameter/net.pixels", "parameter/net.classes"):
        assert found[key].dtype == np.float64
        np.testing.assert_array_equal(found[key], whole[key])
    assert task.finished(engine)


def test_report_draws_the_mean_images(tmp_path):
    x, y = colour()
    task, engine = learner(x, y)
    task.dataset.classes = ["a", "b", "c"]
    task.dataset.split = lambda name: None  # nothing is held out, so nothing is predicted
    learn(task, engine)
    assert task.report(engine.nets, SimpleNamespace(plots=tmp_path)) == {}
    assert (tmp_path / "means.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "model.alpha=0.0"),
        ({"alpha": float("nan")}, "model.alpha=nan"),
        ({"threshold": 1.0}, "model.threshold=1.0"),
        ({"threshold": -0.1}, "model.threshold=-0.1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        NaiveBayes(images_of((1, 2, 2), 2), **options)


def test_normalized_inputs_are_refused():
    dataset = images_of((1, 2, 2), 2)
    dataset.normalize = True
    with pytest.raises(ConfigError, match="normalize=true"):
        NaiveBayes(dataset)
