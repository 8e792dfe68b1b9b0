"""Sums that stay on the device until somebody reads them, and the stock metrics.

Holds the accumulation and figures for single examples; which are summed is the task's matter.
"""

from __future__ import annotations

import functools
import operator
from typing import Any, Callable

import numpy as np

from dope.core.backend import nd


class Sum:
    """A running sum over examples, kept as arrays of one element.

    Adding keeps a list; the list is added up where the sum is read, in one operator.

    Parameters
    ----------
    total
        Array of shape (1,), or None for an empty sum.
    count
        How many examples it sums over, of all workers.
    team
        The workers that each hold a part of the sum; None where this is all of it.
    """

    __slots__ = ("_parts", "_team", "count")

    MOST = 64  # parts in the list before they are added up

    def __init__(self, total: Any = None, count: int = 0, team: Any = None) -> None:
        self._parts = [] if total is None else [total]
        self._team = team
        self.count = count

    @classmethod
    def of(cls, values: Any) -> Sum:
        """The sum of a vector over examples."""
        return cls(values.sum(), values.shape[0])

    def __add__(self, other: Sum) -> Sum:
        made = Sum(count=self.count, team=self._team)
        made._parts = list(self._parts)
        made += other
        return made

    def __iadd__(self, other: Sum) -> Sum:
        if self._team is other._team:
            self._parts += other._parts
        else:
            self._parts = self._mine(other._team) + other._mine(self._team)
            self._team = self._team or other._team
        self.count += other.count
        if len(self._parts) > self.MOST:
            self._collapse()
        return self

    def _mine(self, team: Any) -> list[Any]:
        """The parts that count in a sum with another: what all workers know, one of them adds."""
        return self._parts if self._team or not team or team.leads else []

    def times(self, factor: int) -> Sum:
        """The sum with its total and its count multiplied."""
        made = Sum(count=self.count * factor, team=self._team)
        made._parts = [part * factor for part in self._parts]
        return made

    def shared(self, team: Any, count: int) -> Sum:
        """This sum as one worker's part of a sum over ``count`` examples."""
        made = Sum(count=count, team=team)
        made._parts = self._parts
        return made

    def _collapse(self) -> None:
        if len(self._parts) > 1:
            here = self._parts[0].context
            self._parts = [_from_the_left([part.as_in_context(here) for part in self._parts])]

    @property
    def total(self) -> Any:
        """Array of shape (1,), or None for an empty sum; of workers, all must ask for it."""
        self._collapse()
        if self._team is not None:
            own = self._parts[0].asnumpy() if self._parts else np.zeros(1)
            total = self._team.gather(own.astype(np.float64)).sum(axis=0)
            return nd.array(total, dtype=self._parts[0].dtype if self._parts else "float64")
        return self._parts[0] if self._parts else None

    def mean(self) -> float:
        """Read the mean back: the one place that waits for the device."""
        if not self.count or (self._team is None and not self._parts):
            return float("nan")
        return float(self.total.asscalar()) / self.count


def _from_the_left(parts: list[Any]) -> Any:
    """Sum in this order, so that its bits do not depend on where a list was added up before."""
    if len(parts) < 5:  # of three or four, add_n adds the last ones first
        return functools.reduce(operator.add, parts)
    return nd.add_n(*parts)


def accuracy(output: Any, target: Any) -> Any:
    """1 for each example whose largest output is that of its class, else 0.

    Parameters
    ----------
    output
        Shape (n, K), scores of the classes.
    target
        Shape (n,), classes from 0, as floats.
    """
    return output.argmax(axis=1) == target


def absolute_error(output: Any, target: Any) -> Any:
    """Mean absolute error of each example over the axes that follow the first."""
    return (output - target.reshape_like(output)).abs().reshape((0, -1)).mean(axis=1)


METRICS: dict[str, Callable[[Any, Any], Any]] = {
    "absolute_error": absolute_error,
    "accuracy": accuracy,
}
