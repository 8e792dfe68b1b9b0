"""Scores of users for items as one operator in NumPy: forward, and the gradients of the tables.

Holds what runs on CPU with the synchronous engine; the models have the same in MXNet's operators.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from dope.core.backend import HostView, mx, nd
from dope.plugins.recsys.rows import Products, add_scaled
from dope.plugins.recsys.seen import Seen

NAME = "dope_recsys_score"
WHOLE = ("users", "items", "begin", "seen")  # numbers of rows
LEARNED = ("bias", "factors", "implicit")
TABLES = ("mean", "bias", "factors", "implicit", "begin", "seen")


def score(
    users: Any, items: Any, values: Any, tables: Mapping[str, Any], count: int, l2: float
) -> Any:
    """Scores of pairs, or half their squared error with the penalty where ``values`` are given.

    Parameters
    ----------
    users, items
        int32 (n,), and (n,) or (n, c); symbols or arrays.
    values
        float32 (n,), or None.
    tables
        By name, as far as the model has them: ``mean`` (1,); ``bias`` (U + I,) and ``factors``
        (U + I, K) with the rows of users before those of items; ``implicit`` (I, K) with ``begin``
        and ``seen``, as `Seen` takes them.
    count
        U.
    l2
        Half of this times the squares of all that an example takes is its penalty.

    Returns
    -------
    array, or pair of arrays
        (n,) with ``values``; else scores, of the shape of ``items``, and penalties (n,).
    """
    F = mx.sym if isinstance(users, mx.sym.Symbol) else nd
    given = {"users": users, "items": items}
    if values is not None:
        given["values"] = values
    given.update((name, tables[name]) for name in TABLES if name in tables)
    told = {"names": list(given), "count": count, "l2": l2}
    return F.Custom(*given.values(), op_type=NAME, told=json.dumps(told))


@mx.operator.register(NAME)
class Scoring(mx.operator.CustomOpProp):
    """Shapes, types and names of the operator; ``told`` is JSON."""

    def __init__(self, told: str) -> None:
        super().__init__(need_top_grad=True)
        self.told = json.loads(told)
        self.squared = "values" in self.told["names"]

    def list_arguments(self) -> list[str]:
        """Users, items, values where they are given, and the tables."""
        names: list[str] = self.told["names"]
        return names

    def list_outputs(self) -> list[str]:
        """The loss, or scores and penalty."""
        return ["loss"] if self.squared else ["scores", "penalty"]

    def infer_shape(self, in_shape: Any) -> Any:
        """One number for each example, or for each pair."""
        users, items = in_shape[:2]
        return in_shape, [users] if self.squared else [items, users], []

    def infer_type(self, in_type: Any) -> Any:
        """Numbers of rows are int32, all else float32."""
        types = [np.int32 if name in WHOLE else np.float32 for name in self.told["names"]]
        return types, [np.float32] * len(self.list_outputs()), []

    def create_operator(self, context: Any, shapes: Any, types: Any) -> Scorer:
        """The operator itself."""
        return Scorer(self.told["names"], self.told["count"], self.told["l2"])


class Scorer(mx.operator.CustomOp):
    """Both directions, on the memory of MXNet's arrays."""

    def __init__(self, names: Sequence[str], count: int, l2: float) -> None:
        super().__init__()
        self.names, self.count, self.l2 = list(names), count, l2
        self.squared = "values" in names
        self._memory: dict[tuple[str, int], Memory] = {}
        self._products: Optional[Products] = None

    def _view(self, kind: str, i: int, array: Any) -> np.ndarray:
        """Memory of the array that stands in one place, in its shape."""
        place = self._memory.get((kind, i))
        if place is None:
            place = self._memory[kind, i] = Memory(array)
        return place.of(array)

    def forward(self, is_train: Any, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        """m + b_u + b_i + p_u . q_i, the squared error if asked for, and the penalty."""
        given = {name: self._view("in", i, in_data[i]) for i, name in enumerate(self.names)}
        users, items = given["users"], given["items"].reshape(-1)
        n, m = len(users), len(items)
        self.width = m // n  # items of each example
        self.rows = rows = np.empty(2 * m, np.int64)
        rows[:m] = users if self.width == 1 else np.repeat(users, self.width)
        np.add(items, self.count, rows[m:])
        with np.errstate(all="ignore"):  # what is not finite is reported where losses are read
            found = given["bias"].take(rows, mode="clip")
            found = found[:m] + found[m:]
            found += given["mean"]
            if "factors" in given:
                factors = in_data[self.names.index("factors")]
                found += self._multiplied(given, users, factors)
            penalty = self._penalty(given, n) if self.l2 else np.zeros(n, np.float32)
            results = [found, penalty]
            if self.squared:
                self.error = found - given["values"]
                results = [0.5 * self.error * self.error + penalty]
        for i, result in enumerate(results):
            self._view("out", i, out_data[i]).reshape(-1)[:] = result

    def _multiplied(
        self, given: Mapping[str, np.ndarray], users: np.ndarray, factors: Any
    ) -> np.ndarray:
        """p_u . q_i of each pair, with what users have seen in their factors."""
        table, self.table = given["factors"], factors
        if "seen" in given:
            self.seen = Seen(users, given["begin"], given["seen"])
            table = table.copy()
            table[self.seen.users] += self.seen.added(given["implicit"])
            self.table = nd.array(table)
        if self._products is None:
            self._products = Products(len(self.rows) // 2, len(table))
        return self._products.forward(table, self.rows)

    def _penalty(self, given: Mapping[str, np.ndarray], n: int) -> np.ndarray:
        """(n,): l2 / 2 times the squares of all that an example takes."""
        squares = np.square(given["bias"])
        if "factors" in given:
            squares += np.einsum("rk,rk->r", given["factors"], given["factors"])
        squares *= 0.5 * self.l2
        own = squares.take(self.rows, mode="clip")
        m = len(own) // 2
        found: np.ndarray = own[:m] + own[m:]
        if self.width > 1:
            found = own[: m : self.width] + own[m:].reshape(n, self.width).sum(axis=1)
        if "seen" in given:
            found += 0.5 * self.l2 * self.seen.squares(given["implicit"]).astype(np.float32)
        return found

    def backward(
        self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any
    ) -> None:
        """Gradients of biases and factors; the mean is not learned."""
        heads = [self._view("head", i, array) for i, array in enumerate(out_grad)]
        errors = heads[0] * self.error if self.squared else heads[0].reshape(-1)
        decay = self.l2 * heads[-1]  # of the penalties, (n,)
        places = {name: i for i, name in enumerate(self.names)}
        into: dict[str, Any] = {}
        for name, i in places.items():
            if name not in LEARNED and req[i] != "null":
                in_grad[i][:] = 0
            elif name in LEARNED:
                into[name] = in_grad[i] if req[i] == "write" else nd.empty(in_grad[i].shape)
        given = {name: self._view("in", places[name], in_data[places[name]]) for name in into}
        with np.errstate(all="ignore"):
            self._differentiate(given, into, errors, decay)
        for name, made in into.items():
            if req[places[name]] == "add":
                in_grad[places[name]][:] += made

    def _differentiate(
        self,
        given: Mapping[str, np.ndarray],
        into: Mapping[str, Any],
        errors: np.ndarray,
        decay: np.ndarray,
    ) -> None:
        """Set the NDArrays ``into`` to the gradients of what is given."""
        counts = np.bincount(self.rows, minlength=len(given["bias"]))
        shrink = self._shrink(decay, counts)
        made = np.bincount(self.rows, np.concatenate([errors, errors]), len(shrink))
        self._view("grad", 0, into["bias"])[:] = made + shrink * given["bias"]
        if "factors" not in given:
            return
        assert self._products is not None
        self._products.backward(errors, self.rows, counts, self.table, into["factors"])
        slopes = self._view("grad", 1, into["factors"])
        if "implicit" in given:
            self.seen.backward(slopes[self.seen.users], decay, given["implicit"], into["implicit"])
        if self.l2:
            add_scaled(slopes, shrink, given["factors"])

    def _shrink(self, decay: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """(R,): what each row of the tables is multiplied with for its penalties' gradient."""
        if not self.l2:
            return np.zeros(len(counts))
        m, size = len(self.rows) // 2, len(counts)
        if self.width == 1 and decay[0] == decay.min() == decay.max():  # as in every step
            return counts * decay[0]
        users = np.bincount(self.rows[: m : self.width], decay, size)
        made: np.ndarray = users + np.bincount(self.rows[m:], np.repeat(decay, self.width), size)
        return made


class Memory(HostView):
    """The memory of whatever array stands in one place; made anew only where it has moved."""

    def __init__(self, array: Any) -> None:
        super().__init__(array)
        self._shape = array.shape
        self._flat: Optional[np.ndarray] = None

    def of(self, array: Any) -> np.ndarray:
        """View of this array, of the shape and type of all that stand here."""
        self._array = array
        flat = self()
        if flat is not self._flat:
            self._flat, self._shaped = flat, flat.reshape(self._shape)
        return self._shaped
