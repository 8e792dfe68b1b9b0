"""The task that shows how optimizers go: two weights, an exact quadratic, and the path on it.

Holds the recording; the data are in valley.py, the pictures in paths.py.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any, ClassVar, Optional

import numpy as np

from dope.core.errors import ConfigError
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory, replacing
from dope.core.task import Task, parameters
from dope.plugins.tabular import paths


class Quadratic(Task):
    """Go down a narrow valley from the origin, and write down each step.

    The loss is half the squared error of a plane through the origin, so that on all points
    together it is an exact quadratic in two weights. Without ``trainer.batch_size`` each step
    takes all points: gradient descent. Smaller batches make it stochastic.

    The path is in ``path.csv``: the step and both weights.

    Parameters
    ----------
    within
        Share of the way from the origin to the minimum that counts as its neighbourhood.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "path": (
            "From the red triangle to the star, across the contour lines. Zigzags are steps too "
            "long for the steep direction; a slow crawl, too short for the flat one."
        ),
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "tabular.valley",
        "model": {"name": "tabular.linear", "init": "zero"},
        "loss": "losses.l2",
        "optimizer": {"name": "sgd", "learning_rate": 0.8},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {"trainer": {"epochs": 60}},
        "book": {
            "optimizer": {"name": "sgd", "learning_rate": 0.8, "momentum": 0.5},
            "trainer": {"epochs": 60},
        },
        "tiny": {
            "dataset": {"name": "tabular.valley", "train": 32},
            "trainer": {"epochs": 2, "batch_size": 8},
        },
    }

    overlay: ClassVar[Optional[str]] = "dope.plugins.tabular.paths:overlay"

    def __init__(self, *, within: float = 0.05) -> None:
        if not 0 < within < 1:
            raise ConfigError(f"task.within={within} is out of range", "Above 0 and below 1.")
        self.within = within
        self._path: list[np.ndarray] = []

    def build(self) -> Any:
        """The plane through the origin; its bias stays 0.

        Raises
        ------
        ConfigError
            The model has other weights than two and a bias, or the data set is no valley.
        """
        if not hasattr(self.dataset, "hessian"):
            raise ConfigError("task tabular.quadratic needs a valley", "Use tabular.valley.")
        nets = self.model(self.dataset)
        known = parameters(nets)
        shapes = {name: parameter.shape for name, parameter in known.items()}
        if shapes != {"output.weight": (1, 2), "output.bias": (1,)}:
            raise ConfigError("task tabular.quadratic has two weights", "Use tabular.linear.")
        known["output.bias"].grad_req = "null"
        return nets

    def step(self, engine: Any, batch: Any) -> Mapping[str, Sum]:
        """Learn, and note where that has led."""
        if not self._path:
            self._path.append(_weights(engine.nets))
        found: Mapping[str, Sum] = super().step(engine, batch)
        self._path.append(_weights(engine.nets))
        return found

    def evaluate(self, engine: Any) -> dict[str, float]:
        """Weights, how far they are from the minimum, and f above its least value."""
        here = _weights(engine.nets).astype(float)
        gap = here - self.dataset.minimum
        return {
            "weight_1": float(here[0]),
            "weight_2": float(here[1]),
            "distance": float(np.linalg.norm(gap)),
            "excess": float(gap @ self.dataset.hessian @ gap / 2),
        }

    def state(self) -> Mapping[str, np.ndarray]:
        """The path so far."""
        return {"path": np.array(self._path, dtype=np.float32).reshape(-1, 2)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on with it."""
        self._path = list(arrays["path"])

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Steps until the path stays near the minimum, and the picture of the path."""
        path = np.array(self._path, dtype=float)
        _write(run, path)
        data = self.dataset
        paths.draw(run.plots / "path.png", [("", path)], data.hessian, data.minimum)
        found = arrival(path, data.minimum, self.within)
        spectrum = np.linalg.eigvalsh(data.hessian)
        return {
            **({} if found is None else {"steps_to_minimum": found}),
            "condition": float(spectrum[-1] / spectrum[0]),
            "hessian": data.hessian.tolist(),
            "minimum": data.minimum.tolist(),
        }


def arrival(path: np.ndarray, minimum: np.ndarray, within: float) -> Optional[int]:
    """The step from which on a path (T + 1, 2) stays near the minimum; None if it does not.

    Near is a distance of at most ``within`` times that of the path's first point.
    """
    far = np.linalg.norm(path - minimum, axis=1)
    outside = np.flatnonzero(far > within * far[0])
    first = int(outside[-1]) + 1 if len(outside) else 0
    return first if first < len(path) else None


def _weights(nets: Any) -> np.ndarray:
    """Both weights, (2,)."""
    found: np.ndarray = parameters(nets)["output.weight"].list_data()[0].asnumpy()[0]
    return found


def _write(run: RunDirectory, path: np.ndarray) -> None:
    target = run.path / "path.csv"
    with replacing(target) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["step", "weight_1", "weight_2"])
        writer.writerows([i, *map(float, each)] for i, each in enumerate(path))
