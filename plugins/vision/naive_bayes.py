"""Naive Bayes on pixels that are on or off: the model, and the task that learns it by counting.

Holds counts and what they say of an image; there is no gradient and no optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from dope.core.backend import mx, nd
from dope.core.errors import ConfigError
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Group
from dope.plugins.vision import plots
from dope.plugins.vision.classify import Classifier


class Counts(NamedTuple):
    """What some images add to a model's counts, on one context."""

    pixels: Any  # (K, D) images of each class with the pixel on
    classes: Any  # (K,) images of each class


class NaiveBayes(mx.gluon.HybridBlock):
    """Bernoulli naive Bayes: given the class, each pixel is on or off independently of the others.

    Parameters
    ----------
    threshold
        A pixel above this is on, with 0 for black and 1 for full intensity; colours count as
        pixels of their own.
    alpha
        Images of each class that are made up for each outcome of a pixel, on and off, and
        images that are made up for each class (Laplace's smoothing is 1). Above 0, or a pixel
        that is never off in a class would forbid all images of that class where it is.

    Raises
    ------
    ConfigError
        An option is out of range, or the data set's inputs are not between 0 and 1.

    Notes
    -----
    With N_k images of class k, N_ki of them with pixel i on, and N images in all::

        p(y = k)            = (N_k + alpha) / (N + K alpha)
        p(x_i = 1 | y = k)  = (N_ki + alpha) / (N_k + 2 alpha)

    Manning, Raghavan and Schuetze (2008), Introduction to Information Retrieval, section 13.3. The
    counts are the parameters, in float64: exact, and exactly the same on any number of contexts.
    """

    def __init__(self, dataset: Any, *, threshold: float = 0.5, alpha: float = 1.0) -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise ConfigError(
                f"model.threshold={threshold} is out of range", "It is at least 0 and below 1."
            )
        if not (alpha > 0 and math.isfinite(alpha)):
            raise ConfigError(
                f"model.alpha={alpha} is out of range",
                "It is above 0: with 0, one unseen pixel rules a class out.",
            )
        if getattr(dataset, "normalize", False):
            raise ConfigError(
                "dataset.normalize=true with a model that asks which pixels are on",
                "Leave it out: pixels are then between 0 and 1.",
            )
        self.threshold, self.alpha = threshold, alpha
        self.shape = tuple(dataset.shape)  # (C, H, W)
        self.K, self.D = len(dataset.classes), math.prod(self.shape)
        self.pixels = self._counter("pixels", self.K, self.D)
        self.classes = self._counter("classes", self.K)

    def _counter(self, name: str, *shape: int) -> Any:
        return self.params.get(
            name, shape=shape, dtype="float64", init=mx.init.Zero(), grad_req="null"
        )

    def hybrid_forward(self, F: Any, x: Any, pixels: Any, classes: Any) -> Any:
        """Images (n, C, H, W) to log p(x, y = k), float32 (n, K): logits of p(y | x)."""
        return F.cast(self._joint(F, x, pixels, classes), dtype="float32")

    def joint(self, x: Any) -> Any:
        """log p(x, y = k) of images (n, C, H, W) in all its digits: float64 (n, K)."""
        return self._joint(nd, x, *(p.data(x.context) for p in (self.pixels, self.classes)))

    def _joint(self, F: Any, x: Any, pixels: Any, classes: Any) -> Any:
        ones = F.log(pixels + self.alpha)  # (K, D); the common denominator comes below
        zeros = F.log(F.broadcast_sub(F.expand_dims(classes, 1), pixels) + self.alpha)
        # sum_i x_i log p_i + (1 - x_i) log(1 - p_i) = x (log p - log(1 - p)) + sum_i log(1 - p_i)
        of_class = (
            F.sum(zeros, axis=1)
            - self.D * F.log(classes + 2 * self.alpha)
            + F.log(classes + self.alpha)
        )
        joint = F.FullyConnected(
            self._on(F, x, "float64"), ones - zeros, of_class, num_hidden=self.K
        )
        everything = F.log(F.sum(classes, keepdims=True) + self.K * self.alpha)  # (1,)
        return F.broadcast_sub(joint, everything)

    def _on(self, F: Any, x: Any, dtype: str) -> Any:
        """(n, D) of ones where a pixel is on."""
        return F.cast(F.flatten(x) > self.threshold, dtype=dtype)

    def count(self, x: Any, y: Any) -> Counts:
        """The counts of images (n, C, H, W) with labels (n,), on their context; nothing is kept."""
        labels = nd.one_hot(y, self.K)  # (n, K)
        # float32 counts to 2^24 without a mistake, more images than fit into a batch
        pixels = nd.dot(labels, self._on(nd, x, "float32"), transpose_a=True)  # (K, D)
        return Counts(pixels.astype("float64"), labels.sum(axis=0).astype("float64"))

    def add(self, found: Sequence[Counts], examples: int) -> None:
        """Add counts on all contexts; begin anew where they hold a whole pass already.

        Parameters
        ----------
        found
            From `count`, for each shard of a batch.
        examples
            Images in one pass through the training data. Once so many are counted, the next
            call starts from zero, so a second pass ends with the counts of the first.
        """
        before = [parameter.list_data()[0] for parameter in (self.pixels, self.classes)]
        keep = before[1].sum() < examples  # (1,), stays on the device
        for i, parameter in enumerate((self.pixels, self.classes)):
            total = before[i] * keep
            for counts in found:
                total = total + counts[i].as_in_context(total.context)
            parameter.set_data(total)

    def counted(self) -> int:
        """How many images the counts are of."""
        return int(self.classes.list_data()[0].asnumpy().sum())

    def probabilities(self) -> np.ndarray:
        """p(x_i = 1 | y = k) as images (K, C, H, W)."""
        pixels, classes = (p.list_data()[0].asnumpy() for p in (self.pixels, self.classes))
        return ((pixels + self.alpha) / (classes + 2 * self.alpha)[:, None]).reshape(
            self.K, *self.shape
        )


class NaiveBayesClassifier(Classifier):
    """Classify images by naive Bayes: one pass through the data, counting.

    The loss of a batch is what the model makes of it before it is counted in, as with a step of
    gradient descent. After one pass nothing is left to learn, and the run ends. The optimizer is
    not used.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.digits",
        "model": "vision.naive_bayes",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd"},
        "trainer": {"epochs": 1, "batch_size": 256},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {},
        "book": {"dataset": "vision.mnist"},
        "tiny": {
            "dataset": {"name": "vision.digits", "train": 200},
            "trainer": {"batch_size": 64},
        },
    }
    exempt: ClassVar[Mapping[str, str]] = {
        "examples": "no group has a loss: it counts pixels",
        "other_seed": "counts do not depend on the order",
    }

    def groups(self, nets: Any) -> dict[str, Group]:
        """None: counting needs no optimizer."""
        return {}

    def data(self, split: str) -> Any:
        """The data set's batches; those for training are kept, for they know how many they hold."""
        batches: Any = super().data(split)
        if split == "train":
            self.training = batches
        return batches

    def step(self, engine: Any, batch: Any) -> Mapping[str, Sum]:
        """Judge the batch, then count it in."""
        found: Mapping[str, Sum] = engine.total(self.loss, batch)
        engine.nets.add(engine.gather(_count, batch), self.training.examples)
        return found

    def finished(self, engine: Any) -> bool:
        """Whether the counts are of a whole pass."""
        return engine.nets.counted() >= self.training.examples

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """The mean image of each class as ``plots/means.png``."""
        figures = super().report(nets, run)
        plots.means(
            run.plots / "means.png",
            nets.probabilities(),
            self.dataset.classes,
            "probability of each pixel to be on, by class",
        )
        return figures


def _count(net: Any, shard: Any) -> Counts:
    return net.count(*shard)
