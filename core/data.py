"""Arrays to batches, and a batch to shards on contexts.

Holds slicing only; reading files is the data sets' matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np

from dope.core.backend import mx


class ArrayBatches:
    """Batches of arrays that lie in memory: a batch is a slice, no example is touched in Python.

    Parameters
    ----------
    arrays
        Arrays of equal length along ``axis``.
    batch_size
        Examples in a batch; None means all of them.
    shuffle
        Draw a new order each epoch.
    axis
        The axis of examples.
    repeats
        Times that an epoch goes through the data, for tasks whose one batch is everything.
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        batch_size: Optional[int] = None,
        *,
        shuffle: bool = False,
        axis: int = 0,
        repeats: int = 1,
    ) -> None:
        self.arrays = self._original = tuple(arrays)
        self.shuffle, self.axis = shuffle, axis
        self.repeats = repeats
        self.examples = int(self.arrays[0].shape[axis])
        self.batch_size = min(batch_size or self.examples, self.examples)
        self._whole = self.batch_size == self.examples and not shuffle
        self._loaded: Optional[tuple[Any, ...]] = None

    def __len__(self) -> int:
        return self.repeats * self._steps

    def narrow(self, rows: np.ndarray) -> None:
        """Leave out all examples but these from now on; ``rows`` counts the original ones."""
        if self.axis:
            raise ValueError("only batches along the first axis can be narrowed")
        self.arrays = tuple(a[rows] for a in self._original)
        self.examples, self._loaded = len(rows), None
        self.batch_size = min(self.batch_size, self.examples)

    @property
    def _steps(self) -> int:
        return -(-self.examples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.epoch()

    def epoch(self, rng: Optional[np.random.Generator] = None, skip: int = 0) -> Iterator[Any]:
        """The batches of one epoch in the order that ``rng`` gives, without the first ``skip``."""
        if self._whole:  # one batch, the same each time: upload it once
            if self._loaded is None:
                self._loaded = tuple(mx.nd.array(a, dtype=a.dtype) for a in self.arrays)
            yield from [self._loaded] * (self.repeats - skip)
            return
        order = np.arange(self.examples)
        for step in range(len(self)):
            start = step % self._steps * self.batch_size
            if start == 0 and self.shuffle and rng is not None:
                rng.shuffle(order)
            if step >= skip:
                rows = order[start : start + self.batch_size]
                taken = (np.take(a, rows, axis=self.axis) for a in self.arrays)
                yield tuple(mx.nd.array(a, dtype=a.dtype) for a in taken)


def batch_length(batch: Any, axis: int = 0) -> int:
    """Number of examples in a batch: arrays along ``axis``, or a list of objects."""
    first = batch
    while isinstance(first, (tuple, dict)):
        first = next(iter(first.values())) if isinstance(first, dict) else first[0]
    return len(first) if isinstance(first, list) else int(first.shape[axis])


def split(batch: Any, contexts: Sequence[Any], axis: int = 0) -> list[Any]:
    """Cut a batch into one shard a context, as even as can be.

    Parameters
    ----------
    batch
        An array, a list of Python objects (trees, say), or a tuple or dict of those, all of the
        same length.
    contexts
        Where the shards go.
    axis
        The axis of examples of the arrays.

    Returns
    -------
    list
        One shard a context in the batch's own form; None where there are fewer examples than
        contexts.
    """
    n, parts = batch_length(batch, axis), len(contexts)
    bounds = [n * i // parts for i in range(parts + 1)]
    return [
        _cut(batch, begin, end, context, axis) if end > begin else None
        for begin, end, context in zip(bounds, bounds[1:], contexts)
    ]


def _cut(item: Any, begin: int, end: int, context: Any, axis: int) -> Any:
    if isinstance(item, tuple):
        return tuple(_cut(part, begin, end, context, axis) for part in item)
    if isinstance(item, dict):
        return {key: _cut(part, begin, end, context, axis) for key, part in item.items()}
    if isinstance(item, list):
        return item[begin:end]
    if isinstance(item, mx.nd.NDArray):
        whole = begin == 0 and end == item.shape[axis]
        part = item if whole else item.slice_axis(axis=axis, begin=begin, end=end)
        return part.as_in_context(context)
    part = np.take(item, range(begin, end), axis=axis)
    return mx.nd.array(part, ctx=context, dtype=part.dtype)
