"""The way up through a forest in MXNet's operators: on GPUs, or where the engine is a threaded one.

Holds the cell that is compiled, and no gradient: MXNet finds it. On CPU climb.py is faster.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dope.core.backend import mx, nd
from dope.plugins.nlp.forest import Forest, sums


class Leaves(mx.gluon.HybridBlock):
    """States of words without children.

    A state is h, c and U_f h side by side, (..., 3H).
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def hybrid_forward(self, F: Any, iou: Any, forget_weight: Any) -> Any:
        """States (V, 3H) from what words give to i, o and u (V, 3H)."""
        return _state(F, iou, None, forget_weight, self.hidden)


class Step(mx.gluon.HybridBlock):
    """From the states of one level to those of the level above it."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def hybrid_forward(
        self,
        F: Any,
        iou: Any,
        f: Any,
        states: Any,
        heads: Any,
        sums: Any,
        sum_weight: Any,
        forget_weight: Any,
    ) -> Any:
        """States (n, 3H) of a level, from those of all its children (m, 3H)."""
        H = self.hidden
        h, c, below = [F.slice_axis(states, axis=1, begin=i * H, end=i * H + H) for i in range(3)]
        gate = F.Activation(F.take(f, heads) + below, act_type="sigmoid")  # (m, H)
        both = F.dot(sums, F.concat(h, gate * c, dim=1))  # (n, 2H)
        h = F.slice_axis(both, axis=1, begin=0, end=H)
        c = F.slice_axis(both, axis=1, begin=H, end=2 * H)
        below = F.FullyConnected(h, sum_weight, no_bias=True, num_hidden=3 * H)
        return _state(F, iou + below, c, forget_weight, H)


def _state(F: Any, iou: Any, kept: Any, forget_weight: Any, H: int) -> Any:
    """h, c and U_f h side by side, of gates before their nonlinearity and what f has kept."""
    io = F.Activation(F.slice_axis(iou, axis=1, begin=0, end=2 * H), act_type="sigmoid")
    u = F.Activation(F.slice_axis(iou, axis=1, begin=2 * H, end=3 * H), act_type="tanh")
    c = F.slice_axis(io, axis=1, begin=0, end=H) * u
    if kept is not None:
        c = c + kept
    h = F.slice_axis(io, axis=1, begin=H, end=2 * H) * F.Activation(c, act_type="tanh")
    below = F.FullyConnected(h, forget_weight, no_bias=True, num_hidden=H)
    return F.concat(h, c, below, dim=1)


def rise(
    forest: Forest, leaves: Leaves, step: Step, gates: Any, sum_weight: Any, forget_weight: Any
) -> Any:
    """What `climb.Climb` returns, from the same arrays, by the two blocks."""
    context, H = gates.context, step.hidden

    def rows(array: Any, places: np.ndarray) -> Any:
        return nd.take(array, nd.array(places, ctx=context, dtype="int32"))

    low = nd.slice_axis(rows(gates, forest.low), axis=1, begin=0, end=3 * H)
    ground = leaves(low, forget_weight)
    states: Any = None
    for level in forest.levels:
        begin, end, first, last = level.begin, level.end, level.first, level.last
        below = [] if states is None else [states]
        if first < last:
            below.append(rows(ground, forest.leaves[first:last]))
        children = below[0] if len(below) == 1 else nd.concat(*below, dim=0)  # (m, 3H)
        heads = np.concatenate([level.heads, forest.heads[first:last] - begin])
        own = rows(gates, forest.high[begin:end])  # (n, 4H)
        states = step(
            nd.slice_axis(own, axis=1, begin=0, end=3 * H),
            nd.slice_axis(own, axis=1, begin=3 * H, end=4 * H),
            children,
            nd.array(heads, ctx=context, dtype="int32"),
            nd.array(sums(heads, end - begin), ctx=context),
            sum_weight,
            forget_weight,
        )
    if states is None:
        states = ground
    elif forest.order is not None:
        states = nd.concat(states, ground, dim=0)
    return nd.slice_axis(states, axis=1, begin=0, end=H)
