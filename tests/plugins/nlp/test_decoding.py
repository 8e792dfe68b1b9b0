"""Cross-entropy in one piece: loss and gradients as the formulas in NumPy, and as by the layers.

Holds no training; that is in test_language_models.py.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dope.core.backend import mx, nd, use_threads
from dope.plugins.nlp.decoding import entropy
from dope.plugins.nlp.language import LanguageTask
from dope.plugins.nlp.word_lm import WordModel

T, N, V, H = 5, 3, 11, 4


@pytest.fixture(autouse=True)
def one_thread():
    use_threads(1)
    yield
    use_threads(None)


def learned(values):
    array = nd.array(values, dtype="float32")
    array.attach_grad()
    return array


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_loss_and_gradients_are_the_formulas(scale):
    rng = np.random.default_rng(4)
    h, w = rng.normal(size=(T, N, H)), rng.normal(size=(V, H)) * scale
    b, y, each = rng.normal(size=V), rng.integers(0, V, (T, N)), rng.normal(size=N)
    arrays = [learned(array) for array in (h, w, b)]
    symbols = [mx.sym.var(name) for name in "hywb"]
    call = nd.CachedOp(
        entropy(mx.sym, *symbols, (V, H)), [("static_alloc", True), ("static_shape", True)]
    )
    given = dict(zip("hwb", arrays), y=nd.array(y))
    order = entropy(mx.sym, *symbols, (V, H)).list_inputs()
    with mx.autograd.record():
        loss = call(*[given[name] for name in order])
    loss.backward(nd.array(each))

    logits = h @ w.T + b
    logits -= logits.max(axis=-1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    hit = np.eye(V)[y]
    np.testing.assert_allclose(
        loss.asnumpy(), -(np.log(p) * hit).sum(axis=-1).mean(axis=0), rtol=1e-5
    )
    slope = (p - hit) * each[:, None] / T  # (T, N, V), of the logits
    expected = slope @ w, np.einsum("tnv,tnh->vh", slope, h), slope.sum(axis=(0, 1))
    for array, values in zip(arrays, expected):
        np.testing.assert_allclose(array.grad.asnumpy(), values, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_that_scores_learns_what_its_logits_would_teach(tied):
    dataset = SimpleNamespace(vocabulary=range(V))
    net = WordModel(dataset, embedding=H, hidden=6, layers=2, tied=tied, dropout=0.0)
    net.initialize(mx.init.Uniform(0.7))
    x, y = (nd.array(np.random.default_rng(i).integers(0, V, (T, N))) for i in range(2))
    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    found = []
    for whole in (False, True):
        with mx.autograd.record():
            if whole:
                loss = net(x, net.begin(x), y)[0]
            else:
                loss = criterion(net(x, net.begin(x))[0], y.T)
        loss.backward()
        parameters = net._collect_params_with_prefix()
        gradients = {k: p.grad().asnumpy() for k, p in parameters.items()}
        found.append({"loss": loss.asnumpy(), **gradients})
    assert np.abs(found[0]["embedding_weight"]).max() > 1e-3
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-4, atol=1e-6, err_msg=name)


def test_only_the_plain_cross_entropy_is_left_to_the_model():
    def scored(part, smoothing=0.0, inputs=None):
        task = object.__new__(LanguageTask)
        task.parts, task.criterion = {"loss": part}, SimpleNamespace(label_smoothing=smoothing)
        return task._scored(SimpleNamespace(scores=True), inputs or mx.sym.var("x"))

    assert scored("losses.softmax_cross_entropy")
    assert not scored("losses.softmax_cross_entropy", smoothing=0.1)
    assert not scored("acme.loss")
    assert not scored("losses.softmax_cross_entropy", inputs=nd.ones(1))
