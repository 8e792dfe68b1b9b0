"""The book's way to train its first model, written from its description; does not import dope.

Imperative Gluon, batches cut from arrays in their order, a moving loss that is read back at each
step, MXNet with the engine and the threads that it chooses by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cases import CASES, DROPOUT, RATE, Case, features
from clock import answer, arguments, rate

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402
from mxnet.gluon import nn  # noqa: E402


class Net(gluon.Block):
    """Features brought to length 1, side by side, and an MLP."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        with self.name_scope():
            self.norm, self.drop = nn.BatchNorm(), nn.Dropout(DROPOUT)
            self.hidden = nn.Dense(case.hidden, activation="relu")
            self.output = nn.Dense(case.answers)

    def forward(self, images, questions):
        both = nd.concat(nd.L2Normalization(questions), nd.L2Normalization(images), dim=1)
        return self.output(self.drop(self.norm(self.hidden(both))))


def main() -> None:
    given = arguments(CASES)
    case = given.case
    images, questions, answers = (nd.array(each) for each in features(given.data))
    net = Net(case)
    net.initialize(mx.init.Xavier())
    entropy = gluon.loss.SoftmaxCrossEntropyLoss()
    moving = [None]

    def steps() -> Iterator[int]:
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": RATE})
        while True:
            for start in range(0, len(answers), case.batch):
                rows = slice(start, start + case.batch)
                with autograd.record():
                    loss = entropy(net(images[rows], questions[rows]), answers[rows])
                loss.backward()
                trainer.step(case.batch)
                now = float(np.mean(loss.asnumpy()))
                moving[0] = now if moving[0] is None else 0.99 * moving[0] + 0.01 * now
                yield case.batch

    found = rate(steps(), given.seconds, nd.waitall)
    learned = [p for p in net.collect_params().values() if p.grad_req != "null"]
    answer(loss=moving[0], parameters=sum(p.data().size for p in learned), **found)


if __name__ == "__main__":
    main()
