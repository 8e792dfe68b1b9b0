"""The book's way to train a classifier, written from its description; does not import dope.

Imperative Gluon, a DataLoader that transforms image by image, the loss read back at each batch,
MXNet with the engine and the threads that it chooses by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gluon_models
import numpy as np
from cases import CASES, LEARNING_RATE, Case
from clock import answer, arguments, rate
from images import read_images

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402


class Book:
    """The loop and its moving average of the loss."""

    def __init__(self, case: Case, folder: Path) -> None:
        def transform(image, label):
            image = image.astype(np.float32)
            if case.model != "mlp":
                image = nd.transpose(image, (2, 0, 1))
            return image / 255, label.astype(np.float32)

        images, labels = read_images(folder)
        images = nd.array(images[..., None], dtype=np.uint8)  # as gluon's MNIST holds them
        data = gluon.data.ArrayDataset(images, labels).transform(transform)
        self.batches = gluon.data.DataLoader(data, case.batch, shuffle=True)
        self.flat = case.model == "mlp"
        self.net = gluon_models.make(gluon.nn, case.model, gluon.nn.Sequential)
        self.net.initialize(mx.init.Xavier(magnitude=2.24))
        self.moving_loss = None

    def steps(self) -> Iterator[int]:
        entropy = gluon.loss.SoftmaxCrossEntropyLoss()
        trainer = gluon.Trainer(self.net.collect_params(), "sgd", {"learning_rate": LEARNING_RATE})
        while True:
            for image, label in self.batches:
                if self.flat:
                    image = image.reshape((-1, 784))
                with autograd.record():
                    loss = entropy(self.net(image), label)
                loss.backward()
                trainer.step(image.shape[0])
                now = nd.mean(loss).asscalar()
                before = now if self.moving_loss is None else self.moving_loss
                self.moving_loss = 0.99 * before + 0.01 * now
                yield image.shape[0]


def main() -> None:
    given = arguments(CASES)
    book = Book(given.case, given.data)
    found = rate(book.steps(), given.seconds, nd.waitall)
    answer(loss=float(book.moving_loss), parameters=gluon_models.count(book.net), **found)


if __name__ == "__main__":
    main()
