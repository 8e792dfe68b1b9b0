"""An engine that notes the losses which pass through it, and the cutting of batches.

Holds no judgement of what was noted; that is in ``checks.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional


class Vector(NamedTuple):
    """One loss, as a task returned it."""

    where: str  # the group, or "total"
    shape: Optional[tuple[int, ...]]  # None: it is no array
    examples: int
    values: Any  # NumPy array


class Noting:
    """An engine that notes the losses which pass through it, and is otherwise the engine.

    Parameters
    ----------
    engine
        The engine.
    values
        Note their values too. They are then never compiled, for a graph cannot be looked into.
    """

    def __init__(self, engine: Any, *, values: bool = False) -> None:
        self._engine, self._values = engine, values
        self.vectors: list[Vector] = []
        self.losses: dict[str, tuple[Any, Any]] = {}  # group to its loss function and a batch
        self._wrapped: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def minimize(self, name: str, loss: Any, batch: Any, *rest: Any, **options: Any) -> Any:
        """As the engine's."""
        self.losses[name] = (loss, batch)
        return self._engine.minimize(name, self._noted(name, loss), batch, *rest, **options)

    def total(self, function: Any, batch: Any, *rest: Any, **options: Any) -> Any:
        """As the engine's."""
        return self._engine.total(self._noted("total", function), batch, *rest, **options)

    def evaluated(self, loss: Any, batch: Any) -> dict[str, Any]:
        """Losses of a batch without learning, as NumPy arrays by name."""
        from dope.core.backend import seed

        seed(0)
        (result,) = self._engine.gather(lambda nets, shard: loss(nets, shard, None), batch)
        return {key: vector.asnumpy() for key, vector in named_vectors(result).items()}

    def _noted(self, name: str, loss: Any) -> Any:
        if not self._values:
            return loss
        from dope.core.data import batch_length

        def noted(nets: Any, shard: Any, carry: Any) -> Any:
            result = loss(nets, shard, carry)
            n = batch_length(shard, self._engine.batch_axis)
            for key, vector in named_vectors(result).items():
                shape = getattr(vector, "shape", None)
                values = vector.detach().asnumpy() if hasattr(vector, "detach") else vector
                self.vectors.append(Vector(name + key, shape, n, values))
            return result

        return self._wrapped.setdefault((name, loss), noted)


def named_vectors(result: Any) -> dict[str, Any]:
    """Losses by name, without a carry; one that has no name is called ``''``."""
    value = result[0] if isinstance(result, tuple) else result
    if isinstance(value, Mapping):
        return {f".{key}": vector for key, vector in value.items()}
    return {"": value}


def taken(batch: Any, begin: int, end: int, axis: int) -> Any:
    """Examples ``begin`` to ``end`` of a batch, in the batch's own form."""
    if isinstance(batch, tuple):
        return tuple(taken(part, begin, end, axis) for part in batch)
    if isinstance(batch, Mapping):
        return {key: taken(part, begin, end, axis) for key, part in batch.items()}
    if isinstance(batch, list):
        return batch[begin:end]
    if hasattr(batch, "slice_axis"):
        return batch.slice_axis(axis=axis, begin=begin, end=end)
    return batch.take(range(begin, end), axis=axis)
