"""The book's way to train a DCGAN, written from its description; does not import dope.

Imperative Gluon, an iterator that pads, the generator differentiated in the discriminator's step,
an accuracy that is read back at each batch, MXNet with the engine and the threads of its choice.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cases import CASES, Case, examples
from clock import answer, arguments, rate

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402
from mxnet.gluon import nn  # noqa: E402

LATENT, FEATURES = 100, 64


def generator() -> nn.Sequential:
    """Noise (n, 100, 1, 1) to images (n, 3, 64, 64)."""
    net = nn.Sequential()
    for i, channels in enumerate((8 * FEATURES, 4 * FEATURES, 2 * FEATURES, FEATURES)):
        net.add(nn.Conv2DTranspose(channels, 4, 2 if i else 1, 1 if i else 0, use_bias=False))
        net.add(nn.BatchNorm(), nn.Activation("relu"))
    net.add(nn.Conv2DTranspose(3, 4, 2, 1, use_bias=False), nn.Activation("tanh"))
    return net


def discriminator() -> nn.Sequential:
    """Images to logits (n, 1, 1, 1)."""
    net = nn.Sequential()
    for i, channels in enumerate((FEATURES, 2 * FEATURES, 4 * FEATURES, 8 * FEATURES)):
        net.add(nn.Conv2D(channels, 4, 2, 1, use_bias=False))
        if i:
            net.add(nn.BatchNorm())
        net.add(nn.LeakyReLU(0.2))
    net.add(nn.Conv2D(1, 4, 1, 0, use_bias=False))
    return net


class Book:
    """Both networks and the loop."""

    def __init__(self, case: Case, made: np.ndarray) -> None:
        self.case = case
        data = nd.array(made)
        self.batches = mx.io.NDArrayIter(data, batch_size=case.batch)
        self.maker, self.judge = generator(), discriminator()
        for net in (self.maker, self.judge):
            net.initialize(mx.init.Normal(0.02))
        self.loss = nd.zeros((1,))

    def steps(self) -> Iterator[int]:
        size = self.case.batch
        entropy = gluon.loss.SigmoidBinaryCrossEntropyLoss()
        accuracy = mx.metric.CustomMetric(
            lambda label, score: ((score.ravel() > 0.5) == label.ravel()).mean()
        )
        ones, zeros = nd.ones((size,)), nd.zeros((size,))
        adam = {"learning_rate": 0.0002, "beta1": 0.5}
        for_maker, for_judge = (
            gluon.Trainer(net.collect_params(), "adam", adam) for net in (self.maker, self.judge)
        )
        while True:
            self.batches.reset()
            for batch in self.batches:
                noise = nd.random.normal(shape=(size, LATENT, 1, 1))
                with autograd.record():
                    true = self.judge(batch.data[0]).reshape((-1, 1))
                    false = self.judge(self.maker(noise)).reshape((-1, 1))
                    loss = entropy(true, ones) + entropy(false, zeros)
                    loss.backward()
                accuracy.update([ones], [true])
                accuracy.update([zeros], [false])
                for_judge.step(size)
                with autograd.record():
                    deceit = entropy(self.judge(self.maker(noise)).reshape((-1, 1)), ones)
                    deceit.backward()
                for_maker.step(size)
                self.loss = loss
                yield self.case.counted


def main() -> None:
    given = arguments(CASES)
    book = Book(given.case, examples(given.data))
    found = rate(book.steps(), given.seconds, nd.waitall)
    learned = [
        p
        for net in (book.maker, book.judge)
        for p in net.collect_params().values()
        if p.grad_req != "null"
    ]
    size = sum(p.data().size for p in learned)
    answer(loss=float(book.loss.mean().asscalar()), parameters=size, **found)


if __name__ == "__main__":
    main()
