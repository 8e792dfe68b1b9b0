"""Small graphs bound to the memory of parameters and gradients, for the fewest calls a step.

Holds no tracing; which graphs are bound, and what goes on where they cannot be, is in graphs.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Optional

from dope.core.backend import Executor, copy_into, nd, synchronous

COPIED = 262144  # entries of all inputs of a graph that are sooner copied than passed along


class Bound:
    """A graph bound to memory: inputs are copied in, gradients land where parameters keep them.

    Parameters
    ----------
    symbol
        The graph.
    inputs, arrays
        Its arguments, as symbols, and arrays of their shapes.
    known
        All parameters by name.
    learned
        The ``id`` of those that get gradients.
    place
        Number of the context.

    Notes
    -----
    It does what a CachedOp and `autograd.backward` do in 120 us less, which matters where a step
    takes hundreds.
    """

    def __init__(
        self,
        symbol: Any,
        inputs: Sequence[Any],
        arrays: Sequence[Any],
        known: Mapping[str, Any],
        learned: Collection[int],
        place: int,
    ) -> None:
        self._place = place
        names = [each.name for each in inputs]
        arguments = set(symbol.list_arguments())
        used = arguments | set(symbol.list_auxiliary_states())
        self._kept = [
            (p, p._data[place], p._grad[place] if id(p) in learned else None)
            for name, p in known.items()
            if name in used
        ]
        values = {p.name: value for p, value, _ in self._kept}
        self._inputs = [nd.zeros_like(array) for array in arrays]
        values.update(zip(names, self._inputs))
        self._run = Executor(
            symbol,
            arrays[0].context,
            {name: value for name, value in values.items() if name in arguments},
            {name: value for name, value in values.items() if name not in arguments},
            {p.name: grad for p, _, grad in self._kept if grad is not None},
        )

    def __call__(self, arrays: Sequence[Any]) -> Optional[list[Any]]:
        """Outputs, and gradients written; None where a parameter is no longer what it was."""
        place = self._place
        for p, value, grad in self._kept:
            if p._data[place] is not value:
                return None
            if grad is not None and (p._grad is None or p._grad[place] is not grad):
                return None
        for own, given in zip(self._inputs, arrays):
            copy_into(own, given)
        self._run()
        return [_copy(output) for output in self._run.outputs]  # they outlive the next call


def _copy(array: Any) -> Any:
    made = nd.empty(array.shape, array.context, array.dtype)
    copy_into(made, array)
    return made


def fits(arrays: Sequence[Any], parameters: Iterable[Any]) -> bool:
    """Whether a graph is so small that binding it is worth the copies, and may be bound at all."""
    if not all(synchronous(array.context) for array in arrays) or not arrays:
        return False
    plain = all(
        p._stype == p._grad_stype == "default" and p.grad_req in ("write", "null")
        for p in parameters
    )
    return plain and sum(array.size for array in arrays) <= COPIED
