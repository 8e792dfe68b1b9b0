"""The book's way to train a GAN on points, written from its description; does not import dope.

Imperative Gluon, an iterator that pads, two outputs and a softmax, an accuracy that is read back
at each batch, MXNet with the engine and the threads that it chooses by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cases import CASES, Case, examples
from clock import answer, arguments, rate

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402


class Book:
    """Both networks, their trainers, and the loop."""

    def __init__(self, case: Case, made: np.ndarray) -> None:
        self.case = case
        data = nd.array(made)
        self.batches = mx.io.NDArrayIter(data, batch_size=case.batch, shuffle=True)
        self.maker, self.judge = gluon.nn.Sequential(), gluon.nn.Sequential()
        self.maker.add(gluon.nn.Dense(2))
        for units, activation in ((5, "tanh"), (3, "tanh"), (2, None)):
            self.judge.add(gluon.nn.Dense(units, activation=activation))
        for net in (self.maker, self.judge):
            net.initialize(mx.init.Normal(0.02))
        self.loss = nd.zeros((1,))

    def trainer(self, net: gluon.Block, learning_rate: float) -> gluon.Trainer:
        """Adam at a rate."""
        return gluon.Trainer(net.collect_params(), "adam", {"learning_rate": learning_rate})

    def steps(self) -> Iterator[int]:
        size = self.case.batch
        entropy, accuracy = gluon.loss.SoftmaxCrossEntropyLoss(), mx.metric.Accuracy()
        ones, zeros = nd.ones((size,)), nd.zeros((size,))
        for_maker, for_judge = self.trainer(self.maker, 0.01), self.trainer(self.judge, 0.05)
        while True:
            self.batches.reset()
            for batch in self.batches:
                noise = nd.random.normal(shape=(size, 2))
                with autograd.record():
                    true = self.judge(batch.data[0])
                    made = self.maker(noise)
                    false = self.judge(made.detach())
                    loss = entropy(true, ones) + entropy(false, zeros)
                    loss.backward()
                for_judge.step(size)
                accuracy.update([ones], [true])
                accuracy.update([zeros], [false])
                with autograd.record():
                    deceit = entropy(self.judge(made), ones)
                    deceit.backward()
                for_maker.step(size)
                self.loss = loss
                yield self.case.counted


def main() -> None:
    given = arguments(CASES)
    book = Book(given.case, examples(given.data))
    found = rate(book.steps(), given.seconds, nd.waitall)
    nets = (book.maker, book.judge)
    size = sum(p.data().size for net in nets for p in net.collect_params().values())
    answer(loss=float(book.loss.mean().asscalar()), parameters=size, **found)


if __name__ == "__main__":
    main()
