"""The perceptron: its task, its mistakes counted against the bound, and the same over margins.

Holds no data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Tuple

import numpy as np

from dope.core.backend import nd
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import Exported
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Task, compiled, parameters
from dope.plugins.tabular import tabular_plots
from dope.plugins.tabular.margin import Margin


class Perceptron(Task):
    """Separate two classes by a line, learning from mistakes alone (Rosenblatt 1958).

    Stochastic gradient descent on the hinge loss with margin 0, one example at a time and with
    learning rate 1, is the perceptron: a mistake, a score of 0 included, adds y x to the weights
    and y to the bias. The bound on all mistakes, 2 (R^2 + 1) / margin^2, holds for that alone:
    other batches or rates are reported without it.

    Parameters
    ----------
    margins
        Margins at which mistakes are counted for the picture, each on ``problems`` new data sets.
    problems
        Data sets for each margin.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "perceptron": (
            "One line separates the classes. Mistakes fall as the margin grows, and stay below "
            "the bound, which is far from tight."
        ),
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "tabular.margin",
        "model": {"name": "tabular.linear", "init": "zero"},
        "loss": {"name": "losses.hinge", "margin": 0.0},
        "optimizer": {"name": "sgd", "learning_rate": 1.0},
        "trainer": {"batch_size": 1},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {"trainer": {"epochs": 3}},
        "book": {"dataset": {"name": "tabular.margin", "train": 50}, "trainer": {"epochs": 1}},
        "tiny": {  # thin margin: mistakes after the first batch too
            "task": {"margins": [0.3], "problems": 1},
            "dataset": {
                "name": "tabular.margin",
                "train": 48,
                "test": 16,
                "margin": 0.05,
                "seed": 3,
            },
            "trainer": {"epochs": 2, "batch_size": 8},
        },
    }

    def __init__(
        self,
        *,
        margins: Tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4),
        problems: int = 10,
    ) -> None:
        if not margins or not all(0 < each < 2 for each in margins):
            raise ConfigError(f"task.margins={list(margins)} is out of range", "0 to 2, not empty.")
        if problems < 1:
            raise ConfigError(f"task.problems={problems} is out of range", "It is 1 or more.")
        self.margins, self.problems = margins, problems
        self._made = Sum()

    @compiled
    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """Hinge loss, and 1 for each mistake, (n,) each."""
        x, y = shard
        score = nets(x).reshape((-1,))
        return {"loss": self.criterion(score, y), "mistakes": score * y <= 0}

    def step(self, engine: Any, batch: Any) -> Mapping[str, Sum]:
        """Learn, and count mistakes made before the update."""
        found: Mapping[str, Sum] = engine.minimize("main", self.loss, batch)
        self._made += found["mistakes"]
        return found

    def state(self) -> Mapping[str, np.ndarray]:
        """Mistakes so far."""
        return {"mistakes": np.array([self._count()], dtype=np.float32)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on counting."""
        self._made = Sum(nd.array(arrays["mistakes"]), 1)

    def _count(self) -> int:
        total = self._made.total
        return 0 if total is None else int(total.asscalar())

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Mistakes, the bound where it holds, and the pictures of the line and over margins."""
        figures: dict[str, Any] = {"total_mistakes": self._count()}
        x, y = self.dataset.split("train")
        online = self.options.batch_size == 1 and self.optimizer["learning_rate"] == 1
        if online and hasattr(self.dataset, "margin"):
            figures["bound"] = bound(x, self.dataset.margin)
        known = {name: p.list_data()[0].asnumpy() for name, p in parameters(nets).items()}
        if x.shape[1] == 2 and "output.weight" in known:
            weights, bias = known["output.weight"][0], float(known["output.bias"][0])
            table = [_over(margin, self.problems) for margin in self.margins]
            tabular_plots.separation(
                run.plots / "perceptron.png", x, y, weights, bias, self.margins, np.array(table)
            )
        return figures

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Class and score of each held-out point."""
        x, y = self.dataset.split("test")
        context = next(iter(nets.collect_params().values())).list_ctx()[0]
        scores = nets(nd.array(x, ctx=context)).asnumpy().reshape(-1)
        return {
            "rows": [
                {"example": i, "is": int(a), "class": 1 if s > 0 else -1, "score": float(s)}
                for i, (a, s) in enumerate(zip(y, scores))
            ]
        }

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Points to scores."""
        (found,) = super().exports(nets)
        made: dict[str, Any] = {
            "compute": lambda x: nets(x).reshape((-1,)),
            "outputs": {"score": "above 0: class 1, else class -1"},
            "about": "Tells which side of a line points are on.",
        }
        return [dataclasses.replace(found, **made)]


def bound(x: np.ndarray, margin: float) -> float:
    """2 (R^2 + 1) / margin^2: no more mistakes, in any order and any number of passes.

    R is the largest norm of an input. Some line w, b with \\|w\\| and \\|b\\| at most 1 has to have
    y (w.x + b) at least ``margin`` at each point (Novikoff 1962, with the bias as a weight).
    """
    return float(2 * ((x**2).sum(axis=1).max() + 1) / margin**2)


def mistakes(x: np.ndarray, y: np.ndarray, passes: int = 1000) -> int:
    """Mistakes of the perceptron from zero, pass after pass, until one is without."""
    rows, made = np.column_stack([x, np.ones(len(x))]).astype(float) * y[:, None], 0
    weights = np.zeros(rows.shape[1])
    for _ in range(passes):
        before, i = made, 0
        while True:
            wrong = np.flatnonzero(rows[i:] @ weights <= 0)  # up to the next mistake at once
            if not len(wrong):
                break
            i += int(wrong[0])
            weights += rows[i]
            made, i = made + 1, i + 1
        if made == before:
            break
    return made


def _over(margin: float, problems: int) -> tuple[float, float, float]:
    """Mean and largest number of mistakes on new problems, and the least bound."""
    sets = [Margin(margin=margin, seed=seed).split("train") for seed in range(1, problems + 1)]
    made = [mistakes(*part) for part in sets if part]
    return float(np.mean(made)), float(max(made)), min(bound(p[0], margin) for p in sets if p)
