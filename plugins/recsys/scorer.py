"""Scores of a trained recommender as a network of MXNet's operators, to be exported.

Holds no learning; what it is made of is the `Tables` of any model.
"""

from __future__ import annotations

from typing import Any, Optional

from dope.core.backend import mx, nd
from dope.plugins.recsys.bias import Tables


class Scorer(mx.gluon.HybridBlock):
    """The score of u and i: mean + b_u + b_i + p_u . q_i.

    Parameters
    ----------
    tables
        Of a trained model; what users have seen is in their factors.
    scale
        What ratings of pairs are cut to; None for none.
    """

    def __init__(self, tables: Tables, scale: Optional[tuple[float, float]]) -> None:
        super().__init__()
        self.scale, self.mean = scale, tables.mean
        self.factors = tables.user_factors.shape[1]
        named = {
            "user_bias": tables.user_bias,
            "item_bias": tables.item_bias,
            "user_factors": tables.user_factors,
            "item_factors": tables.item_factors,
        }
        self._tables = {}
        for name, value in named.items():
            if value.size:  # a model of biases has no factors
                self._tables[name] = self.params.get_constant(name, value)
                setattr(self, name, self._tables[name])
        self.initialize()

    def hybrid_forward(self, F: Any, users: Any, items: Any, **tables: Any) -> Any:
        """Ratings or scores (n,) of users (n,) and items (n,)."""
        found = F.take(tables["user_bias"], users) + F.take(tables["item_bias"], items) + self.mean
        if self.factors:
            p, q = F.take(tables["user_factors"], users), F.take(tables["item_factors"], items)
            found = found + F.sum(p * q, axis=1)
        return found if self.scale is None else F.clip(found, *self.scale)

    def everything(self, users: Any) -> Any:
        """Scores (n, I) of users (n,), an array or a symbol, for all items."""
        F = nd if isinstance(users, nd.NDArray) else mx.sym
        tables = {
            name: each.data(users.context) if F is nd else each.var()
            for name, each in self._tables.items()
        }
        own = F.expand_dims(F.take(tables["user_bias"], users) + self.mean, axis=1)  # (n, 1)
        found = F.broadcast_add(own, F.expand_dims(tables["item_bias"], axis=0))
        if self.factors:
            p = F.take(tables["user_factors"], users)
            found = found + F.dot(p, tables["item_factors"], transpose_b=True)
        return found
