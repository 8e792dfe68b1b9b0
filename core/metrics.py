"""Sums that stay on the device until somebody reads them.

Holds the accumulation only; which quantities are summed is the task's matter.
"""

from __future__ import annotations

from typing import Any


class Sum:
    """A running sum over examples, kept as an array of one element.

    Parameters
    ----------
    total
        Array of shape (1,), or None for an empty sum.
    count
        How many examples it sums over.
    """

    __slots__ = ("count", "total")

    def __init__(self, total: Any = None, count: int = 0) -> None:
        self.total, self.count = total, count

    @classmethod
    def of(cls, values: Any) -> Sum:
        """The sum of a vector over examples."""
        return cls(values.sum(), values.shape[0])

    def __add__(self, other: Sum) -> Sum:
        if self.total is None or other.total is None:
            return other if self.total is None else self
        here = self.total.context
        return Sum(self.total + other.total.as_in_context(here), self.count + other.count)

    def mean(self) -> float:
        """Read the mean back: the one place that waits for the device."""
        if self.total is None or not self.count:
            return float("nan")
        return float(self.total.asscalar()) / self.count
