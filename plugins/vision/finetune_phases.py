"""Batches of two phases: those of the old classes first, those of the new classes afterwards.

Holds which batches come when; what is learned from them is the task's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Callable, Optional

import numpy as np

from dope.core.data import ArrayBatches


class Phases:
    """Epochs of one length over two sets of batches.

    An epoch goes through the few examples of the new classes as often as it takes to be about as
    long as a pass through those of the old ones, and stops among the latter where they are longer.

    Parameters
    ----------
    old, new
        The batches.
    early
        Whether the epoch that begins now is one on the old classes.
    """

    def __init__(self, old: ArrayBatches, new: ArrayBatches, early: Callable[[], bool]) -> None:
        new.repeats = max(1, round(len(old) / len(new)))
        self._length = len(new)
        old.repeats = -(-self._length // len(old))
        self._old, self._new, self._early = old, new, early

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return self.epoch()

    def epoch(self, rng: Optional[np.random.Generator] = None, skip: int = 0) -> Iterator[Any]:
        """The batches of one epoch, without the first ``skip``."""
        if self._early():
            return islice(self._old.epoch(rng, skip), self._length - skip)
        return self._new.epoch(rng, skip)


def weighted(batches: ArrayBatches, weights: np.ndarray) -> ArrayBatches:
    """The same batches of images and labels with a third array: the weight of each one's class."""
    plain = batches.transform

    def with_weights(arrays: Any, rng: Optional[np.random.Generator]) -> Any:
        made = arrays if plain is None else plain(arrays, rng)
        return (*made, weights[arrays[1].astype(np.int64)].astype(np.float32))

    batches.transform = with_weights
    return batches
