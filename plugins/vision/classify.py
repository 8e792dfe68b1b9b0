"""The tasks that tell classes of images apart by gradient descent, and their common reports.

Holds no model and no reading of images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Tuple

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported, Input
from dope.core.rundir import RunDirectory
from dope.core.task import Task, blocks, parameters
from dope.plugins.vision import plots
from dope.plugins.vision.scaling import IMAGES, scaling

SHOWN = 30  # images in a grid


class Classifier(Task):
    """Tell classes of images apart.

    Parameters
    ----------
    top
        How many classes a prediction names, the likeliest first.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "predictions": (
            "The first test images with the predicted class and its probability; mistakes are "
            "framed."
        ),
        "mistakes": (
            "The mistakes that the model was surest of. If you would have hesitated, too, "
            "little is left to gain; if not, look for a wrong label or for something that the "
            "training data lack."
        ),
        "confusion": (
            "Rows are true classes, columns predicted ones. Blue on the diagonal is right; "
            "orange cells are classes that are taken for each other."
        ),
        "filters": (
            "Weights of the first layer. Edges and strokes are learned features; noise that "
            "looks the same everywhere says that more epochs or some weight decay would help."
        ),
        "precision-recall": (
            "A line that stays high to the right finds most of a class with few false alarms; one "
            "that falls early buys each further find with many."
        ),
        "transfer": (
            "How much a network that has learned elsewhere is ahead of one that begins here: at "
            "the first epochs most, and less the more data there are."
        ),
        "means": (
            "What the model believes of each pixel. It counts pixels one by one, so it cannot "
            "know which of them go together."
        ),
    }
    metrics = ("accuracy",)
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.digits",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "trainer": {"batch_size": 64},
    }

    def __init__(self, *, top: int = 3) -> None:
        if top < 1:
            raise ConfigError(f"task.top={top} is out of range", "It is at least 1.")
        self.top = top

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Plots of predictions, mistakes, the confusion matrix and the first layer's filters."""
        part = "test" if self.dataset.split("test") else "valid"
        found = self.dataset.split(part)
        if found:
            pixels, labels = found
            probability = self._probabilities(nets, self._inputs(pixels))
            self._plot_predictions(run, part, pixels, labels, probability)
        self._plot_filters(nets, run)
        return {}

    def predict(
        self, nets: Any, run: RunDirectory, *, inputs: Tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """True and likeliest classes of the data set's held-out images, or likeliest of others.

        Parameters
        ----------
        inputs
            Image files.
        """
        if inputs:
            pixels = np.stack([self.dataset.from_image(path) for path in inputs])
            return self._rows(nets, pixels, [{"image": path} for path in inputs])
        found = self.dataset.split("test") or self.dataset.split("valid")
        if not found:
            raise ConfigError("the data set has no test images", "Give --input IMAGE.")
        pixels, labels = found
        classes = self.dataset.classes
        return self._rows(
            nets, pixels, [{"image": i, "is": classes[y]} for i, y in enumerate(labels)]
        )

    def _rows(
        self, nets: Any, pixels: np.ndarray, known: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """What is known of each image, followed by its likeliest classes."""
        rows = []
        for begun, p in zip(known, self._probabilities(nets, self._inputs(pixels))):
            row = dict(begun)
            for rank, k in enumerate(np.argsort(-p, kind="stable")[: self.top].tolist(), 1):
                suffix = "" if rank == 1 else f"_{rank}"
                row[f"class{suffix}"] = self.dataset.classes[k]
                row[f"probability{suffix}"] = float(p[k])
            rows.append(row)
        return {"rows": rows}

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Images to probabilities of classes."""
        images = self.examples_of("test", "valid", "train")[0]
        net = blocks(nets)["net"]  # of several, the one that predicts
        facts = scaling(self.dataset.to_input, self.dataset.shape)
        return [
            Exported(
                [net],
                lambda x: net(x).softmax(),
                [Input("image", images, IMAGES)],
                {"probability": "of each class"},
                about="Tells classes of images apart.",
                facts={"classes": [str(name) for name in self.dataset.classes], **facts},
            )
        ]

    def _inputs(self, pixels: np.ndarray) -> Iterator[np.ndarray]:
        """Inputs of a network, a batch at a time."""
        size = self.options.batch_size or 64
        for start in range(0, len(pixels), size):
            yield self.dataset.to_input(pixels[start : start + size])

    def _probabilities(self, nets: Any, inputs: Iterator[np.ndarray]) -> np.ndarray:
        """p(class | image), (N, K)."""
        context = next(iter(nets.collect_params().values())).list_ctx()[0]
        outputs = [nets(mx.nd.array(x, ctx=context)).softmax() for x in inputs]
        return np.concatenate([each.asnumpy() for each in outputs])

    def _plot_predictions(
        self,
        run: RunDirectory,
        part: str,
        pixels: np.ndarray,
        labels: np.ndarray,
        probability: np.ndarray,
    ) -> None:
        classes, predicted = self.dataset.classes, probability.argmax(axis=1)
        sure = probability.max(axis=1)
        wrong = np.flatnonzero(predicted != labels)
        worst = wrong[np.argsort(-sure[wrong], kind="stable")][:SHOWN]
        matrix = np.zeros((len(classes), len(classes)), int)
        np.add.at(matrix, (labels, predicted), 1)
        plots.confusion(run.plots / "confusion.png", matrix, classes)
        for name, rows, heading in (
            ("predictions", np.arange(min(SHOWN, len(labels))), f"The first {part} images"),
            ("mistakes", worst, f"The surest of {len(wrong)} mistakes in {len(labels)} images"),
        ):
            if len(rows):
                plots.grid(
                    run.plots / f"{name}.png",
                    pixels[rows],
                    [plots.caption(classes[predicted[i]], sure[i]) for i in rows],
                    [classes[labels[i]] if predicted[i] != labels[i] else None for i in rows],
                    heading,
                )

    def _plot_filters(self, nets: Any, run: RunDirectory) -> None:
        """The first layer's weights, where they are filters or as large as an image."""
        first = next((p for p in parameters(nets).values() if p.grad_req != "null"), None)
        if first is None:
            return
        weights = first.list_data()[0].asnumpy()
        named = len(weights) == len(self.dataset.classes)
        if weights.ndim == 2 and weights.shape[1] == np.prod(self.dataset.shape):
            weights = weights.reshape(-1, *self.dataset.shape)
        if weights.ndim == 4:
            names = self.dataset.classes if named else None
            plots.filters(run.plots / "filters.png", weights, names, heading="First layer")


class SoftmaxRegression(Classifier):
    """Tell classes of images apart by one linear layer."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.digits",
        "model": "vision.softmax",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "trainer": {"batch_size": 64},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "optimizer": {"name": "sgd", "learning_rate": 0.5},
            "trainer": {"epochs": 30},
        },
        "book": {"dataset": "vision.mnist", "trainer": {"epochs": 10}},
        "tiny": {"dataset": {"name": "vision.digits", "train": 200}, "trainer": {"epochs": 2}},
    }


class Perceptrons(Classifier):
    """Tell classes of images apart by dense layers."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.digits",
        "model": "vision.mlp",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "trainer": {"batch_size": 64},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "optimizer": {"name": "adam", "learning_rate": 0.003},
            "trainer": {"epochs": 20, "schedule": "cosine"},
        },
        "book": {"dataset": "vision.mnist", "trainer": {"epochs": 10}},
        "tiny": {
            "dataset": {"name": "vision.digits", "train": 200},
            "model": {"name": "vision.mlp", "hidden": [16]},
            "trainer": {"epochs": 2},
        },
    }


class Convolutions(Classifier):
    """Tell classes of images apart by two convolutions and two dense layers."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.digits",
        "model": "vision.cnn",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "trainer": {"batch_size": 64},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "dataset": {"name": "vision.digits", "size": 16},
            "model": {"name": "vision.cnn", "batch_norm": True},
            "optimizer": {"name": "adam", "learning_rate": 0.002},
            "trainer": {"epochs": 15, "schedule": "cosine"},
        },
        "book": {
            "dataset": "vision.mnist",
            "model": {"name": "vision.cnn", "dense": 512},
            "trainer": {"epochs": 1},
        },
        "tiny": {
            "dataset": {"name": "vision.digits", "train": 200},
            "model": {"name": "vision.cnn", "channels": [4, 4], "dense": 8},
            "trainer": {"epochs": 2},
        },
    }


class Alex(Classifier):
    """Tell classes of images apart by AlexNet: five convolutions, three dense layers."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.digits",
        "model": "vision.alexnet",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
        "trainer": {"batch_size": 64},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "dataset": {"name": "vision.digits", "size": 28},
            "model": {"name": "vision.alexnet", "size": 200, "width": 0.0625},
            "optimizer": {"name": "adam", "learning_rate": 0.002},
            "trainer": {"epochs": 8, "schedule": "cosine"},
        },
        "book": {
            "dataset": "vision.cifar10",
            "model": {"name": "vision.alexnet", "init": "xavier"},
            "optimizer": {"name": "sgd", "learning_rate": 0.001},
            "trainer": {"epochs": 1},
        },
        "tiny": {
            "dataset": {"name": "vision.digits", "train": 64},
            "model": {"name": "vision.alexnet", "size": 195, "width": 0.02},
            "trainer": {"epochs": 2, "batch_size": 16},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {
        "contexts": {"model": {"dropout": 0.0}},
        "hybrid": {"model": {"dropout": 0.0}},
    }


class VeryDeep(Classifier):
    """Tell classes of images apart by VGG: blocks of small convolutions, three dense layers."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.digits",
        "model": "vision.vgg",
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "trainer": {"batch_size": 64},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "dataset": {"name": "vision.digits", "size": 16},
            "model": {
                "name": "vision.vgg",
                "blocks": [[1, 16], [1, 32], [2, 64], [2, 128]],
                "dense": 128,
            },
            "optimizer": {"name": "adam", "learning_rate": 0.002},
            "trainer": {"epochs": 10, "schedule": "cosine"},
        },
        "book": {
            "dataset": "vision.mnist",
            "model": {"name": "vision.vgg", "init": "xavier"},
            "optimizer": {"name": "sgd", "learning_rate": 0.05},
            "trainer": {"epochs": 1},
        },
        "tiny": {
            "dataset": {"name": "vision.digits", "size": 16, "train": 64},
            "model": {"name": "vision.vgg", "blocks": [[1, 4], [1, 4]], "dense": 8},
            "trainer": {"epochs": 2, "batch_size": 16},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {
        "contexts": {"model": {"dropout": 0.0}},
        "hybrid": {"model": {"dropout": 0.0}},
    }
