"""The book's way to train pix2pix, written from its description; does not import dope.

Imperative Gluon, an iterator that pads, images made twice a step, a pool whose choices are read
back one by one, an accuracy that is read back at each batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import CASES, Case, examples
from clock import answer, arguments, rate

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402
from mxnet.gluon import nn  # noqa: E402

FEATURES, DOWNS, POOL, WEIGHT = 64, 7, 50, 100


class Skip(nn.HybridBlock):
    """Down, what is within, up; put beside what came in, but for the outermost."""

    def __init__(self, inner: int, outer: int, within: Any, place: str, dropout: bool) -> None:
        super().__init__()
        self.outermost = place == "outermost"
        down = nn.Conv2D(inner, 4, 2, 1, in_channels=outer, use_bias=False)
        bridged = inner if place == "innermost" else 2 * inner
        channels = 3 if self.outermost else outer
        up = nn.Conv2DTranspose(channels, 4, 2, 1, in_channels=bridged, use_bias=self.outermost)
        relu = nn.Activation("relu")
        if self.outermost:
            layers = [down, within, relu, up, nn.Activation("tanh")]
        elif place == "innermost":
            layers = [nn.LeakyReLU(0.2), down, relu, nn.BatchNorm(momentum=0.1), up]
        else:
            layers = [nn.LeakyReLU(0.2), down, nn.BatchNorm(momentum=0.1), within, relu, up]
            layers += [nn.BatchNorm(momentum=0.1)] + [nn.Dropout(0.5)] * dropout
        self.model = nn.HybridSequential()
        self.model.add(*layers)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Maps to maps."""
        return self.model(x) if self.outermost else F.concat(self.model(x), x, dim=1)


def generator() -> Any:
    """Images (n, 3, 128, 128) to images."""
    f = FEATURES
    net = Skip(8 * f, 8 * f, None, "innermost", False)
    for _ in range(DOWNS - 5):
        net = Skip(8 * f, 8 * f, net, "", True)
    for inner, outer in ((8 * f, 4 * f), (4 * f, 2 * f), (2 * f, f)):
        net = Skip(inner, outer, net, "", False)
    return Skip(f, 3, net, "outermost", False)


def discriminator() -> nn.HybridSequential:
    """Pairs (n, 6, 128, 128) to logits (n, 1, h, w)."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(FEATURES, 4, 2, 2), nn.LeakyReLU(0.2))
    for i, stride in ((1, 2), (2, 2), (3, 1)):
        net.add(nn.Conv2D(FEATURES * 2**i, 4, stride, 2, use_bias=False))
        net.add(nn.BatchNorm(momentum=0.1), nn.LeakyReLU(0.2))
    net.add(nn.Conv2D(1, 4, 1, 2))
    return net


class Pool:
    """Earlier pairs; whether and where is drawn on the device and read back."""

    def __init__(self) -> None:
        self.images: list[Any] = []

    def query(self, images: Any) -> Any:
        returned = []
        for i in range(images.shape[0]):
            image = nd.expand_dims(images[i], axis=0)
            if len(self.images) < POOL:
                self.images.append(image)
            elif nd.random.uniform(0, 1, shape=(1,)).asscalar() > 0.5:
                place = nd.random.uniform(0, POOL - 1, shape=(1,)).astype("uint8").asscalar()
                image, self.images[place] = self.images[place].copy(), image
            returned.append(image)
        return nd.concat(*returned, dim=0)


class Book:
    """Both networks and the loop."""

    def __init__(self, case: Case, made: np.ndarray) -> None:
        self.case = case
        x, y = (nd.array(part) for part in made)
        self.batches = mx.io.NDArrayIter([x, y], batch_size=case.batch)
        self.maker, self.judge = generator(), discriminator()
        for net in (self.maker, self.judge):
            net.initialize(mx.init.Normal(0.02))
        self.loss = nd.zeros((1,))

    def steps(self) -> Iterator[int]:
        size, pool = self.case.batch, Pool()
        entropy = gluon.loss.SigmoidBinaryCrossEntropyLoss()
        distance = gluon.loss.L1Loss()
        accuracy = mx.metric.CustomMetric(
            lambda label, score: ((score.ravel() > 0.5) == label.ravel()).mean()
        )
        adam = {"learning_rate": 0.0002, "beta1": 0.5}
        for_maker, for_judge = (
            gluon.Trainer(net.collect_params(), "adam", adam) for net in (self.maker, self.judge)
        )
        while True:
            self.batches.reset()
            for batch in self.batches:
                x, y = batch.data
                earlier = pool.query(nd.concat(x, self.maker(x), dim=1))
                with autograd.record():
                    false = self.judge(earlier)
                    true = self.judge(nd.concat(x, y, dim=1))
                    zeros, ones = nd.zeros_like(false), nd.ones_like(true)
                    loss = (entropy(false, zeros) + entropy(true, ones)) * 0.5
                    loss.backward()
                accuracy.update([zeros], [false])
                accuracy.update([ones], [true])
                for_judge.step(size)
                with autograd.record():
                    made = self.maker(x)
                    score = self.judge(nd.concat(x, made, dim=1))
                    deceit = entropy(score, nd.ones_like(score)) + WEIGHT * distance(made, y)
                    deceit.backward()
                for_maker.step(size)
                self.loss = loss
                yield self.case.counted


def main() -> None:
    given = arguments(CASES)
    book = Book(given.case, examples(given.data))
    found = rate(book.steps(), given.seconds, nd.waitall)
    size = sum(
        p.data().size
        for net in (book.maker, book.judge)
        for p in net.collect_params().values()
        if p.grad_req != "null"
    )
    answer(loss=float(book.loss.mean().asscalar()), parameters=size, **found)


if __name__ == "__main__":
    main()
