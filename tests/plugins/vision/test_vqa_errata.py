"""The numbers of docs/errata.md on visual question answering.

Holds computations only.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.plugins.vision.sketch import count_sketch, pooled
from dope.plugins.vision.vqa_concat import Concatenation

TRAIN, VALID, BATCH = 21_537, 1_044, 64
PRINTED = [  # after each epoch: Train_acc, Eval_acc
    (0.439319957386, 0.3525390625),
    (0.478870738636, 0.436820652174),
    (0.515536221591, 0.476584201389),
    (0.549283114347, 0.513701026119),
    (0.579172585227, 0.547500438904),
    (0.606460108902, 0.577517947635),
    (0.629863788555, 0.60488868656),
    (0.650507146662, 0.62833921371),
    (0.668269610164, 0.649105093573),
    (0.683984375, 0.666923484611),
]


def test_what_the_book_measured():
    """Its metric counts on through parts and epochs, so each epoch's counts can be taken out."""
    train, valid = (count // BATCH * BATCH for count in (TRAIN, VALID))
    assert (train, valid) == (21_504, 1_024)
    seen = right = 0
    found = []
    for after_train, after_valid in PRINTED:  # validation comes first
        counts = []
        for printed, more in ((after_valid, valid), (after_train, train)):
            seen += more
            counts.append(printed * seen - right)
            right = printed * seen
        assert counts == pytest.approx(np.round(counts), abs=2e-3)  # whole numbers, all twenty
        found.append([round(c) for c in counts])
    assert [v for v, _ in found] == [361, 391, 385, 402, 400, 405, 407, 403, 412, 410]
    assert found[-1][0] / valid == pytest.approx(0.400, abs=5e-4)
    assert max(v for v, _ in found) / valid == pytest.approx(0.402, abs=5e-4)
    assert found[-1][1] / train == pytest.approx(0.846, abs=5e-4)
    assert (TRAIN - train, VALID - valid) == (33, 20)


def test_real_and_imaginary_parts_are_multiplied_apart():
    rng, d = np.random.default_rng(0), 1000
    a, b = rng.standard_normal((2, 400, d))
    p, q = np.fft.fft(a), np.fft.fft(b)
    right = np.fft.ifft(p * q).real
    book = np.fft.ifft(p.real * q.real + 1j * p.imag * q.imag).real
    cosine = np.sum(right * book, axis=1)
    cosine /= np.linalg.norm(right, axis=1) * np.linalg.norm(book, axis=1)
    assert cosine.mean() == pytest.approx(0.5, abs=0.01)
    mirrored = np.roll(book[:, ::-1], 1, axis=1)  # bucket k and bucket d - k
    np.testing.assert_allclose(book, mirrored, atol=1e-9)
    assert not np.allclose(right, np.roll(right[:, ::-1], 1, axis=1), atol=1)
    assert np.abs(right - np.fft.irfft(np.fft.rfft(a) * np.fft.rfft(b))).max() < 1e-8


def unit(x):
    return x / np.linalg.norm(x)


def with_ones(rng, count, ones):
    return np.concatenate([unit(rng.standard_normal(count)), np.ones(ones)])


def hashes(rng, D, E, d):
    return (
        rng.integers(0, d, D),
        rng.choice([-1.0, 1.0], D),
        rng.integers(0, d, E),
        rng.choice([-1.0, 1.0], E),
    )


def test_thousands_of_ones_leave_no_room_for_products():
    rng = np.random.default_rng(1)
    x, y = with_ones(rng, 2048, 1024), with_ones(rng, 1024, 2048)
    outer = np.square(x[:2048]).sum() * np.square(y[:1024]).sum()
    whole = np.square(x).sum() * np.square(y).sum()
    assert whole / outer == pytest.approx(2.1e6, rel=0.01)
    assert np.sqrt(whole / outer) == pytest.approx(1449, abs=1)
    one = (np.square(x[:2048]).sum() + 1) * (np.square(y[:1024]).sum() + 1)
    assert one / outer == pytest.approx(4)


def test_new_hashes_are_new_features():
    rng, d = np.random.default_rng(2), 10_000
    x, y = (with_ones(rng, a, b)[None] for a, b in ((2048, 1024), (1024, 2048)))
    cosines = []
    for _ in range(20):
        one, two = (pooled(x, y, hashes(rng, 3072, 3072, d), d)[0][0] for _ in range(2))
        cosines.append(unit(one) @ unit(two))
    assert np.abs(np.mean(cosines)) < 0.02 and np.abs(cosines).max() < 0.06
    kept = hashes(rng, 3072, 3072, d)
    assert np.array_equal(pooled(x, y, kept, d)[0], pooled(x, y, kept, d)[0])
    assert np.linalg.norm(count_sketch(x, *kept[:2], d)) > 0


def test_dropout_and_neighbours_decide_in_training_mode():
    features = SimpleNamespace(
        each=1, vocabulary=None, image_shape=(20,), question_units=20, classes=list("abcd")
    )
    mx.random.seed(0)
    np.random.seed(0)
    rng = np.random.default_rng(0)
    centres = 0.4 * rng.standard_normal((4, 20))
    answers = rng.integers(0, 4, 1280)
    images = centres[answers] + rng.standard_normal((1280, 20))
    asked = rng.standard_normal((1280, 1, 20))
    net = Concatenation(features, hidden=64)
    net.initialize()
    trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    for step in range(60):
        rows = slice(step % 10 * 64, step % 10 * 64 + 64)
        with mx.autograd.record():
            total = loss(
                net(nd.array(images[rows]), nd.array(asked[rows])), nd.array(answers[rows])
            )
        total.backward()
        trainer.step(64)
    held = [
        (nd.array(images[r : r + 64]), nd.array(asked[r : r + 64])) for r in range(640, 1280, 64)
    ]

    def answer(training):
        with mx.autograd.record(train_mode=training):
            return np.concatenate([net(*batch).asnumpy().argmax(axis=1) for batch in held])

    still = answer(False)
    assert (still == answer(False)).all()
    first, second = answer(True), answer(True)
    changed = (first != second).mean()
    rates = [(found == answers[640:]).mean() for found in (still, first, second)]
    assert 100 * changed == pytest.approx(19, abs=3)
    assert rates[0] == pytest.approx(0.67, abs=0.02)
    assert max(rates[1:]) < rates[0]
