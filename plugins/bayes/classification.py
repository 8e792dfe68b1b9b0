"""Bayes by Backprop for classes: calibration, entropies, pruning, and what lies outside the data.

Holds the task; how it learns is in by_backprop.py, the arithmetic of probabilities in figures.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from dope.core.backend import mx, nd
from dope.core.errors import ConfigError
from dope.core.rundir import RunDirectory
from dope.plugins.bayes import bayes_plots, figures, outside, pruning
from dope.plugins.bayes.by_backprop import ByBackprop


class BayesianClassifier(ByBackprop):
    """Classify by a network with a distribution over its weights (Bayes by Backprop)."""

    captions: ClassVar[Mapping[str, Any]] = {
        "calibration": (
            "A reliability diagram. Points on the diagonal are as often right as they claim to "
            "be; above it the network is too modest, below it too sure. Bars show how many "
            "predictions each point stands for: trust those with many."
        ),
        "entropy": (
            "How unsure the network is. Held-out data should lie to the left; inverted images "
            "and letters, which it never saw, further right. The right panel is the part of it "
            "that more data would settle."
        ),
        "pruning": (
            "The flat stretch on the left says how many weights can be set to zero for free, "
            "those of lowest signal to noise first. On the right, what is left of a line is "
            "what was removed."
        ),
    }
    metrics: ClassVar[Any] = ("accuracy",)
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "vision.digits",
        "model": {"name": "vision.mlp", "hidden": [400, 400]},
        "loss": "losses.softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "trainer": {"batch_size": 128},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "task": {"sigma": 0.3, "local": True, "strength": 0.05},
            "model": {"name": "vision.mlp", "hidden": [200, 200]},
            "optimizer": {"name": "adam", "learning_rate": 0.005},
            "trainer": {"epochs": 40, "batch_size": 64, "schedule": "cosine", "evaluate_every": 10},
        },
        "book": {
            "task": {"prior": "mixture", "sigma2": 0.01},
            "dataset": "vision.mnist",
            "trainer": {"epochs": 10},
        },
        "tiny": {
            "task": {"draws": 3},
            "dataset": {"name": "vision.digits", "train": 200},
            "model": {"name": "vision.mlp", "hidden": [8]},
            "trainer": {"epochs": 2, "batch_size": 50},
        },
    }

    def prepare(self) -> None:
        """Insist on a data set of classes."""
        if not hasattr(self.dataset, "classes"):
            raise ConfigError(
                f"dataset {self.parts['dataset']} has no classes",
                "Use bayes.regression for numbers.",
            )

    def predicted(self, output: Any) -> Any:
        """Probabilities of classes, (n, K)."""
        return output.softmax()

    def judged(self, found: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Negative log-likelihood, accuracy, calibration error, and mean entropies in nats."""
        labels, mean = targets.astype(int), found.mean(axis=0)
        unsure = figures.uncertainty(found)
        return {
            "nll": figures.log_loss(mean, labels),
            "accuracy": float((mean.argmax(axis=1) == labels).mean()),
            "calibration_error": figures.calibration_error(mean, labels),
            "entropy": float(unsure.total.mean()),
            "mutual_information": float(unsure.epistemic.mean()),
        }

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Plots of calibration, pruning and entropies; their figures."""
        split = self.held_out()
        if split is None:
            return {}
        inputs, labels = self._read(split)
        found = self.drawn(nets, inputs)
        mean, unsure = found.mean(axis=0), figures.uncertainty(found)
        bayes_plots.calibration(run.plots / "calibration.png", figures.reliability(mean, labels))
        curve = pruning.curve(nets, lambda: self._accuracy(nets, inputs, labels))
        ratio = pruning.signal_to_noise(nets)
        bayes_plots.pruning(run.plots / "pruning.png", curve, ratio)
        made: dict[str, Any] = {
            f"accuracy_pruned_{100 * share:g}": value for share, value in curve if share
        }
        made["accuracy_of_means"] = curve[0][1]
        others = {}
        for name, pictures in outside.pictures(inputs).items():
            other = figures.uncertainty(self.drawn(nets, pictures))
            others[name] = other
            made[f"auroc_{name}"] = figures.area(unsure.total, other.total)
            made[f"entropy_{name}"] = float(other.total.mean())
        bayes_plots.entropies(run.plots / "entropy.png", unsure, others, len(self.dataset.classes))
        return made

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """True and likeliest class of held-out examples, and how unsure the networks are of it."""
        split = self.held_out()
        if split is None:
            raise ConfigError("the data set has no held-out part", "Set dataset.valid=0.1.")
        inputs, labels = self._read(split)
        found = self.drawn(nets, inputs)
        mean, unsure = found.mean(axis=0), figures.uncertainty(found)
        classes = self.dataset.classes
        rows = [
            {
                "example": i,
                "is": classes[label],
                "class": classes[k],
                "probability": float(mean[i, k]),
                "entropy": float(unsure.total[i]),
                "mutual_information": float(unsure.epistemic[i]),
            }
            for i, (label, k) in enumerate(zip(labels, mean.argmax(axis=1)))
        ]
        return {"rows": rows}

    def _read(self, split: str) -> tuple[list[np.ndarray], np.ndarray]:
        """Inputs, batch by batch, and labels (n,)."""
        batches = list(self.dataset.batches(split, 500))
        labels = np.concatenate([y.asnumpy() for _, y in batches]).astype(int)
        return [x.asnumpy() for x, _ in batches], labels

    def _accuracy(self, nets: Any, inputs: Any, labels: np.ndarray) -> float:
        context: Any = next(iter(nets.collect_params().values())).list_ctx()[0]
        with mx.autograd.pause():
            outputs = [nets(nd.array(x, ctx=context)).asnumpy() for x in inputs]
        return float((np.concatenate(outputs).argmax(axis=1) == labels).mean())
