"""Matrix factorization: biases, factors, and with implicit feedback SVD++.

Holds the model; its arithmetic on CPU is in scoring.py and seen.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.recsys.bias import Bias, Given, Tables, Warm
from dope.plugins.recsys.seen import Seen


class MF(Bias):
    """Biases, and the product of a vector for the user with one for the item.

    The score of user u for item i is m + b_u + b_i + q_i . p_u. With ``implicit`` the vector of a
    user is p_u + |N(u)|^(-1/2) times the sum of y_j over the items N(u) that the user has rated
    in training, whatever the rating was. Of a cold user or item all is 0: what is predicted is
    the mean plus the other's bias.

    Parameters
    ----------
    factors
        Length K of the vectors.
    l2
        Weight decay of an example: l2 / 2 times the squares of b_u, b_i, p_u and q_i, and of all
        y_j of N(u), is added to its loss.
    spread
        Standard deviation of the factors at the start, drawn from N(0, spread).
    implicit
        Whether what a user has rated counts too (SVD++); on CPU with the synchronous engine.

    Raises
    ------
    ConfigError
        An option is out of its range.

    Notes
    -----
    Koren, Bell and Volinsky (2009), equations 4 and 5; SVD++: Koren, "Factorization Meets the
    Neighborhood" (2008), equations 15 and 16. The penalty is of each example's own rows, so that
    a user with many ratings is decayed as often as learned from, as in those papers.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        factors: int = 64,
        l2: float = 0.02,
        spread: float = 0.1,
        implicit: bool = False,
    ) -> None:
        super().__init__(dataset, l2=l2)
        if factors < 1:
            raise ConfigError(f"model.factors={factors} is out of range", "It is 1 or more.")
        if not 0 < spread < float("inf"):
            raise ConfigError(f"model.spread={spread} is out of range", "It is above 0.")
        self.sees = implicit
        counts = np.concatenate([dataset.user_counts, dataset.item_counts])
        shape, get = (sum(self.sizes), factors), self.params.get
        self.factors = get("factors", shape=shape, init=Warm(spread, counts))
        if implicit:
            own = Warm(spread, dataset.item_counts)
            self.implicit = get("implicit", shape=(self.sizes[1], factors), init=own)
            self._history = history(dataset)  # known from the data, so that no checkpoint has it
            self._seen = {
                name: get(name, shape=v.shape, dtype="int32", init=Given(v), grad_req="null")
                for name, v in zip(("begin", "seen"), self._history)
            }

    def hybrid_forward(
        self, F: Any, users: Any, items: Any, values: Optional[Any] = None, **tables: Any
    ) -> Any:
        """Scores and penalty of users (n,) and items (n,) or (n, c); the loss with values."""
        for name, each in (self._seen if self.sees else {}).items():
            symbol = isinstance(users, mx.sym.Symbol)
            tables[name] = each.var() if symbol else each.data(users.context)
        return super().hybrid_forward(F, users, items, values, **tables)

    def plain(self, F: Any, users: Any, items: Any, tables: Mapping[str, Any]) -> tuple[Any, Any]:
        """As `Bias.plain`; what users have seen has no form in MXNet's operators."""
        if self.sees:
            raise ConfigError(
                "model.implicit=true runs on CPU with the synchronous engine only",
                "Use --contexts 'cpu(0)' without MXNET_ENGINE_TYPE.",
            )
        return super().plain(F, users, items, tables)

    def tables(self) -> Tables:
        """What predictions are made of; what users have seen is in their factors."""
        mean, user, item, *_ = super().tables()
        p, q = self.halves("factors")
        if self.sees:
            begin, seen = self._history
            p = p + Seen(np.arange(len(p)), begin, seen).added(self.table("implicit"))
        return Tables(mean, user, item, p, q)


def history(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where each user's part begins (U + 1,), and the items that users have rated in training.

    An item that a user has rated twice is there once.
    """
    users, items = dataset.parts["train"][:2]
    pairs = np.unique(users.astype(np.int64) * len(dataset.items) + items)
    counts = np.bincount(pairs // len(dataset.items), minlength=len(dataset.users))
    begin = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return begin, (pairs % len(dataset.items)).astype(np.int32)
