"""The book's way to fine-tune, written from its description; does not import dope.

The zoo's network, hybridized; images normalized batch by batch on the device; accuracy and F1 of
each batch, which read it back; MXNet's own choice of engine and threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import CASES, CLASSES, DECAY, LEARNING_RATE, MEAN, POSITIVE, STD, Case, photos
from clock import answer, arguments, rate

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402
from mxnet.gluon.model_zoo import vision  # noqa: E402


class Book:
    """The network and the loop."""

    def __init__(self, case: Case, images: np.ndarray, labels: np.ndarray) -> None:
        self.case = case
        self.net = vision.squeezenet1_1(classes=len(CLASSES))
        if case.size != 224:  # the book's last pooling is over 13 x 13 cells
            self.net.output._children["2"] = gluon.nn.GlobalAvgPool2D()
        self.net.initialize(mx.init.Xavier("gaussian", "in", 2))
        self.net.hybridize()
        self.batches = mx.io.NDArrayIter(
            images.astype(np.float32), labels, case.batch, shuffle=True
        )
        self.mean, self.std = (nd.array(each.reshape(1, 3, 1, 1)) for each in (MEAN, STD))
        self.entropy = gluon.loss.SoftmaxCrossEntropyLoss()
        self.trainer = gluon.Trainer(
            self.net.collect_params(), "sgd", {"learning_rate": LEARNING_RATE, "wd": DECAY}
        )
        self.metric = mx.metric.create(["acc", "f1"])
        self.loss = nd.zeros((1,))

    def learn(self, batch: Any) -> None:
        """One step, as the book takes it."""
        x = mx.image.color_normalize(batch.data[0] / 255, mean=self.mean, std=self.std)
        y = batch.label[0]
        with autograd.record():
            scores = self.net(x)
            self.loss = self.entropy(scores, y) * (1 + y * POSITIVE) / POSITIVE
            self.loss.backward()
        self.trainer.step(self.case.batch)
        self.metric.update([y], [scores])

    def steps(self) -> Iterator[int]:
        while True:
            self.batches.reset()
            for batch in self.batches:
                self.learn(batch)
                yield self.case.batch


def main() -> None:
    given = arguments(CASES)
    book = Book(given.case, *photos(given.data))
    found = rate(book.steps(), given.seconds, nd.waitall)
    size = sum(p.data().size for p in book.net.collect_params().values())
    answer(loss=float(book.loss.mean().asscalar()), parameters=size, **found)


if __name__ == "__main__":
    main()
