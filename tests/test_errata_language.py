"""The numbers of docs/errata.md on language: what the book's recipes give, and what is right.

Holds computations only; the book's steps are written anew here. The other parts are in
test_errata.py.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.plugins.nlp.batching import Streams, held_out
from dope.plugins.nlp.cells import Scratch
from dope.plugins.nlp.text import PennTreebank, TimeMachine, novel

SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
NOVEL = SHARED / "text" / "timemachine.txt"
needs_novel = pytest.mark.skipif(not NOVEL.is_file(), reason="needs the text of The Time Machine")
needs_sick = pytest.mark.skipif(not (SHARED / "sick").is_dir(), reason="needs SICK")
LENGTH, STREAMS, STEPS = 179_533, 32, 64  # the book's text, its batches and their length


def book_batches(ids):
    """Batches (64, 32) of a text, time first: its pieces of 64 in order, 32 to a batch."""
    pieces = (len(ids) - 1) // STEPS
    batches = pieces // STREAMS
    used = ids[: batches * STREAMS * STEPS]
    return used.reshape(batches, STREAMS, STEPS).swapaxes(1, 2)


def test_the_books_states_go_on_with_another_place_of_the_text():
    batches = book_batches(np.arange(LENGTH))
    assert batches.shape == (87, 64, 32)  # as printed
    jumps = batches[1:, 0] - batches[:-1, -1]  # (86, 32): from the last character to the next
    assert jumps.size == 2752 and (jumps == 1985).all()  # 1 where a state belongs there
    assert (batches[:, 0, 1:] - batches[:, -1, :-1] == 1).all()  # the neighbour would have gone on

    ours = [x.asnumpy() for x, _ in Streams(np.arange(LENGTH, dtype=np.float32), STREAMS, STEPS)]
    for before, behind in zip(ours, ours[1:]):
        np.testing.assert_array_equal(behind[0] - before[-1], 1)


def test_the_books_cross_entropy_of_one_row_is_a_mean_over_classes():
    yhat, y, right = nd.array([0.2, 0.5, 0.3]), nd.array([1.0, 0, 0]), -math.log(0.2)
    book = -nd.mean(nd.sum(y * nd.log(yhat), axis=0, exclude=True)).asscalar()
    assert round(float(book), 4) == 0.5365  # printed: 0.53647929
    assert round(-math.log(0.2), 4) == 1.6094 and math.isclose(
        book * 3, -math.log(0.2), rel_tol=1e-6
    )
    rows, ys = yhat.reshape((1, 3)), y.reshape((1, 3))  # as its loop calls it
    looped = -nd.mean(nd.sum(ys * nd.log(rows), axis=0, exclude=True)).asscalar()
    assert math.isclose(looped, right, rel_tol=1e-6)


def test_the_books_rate_is_used_up_halfway():
    rates = [0.5 ** ((epoch + 1) // 100) for epoch in range(2000)]
    assert rates[98] == 1 and rates[99] == 0.5 and rates[-1] == 2.0**-20
    assert round(sum(rates), 1) == 199.0 and round(sum(rates[1000:]), 2) == 0.19


@needs_novel
def test_the_books_text_begins_with_a_licence():
    whole = NOVEL.read_text(encoding="utf-8")
    book = whole[:-38083]
    assert len(book) == LENGTH and len(set(book)) == 77  # as printed
    alone = novel(whole)
    assert len(alone) == 178_979 and len(set(alone)) == 70
    assert sorted(set(book) - set(alone)) == list("#*02345")
    data = TimeMachine(path=str(NOVEL))
    data.number("char")
    assert len(data.vocabulary) == 70


def test_the_order_of_a_set_is_another_in_each_process():
    code = "print(list(set('The Time Machine, by H. G. Wells')))"
    orders = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(orders) == 3


def test_a_state_that_is_not_cut_off_costs_nothing():
    gradients = []
    for cut in (True, False):
        w, h, found = nd.array([0.5]), nd.array([1.0]), []
        w.attach_grad()
        for _ in range(4):
            h = h.detach() if cut else h
            with mx.autograd.record():
                h = nd.tanh(h * w)
                loss = h.sum()
            loss.backward()
            found.append(w.grad.asscalar())
        gradients.append(found)
    assert gradients[0] == gradients[1]


def test_the_two_grus_differ():
    rng = np.random.default_rng(0)
    W, U, x, h = (rng.normal(size=s) for s in ((12, 3), (12, 4), (5, 3), (5, 4)))
    cell = Scratch("gru", 4, 3)
    cell.initialize()
    cell.l0_i2h_weight.set_data(nd.array(W))
    cell.l0_h2h_weight.set_data(nd.array(U))
    out = cell(nd.array(x[None]), [nd.array(h[None])])[0].asnumpy()[0]

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    r, z = sigmoid(x @ W[:4].T + h @ U[:4].T), sigmoid(x @ W[4:8].T + h @ U[4:8].T)
    ours = np.tanh(x @ W[8:].T + r * (h @ U[8:].T))
    book = np.tanh(x @ W[8:].T + (r * h) @ U[8:].T)
    np.testing.assert_allclose(out, (1 - z) * ours + z * h, rtol=1e-5, atol=1e-6)
    assert np.abs(out - ((1 - z) * book + z * h)).max() > 0.1


def test_the_books_rate_at_a_stall_is_a_name_without_a_value():
    rate = 1.0

    def train(stalled):  # the form of the book's function
        if stalled:
            rate = rate * 0.25  # noqa: F823, F841

    with pytest.raises(UnboundLocalError):
        train(stalled=True)
    train(stalled=False)  # in its one epoch nothing stalls
    assert rate == 1.0


def test_perplexity_has_no_upper_limit():
    p = np.array([0.01, 0.01, 0.01])  # of the right one of two words
    assert math.isclose(math.exp(-np.log(p).mean()), 100.0)


def test_the_books_first_printed_loss_holds_one_batch_too_many():
    losses = np.full(2000, 6.5)
    printed = losses[:501].sum() / 500  # batches 0 to 500
    assert math.isclose(printed, 6.513) and losses[501:1001].sum() / 500 == 6.5
    assert round(math.exp(6.5)) == 665 and round(math.exp(printed)) == 674


def test_the_books_evaluation_leaves_words_out():
    n = 82_430  # of the Penn Treebank's test part, ends of lines included
    assert [(n // size - 1) * size for size in (32, 1000)] == [82_368, 81_000]
    ids = np.arange(n, dtype=np.float32)
    assert sum(int((y >= 0).sum().asscalar()) for _, y in held_out(ids, 32, 35)) == n - 1


def test_words_of_the_test_part_are_in_the_books_vocabulary(tmp_path):
    pytest.importorskip("gluonnlp")
    texts = ("a b\n", "b c\n", "d a\n")
    for name, text in zip(PennTreebank.files, texts):
        (tmp_path / name).write_text(text)
    book = {word for text in texts for word in [*text.split(), "<eos>"]}
    data = PennTreebank(path=tmp_path)
    data.number("word")
    assert book - set(data.vocabulary) == {"c", "d"}


def test_only_the_last_pair_of_a_batch_counts():
    rng = np.random.default_rng(0)
    x, y = nd.array(rng.normal(size=(25, 3))), nd.array(rng.normal(size=25))
    w = nd.array([0.1, 0.2, 0.3])
    w.attach_grad()
    single = []
    for i in range(25):
        with mx.autograd.record():
            loss = ((x[i] * w).sum() - y[i]) ** 2
        loss.backward()
        single.append(w.grad.asnumpy())
    np.testing.assert_array_equal(w.grad.asnumpy(), single[-1])  # what the book's step takes
    right = np.sum(single, axis=0)
    w.grad[:] = 0
    w.attach_grad("add")
    for i in range(25):
        with mx.autograd.record():
            loss = ((x[i] * w).sum() - y[i]) ** 2
        loss.backward()
    np.testing.assert_allclose(w.grad.asnumpy(), right, rtol=1e-5)
    assert 250 // 25 == 10 and 4500 // 250 == 18  # pairs that count in its epoch; epochs in one


@needs_sick
def test_the_books_relatedness_is_worse_than_a_constant():
    grades = {part: np.loadtxt(SHARED / "sick" / part / "sim.txt") for part in ("train", "dev")}
    assert [len(each) for each in grades.values()] == [4500, 500]
    constant = ((grades["dev"] - grades["train"].mean()) ** 2).mean()
    assert round(constant, 4) == 1.0154 < 1.2375  # the book's, with r = 0.49
    assert round(grades["dev"].var() * (1 - 0.490352**2), 2) == 0.77  # the best line through it
