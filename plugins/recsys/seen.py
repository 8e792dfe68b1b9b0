"""What the users of a batch have rated, and what that adds to their factors: SVD++.

Holds the sparse products, forward and backward; scoring.py calls them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dope.core.backend import HostView, nd
from dope.plugins.recsys.rows import add_scaled


class Seen:
    """The items that each different user of a batch has rated in training.

    Parameters
    ----------
    users
        (n,) of the batch.
    begin
        (U + 1,) where each user's part of ``seen`` begins.
    seen
        Items, one user after the other.

    Attributes
    ----------
    users : array
        (D,) the different users, ascending.
    """

    def __init__(self, users: np.ndarray, begin: np.ndarray, seen: np.ndarray) -> None:
        self.users, self._place = np.unique(users, return_inverse=True)
        first = begin[self.users].astype(np.int64)
        self._counts = begin[self.users + 1] - first  # (D,)
        self._ends = np.concatenate([[0], np.cumsum(self._counts)])
        # what to add to 0, 1, 2, … to go through each user's part in turn
        ahead = np.repeat(first - self._ends[:-1], self._counts)
        self._items = seen[np.arange(self._ends[-1]) + ahead].astype(np.int64)
        self._norm = 1 / np.sqrt(np.maximum(self._counts, 1))

    def added(self, y: np.ndarray) -> np.ndarray:
        """(D, K): the sum of y_j over what each user has rated, over the root of how many."""
        data = np.repeat(self._norm, self._counts).astype(np.float32)
        shape = len(self.users), len(y)
        self._matrix = nd.sparse.csr_matrix((data, self._items, self._ends), shape=shape)
        found: np.ndarray = nd.sparse.dot(self._matrix, nd.array(y)).asnumpy()
        return found

    def squares(self, y: np.ndarray) -> np.ndarray:
        """(n,): the sum of the squares of y_j over what each example's user has rated."""
        own = np.einsum("ik,ik->i", y, y)[self._items]
        sums = np.concatenate([[0.0], np.cumsum(own, dtype=np.float64)])
        found: np.ndarray = np.diff(sums[self._ends])[self._place]
        return found

    def backward(self, slopes: np.ndarray, decay: np.ndarray, y: np.ndarray, into: Any) -> None:
        """Set ``into``, an NDArray (I, K), to the gradient of y.

        Parameters
        ----------
        slopes
            (D, K) gradient of what `added` gave.
        decay
            (n,) of the squares, halved.
        y
            (I, K).
        """
        told = {"transpose_a": True, "forward_stype": "default"}
        nd.sparse.dot(self._matrix, nd.array(slopes), out=into, **told)
        amounts = np.bincount(self._place, decay, len(self.users))
        weights = np.bincount(self._items, np.repeat(amounts, self._counts), len(y))
        add_scaled(HostView(into)().reshape(y.shape), weights, y)
