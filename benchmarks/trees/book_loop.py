"""The book's way to train a Tree-LSTM, written from its description; does not import dope.

Imperative Gluon, node by node, a backward pass for each pair, MXNet with the engine and threads
that it chooses by itself. Gradients of a minibatch are added up here; in the book the last wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from clock import answer, arguments, rate
from pairs import (
    BATCH,
    CASES,
    DECAY,
    DIM,
    GRADES,
    HIDDEN,
    LEARNING_RATE,
    SIMILARITY,
    Pair,
    Sentence,
    batches,
    read,
)

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402

nn = gluon.nn


class Net(gluon.Block):
    """Both trees, and the head."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, DIM)
        self.inputs = nn.Dense(4 * HIDDEN, in_units=DIM)
        self.sums = nn.Dense(3 * HIDDEN, in_units=HIDDEN, use_bias=False)
        self.forget = nn.Dense(HIDDEN, in_units=HIDDEN, use_bias=False)
        self.inner = nn.Dense(SIMILARITY, in_units=2 * HIDDEN)
        self.outer = nn.Dense(GRADES, in_units=SIMILARITY)

    def forward(self, pair: Pair) -> Any:
        a, b = self.encode(pair.left), self.encode(pair.right)
        both = nd.concat(a * b, nd.abs(a - b), dim=1)
        return nd.log_softmax(self.outer(nd.sigmoid(self.inner(both))))

    def encode(self, sentence: Sentence) -> Any:
        return self.node(sentence, self.embedding(nd.array(sentence.words)), sentence.root)[0]

    def node(self, sentence: Sentence, vectors: Any, place: int) -> tuple[Any, Any]:
        below = [self.node(sentence, vectors, child) for child in sentence.children[place]]
        i, f, u, o = nd.split(self.inputs(nd.expand_dims(vectors[place], axis=0)), 4)
        iuo = nd.concat(i, u, o, dim=1)
        if below:
            h = nd.concat(*[h for h, _ in below], dim=0)
            c = nd.concat(*[c for _, c in below], dim=0)
            iuo = iuo + self.sums(nd.add_n(*[h for h, _ in below]))
            gate = nd.Activation(nd.broadcast_add(self.forget(h), f), act_type="sigmoid")
            kept = nd.sum(gate * c, axis=0, keepdims=True)
        i, u, o = nd.split(iuo, 3)
        c = nd.Activation(i, act_type="sigmoid") * nd.Activation(u, act_type="tanh")
        if below:
            c = c + kept
        return nd.Activation(o, act_type="sigmoid") * nd.Activation(c, act_type="tanh"), c


def main() -> None:
    given = arguments(CASES)
    train, dev, words = read(given.data)
    net = Net(words)
    net.initialize(mx.init.Xavier(magnitude=2.24))
    net.embedding.weight.initialize(mx.init.Uniform(0.05), force_reinit=True)
    for parameter in net.collect_params().values():
        parameter.grad_req = "add"
    options = {"learning_rate": LEARNING_RATE, "wd": DECAY}
    trainer = gluon.Trainer(net.collect_params(), "adagrad", options)
    divergence = gluon.loss.KLDivLoss()

    def loss_of(pair: Pair) -> Any:
        return divergence(net(pair), nd.array([pair.target]))

    def steps() -> Iterator[int]:
        for pairs in batches(train):
            for pair in pairs:
                with autograd.record():
                    loss = loss_of(pair)
                loss.backward()
            trainer.step(BATCH)
            for parameter in net.collect_params().values():
                parameter.zero_grad()
            yield BATCH

    def evaluations() -> Iterator[int]:
        for pairs in batches(dev):
            for pair in pairs:
                loss_of(pair)
            yield BATCH

    each = steps() if given.case == "train" else evaluations()
    found = rate(each, given.seconds, nd.waitall)
    loss = float(np.mean([loss_of(pair).asscalar() for pair in dev[:BATCH]]))
    size = sum(p.data().size for p in net.collect_params().values())
    answer(parameters=size, loss=loss * GRADES, **found)


if __name__ == "__main__":
    main()
