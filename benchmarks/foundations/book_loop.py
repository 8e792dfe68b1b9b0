"""The book's way to fit a line with Gluon, written from its description; does not import dope.

Imperative, a DataLoader that takes point by point, the loss read back at each step, MXNet with the
engine and the threads that it chooses by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cases import CASES, RATE, Case, points
from clock import answer, arguments, rate

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402


class Book:
    """The loop and its moving average of the loss."""

    def __init__(self, case: Case, folder: Path) -> None:
        x, y = (nd.array(each) for each in points(folder))
        data = gluon.data.ArrayDataset(x, y)
        self.batches = gluon.data.DataLoader(data, case.batch, shuffle=True)
        self.net = gluon.nn.Sequential()
        self.net.add(gluon.nn.Dense(1, in_units=2))
        self.net.initialize(mx.init.Normal(1.0))
        self.moving_loss = None

    def steps(self) -> Iterator[int]:
        square = gluon.loss.L2Loss()
        trainer = gluon.Trainer(self.net.collect_params(), "sgd", {"learning_rate": RATE})
        while True:
            for x, y in self.batches:
                with autograd.record():
                    loss = square(self.net(x), y)
                loss.backward()
                trainer.step(x.shape[0])
                now = nd.mean(loss).asscalar()
                before = now if self.moving_loss is None else self.moving_loss
                self.moving_loss = 0.99 * before + 0.01 * now
                yield 1


def main() -> None:
    given = arguments(CASES)
    book = Book(given.case, given.data)
    found = rate(book.steps(), given.seconds, nd.waitall)
    count = sum(p.data().size for p in book.net.collect_params().values())
    answer(loss=float(book.moving_loss), parameters=count, **found)


if __name__ == "__main__":
    main()
