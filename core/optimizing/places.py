"""Parameters on one context where an optimizer finds them, the small ones side by side.

Holds no arithmetic: the rules are in inplace.py, and when they are applied in updates.py.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dope.core.backend import HostView, nd, operator_threads, synchronous
from dope.core.data import leaves, rebuild
from dope.core.optimizing import inplace

SMALL = 4096  # entries up to which a copy takes less than a call of the rule


class Place:
    """One parameter on one context, and the NumPy rule that updates it, if there is one.

    Parameters
    ----------
    optimizer, number
        The context's optimizer, and the number it knows the parameter by.
    weight, grad, state
        Arrays on the context; ``state`` may be None or nested.
    """

    def __init__(self, optimizer: Any, number: int, weight: Any, grad: Any, state: Any) -> None:
        self.number, self.weight, self.grad, self.state = number, weight, grad, state
        arrays = [weight, grad, *leaves(state)]
        alike = all(
            (a.dtype, a.shape, a.stype) == (weight.dtype, weight.shape, "default") for a in arrays
        )
        fits = alike and weight.dtype in (np.float32, np.float64) and synchronous(weight.context)
        self.rule = inplace.rule_for(optimizer, weight.size, operator_threads()) if fits else None

    def arrays(self) -> list[Any]:
        """Weight, gradient and states."""
        return [self.weight, self.grad, *leaves(self.state)]


class Row:
    """Places that have a rule and lie side by side: it is applied to all of them at once.

    Weights and gradients are copied together and back; states are laid out together for good, as
    parts of one array each, and `Place.state` is set to those parts. What is computed is the same
    number by number.

    Parameters
    ----------
    places
        One of any size, or several of one type that have `SMALL` entries each at most.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self.numbers = [place.number for place in places]
        self._rule: Any = places[0].rule
        self._scratch = _scratch(np.dtype(places[0].weight.dtype).char)
        if len(places) > 1:
            self._states = _views(_side_by_side(places))
            sizes = [place.weight.size for place in places]
            self._weights, self._grads = np.empty((2, sum(sizes)), places[0].weight.dtype)
            self._parts = np.split(self._weights, np.cumsum(sizes)[:-1])
        self._alone = [_views(place.arrays()) for place in places]

    def update(self, optimizer: Any, steps: Sequence[inplace.Step]) -> None:
        """Apply the rule to the gradients as they stand; ``steps`` says how, for each place."""
        if len(steps) == 1 or any(step != steps[0] for step in steps):
            for views, step in zip(self._alone, steps):
                self._apply(optimizer, step, [view() for view in views])
            return
        weights = [views[0]() for views in self._alone]
        np.concatenate(weights, out=self._weights)
        np.concatenate([views[1]() for views in self._alone], out=self._grads)
        states = [view() for view in self._states]
        self._apply(optimizer, steps[0], [self._weights, self._grads, *states])
        for weight, part in zip(weights, self._parts):
            weight[:] = part

    def _apply(self, optimizer: Any, step: inplace.Step, arrays: list[np.ndarray]) -> None:
        inplace.update(self._rule, optimizer, step, arrays, self._scratch)


def rows(places: Sequence[Place]) -> list[Row]:
    """The places that have a rule, small ones of one type together."""
    made, small = [], {}  # type: ignore[var-annotated]
    for place in places:
        if place.rule is None:
            continue
        if place.weight.size > SMALL:
            made.append([place])
            continue
        kind = np.dtype(place.weight.dtype).char
        row = small.get(kind)
        if row is None or sum(p.weight.size for p in row) + place.weight.size > inplace.BLOCK:
            row = small[kind] = []
            made.append(row)
        row.append(place)
    return [Row(each) for each in made]


def _views(arrays: Sequence[Any]) -> list[HostView]:
    return [HostView(array) for array in arrays]


def _side_by_side(places: Sequence[Place]) -> list[Any]:
    """Each state of all places in one array, and the places' own as parts of it."""
    together = [
        nd.concat(*[array.reshape(-1) for array in arrays], dim=0)
        for arrays in zip(*[leaves(place.state) for place in places])
    ]
    start = 0
    for place in places:
        end = start + place.weight.size
        parts = [whole[start:end].reshape(place.weight.shape) for whole in together]
        place.state, start = rebuild(place.state, iter(parts)), end
    return together


@functools.cache
def _scratch(dtype: str) -> np.ndarray:
    return np.empty((2, inplace.BLOCK), dtype)
