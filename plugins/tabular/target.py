"""What is predicted of a row: a number or a class, its scale, and how good predictions are.

Holds the target alone; the columns that it is predicted from are encoding.py's matter.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.tabular.columns import number
from dope.plugins.tabular.table import Table

REGRESSION, CLASSIFICATION = "regression", "classification"
MOST_CLASSES = 10  # different whole numbers up to which they are taken for classes
HIGHEST = 80.0  # logarithm beyond which a prediction is cut off


@dataclass(frozen=True)
class Target:
    """A column to be predicted, and its scale.

    Parameters
    ----------
    name
        Of the column.
    kind
        ``regression`` or ``classification``.
    classes
        Words of the classes, in order; none in regression.
    log, mean, sd
        A value y is learned as (log y - mean) / sd, or without the logarithm.
    """

    name: str
    kind: str
    classes: Sequence[str] = ()
    log: bool = False
    mean: float = 0.0
    sd: float = 1.0

    @property
    def outputs(self) -> int:
        """Outputs of a model."""
        return len(self.classes) or 1

    def read(self, cells: Sequence[str]) -> np.ndarray:
        """Values as float64 (n,), of classes their places; NaN where there is none."""
        if self.kind == CLASSIFICATION:
            places = {word: float(place) for place, word in enumerate(self.classes)}
            return np.array([places.get(cell, np.nan) for cell in cells])
        found = [number(cell) for cell in cells]
        return np.array([np.nan if value is None else value for value in found])

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """What a model learns, float32 (n,)."""
        if self.kind == CLASSIFICATION:
            return values.astype(np.float32)
        known = np.log(values) if self.log else values
        return ((known - self.mean) / self.sd).astype(np.float32)

    def unscaled(self, outputs: np.ndarray) -> np.ndarray:
        """Values (n,) of a model's outputs (n,)."""
        found = outputs.astype(float) * self.sd + self.mean
        return np.exp(np.minimum(found, HIGHEST)) if self.log else found

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)


def kind_of(cells: Sequence[str]) -> str:
    """``classification`` for words, two values and few whole numbers, else ``regression``."""
    different = set(cells)
    numbers = [number(cell) for cell in different]
    if any(value is None for value in numbers) or len(different) <= 2:
        return CLASSIFICATION
    whole = all(value is not None and value == int(value) for value in numbers)
    return CLASSIFICATION if whole and len(different) <= MOST_CLASSES else REGRESSION


def find_target(table: Table, name: str, kind: str, missing: frozenset) -> tuple[Target, str]:
    """The target of a table, not scaled yet, and why it is of its kind.

    Raises
    ------
    ConfigError
        There is nothing to tell apart.
    """
    present = [cell for cell in table[name] if cell not in missing]
    why = "as told"
    if kind == "auto":
        kind = kind_of(present)
        why = f"{len(set(present))} different values"
    if kind == REGRESSION:
        return Target(name, kind), why
    words = sorted(set(present), key=lambda word: (number(word) is None, number(word) or 0, word))
    if len(words) < 2:
        raise ConfigError(
            f"the target '{name}' of {table.file} has only one class", "Choose dataset.target."
        )
    return Target(name, kind, words), why


def broken_targets(table: Table, target: Target, missing: frozenset) -> dict[int, str]:
    """Rows whose target is missing or cannot be read, and what is wrong with each."""
    where = f"the target '{target.name}' of {table.file}"
    found = {}
    for row, cell in enumerate(table[target.name]):
        if cell in missing:
            found[row] = f"line {table.lines[row]}: {where} is missing"
        elif target.kind == REGRESSION and number(cell) is None:
            found[row] = f"line {table.lines[row]}: {where} is '{cell[:40]}', which is no number"
        elif target.kind == CLASSIFICATION and cell not in target.classes:
            found[row] = (
                f"line {table.lines[row]}: {where} is '{cell[:40]}', which is no known class"
            )
    return found


def with_scale(target: Target, values: np.ndarray, scale: str, where: str) -> Target:
    """The target with the scale of these values, which are those of training rows.

    Raises
    ------
    ConfigError
        The logarithm is asked for, and some value has none.
    """
    if target.kind == CLASSIFICATION or scale == "none":
        return target
    log = scale == "log"
    if log and values.min() <= 0:
        raise ConfigError(
            f"dataset.scale_target=log needs values above 0; {where} has {values.min():g}",
            "Take dataset.scale_target=standard.",
        )
    known = np.log(values) if log else values
    sd = float(known.std())
    return dataclasses.replace(target, log=log, mean=float(known.mean()), sd=sd if sd > 0 else 1.0)


def regression_figures(values: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Root mean squared and mean absolute error, R², and the error of logarithms.

    ``log_rmse`` is the root of the mean of (log p - log y)², where a prediction below 1 counts as
    1; it is left out where some y is not above 0. R² is left out where y never changes.
    """
    wrong = predicted - values
    found = {"rmse": float(np.sqrt((wrong**2).mean())), "mae": float(np.abs(wrong).mean())}
    spread = float(((values - values.mean()) ** 2).mean())
    if spread > 0:
        found["r2"] = 1 - float((wrong**2).mean()) / spread
    if values.min() > 0:
        logs = np.log(np.maximum(predicted, 1)) - np.log(values)
        found["log_rmse"] = float(np.sqrt((logs**2).mean()))
    return found


def classification_figures(classes: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Accuracy, mean -log p of the true class, and F1 as the mean over classes.

    Parameters
    ----------
    classes
        Places of the true classes, (n,).
    shares
        Probabilities (n, K).

    Notes
    -----
    F1 of a class that is neither there nor predicted is left out of the mean.
    """
    found, true = shares.argmax(axis=1), classes.astype(int)
    likely = np.maximum(shares[np.arange(len(true)), true], 1e-15)
    scores = []
    for place in range(shares.shape[1]):
        right = ((found == place) & (true == place)).sum()
        either = (found == place).sum() + (true == place).sum()
        if either:
            scores.append(2 * right / either)
    return {
        "accuracy": float((found == true).mean()),
        "log_loss": float(-np.log(likely).mean()),
        "f1": float(np.mean(scores)),
    }


def trivial(target: Target, learned: np.ndarray, values: np.ndarray) -> Mapping[str, float]:
    """Figures on ``values`` of predicting the mean, or the shares of classes, of ``learned``."""
    if target.kind == REGRESSION:
        return regression_figures(values, np.full(len(values), learned.mean()))
    counts = Counter(learned.astype(int).tolist())
    shares = np.array([counts[place] / len(learned) for place in range(target.outputs)])
    return classification_figures(values, np.tile(shares, (len(values), 1)))
