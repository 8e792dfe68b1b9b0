"""The model that knows one number: the mean rating.

Holds that, the first of the baselines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dope.core.backend import mx
from dope.plugins.recsys.bias import Given, Tables


class Mean(mx.gluon.HybridBlock):
    """The mean of the training ratings, for every user and every item.

    It is counted, so that nothing is left to learn. As a ranking it knows nothing: all items are
    equal, and equal ones are taken in the order in which the data first names them.
    """

    scores = False

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.sizes = len(dataset.users), len(dataset.items)
        values = dataset.parts["train"].values
        mean = np.array([values.mean(dtype=np.float64)], np.float32)
        self.mean = self.params.get("mean", shape=(1,), init=Given(mean), grad_req="null")

    def hybrid_forward(self, F: Any, users: Any, items: Any, mean: Any) -> Any:
        """Scores, of the shape of the items, and penalties (n,), which are 0."""
        zero = F.zeros_like(F.cast(items, dtype="float32"))
        return F.broadcast_add(zero, mean), F.zeros_like(F.cast(users, dtype="float32"))

    def tables(self) -> Tables:
        """What predictions are made of."""
        users, items = self.sizes
        empty = [np.zeros(shape, np.float32) for shape in (users, items, (users, 0), (items, 0))]
        return Tables(float(self.mean.list_data()[0].asscalar()), *empty)
