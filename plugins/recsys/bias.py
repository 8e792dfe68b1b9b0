"""The model of biases: a mean, and how much each user and each item lies above or below it.

Holds what other models of ratings build on too: cold rows, tables for predictions, two ways to
compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import numpy as np

from dope.core.backend import mx, synchronous
from dope.core.errors import ConfigError
from dope.plugins.recsys import scoring


class Tables(NamedTuple):
    """A trained model as arrays: the score of u and i is mean + b_u + b_i + p_u . q_i.

    Parameters
    ----------
    mean
        The mean rating of the training data.
    user_bias, item_bias
        (U,) and (I,).
    user_factors, item_factors
        (U, K) and (I, K); K may be 0.
    """

    mean: float
    user_bias: np.ndarray
    item_bias: np.ndarray
    user_factors: np.ndarray
    item_factors: np.ndarray

    def pairs(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Scores (n,) of users (n,) for items (n,)."""
        found: np.ndarray = self.user_bias[users] + self.item_bias[items] + self.mean
        for start in range(0, len(found), 1 << 14):
            part = slice(start, start + (1 << 14))
            p, q = self.user_factors[users[part]], self.item_factors[items[part]]
            found[part] += np.einsum("nk,nk->n", p, q)
        return found

    def rows(self, users: np.ndarray) -> np.ndarray:
        """Scores (n, I) of users (n,) for all items."""
        found: np.ndarray = self.user_factors[users] @ self.item_factors.T
        found += self.item_bias
        found += (self.user_bias[users] + self.mean)[:, None]
        return found


class Given(mx.init.Initializer):
    """Begin with these values."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self.values = values

    def _init_weight(self, name: str, array: Any) -> None:
        array[:] = mx.nd.array(self.values, dtype=self.values.dtype)

    _init_bias = _init_weight


class Warm(mx.init.Initializer):
    """Begin with N(0, spread) in the rows that training has, and with 0 in all others."""

    def __init__(self, spread: float, counts: np.ndarray) -> None:
        super().__init__()
        self.spread, self.warm = spread, counts > 0

    def _init_weight(self, name: str, array: Any) -> None:
        drawn = np.random.normal(0.0, self.spread, array.shape).astype(np.float32)
        array[:] = mx.nd.array(drawn * self.warm[:, None])


class Bias(mx.gluon.HybridBlock):
    """The mean, and a bias for each user and for each item.

    The score of user u for item i is m + b_u + b_i. The mean m is that of the training ratings,
    counted and not learned. A user or an item without a training rating is cold: its bias stays 0.

    Parameters
    ----------
    l2
        Weight decay of an example: l2 / 2 times the squares of b_u and b_i is added to its loss.

    Raises
    ------
    ConfigError
        ``l2`` is out of its range.

    Notes
    -----
    Koren, Bell and Volinsky, "Matrix Factorization Techniques for Recommender Systems" (2009),
    equation 3.

    Called with users (n,) and items (n,) or (n, c), int32, it gives scores of the shape of the
    items and penalties (n,). Called with ratings (n,) too, it gives half the squared error plus
    the penalty, (n,).
    """

    scores = True  # takes ratings

    def __init__(self, dataset: Any, *, l2: float = 0.02) -> None:
        super().__init__()
        if not 0 <= l2 < float("inf"):
            raise ConfigError(f"model.l2={l2} is out of range", "It is 0 or more.")
        self.l2 = l2
        self.sizes = len(dataset.users), len(dataset.items)
        values = dataset.parts["train"].values
        mean = np.array([values.mean(dtype=np.float64)], np.float32)
        get = self.params.get
        self.mean = get("mean", shape=(1,), init=Given(mean), grad_req="null")
        # one array, the rows of users before those of items: one operator looks up both
        self.bias = get("bias", shape=(sum(self.sizes),), init="zeros")

    def hybrid_forward(
        self, F: Any, users: Any, items: Any, values: Optional[Any] = None, **tables: Any
    ) -> Any:
        """Scores and penalty of users (n,) and items (n,) or (n, c); the loss with values."""
        if self._synchronous:
            return scoring.score(users, items, values, tables, self.sizes[0], self.l2)
        scores, penalty = self.plain(F, users, items, tables)
        if values is None:
            return scores, penalty
        return F.square(F.reshape(scores, shape=(-1,)) - values) / 2 + penalty

    def plain(self, F: Any, users: Any, items: Any, tables: Mapping[str, Any]) -> tuple[Any, Any]:
        """Scores, of the shape of the items, and penalty (n,), in MXNet's operators."""
        # behind the rows of the users
        many = F.reshape(F.expand_dims(items, axis=-1), shape=(0, -1)) + self.sizes[0]  # (n, c)
        b, c = F.take(tables["bias"], users), F.take(tables["bias"], many)
        found = F.broadcast_add(F.broadcast_add(c, F.expand_dims(b, axis=1)), tables["mean"])
        squares = F.square(b) + F.sum(F.square(c), axis=1)
        if "factors" in tables:
            p = F.take(tables["factors"], users)  # (n, K)
            q = F.take(tables["factors"], many)  # (n, c, K)
            found = found + F.sum(F.broadcast_mul(q, F.expand_dims(p, axis=1)), axis=2)
            squares = squares + F.sum(F.square(p), axis=1) + F.sum(F.square(q), axis=(1, 2))
        return F.reshape_like(found, items), squares * (self.l2 / 2)

    @property
    def _synchronous(self) -> bool:
        """Whether NumPy may work on the tables' memory."""
        return all(synchronous(context) for context in self.bias.list_ctx())

    def table(self, name: str) -> np.ndarray:
        """One of the parameters as an array."""
        found: np.ndarray = getattr(self, name).list_data()[0].asnumpy()
        return found

    def tables(self) -> Tables:
        """What predictions are made of."""
        none = (np.zeros((size, 0), np.float32) for size in self.sizes)
        return Tables(float(self.table("mean")[0]), *self.halves("bias"), *none)

    def halves(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows of users and those of items of one of the parameters."""
        found, users = self.table(name), self.sizes[0]
        return found[:users], found[users:]
