"""Plain Gluon, imperative (``book``) or hybridized (``book_hybrid``); does not import dope.

Batches lie ready and no loss is read back; MXNet's own choice of engine and threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
from cases import CASES, RATE, SIZES, examples
from clock import answer, arguments, rate

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402


def main() -> None:
    given = arguments(CASES)
    case = given.case
    x, y = (nd.array(each) for each in examples(given.data))
    starts = cycle(range(0, len(x) - case.batch + 1, case.batch))
    net = gluon.nn.HybridSequential()
    for inner, outer in zip(SIZES, SIZES[1:]):
        last = outer == SIZES[-1]
        net.add(gluon.nn.Dense(outer, in_units=inner, activation=None if last else "relu"))
    net.initialize(mx.init.Xavier())
    if given.tool == "book_hybrid":
        net.hybridize()
    entropy = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": RATE})

    def steps() -> Iterator[int]:
        for start in starts:
            rows = slice(start, start + case.batch)
            if case.learns:
                with autograd.record():
                    loss = entropy(net(x[rows]), y[rows])
                loss.backward()
                trainer.step(case.batch)
            else:
                net(x[rows])
            yield 1

    found = rate(steps(), given.seconds, nd.waitall)
    count = sum(p.data().size for p in net.collect_params().values())
    answer(loss=float(entropy(net(x), y).mean().asscalar()), parameters=count, **found)


if __name__ == "__main__":
    main()
