"""The book's way to train a detector, written from its description; does not import dope.

Imperative Gluon, default boxes and targets worked out in each step, two metrics that are read back
at each batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import (
    BODY,
    CASES,
    CLASSES,
    LEARNING_RATE,
    OVERLAP,
    RATIOS,
    SIZES,
    STAGES,
    THRESHOLD,
    Case,
    scenes,
)
from clock import answer, arguments, rate

np.bool = bool  # MXNet 1.9.1 asks for it

import mxnet as mx  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402
from mxnet.gluon import nn  # noqa: E402


def halving(channels: int) -> nn.HybridSequential:
    """Two convolutions, then half the height and width."""
    net = nn.HybridSequential()
    for _ in range(2):
        net.add(nn.Conv2D(channels, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"))
    net.add(nn.MaxPool2D(2))
    return net


class Detector(gluon.Block):
    """Images to default boxes, scores and offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.stages = nn.Sequential(), nn.Sequential()
        self.of_classes, self.of_boxes = nn.Sequential(), nn.Sequential()
        for channels in BODY:
            self.body.add(halving(channels))
        for channels in STAGES:
            self.stages.add(halving(channels))
        for _ in SIZES:
            self.of_classes.add(nn.Conv2D(4 * (CLASSES + 1), 3, padding=1))
            self.of_boxes.add(nn.Conv2D(16, 3, padding=1))

    def forward(self, x: Any) -> tuple[Any, Any, Any]:
        """Default boxes (1, A, 4), scores (n, A, K + 1), offsets (n, 4 A)."""
        x = self.body(x)
        boxes, scores, offsets = [], [], []
        for i, sizes in enumerate(SIZES):
            default = nd.contrib.MultiBoxPrior(x, sizes=sizes, ratios=RATIOS)
            boxes.append(nd.flatten(default))
            for made, layer in ((scores, self.of_classes[i]), (offsets, self.of_boxes[i])):
                made.append(nd.flatten(nd.transpose(layer(x), axes=(0, 2, 3, 1))))
            if i < 3:
                x = self.stages[i](x)
            elif i == 3:
                x = nd.Pooling(x, global_pool=True, pool_type="max", kernel=(4, 4))
        joined = [nd.concat(*each, dim=1) for each in (boxes, scores, offsets)]
        return (
            nd.reshape(joined[0], shape=(1, -1, 4)),
            nd.reshape(joined[1], shape=(0, -1, CLASSES + 1)),
            joined[2],
        )


class Book:
    """The network and the loop."""

    def __init__(self, case: Case, images: np.ndarray, labels: np.ndarray) -> None:
        self.case, self.net = case, Detector()
        self.batches = mx.io.NDArrayIter(images, labels, case.batch, shuffle=True)
        self.net.initialize(mx.init.Xavier(magnitude=2))
        self.trainer = gluon.Trainer(
            self.net.collect_params(), "sgd", {"learning_rate": LEARNING_RATE}
        )
        self.accuracy, self.error = mx.metric.Accuracy(), mx.metric.MAE()
        self.loss = nd.zeros((1,))

    def learn(self, batch: Any) -> None:
        """One step, as the book takes it."""
        x, y = batch.data[0], batch.label[0]
        with autograd.record():
            boxes, scores, offsets = self.net(x)
            wanted, mask, classes = nd.contrib.MultiBoxTarget(
                boxes, y, nd.transpose(scores, axes=(0, 2, 1))
            )
            right = nd.pick(nd.softmax(scores), classes, axis=-1, keepdims=True)
            focal = nd.mean(-((1 - right) ** 2) * nd.log(right), axis=0, exclude=True)
            moved = nd.smooth_l1((offsets - wanted) * mask, scalar=1.0)
            self.loss = focal + nd.mean(moved, axis=0, exclude=True)
            self.loss.backward()
        self.trainer.step(self.case.batch)
        self.accuracy.update([classes], [nd.transpose(scores, axes=(0, 2, 1))])
        self.error.update([wanted], [offsets * mask])

    def find(self, batch: Any) -> None:
        """Boxes of a batch, as the book finds them."""
        boxes, scores, offsets = self.net(batch.data[0])
        likely = nd.SoftmaxActivation(nd.transpose(scores, axes=(0, 2, 1)), mode="channel")
        nd.contrib.MultiBoxDetection(
            likely, offsets, boxes, threshold=THRESHOLD, nms_threshold=OVERLAP, nms_topk=400
        ).asnumpy()

    def steps(self) -> Iterator[int]:
        while True:
            self.batches.reset()
            for batch in self.batches:
                (self.find if self.case.finds else self.learn)(batch)
                yield self.case.batch


def main() -> None:
    given = arguments(CASES)
    book = Book(given.case, *scenes(given.data))
    book.learn(next(book.batches))
    found = rate(book.steps(), given.seconds, nd.waitall)
    parameters = book.net.collect_params().values()
    size = sum(p.data().size for p in parameters if p.grad_req != "null")
    answer(loss=float(book.loss.mean().asscalar()), parameters=size, **found)


if __name__ == "__main__":
    main()
