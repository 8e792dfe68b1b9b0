"""Bayes by Backprop for numbers: a mean, its band, and how far the band can be trusted.

Holds the task; how it learns is in by_backprop.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from dope.core.errors import ConfigError
from dope.core.rundir import RunDirectory
from dope.plugins.bayes import bayes_plots
from dope.plugins.bayes.by_backprop import ByBackprop
from dope.plugins.bayes.priors import positive

POINTS = 300
NINETY = 1.6448536269514722  # standard deviations that 90 % of a Gaussian lie within


class BayesianRegression(ByBackprop):
    """Fit numbers by a network with a distribution over its weights (Bayes by Backprop).

    Parameters
    ----------
    noise
        Standard deviation of the data about the curve. The loss has to be half the squared
        error: divided by its square, that is a Gaussian's negative log-likelihood.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "band": (
            "The band should hug the data where there are some and widen where there are none: "
            "beyond them the networks that fit equally well go apart. A band that stays narrow "
            "there claims to know what it cannot."
        ),
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "bayes.curve",
        "model": {"name": "tabular.mlp", "hidden": [100, 100]},
        "loss": "losses.l2",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "trainer": {"batch_size": 128},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "task": {"local": True, "sigma": 0.5, "draws": 100},
            "model": {"name": "tabular.mlp", "hidden": [50, 50]},
            "trainer": {"epochs": 120, "schedule": "cosine", "evaluate_every": 20},
        },
        "book": {
            "task": {"prior": "mixture", "samples": 3, "draws": 100},
            "trainer": {"epochs": 300, "schedule": "cosine", "evaluate_every": 50},
        },
        "tiny": {
            "task": {"draws": 3},
            "dataset": {"name": "bayes.curve", "train": 96},
            "model": {"name": "tabular.mlp", "hidden": [8]},
            "trainer": {"epochs": 2, "batch_size": 24},
        },
    }

    def __init__(self, *, noise: float = 0.07, **options: Any) -> None:
        super().__init__(**options)
        positive(noise=noise)
        self.noise = noise

    def nll(self, output: Any, target: Any) -> Any:
        """Negative log-likelihood of each example under a Gaussian, (n,), in nats."""
        constant = math.log(self.noise) + 0.5 * math.log(2 * math.pi)
        return self.criterion(output, target) / self.noise**2 + constant

    def judged(self, found: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Root mean squared error, negative log-likelihood, and what a 90 % band holds."""
        found = found.reshape(len(found), -1)
        mean, deviation = self._moments(found)
        each = -0.5 * ((targets - found) / self.noise) ** 2
        most = each.max(axis=0)
        log_mean = most + np.log(np.exp(each - most).mean(axis=0))
        constant = math.log(self.noise) + 0.5 * math.log(2 * math.pi)
        return {
            "rmse": float(np.sqrt(np.mean((mean - targets) ** 2))),
            "nll": float(constant - log_mean.mean()),
            "coverage_90": float((np.abs(targets - mean) <= NINETY * deviation).mean()),
        }

    def _moments(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of new values, (n,) each, of outputs (draws, n)."""
        return found.mean(axis=0), np.sqrt(found.var(axis=0) + self.noise**2)

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """The band, within the data and beyond, where there is one input."""
        x, y = self._read("train")
        if x.shape[1] != 1:
            return {}
        wide = np.ptp(x)
        grid = np.linspace(x.min() - wide, x.max() + wide, POINTS, dtype=np.float32)[:, None]
        found = self.drawn(nets, [grid]).reshape(self.draws, -1)
        bayes_plots.band(run.plots / "band.png", grid[:, 0], found, self.noise, x[:, 0], y)
        inside = (grid[:, 0] >= x.min()) & (grid[:, 0] <= x.max())
        spread = found.std(axis=0)
        return {
            "deviation_inside": float(spread[inside].mean()),
            "deviation_outside": float(spread[~inside].mean()),
        }

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Mean of held-out examples, its standard deviation, and that of a new value."""
        split = self.held_out()
        if split is None:
            raise ConfigError("the data set has no held-out part", "Give it one.")
        x, y = self._read(split)
        found = self.drawn(nets, [x]).reshape(self.draws, -1)
        mean, deviation = self._moments(found)
        epistemic = found.std(axis=0)
        rows = [
            {
                "example": i,
                "is": float(y[i]),
                "mean": float(mean[i]),
                "epistemic": float(epistemic[i]),
                "deviation": float(deviation[i]),
            }
            for i in range(len(y))
        ]
        return {"rows": rows}

    def _read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        batches = list(self.dataset.batches(split, None))
        x = np.concatenate([each.asnumpy() for each, _ in batches])
        return x.reshape(len(x), -1), np.concatenate([each.asnumpy() for _, each in batches])
