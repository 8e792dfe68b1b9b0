"""From what words give to the gates to h at the roots, with its gradient written by hand.

Holds no arithmetic of the cell, which is in rising.py; which words lie where is in forest.py.
"""

from __future__ import annotations

from typing import Any

from dope.core.backend import mx, nd
from dope.plugins.nlp.forest import Forest
from dope.plugins.nlp.rising import Cell, Fall, FallToLeaves, Gifts, Rise, Slopes, own


class Blocks:
    """The parts of the way up and down, and one of each for every number of levels.

    Parameters
    ----------
    hidden
        H.
    """

    def __init__(self, hidden: int) -> None:
        self.hidden, self.active = hidden, False
        self.leaves, self.alone, self.gifts = Cell(hidden), Cell(hidden), Gifts(hidden)
        self.slopes, self.to_leaves = Slopes(hidden), FallToLeaves(hidden)
        self._made: dict[Any, Any] = {}

    def hybridize(self, active: bool) -> None:
        """Compile the parts, without static memory: no two minibatches have the same shapes."""
        self.active = active
        parts = self.leaves, self.alone, self.gifts, self.slopes, self.to_leaves
        for part in (*parts, *self._made.values()):
            part.hybridize(active)

    def through(self, kind: Any, levels: int) -> Any:
        """`Rise` or `Fall` through so many levels."""
        found = self._made.get((kind, levels))
        if found is None:
            found = self._made[kind, levels] = kind(self.hidden, levels)
            found.hybridize(self.active)
        return found


class Climb(mx.autograd.Function):
    """h at the roots (R, H) of a forest: those with children first, then the single words.

    Of gates (N, 4H), what the words alone give to i, o, u and f, in the order of the forest's
    nodes; and of the weights U of i, o and u (3H, H), and of f (H, H).

    Differentiated by hand: the gradients of all levels' weights are then one product, and the
    slopes of all levels are computed together.
    """

    def __init__(self, forest: Forest, blocks: Blocks) -> None:
        super().__init__()
        self.forest, self.blocks = forest, blocks

    def forward(self, gates: Any, sum_weight: Any, forget_weight: Any) -> Any:
        forest, blocks = self.forest, self.blocks
        H, n, first = blocks.hidden, forest.leaves, forest.leaves + forest.singles
        self.weights = sum_weight, forget_weight
        self.low = blocks.leaves(gates[:first])
        if not forest.levels:
            return self.low[-1]
        iou = nd.slice_axis(gates[first:], axis=1, begin=0, end=3 * H)
        f = nd.slice_axis(gates[first:], axis=1, begin=3 * H, end=4 * H)
        c, h = (state[:n] for state in self.low[3:])
        below, kept, self.low_gate = blocks.gifts(h, c, f, forest.heads, *self.weights)
        iou, kept = iou + nd.dot(forest.sums, below), nd.dot(forest.sums, kept)
        self.high = self._rise(iou, kept, f)
        roots = self.high[4][forest.levels[-1].begin :]
        return nd.concat(roots, self.low[4][n:], dim=0) if forest.singles else roots

    def _rise(self, iou: Any, kept: Any, f: Any) -> Any:
        """Through the levels, roots last: what `Rise` returns."""
        levels = self.forest.levels
        if len(levels) == 1:
            return self.blocks.alone(iou, kept)
        given = []
        for level in levels:
            rows = slice(level.begin, level.end)
            given += [iou[rows], kept[rows]]
            if level.begin:
                given += [f[rows], level.heads, level.sums]
        return self.blocks.through(Rise, len(levels))(*self.weights, *given)

    def backward(self, dh: Any) -> tuple[Any, Any, Any]:
        forest, H, n = self.forest, self.blocks.hidden, self.forest.leaves
        dh = dh.as_in_context(self.low[0].context)  # MXNet says cpu(0) of it on all CPUs
        low, low_by_h = self.blocks.slopes(*self.low[:3])
        if not forest.levels:
            return _gates(dh * low_by_h, dh, low, H), *(nd.zeros_like(w) for w in self.weights)
        weight = nd.concat(*self.weights, dim=0).T  # (H, 4H)
        roots = len(dh) - forest.singles
        found, products, forgets = self._fall(dh[:roots], weight)
        c, h = (state[:n] for state in self.low[3:])
        product, forget, dc, low_dh = self.blocks.to_leaves(
            found, weight, forest.heads, c, self.low_gate
        )
        if forest.singles:
            low_dh = nd.concat(low_dh, dh[roots:], dim=0)
            dc = nd.concat(dc, nd.zeros_like(dh[roots:]), dim=0)
        df = nd.dot(forest.sums, forget)  # (I, H)
        if products is not None:
            part = df[forest.levels[1].begin :]
            nd.elemwise_add(part, forgets, out=part)
            product = nd.concat(product, products, dim=0)
            h = nd.concat(h, self.high[4][: len(products)], dim=0)
        dw = nd.FullyConnected(product.T, h.T, no_bias=True, num_hidden=H)  # (4H, H)
        high = nd.concat(nd.slice_axis(found, axis=1, begin=0, end=3 * H), df, dim=1)
        gates = nd.concat(_gates(dc + low_dh * low_by_h, low_dh, low, H), high, dim=0)
        return gates, dw[: 3 * H], dw[3 * H :]

    def _fall(self, dh: Any, weight: Any) -> tuple[Any, Any, Any]:
        """Through the levels, roots first: what `Fall` returns."""
        levels = self.forest.levels
        slopes, by_h = self.blocks.slopes(*self.high[:3])
        if len(levels) == 1:
            return own(nd, dh * by_h, dh, slopes), None, None
        gates = self.high[5]
        by_forget = self.high[3][: len(gates)] * gates * (1 - gates)
        given = []
        for level, below in zip(levels[::-1], [*levels[-2::-1], None]):
            rows = slice(level.begin, level.end)
            given += [slopes[rows], by_h[rows]]
            if below is not None:
                rows = slice(below.begin, below.end)
                given += [level.heads, level.sums, by_forget[rows], gates[rows]]
        found: tuple[Any, Any, Any] = self.blocks.through(Fall, len(levels))(dh, weight, *given)
        return found


def _gates(dc: Any, dh: Any, slopes: Any, H: int) -> Any:
    """Gradients (n, 4H) of what goes into the gates of words without children: f has none."""
    return nd.concat(dc, dh, dc, nd.zeros_like(dc), dim=1) * slopes
