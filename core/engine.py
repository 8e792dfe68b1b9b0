"""The one verb: split a batch, record, backward, reduce, clip, update.

Holds no loop, no epochs and no files; those are the trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Callable, Optional

import numpy as np

from dope.core.backend import mx, nd
from dope.core.computing.graphs import Graph, Graphs
from dope.core.computing.networks import Networks
from dope.core.data import batch_length, cut, head, leaves, rebuild, split
from dope.core.distributing.team import ALONE, Alone
from dope.core.errors import DopeError
from dope.core.metrics import Sum
from dope.core.optimizing.updates import Updates
from dope.core.task import Group, LossFunction


class Engine:
    """Networks on one or more contexts, and the verb that improves them.

    Parameters
    ----------
    nets
        What `Task.build` returned.
    groups
        Which networks are updated together, and how.
    contexts
        Where the shards of a batch go.
    batch_axis
        The axis of examples.
    hybridize
        Compile the networks, with static allocation, and the losses that say that they may be.
    accumulate
        Pieces that a batch is cut into; their gradients are added up before the one update.
    team
        The workers that each do their part of a batch; all are given the whole batch.

    Notes
    -----
    A loss is a vector over examples. Gradients are of its sum over the whole batch and are
    divided by the number of examples at the update, so one context, two contexts, two workers,
    pieces and an uneven last batch all give the same update.
    """

    def __init__(
        self,
        nets: Any,
        groups: Mapping[str, Group],
        contexts: Sequence[Any],
        *,
        batch_axis: int = 0,
        hybridize: bool = True,
        accumulate: int = 1,
        team: Alone = ALONE,
    ) -> None:
        self.nets, self.contexts, self.batch_axis = nets, list(contexts), batch_axis
        self.hybridize, self.accumulate, self.team = hybridize, accumulate, team
        self.rate = 1.0  # what every learning rate is multiplied with just now
        self.networks = Networks(nets, contexts, hybridize=hybridize, team=team)
        self._updates = {
            name: Updates(name, group, self.contexts, team) for name, group in groups.items()
        }
        self._graphs = Graphs(nets)
        self._imperative = False
        self.updating = 0.0  # seconds spent on reducing gradients and on updates
        self._carry: dict[str, list[Any]] = {}

    def minimize(self, name: str, loss: LossFunction, batch: Any) -> Any:
        """Improve the group ``name`` by one update on a batch.

        Parameters
        ----------
        name
            The group.
        loss
            ``loss(nets, shard, carry)``, as `Task.loss`.
        batch
            Arrays or lists of objects.

        Returns
        -------
        Sum, or a mapping of names to Sum
            The sum of the losses, still on the device, in the form that the loss has: of each
            vector where it gives several by name, of which the first is minimized.

        Raises
        ------
        DopeError
            The loss is not one number for each example.
        """
        updates = self._updates[name]
        pieces = self.accumulate
        if pieces > 1:
            pieces = min(pieces, batch_length(batch, self.batch_axis))
        carry = self._carry.setdefault(name, [None] * self.accumulate * len(self.contexts))
        losses: list[Any] = []
        sums: Any = None
        for number, piece in enumerate(cut(batch, pieces, self.batch_axis)):
            shards = self._shards(piece)
            self._prepare(updates, loss, shards, piece)
            places = slice(number * len(shards), (number + 1) * len(shards))
            states = carry[places]
            vectors, found = self._forward(loss, shards, states, updates.parameters)
            carry[places] = states
            used = [each is not None for each in vectors]
            if pieces > 1:
                updates.collect(used)
            sums = _added(sums, found)
            losses += vectors
        began = perf_counter()
        updates.reduce(used)
        updates.apply(batch, losses, batch_length(batch, self.batch_axis), self.rate)
        self.updating += perf_counter() - began
        return self._shared(sums, loss, batch)

    def total(self, function: LossFunction, batch: Any) -> Any:
        """Sum a vector over examples, or several by name, without learning: for evaluation."""
        shards = self._shards(batch)
        sums = self._forward(function, shards, [None] * len(shards), None)[1]
        return self._shared(sums, function, batch)

    def gather(self, function: Callable[[Any, Any], Any], batch: Any) -> list[Any]:
        """``function(nets, shard)`` for each shard that has examples, in order.

        For learning by counting and for evaluation that is no sum; each worker does it for all.
        """
        shards = split(batch, self.contexts, self.batch_axis)
        return [function(self.nets, shard) for shard in shards if shard is not None]

    def _shards(self, batch: Any) -> list[Any]:
        """This worker's part of a batch, a shard for each context."""
        rank, workers = self.team.rank, self.team.size
        return split(batch, self.contexts, self.batch_axis, rank=rank, workers=workers)

    def _shared(self, sums: Any, function: LossFunction, batch: Any) -> Any:
        """Sums of this worker's part as what they are: parts of sums over the whole batch."""
        if self.team.size == 1:
            return sums
        if sums is None:  # no example came here: what form the sums have, one tells
            found = self._forward(function, [self._any_shard(batch)], [None], None)[1]
            sums = _each(found, lambda each: Sum(each.total * 0))
        n = batch_length(batch, self.batch_axis)
        return _each(sums, lambda each: each.shared(self.team, n))

    def _prepare(
        self, updates: Updates, function: LossFunction, shards: Sequence[Any], batch: Any
    ) -> None:
        """Before a group's first update: find the shapes left to the data, and lay it out."""
        if updates.prepared:
            return
        if any(p._data is None for p in updates.parameters):
            some = (shard for shard in shards if shard is not None)
            first = next(some, None)
            if first is None:
                first = self._any_shard(batch)
            if self._graph(function, first, None, 0, updates.parameters) is None:
                function(self.nets, head(first, 1, self.batch_axis), None)
        updates.prepare()

    def _any_shard(self, batch: Any) -> Any:
        """One example of a batch on the first context, for a worker that has none of its own."""
        return split(head(batch, 1, self.batch_axis), self.contexts[:1], self.batch_axis)[0]

    def _forward(
        self,
        function: LossFunction,
        shards: Sequence[Any],
        carry: list[Any],
        learn: Optional[Sequence[Any]],
    ) -> tuple[list[Any], Any]:
        """The first vector of each shard, None for an empty one, and the sums of all.

        ``carry`` has a place for each shard, and is replaced in place; ``learn`` are the parameters
        that a backward pass is for, which follows at once; None where there is none.
        """
        vectors: list[Any] = []
        sums: Any = None
        for i, shard in enumerate(shards):
            if shard is None:
                vectors.append(None)
                continue
            graph = self._graph(function, shard, carry[i], i, learn)
            if graph is not None:
                vector, found, carry[i] = self._compiled(graph, shard, carry[i])
            elif learn is None:
                vector, found, carry[i] = self._plain(function, shard, carry[i])
            else:
                with mx.autograd.record():
                    vector, found, carry[i] = self._plain(function, shard, carry[i])
                mx.autograd.backward([vector])
            vectors.append(vector)
            sums = _added(sums, found)
        return vectors, sums

    def _graph(
        self,
        function: LossFunction,
        shard: Any,
        carry: Any,
        i: int,
        learn: Optional[Sequence[Any]],
    ) -> Optional[Graph]:
        return self._graphs.find(function, i, learn, shard, carry) if self.hybridize else None

    def _compiled(self, graph: Graph, shard: Any, carry: Any) -> tuple[Any, Any, Any]:
        vector, totals, new = graph(shard, carry)
        if graph.examples is None:  # the shapes of one graph never change
            graph.examples = self._checked(vector, shard)
        n = graph.examples
        return vector, _each(totals, lambda total: Sum(total, n)), new

    def _plain(self, function: LossFunction, shard: Any, carry: Any) -> tuple[Any, Any, Any]:
        self._imperative = True
        result = function(self.nets, shard, carry)
        found, new = result if isinstance(result, tuple) else (result, None)
        vector = _first(found)
        n = self._checked(vector, shard)
        return vector, _each(found, lambda each: Sum(each.detach().sum(), n)), _detached(new)

    def _checked(self, vector: Any, shard: Any) -> int:
        """The number of examples, of which the loss must have one number each."""
        n = batch_length(shard, self.batch_axis)
        if vector.shape != (n,):
            raise DopeError(
                f"the loss has shape {vector.shape} for {n} examples",
                f"A loss is one number for each example, never a mean: return shape ({n},).",
            )
        return n

    @property
    def random(self) -> bool:
        """Whether a step may draw random numbers from MXNet or NumPy."""
        updates = any(each.random for each in self._updates.values())
        return self._imperative or updates or self._graphs.random

    def start_epoch(self) -> None:
        """Forget carried states."""
        self._carry.clear()

    @property
    def carries(self) -> bool:
        """Whether a state is carried from step to step just now; checkpoints do not hold it."""
        return any(each is not None for carry in self._carry.values() for each in carry)

    def settled(self) -> bool:
        """Whether all optimizers that can tell say that nothing is left to gain."""
        answers = [rows for updates in self._updates.values() for _, rows in updates.progress()]
        return bool(answers) and all(rows.all() for rows in answers)

    def rows(self, name: str) -> Optional[tuple[np.ndarray, np.ndarray]]:
        """Losses of a group's rows and which are settled; None if its optimizer cannot tell."""
        return next(iter(self._updates[name].progress()), None)

    def settle(self) -> None:
        """Leave each parameter at the best point that its optimizer knows of."""
        for updates in self._updates.values():
            updates.settle()

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Parameters and optimizer states as arrays, and the number of updates of each group."""
        arrays, counts = self.networks.state(), {}
        for name, updates in self._updates.items():
            states, counts[name] = updates.state(f"optimizer/{name}")
            arrays.update(states)
        return arrays, counts

    def restore(self, arrays: Mapping[str, np.ndarray], counts: Mapping[str, int]) -> None:
        """Put back what `state` returned.

        Raises
        ------
        RunError
            The arrays are not those of these networks or optimizers.
        """
        self.networks.restore(arrays)
        for name, updates in self._updates.items():
            updates.restore(f"optimizer/{name}", arrays, counts.get(name, 0))


def _each(found: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to one value, or to each of a mapping."""
    if isinstance(found, Mapping):
        return {key: function(value) for key, value in found.items()}
    return function(found)


def _first(found: Any) -> Any:
    """The value, or the first of a mapping."""
    return next(iter(found.values())) if isinstance(found, Mapping) else found


def _added(left: Any, right: Any) -> Any:
    """The sum of two sums, or of two mappings of sums, either of which may be None."""
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, Mapping):
        return {key: value + right[key] for key, value in left.items()}
    return left + right


def _detached(carry: Any) -> Any:
    """A carry without its past; what is no array stays as it is."""
    past = (each.detach() if isinstance(each, nd.NDArray) else each for each in leaves(carry))
    return rebuild(carry, past)
