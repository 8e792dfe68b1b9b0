"""Training by hand in MXNet as fast as it goes: `bare`, and `bare_flat` with one flat buffer.

Takes engine and threads from dope, and nothing else: no trainer, callbacks, logs or checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gluon_models
import numpy as np
from cases import CASES, LEARNING_RATE, Case
from clock import answer, arguments, rate
from images import arrays

from dope.core.backend import mx, nd

gluon, autograd = mx.gluon, mx.autograd
STATIC = {"static_alloc": True, "static_shape": True}


class Bare:
    """Network and loss hybridized, gluon's Trainer, no read-back."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        images, labels = arrays(folder)
        self.images, self.labels = nd.array(images), nd.array(labels, dtype="float32")
        self.net = gluon_models.make(gluon.nn, case.model, gluon.nn.HybridSequential)
        self.net.initialize(mx.init.Xavier(magnitude=2.24))
        self.net(self.images[:1])  # shapes that were to come from data are known from here on
        self.total = nd.zeros(1)
        self.prepare()

    def prepare(self) -> None:
        self.entropy = gluon.loss.SoftmaxCrossEntropyLoss()
        self.net.hybridize(**STATIC)
        self.entropy.hybridize(**STATIC)
        self.trainer = gluon.Trainer(
            self.net.collect_params(),
            "sgd",
            {"learning_rate": LEARNING_RATE},
            update_on_kvstore=False,
        )

    def step(self, image: Any, label: Any) -> None:
        with autograd.record():
            self.loss = self.entropy(self.net(image), label)
        self.loss.backward()
        self.trainer.step(self.case.batch)

    def steps(self) -> Iterator[int]:
        size = self.case.batch
        # Shuffled into the same memory each epoch: a new 188 MB array costs four times as much.
        images, labels = nd.zeros_like(self.images), nd.zeros_like(self.labels)
        while True:
            order = nd.array(np.random.permutation(len(labels)), dtype="int32")
            nd.take(self.images, order, out=images)
            nd.take(self.labels, order, out=labels)
            for start in range(0, len(labels), size):
                self.step(images[start : start + size], labels[start : start + size])
                yield size

    def last_loss(self) -> float:
        """Mean loss of the last batch."""
        return float(self.loss.mean().asscalar())


class WithLoss(gluon.HybridBlock):
    """Network and loss as one graph; gives the sum over the batch, shape ``(1,)``."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net, self.entropy = net, gluon.loss.SoftmaxCrossEntropyLoss()

    def hybrid_forward(self, F: Any, image: Any, label: Any) -> Any:
        return F.sum(self.entropy(self.net(image), label))


class BareFlat(Bare):
    """Parameters and gradients as views of one buffer each, one update a step, losses summed."""

    def prepare(self) -> None:
        self.whole = WithLoss(self.net)
        self.whole.hybridize(**STATIC)
        parameters = list(self.net.collect_params().values())
        size = sum(p.data().size for p in parameters)
        self.weights, self.gradients, begin = nd.zeros(size), nd.zeros(size), 0
        for p in parameters:
            end = begin + p.data().size
            weight = self.weights[begin:end].reshape(p.shape)
            weight[:] = p.data()
            gradient = self.gradients[begin:end].reshape(p.shape)
            p._data[0], p._grad[0] = weight, gradient
            autograd.mark_variables([weight], [gradient], "write")
            begin = end

    def step(self, image: Any, label: Any) -> None:
        with autograd.record():
            self.loss = self.whole(image, label)
        self.loss.backward()
        nd.sgd_update(
            self.weights,
            self.gradients,
            lr=LEARNING_RATE,
            wd=0.0,
            rescale_grad=1 / self.case.batch,
            out=self.weights,
        )
        self.total += self.loss

    def last_loss(self) -> float:
        return float(self.loss.asscalar()) / self.case.batch


def main() -> None:
    given = arguments(CASES)
    loop = {"bare": Bare, "bare_flat": BareFlat}[given.tool](given.case, given.data)
    found = rate(loop.steps(), given.seconds, nd.waitall)
    answer(loss=loop.last_loss(), parameters=gluon_models.count(loop.net), **found)


if __name__ == "__main__":
    main()
