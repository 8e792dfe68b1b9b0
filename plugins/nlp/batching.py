"""A text as parallel streams: batches that go on where the last one ended.

Holds no reading of text; that is in text.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from dope.core.backend import nd
from dope.core.errors import DataError

PADDING = -1.0  # a target that does not count


class Streams:
    """Batches of a text that is laid out as ``streams`` parallel streams, in order.

    Stream i holds the i-th of as many equal stretches of the text. A batch is the next ``steps``
    characters or words of all streams and what follows each of them, both float32 (steps,
    streams), time first; the last one of an epoch is shorter. An example, as the engine counts
    them, is a stream.

    Parameters
    ----------
    ids
        The text in numbers, float32 (n).
    streams
        N. What is left at the end of the text, less than N characters or words, is not used.
    steps
        T, the length of a batch and so of backpropagation through time.
    unit
        What the numbers stand for, for the error.

    Raises
    ------
    DataError
        The text is shorter than one batch.
    """

    def __init__(self, ids: np.ndarray, streams: int, steps: int, unit: str = "characters") -> None:
        needed = streams * steps + 1
        if len(ids) < needed:
            raise DataError(
                f"the training text has {len(ids)} {unit}; a batch of {streams} streams of {steps} "
                f"needs {needed}",
                "Take a longer text, or a smaller trainer.batch_size or task.steps.",
            )
        self.streams, self.steps = streams, steps
        self.length = (len(ids) - 1) // streams  # of each stream
        used = self.length * streams
        self._inputs = _laid_out(ids[:used], streams)
        self._targets = _laid_out(ids[1 : used + 1], streams)

    def __len__(self) -> int:
        return -(-self.length // self.steps)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self.epoch()

    def epoch(
        self, rng: Optional[np.random.Generator] = None, skip: int = 0
    ) -> Iterator[tuple[Any, Any]]:
        """The batches of one epoch without the first ``skip``; nothing is random in it."""
        for start in range(skip * self.steps, self.length, self.steps):
            end = min(start + self.steps, self.length)
            yield self._inputs[start:end], self._targets[start:end]


def held_out(ids: np.ndarray, streams: int, steps: int) -> Iterator[tuple[Any, Any]]:
    """Batches for evaluation, in which every character or word but the first is a target once.

    Parameters
    ----------
    ids
        The text in numbers, float32 (n), n at least 2.
    streams
        Stretches that the text is cut into; each is read from its own beginning.
    steps
        Length of a batch.

    Yields
    ------
    tuple
        Inputs and targets, float32 (at most steps, streams). Where stretches are not of equal
        length, the end of the last ones is padded; targets there are -1.
    """
    n = len(ids) - 1
    streams = min(streams, n)
    length = -(-n // streams)
    inputs, targets = np.zeros(length * streams), np.full(length * streams, PADDING)
    inputs[:n], targets[:n] = ids[:-1], ids[1:]
    inputs, targets = _laid_out(inputs, streams), _laid_out(targets, streams)
    for start in range(0, length, steps):
        yield inputs[start : start + steps], targets[start : start + steps]


def _laid_out(ids: np.ndarray, streams: int) -> Any:
    """(n) to an NDArray (n / streams, streams), time first."""
    return nd.array(np.ascontiguousarray(ids.reshape(streams, -1).T), dtype="float32")
