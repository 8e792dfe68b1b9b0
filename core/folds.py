"""A data set without one part of its examples, for cross-validation.

Holds no runs: which folds are trained, and when, is in folding.py.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError


def left_out(examples: int, number: int, of: int, seed: int) -> np.ndarray:
    """Rows of fold ``number``, counted from 1, in ascending order.

    Each row is in exactly one fold, and no fold is larger than another by more than one row. The
    rows are drawn with ``seed``; those of other folds are drawn in the same way.
    """
    order = np.random.default_rng(seed).permutation(examples)
    bounds = [examples * i // of for i in range(of + 1)]
    return np.sort(order[bounds[number - 1] : bounds[number]])


class Fold:
    """A data set whose training part lacks one fold, which is its validation part.

    All else is the data set's own. A data set that learns something from its training rows, such
    as means to scale with, has a method ``fold(number, of, seed)`` of its own and is not wrapped.

    Parameters
    ----------
    dataset
        Its batches for training are an `ArrayBatches`.
    number, of, seed
        As in `left_out`.
    """

    def __init__(self, dataset: Any, number: int, of: int, seed: int) -> None:
        self._dataset, self._fold = dataset, (number, of, seed)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def batches(self, split: str, batch_size: Optional[int]) -> Any:
        """The batches of one part; those for validation are in the data's own order."""
        if split not in ("train", "valid"):
            return self._dataset.batches(split, batch_size)
        whole = self._dataset.batches("train", batch_size)
        if not isinstance(whole, ArrayBatches):
            raise _cannot(type(self._dataset).__name__)
        number, of, seed = self._fold
        if whole.examples < of:
            raise ConfigError(
                f"{whole.examples} examples cannot make {of} folds", "Use fewer trainer.folds."
            )
        rows = left_out(whole.examples, number, of, seed)
        if split == "valid":
            return ArrayBatches(
                [a[rows] for a in whole.arrays], batch_size, transform=_without_chance(whole)
            )
        whole.narrow(np.setdiff1d(np.arange(whole.examples), rows))
        return whole


def _without_chance(batches: ArrayBatches) -> Any:
    """The transform of training batches as it is where nothing is to be random."""
    transform = batches.transform
    return None if transform is None else lambda arrays, rng: transform(arrays, None)


def fold(dataset: Any, number: int, of: int, seed: int) -> Any:
    """The data set without one fold, by its own method where it has one."""
    own = getattr(dataset, "fold", None)
    if own is not None:
        return own(number, of, seed)
    if not hasattr(dataset, "batches"):
        raise _cannot(type(dataset).__name__)
    return Fold(dataset, number, of, seed)


def _cannot(name: str) -> ConfigError:
    return ConfigError(
        f"the data set {name} cannot be divided into folds",
        "Leave trainer.folds at 1, or give the data set a method fold(number, of, seed).",
    )
