"""Products of the rows of one table, and their gradient: a sparse matrix times the table.

Holds the arithmetic of factors; which rows belong to whom is the caller's matter.
"""

from __future__ import annotations

import ctypes
from typing import Any, Optional

import numpy as np

from dope.core.backend import HostView, mx, nd

BLOCK = 512  # pairs whose factors stay in a core's cache
FEW = 1024  # rows of a table that do


class Products:
    """Products t_a . t_b of pairs of rows of a table (R, K), and their gradient.

    With the errors e of n pairs the gradient is M t, where the symmetric matrix M (R, R) has e in
    (a, b) and in (b, a). MXNet multiplies that in one operator; NumPy would loop over the rows.

    Parameters
    ----------
    pairs, rows
        n and R.
    """

    def __init__(self, pairs: int, rows: int) -> None:
        self.pairs, self.table_rows = pairs, rows
        self._matrix: Any = None
        self._room: Optional[np.ndarray] = None
        self._data, self._columns, self._ends = (
            nd.empty(shape, dtype=dtype)
            for shape, dtype in (
                (2 * pairs, "float32"),
                (2 * pairs, "int64"),
                (rows + 1, "int64"),
            )
        )
        self._parts = [HostView(each) for each in (self._data, self._columns, self._ends)]

    def forward(self, table: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n,): the products of rows (2n,), the first n with the last n."""
        n, width = self.pairs, table.shape[1]
        if self._room is None:
            self._room = np.empty((2, min(BLOCK, n), width), np.float32)
        found = np.empty(n, np.float32)
        for start in range(0, n, BLOCK):
            end = min(start + BLOCK, n)
            one, other = self._room[:, : end - start]
            table.take(rows[start:end], 0, one, "clip")
            table.take(rows[n + start : n + end], 0, other, "clip")
            np.einsum("nk,nk->n", one, other, out=found[start:end])
        return found

    def backward(
        self, errors: np.ndarray, rows: np.ndarray, counts: np.ndarray, table: Any, into: Any
    ) -> None:
        """Set ``into`` to the gradient of the table for errors (n,); both are NDArrays (R, K).

        ``rows`` (2n,) are those of the pairs, and ``counts`` (R,) how often each is there.
        """
        n, (data, columns, ends) = self.pairs, (part() for part in self._parts)
        at = _order(rows, self.table_rows)
        ends[0] = 0
        np.cumsum(counts, out=ends[1:])
        other = np.where(at < n, at + n, at - n)  # place of the other row of the pair
        rows.take(other, 0, columns, "clip")
        errors.take(np.minimum(at, other, other), 0, data, "clip")
        nd.sparse.dot(self._filled(), table, out=into)

    def _filled(self) -> Any:
        """The matrix with what now stands in its parts; its memory stays."""
        shape = self.table_rows, self.table_rows
        if self._matrix is None:
            self._matrix = nd.sparse.csr_matrix(
                (self._data, self._columns, self._ends), shape=shape
            )
            return self._matrix
        for part, place in ((self._data, -1), (self._ends, 0), (self._columns, 1)):
            mx.base.check_call(
                mx.base._LIB.MXNDArraySyncCopyFromNDArray(
                    self._matrix.handle, part.handle, ctypes.c_int(place)
                )
            )
        return self._matrix


def _order(rows: np.ndarray, limit: int) -> np.ndarray:
    """Places that sort the rows, whatever the order of equal ones is."""
    if limit <= 1 << 16:
        return rows.astype(np.uint16).argsort(kind="stable")  # NumPy's radix sort
    keys = rows << 32  # faster than argsort: NumPy sorts numbers in vectors
    keys |= np.arange(len(rows))
    keys.sort()
    keys &= (1 << 32) - 1
    return keys


def add_scaled(total: np.ndarray, weights: np.ndarray, table: np.ndarray) -> None:
    """Add weights (R,) times table (R, K) to a total in place, block by block."""
    room = np.empty((min(FEW, len(table)), table.shape[1]), table.dtype)
    column = weights.astype(table.dtype)[:, None]
    for start in range(0, len(table), FEW):
        part = slice(start, start + FEW)
        few = table[part]
        made = np.multiply(few, column[part], room[: len(few)])
        np.add(total[part], made, total[part])
