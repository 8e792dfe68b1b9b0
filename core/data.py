"""Arrays to batches, and a batch to shards on contexts.

Holds slicing only; reading files is the data sets' matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np

from dope.core.backend import mx

Transform = Callable[[Any, Optional[np.random.Generator]], tuple[Any, ...]]


class ArrayBatches:
    """Batches of arrays that lie in memory: a batch is a slice, no example is touched in Python.

    Examples are brought into order, transformed and put on the device some thousands at a time.

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
    transform
        ``transform(arrays, rng)`` makes what the networks get of a chunk of examples: casts,
        scales, augments. ``rng`` is None where nothing is to be random. Along axis 0 only.
    """

    CHUNK = 1 << 22  # bytes of the first array that are uploaded together, about

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        batch_size: Optional[int] = None,
        *,
        shuffle: bool = False,
        axis: int = 0,
        repeats: int = 1,
        transform: Optional[Transform] = None,
    ) -> None:
        self.arrays = self._original = tuple(arrays)
        self.shuffle, self.axis = shuffle, axis
        self.repeats, self.transform = repeats, transform
        self.examples = int(self.arrays[0].shape[axis])
        self.batch_size = min(batch_size or self.examples, self.examples)
        self._whole = self.batch_size == self.examples and not shuffle and transform is None
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
        chunk = self._batches_together() * self.batch_size
        step = 0
        for _ in range(self.repeats):
            if self.shuffle and rng is not None:
                rng.shuffle(order)
            for start in range(0, self.examples, chunk):
                rows = order[start : start + chunk]
                steps = -(-len(rows) // self.batch_size)
                own = None if rng is None else np.random.default_rng(rng.integers(1 << 63))
                if step + steps > skip:
                    yield from self._cut(self._upload(rows, own), len(rows), max(0, skip - step))
                step += steps

    def _batches_together(self) -> int:
        first = self.arrays[0]
        size = first.nbytes // max(1, self.examples) * self.batch_size
        return int(min(max(1, self.CHUNK // max(1, size)), self._steps))

    def _upload(self, rows: np.ndarray, rng: Optional[np.random.Generator]) -> tuple[Any, ...]:
        taken = tuple(np.take(a, rows, axis=self.axis) for a in self.arrays)
        if self.transform is not None:
            taken = self.transform(taken, rng)
        return tuple(_shared(a) for a in taken)

    def _cut(self, arrays: tuple[Any, ...], rows: int, skip: int) -> Iterator[tuple[Any, ...]]:
        for start in range(skip * self.batch_size, rows, self.batch_size):
            end = min(start + self.batch_size, rows)
            if self.axis == 0:
                yield tuple(a[start:end] for a in arrays)
            else:
                yield tuple(a.slice_axis(axis=self.axis, begin=start, end=end) for a in arrays)


def _shared(array: np.ndarray) -> Any:
    """An NDArray on the memory of a NumPy array that nobody else holds."""
    return mx.nd.from_numpy(np.ascontiguousarray(array))


def batch_length(batch: Any, axis: int = 0) -> int:
    """Number of examples in a batch: arrays along ``axis``, or a list of objects."""
    first = batch
    while isinstance(first, (tuple, dict)):
        first = next(iter(first.values())) if isinstance(first, dict) else first[0]
    return len(first) if isinstance(first, list) else int(first.shape[axis])


def split(
    batch: Any, contexts: Sequence[Any], axis: int = 0, *, rank: int = 0, workers: int = 1
) -> list[Any]:
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
    rank, workers
        Which of several workers this is: the shards of the others are left out.

    Returns
    -------
    list
        One shard a context in the batch's own form; None where there are fewer examples than
        contexts.
    """
    here, parts = len(contexts), len(contexts) * workers
    if parts == 1:
        return [_moved(batch, contexts[0])]
    n = batch_length(batch, axis)
    bounds = [n * i // parts for i in range(rank * here, (rank + 1) * here + 1)]
    return [
        _cut(batch, begin, end, context, axis) if end > begin else None
        for begin, end, context in zip(bounds, bounds[1:], contexts)
    ]


def _moved(item: Any, context: Any) -> Any:
    """A whole batch on one context."""
    if isinstance(item, mx.nd.NDArray):
        return item.as_in_context(context)
    if isinstance(item, tuple):
        return tuple([_moved(part, context) for part in item])
    if isinstance(item, dict):
        return {key: _moved(part, context) for key, part in item.items()}
    return item if isinstance(item, list) else mx.nd.array(item, ctx=context, dtype=item.dtype)


def cut(batch: Any, pieces: int, axis: int = 0) -> list[Any]:
    """Cut a batch into ``pieces`` as even as can be, each at least one example."""
    if pieces == 1:
        return [batch]
    n = batch_length(batch, axis)
    bounds = [n * i // pieces for i in range(pieces + 1)]
    return [_cut(batch, begin, end, None, axis) for begin, end in zip(bounds, bounds[1:])]


def head(batch: Any, n: int, axis: int = 0) -> Any:
    """The first ``n`` examples of a batch."""
    return _cut(batch, 0, n, None, axis)


def _cut(item: Any, begin: int, end: int, context: Any, axis: int) -> Any:
    if isinstance(item, tuple):
        return tuple(_cut(part, begin, end, context, axis) for part in item)
    if isinstance(item, dict):
        return {key: _cut(part, begin, end, context, axis) for key, part in item.items()}
    if isinstance(item, list):
        return item[begin:end]
    if isinstance(item, mx.nd.NDArray):
        if begin == 0 and end == item.shape[axis]:
            part = item
        elif axis == 0:
            part = item[begin:end]
        else:
            part = item.slice_axis(axis=axis, begin=begin, end=end)
        return part if context is None else part.as_in_context(context)
    part = np.take(item, range(begin, end), axis=axis)
    if context is None:
        return part
    return mx.nd.array(part, ctx=context, dtype=part.dtype)


def leaves(item: Any) -> list[Any]:
    """The arrays of nested tuples, lists and mappings, in order; None has none."""
    if isinstance(item, mx.nd.NDArray):
        return [item]
    if isinstance(item, (tuple, list)):
        return [leaf for part in item for leaf in leaves(part)]
    if isinstance(item, Mapping):
        return leaves(list(item.values()))
    return [] if item is None else [item]


def rebuild(item: Any, values: Any) -> Any:
    """The same nesting with other leaves, taken from an iterator."""
    if item is None:
        return None
    if isinstance(item, Mapping):
        return {key: rebuild(part, values) for key, part in item.items()}
    if isinstance(item, (tuple, list)):
        parts = [rebuild(part, values) for part in item]
        return type(item)(*parts) if hasattr(item, "_fields") else type(item)(parts)
    return next(values)
