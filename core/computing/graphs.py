"""Loss functions compiled together with their networks: one graph for each shape of a shard.

Holds tracing and calling only; which functions may be traced is said by `dope.core.task.compiled`.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Callable, Optional

from dope.core.backend import mx, nd
from dope.core.computing.bound import Bound, fits
from dope.core.data import leaves, rebuild
from dope.core.errors import DopeError
from dope.core.task import blocks

MOST = 6  # graphs of one function that keep memory of their own; the oldest makes room
MOST_IN_ALL = 64  # likewise, for functions that are made anew again and again
SMALL = 4096  # entries of an array that are sooner copied than refused a gradient

# Operators that draw random numbers while they compute
_RANDOM = re.compile(r"(?i)dropout|random|sample|shuffle|uniform|normal(?!iz)|^rnn$|multinomial")

# What a function raises that asks symbols for shapes or values
UNTRACEABLE = (
    TypeError,
    AttributeError,
    NotImplementedError,
    AssertionError,
    mx.base.NotImplementedForSymbol,
)


class Graphs:
    """What the engine has compiled so far.

    Parameters
    ----------
    nets
        What `Task.build` returned; all blocks must be hybrid for anything to be compiled.
    """

    def __init__(self, nets: Any) -> None:
        self.nets = nets
        self._hybrid = all(isinstance(b, mx.gluon.HybridBlock) for b in blocks(nets).values())
        self._made: OrderedDict[Any, Graph] = OrderedDict()

    def find(
        self,
        function: Callable[..., Any],
        place: int,
        learn: Optional[Collection[Any]],
        shard: Any,
        carry: Any,
    ) -> Optional[Graph]:
        """The graph of a function for shards and carried states of these shapes.

        Parameters
        ----------
        function
            ``function(nets, shard, carry)``, as `Task.loss`.
        place
            Number of the context.
        learn
            The parameters that a backward pass is for; None where nothing is recorded.
        shard, carry
            Its arguments.

        Returns
        -------
        Graph, or None where the function has to be called as it is
        """
        if not (self._hybrid and getattr(function, "compiled", False)):
            return None
        arrays = leaves(shard) + leaves(carry)
        if not all(isinstance(array, nd.NDArray) for array in arrays):
            return None
        kind = function, place, None if learn is None else id(learn)
        shapes = tuple([array.shape for array in arrays])
        found = self._made.get((kind, shapes))
        if found is None and _hybrid_criterion(function):
            same = [key for key in self._made if key[0] == kind]
            if len(same) >= MOST:
                del self._made[same[0]]
            elif len(self._made) >= MOST_IN_ALL:
                self._made.popitem(last=False)
            found = Graph(function, place, self.nets, learn, shard, carry)
            self._made[kind, shapes] = found
        return found

    @property
    def random(self) -> bool:
        """Whether any graph draws random numbers."""
        return any(graph.random for graph in self._made.values())


class Graph:
    """One traced function with static memory.

    Outputs are, in this order: the vector that is minimized, the sum of each named vector, and
    the leaves of the new carry. Parameters that it is not to learn are constants in it, so that a
    backward pass spends no work on them and leaves their gradients as they are.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        place: int,
        nets: Any,
        learn: Optional[Collection[Any]],
        shard: Any,
        carry: Any,
    ) -> None:
        self.place = place
        self.examples: Optional[int] = None  # of the shard, once the engine has checked the loss
        arrays = leaves((shard, carry))
        inputs = [mx.sym.var(f"input{i}") for i in range(len(arrays))]
        shard_symbols, carry_symbols = rebuild((shard, carry), iter(inputs))
        try:
            result = function(nets, shard_symbols, carry_symbols)
        except UNTRACEABLE as error:
            name = getattr(function, "__qualname__", str(function))
            raise DopeError(
                f"{name} cannot be compiled: {error}",
                "Use operators that hybridize, or take @compiled off it.",
            ) from error
        vectors, new = result if isinstance(result, tuple) else (result, None)
        self._names = list(vectors) if isinstance(vectors, Mapping) else []
        vectors = list(vectors.values()) if self._names else [vectors]
        self._carry = new
        sums = [mx.sym.BlockGrad(vector).sum() for vector in vectors]
        states = [mx.sym.BlockGrad(state) for state in leaves(new)]
        symbol = mx.sym.Group([vectors[0], *sums, *states])
        self.random = _draws(symbol)
        known = {p.name: p for b in blocks(nets).values() for p in b.collect_params().values()}
        _infer(symbol, inputs, arrays, known)
        learned = {id(p) for p in learn or ()}
        fixed = {n for n, p in known.items() if learn is not None and id(p) not in learned}
        if learn is not None:
            symbol = _fenced(symbol, {name: known[name].shape for name in fixed})
            symbol = _fenced(symbol, {each.name: a.shape for each, a in zip(inputs, arrays)})
        number = {each.name: i for i, each in enumerate(inputs)}
        order = symbol.list_inputs()
        # For each input of the graph: the number of the argument, or the parameter
        self._inputs = [number[name] if name in number else known[name] for name in order]
        # For each constant: the array as it was last, and its other handle
        self._constant = {i: (None, None) for i, name in enumerate(order) if name in fixed}
        data = [i for i, name in enumerate(order) if name in number]
        rest = [i for i, name in enumerate(order) if name not in number]
        flags: dict[str, Any] = {"static_alloc": True, "static_shape": True}
        flags.update(data_indices=data, param_indices=rest)
        self._call = nd.CachedOp(symbol, list(flags.items()))
        self._learns = learn is not None
        self._bound: Optional[Bound] = None
        if learn is not None and not states and fits(arrays, known.values()):
            self._bound = Bound(symbol, inputs, arrays, known, learned, place)

    def __call__(self, shard: Any, carry: Any) -> tuple[Any, Any, Any]:
        """The vector to minimize, its sum or the sums by name, each (1,), and the new carry.

        Of a graph that is to learn, the gradients of the vector's sum are written too.
        """
        arrays = leaves(shard) + leaves(carry)
        outputs = None if self._bound is None else self._bound(arrays)
        if outputs is None:
            self._bound = None
            outputs = self._run(arrays)
        n = 1 + max(1, len(self._names))
        new = None if self._carry is None else rebuild(self._carry, iter(outputs[n:]))
        sums = dict(zip(self._names, outputs[1:n])) if self._names else outputs[1]
        return outputs[0], sums, new

    def _run(self, arrays: Sequence[Any]) -> Any:
        place = self.place
        given = [
            arrays[each] if isinstance(each, int) else self._value(i, each._data[place])
            for i, each in enumerate(self._inputs)
        ]
        if not self._learns:
            return self._call(*given)
        with mx.autograd.record():
            outputs = self._call(*given)
        mx.autograd.backward([outputs[0]])
        return outputs

    def _value(self, i: int, array: Any) -> Any:
        """An input as it is, or if it is constant another handle of it, unknown to autograd."""
        if i not in self._constant:
            return array
        if self._constant[i][0] is not array:
            self._constant[i] = array, array.detach()
        return self._constant[i][1]


def _fenced(symbol: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """The same graph with the small ones of these arguments behind `BlockGrad`.

    A backward pass takes some 4 us for each argument that wants no gradient of an operator that
    could give it one. The fence costs a copy, so large ones are left as they are.
    """
    names = {n for n in symbol.list_arguments() if n in shapes and math.prod(shapes[n]) <= SMALL}
    return symbol(**{n: mx.sym.BlockGrad(mx.sym.var(n)) for n in names}) if names else symbol


def _hybrid_criterion(function: Any) -> bool:
    """Whether the loss of the task whose method this is can be traced, if it has one."""
    criterion = getattr(getattr(function, "__self__", None), "criterion", None)
    return criterion is None or isinstance(criterion, mx.gluon.HybridBlock)


def _infer(symbol: Any, inputs: Sequence[Any], arrays: Sequence[Any], known: Any) -> None:
    """Give parameters whose shape was left to the data their shape, and their values."""
    if all(p._data is not None for p in known.values()):
        return
    shapes = {each.name: array.shape for each, array in zip(inputs, arrays)}
    arguments, _, states = symbol.infer_shape(**shapes)
    found = dict(zip(symbol.list_arguments(), arguments))
    found.update(zip(symbol.list_auxiliary_states(), states))
    for name, parameter in known.items():
        if name in found:
            parameter.shape = found[name]
            parameter._finish_deferred_init()


def _draws(symbol: Any) -> bool:
    """Whether a graph holds an operator that draws random numbers."""
    nodes = json.loads(symbol.tojson())["nodes"]
    return any(
        _RANDOM.search(node["op"]) or "rrelu" in node.get("attrs", {}).values() for node in nodes
    )
