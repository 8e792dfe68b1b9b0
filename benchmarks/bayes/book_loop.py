"""The book's way, in our own words: imperative, noise weight by weight, a loss read each batch.

SGD written out as in the scratch chapter, or Adam as in the Gluon chapter. The second hidden layer
is used here. MXNet chooses engine and threads.
"""

from __future__ import annotations

import math

import numpy as np

np.bool = bool  # MXNet 1.9.1 asks for it
import mxnet as mx  # noqa: E402
from cases import (  # noqa: E402
    BATCH,
    CASES,
    PI,
    RATE,
    RHO,
    SIGMA,
    SIGMA1,
    SIGMA2,
    SIZES,
)  # fmt: skip
from clock import answer, arguments, rate  # noqa: E402
from images import arrays  # noqa: E402
from mxnet import autograd, gluon, nd  # noqa: E402


def density(x, sigma):
    """Of a Gaussian about zero."""
    return nd.exp(-(x**2) / (2 * sigma**2)) / math.sqrt(2 * math.pi * sigma**2)


def log_density(x, mu, sigma):
    return -0.5 * math.log(2 * math.pi) - nd.log(sigma) - (x - mu) ** 2 / (2 * sigma**2)


def main() -> None:
    given = arguments(CASES)
    case = given.case
    images, labels = arrays(given.data)
    data = gluon.data.ArrayDataset(images.reshape(len(images), -1), labels.astype("float32"))
    loader = gluon.data.DataLoader(data, BATCH, shuffle=True)
    means, rhos = [], []
    for a, b in zip(SIZES, SIZES[1:]):
        for shape in ((a, b), (b,)):
            for made, init in ((means, mx.init.Normal(0.1)), (rhos, mx.init.Constant(RHO))):
                made.append(gluon.Parameter(f"p{len(means)}{len(rhos)}", shape=shape, init=init))
                made[-1].initialize()
    trainer = gluon.Trainer([*means, *rhos], "adam", {"learning_rate": RATE["adam"]})
    batches = math.ceil(len(labels) / BATCH)
    last = [0.0]

    def log_prior(w):
        if case.prior == "gaussian":
            return log_density(w, 0.0, nd.array([SIGMA])).sum()
        return nd.log(PI * density(w, SIGMA1) + (1 - PI) * density(w, SIGMA2)).sum()

    def steps():
        while True:
            for x, y in loader:
                with autograd.record():
                    mus = [p.data() for p in means]
                    sigmas = [nd.log(1 + nd.exp(p.data())) for p in rhos]
                    noise = [nd.random_normal(shape=mu.shape) for mu in mus]
                    weights = [mu + s * e for mu, s, e in zip(mus, sigmas, noise)]
                    hidden = x
                    for i in range(0, len(weights), 2):
                        hidden = nd.dot(hidden, weights[i]) + weights[i + 1]
                        if i < len(weights) - 2:
                            hidden = nd.maximum(hidden, nd.zeros_like(hidden))
                    right = nd.nansum(nd.one_hot(y, 10) * nd.log_softmax(hidden))
                    prior = sum(log_prior(w) for w in weights)
                    triples = zip(weights, mus, sigmas)
                    posterior = sum(log_density(*each).sum() for each in triples)
                    loss = (posterior - prior) / batches - right
                loss.backward()
                if case.optimizer == "adam":
                    trainer.step(len(y))
                else:
                    for p in [*means, *rhos]:
                        p.data()[:] = p.data() - RATE["sgd"] / BATCH * p.grad()
                last[0] = -right.asscalar() / len(y)
                yield len(y)

    found = rate(steps(), given.seconds, nd.waitall)
    size = sum(p.data().size for p in [*means, *rhos])
    answer(parameters=size, loss=last[0], **found)


if __name__ == "__main__":
    main()
