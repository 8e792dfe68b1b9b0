"""The task that fits a plane: what it found beside the truth, and the pictures of that.

Holds no model and no data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported
from dope.core.rundir import RunDirectory
from dope.core.task import Task, parameters
from dope.plugins.tabular import tabular_plots


class LinearRegression(Task):
    """Fit a line, a plane or a hyperplane by stochastic gradient descent."""

    captions: ClassVar[Mapping[str, Any]] = {
        "plane": (
            "The plane should cut through the cloud. A loss that levels off early has reached "
            "the noise in the data."
        ),
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "tabular.plane",
        "model": "tabular.linear",
        "loss": "losses.l2",
        "optimizer": {"name": "sgd", "learning_rate": 0.01},
        "trainer": {"batch_size": 4},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {
            "dataset": {"name": "tabular.plane", "train": 1000},
            "trainer": {"epochs": 8},
        },
        "book": {
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "trainer": {"epochs": 1},
        },
        "tiny": {
            "dataset": {"name": "tabular.plane", "train": 64, "test": 16},
            "trainer": {"epochs": 2},
        },
    }

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Weights and bias, their largest error where the truth is known, and the plane."""
        found = _coefficients(nets)
        if found is None:
            return {}
        weights, bias = found
        figures: dict[str, Any] = {"weights": weights.tolist(), "bias": bias}
        truth = getattr(self.dataset, "weights", None)
        if truth is not None:
            wrong = np.append(weights - truth, bias - self.dataset.bias)
            figures["coefficient_error"] = float(np.abs(wrong).max())
        if len(weights) <= 2:
            x, y = self._read("train")
            tabular_plots.plane(run.plots / "plane.png", run.metrics(), x, y, weights, bias)
        return figures

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Value and prediction of each held-out example."""
        split = next((s for s in ("test", "valid") if self.data(s) is not None), None)
        if split is None:
            raise ConfigError("the data set has no held-out part", "Set dataset.test.")
        x, y = self._read(split)
        context = next(iter(nets.collect_params().values())).list_ctx()[0]
        found = nets(mx.nd.array(x, ctx=context)).asnumpy().reshape(-1)
        return {
            "rows": [
                {"example": i, "is": float(a), "predicted": float(b)}
                for i, (a, b) in enumerate(zip(y, found))
            ]
        }

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Inputs to values."""
        (found,) = super().exports(nets)
        made: dict[str, Any] = {
            "compute": lambda x: nets(x).reshape((-1,)),
            "outputs": {"predicted": "values"},
            "about": "Predicts values.",
        }
        return [dataclasses.replace(found, **made)]

    def _read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """All inputs (n, D) and values (n,) of a part."""
        batches = list(self.dataset.batches(split, None))
        x, y = (np.concatenate([b[i].asnumpy() for b in batches]) for i in (0, 1))
        return x, y


def _coefficients(nets: Any) -> Any:
    """Weights (D,) and bias of a single linear layer with one output; None of any other model."""
    known = {name: p.list_data()[0].asnumpy() for name, p in parameters(nets).items()}
    if sorted(known) != ["output.bias", "output.weight"] or len(known["output.bias"]) != 1:
        return None
    return known["output.weight"][0], float(known["output.bias"][0])
