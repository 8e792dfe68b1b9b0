"""The way up through a forest and back for the gradients, in NumPy on the memory of MXNet's arrays.

Holds what runs on CPU with the synchronous engine; rising.py does the same in MXNet's operators.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dope.core.backend import HostView, mx, nd
from dope.plugins.nlp.forest import Forest, sums


class Climb(mx.autograd.Function):
    """h at the roots (R, H) of a forest with children, and then of ``low`` if there are others.

    From what words alone give to i, o, u and f (U, 4H); and the weights U of i, o and u (3H, H),
    and of f (H, H).

    A level has so few words that most of the time of MXNet's operators is their call. NumPy's
    cost a tenth, and the gradients of the weights become one product for all levels.

    Parameters
    ----------
    forest
        The trees.
    """

    def __init__(self, forest: Forest) -> None:
        super().__init__()
        self.forest = forest

    def forward(self, gates: Any, sum_weight: Any, forget_weight: Any) -> Any:
        forest, given = self.forest, _host(gates)
        self.weights = _host(sum_weight), _host(forget_weight)
        self.shape, self.H = given.shape, sum_weight.shape[1]
        iou = slice(3 * self.H)
        self.low = States(given[:, iou][forest.low])
        self.low.bend(slice(None))
        h = self.low.h
        if forest.levels:
            high = given[forest.high]  # (I, 4H)
            self._climb(high[:, iou], high[:, 3 * self.H :])
            roots = self.high.h[forest.levels[-1].begin :]
            h = roots if forest.order is None else np.concatenate([roots, h])
        made, host = _made(h.shape, gates)
        host[:] = h
        return made

    def _climb(self, iou: np.ndarray, f: np.ndarray) -> None:
        """States of all words with children, level by level."""
        forest, low = self.forest, self.low
        sum_weight, forget_weight = self.weights
        V, n = len(low.h), len(iou)
        # How often a word is a leaf below a word: (V, I)
        pairs = np.bincount(forest.leaves * n + forest.heads, minlength=V * n)
        self.counts = pairs.reshape(V, n).astype(iou.dtype)
        self.children = self.counts.T @ low.h  # sums of their h (I, H), of leaves so far
        forget = (low.h @ forget_weight.T)[forest.leaves]  # (M, H)
        forget += f[forest.heads]
        self.low_gate, self.low_c = _sigmoid(forget), low.c[forest.leaves]
        kept = self.low_gate * self.low_c
        self.high = high = States(iou)
        self.gate = np.empty((forest.levels[-1].begin, self.H), iou.dtype)
        self.sums, self.low_sums = [], []
        for level in forest.levels:
            rows, size = slice(level.begin, level.end), level.end - level.begin
            leaves = slice(level.first, level.last)
            self.low_sums.append(sums(forest.heads[leaves] - level.begin, size, iou.dtype))
            np.matmul(self.low_sums[-1], kept[leaves], high.c[rows])
            self.sums.append(sums(level.heads, size, iou.dtype))
            if level.begin:
                below = slice(level.begin - len(level.heads), level.begin)
                h = high.h[below]
                forget = h @ forget_weight.T  # (k, H)
                forget += f[rows][level.heads]
                gate = self.gate[below] = _sigmoid(forget)
                high.c[rows] += self.sums[-1] @ (gate * high.c[below])
                self.children[rows] += self.sums[-1] @ h
            iou[rows] += self.children[rows] @ sum_weight.T
            high.bend(rows)

    def backward(self, dh: Any) -> tuple[Any, ...]:
        forest, low, H, given = self.forest, self.low, self.H, _host(dh)
        shapes = self.shape, *(each.shape for each in self.weights)
        made, (gates, d_sum, d_forget) = zip(*(_made(shape, dh) for shape in shapes))
        low_dc: Any = 0
        low_dh = np.zeros_like(low.h)
        if forest.order is not None:
            low_dh += given[len(given) - len(low.h) :]
        if forest.levels:
            roots = self.high.h[forest.levels[-1].begin :]
            high, dc, total, forget = self._descend(given[: len(roots)])
            low_forget, low_dc = self._land(high, dc)
            low_dh += self.counts @ total
            low_dh += low_forget @ self.weights[1]
            np.matmul(high[:, : 3 * H].T, self.children, d_sum)
            np.matmul(low_forget.T, low.h, d_forget)
            d_forget += forget.T @ self.high.h[: len(forget)]
            # The gradients of all nodes of a word, summed: (U, 4H)
            np.matmul(sums(forest.high, forest.tall, high.dtype), high, gates[: forest.tall])
        else:
            d_sum[:], d_forget[:] = 0, 0
        gates[forest.tall :] = 0
        slopes = np.empty_like(low.gates)
        by_h = low.slopes(slopes)
        gates[forest.low, : 3 * H] += _spread(low_dc + low_dh * by_h, low_dh, slopes)
        return made

    def _descend(self, dh: np.ndarray) -> tuple[np.ndarray, ...]:
        """Gradients of what goes into i, o, u and f (I, 4H), f without leaves, from the roots' h.

        Then of c (I, H), of the sums of children's h (I, H), and of U h of f (K, H), of the K words
        that have a head.
        """
        high, H, (sum_weight, forget_weight) = self.high, self.H, self.weights
        found = np.empty((len(high.h), 4 * H), dh.dtype)
        gates, df = found[:, : 3 * H], found[:, 3 * H :]
        df[: self.forest.levels[0].end] = 0
        by_h = high.slopes(gates)
        by_forget = self.gate * (1 - self.gate)
        by_forget *= high.c[: len(self.gate)]
        dc, total = np.zeros_like(high.c), np.empty_like(high.c)
        forgets = np.empty_like(self.gate)
        for number in range(len(self.sums) - 1, -1, -1):
            level = self.forest.levels[number]
            rows = slice(level.begin, level.end)
            dc[rows] += dh * by_h[rows]
            _spread(dc[rows], dh, gates[rows])
            np.matmul(gates[rows], sum_weight, total[rows])
            if number:
                below = slice(level.begin - len(level.heads), level.begin)
                kept = dc[rows][level.heads]  # (k, H)
                forget = forgets[below]
                np.multiply(kept, by_forget[below], forget)
                np.multiply(kept, self.gate[below], dc[below])
                np.matmul(self.sums[number], forget, df[rows])
                dh = forget @ forget_weight
                dh += total[rows][level.heads]
        return found, dc, total, forgets

    def _land(self, high: np.ndarray, dc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From the gradients of words with children to those of leaves; adds to that of f.

        Of U h of f of a leaf's word, and of its c (V, H).
        """
        forest, f = self.forest, slice(3 * self.H, None)
        kept = dc[forest.heads]  # (M, H)
        kept *= self.low_gate
        forget = kept * self.low_c
        forget *= 1 - self.low_gate
        for level, matrix in zip(forest.levels, self.low_sums):
            high[level.begin : level.end, f] += matrix @ forget[level.first : level.last]
        uses = sums(forest.leaves, len(self.low.h), dc.dtype)  # (V, M)
        return uses @ forget, uses @ kept


class States:
    """Gates i, o and u side by side (n, 3H), c, tanh(c) and h (n, H) of words.

    Parameters
    ----------
    gates
        What goes into the gates; `bend` replaces it by what comes out.
    """

    def __init__(self, gates: np.ndarray) -> None:
        n, H = len(gates), gates.shape[1] // 3
        self.gates, self.H = gates, H
        self.c = np.zeros((n, H), gates.dtype)  # at first what forget gates keep of children's
        self.bent, self.h = np.empty_like(self.c), np.empty_like(self.c)

    def bend(self, rows: slice) -> None:
        """Compute these words."""
        gates, c, H = self.gates[rows], self.c[rows], self.H
        io = gates[:, : 2 * H]
        io *= 0.5  # sigmoid(x) = (1 + tanh(x / 2)) / 2: one call for all gates
        np.tanh(gates, gates)
        io *= 0.5
        io += 0.5
        c += io[:, :H] * gates[:, 2 * H :]
        np.tanh(c, self.bent[rows])
        np.multiply(io[:, H:], self.bent[rows], self.h[rows])

    def slopes(self, found: np.ndarray) -> np.ndarray:
        """Slopes of c by what goes into i and u, of h by that of o, into (n, 3H); of c by h."""
        H = self.H
        i, o, u = (self.gates[:, k * H : k * H + H] for k in range(3))
        io = found[:, : 2 * H]
        np.subtract(1, self.gates[:, : 2 * H], io)
        io *= self.gates[:, : 2 * H]
        io[:, :H] *= u
        io[:, H:] *= self.bent
        by_u = found[:, 2 * H :]
        np.multiply(u, u, by_u)
        np.subtract(1, by_u, by_u)
        by_u *= i
        by_h = self.bent * self.bent
        np.subtract(1, by_h, by_h)
        by_h *= o
        return by_h


def _spread(dc: np.ndarray, dh: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Gradients of what goes into i, o and u (n, 3H), in place of its slopes."""
    H = dc.shape[1]
    slopes[:, :H] *= dc
    slopes[:, H : 2 * H] *= dh
    slopes[:, 2 * H :] *= dc
    return slopes


def _sigmoid(x: np.ndarray) -> np.ndarray:
    found = np.tanh(x * 0.5)
    found *= 0.5
    found += 0.5
    return found


def _made(shape: tuple[int, ...], like: Any) -> tuple[Any, np.ndarray]:
    """A new array on the context and of the type of another, and its memory."""
    made = nd.empty(shape, ctx=like.context, dtype=like.dtype)
    return made, _host(made)


def _host(array: Any) -> np.ndarray:
    """An array's memory in its shape."""
    return HostView(array)().reshape(array.shape)
