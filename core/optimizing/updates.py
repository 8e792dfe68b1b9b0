"""One group's parameters and its optimizer: reduce over contexts, clip, update, save.

Holds what happens after backward; what is differentiated is the engine's and the task's matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dope.core.backend import mx, nd
from dope.core.data import batch_length, leaves, rebuild
from dope.core.distributing.team import ALONE, Alone
from dope.core.errors import DopeError, RunError
from dope.core.optimizing import inplace
from dope.core.optimizing.places import Place, Row, rows
from dope.core.optimizing.quasi_newton import BatchedBFGS
from dope.core.task import Group


def make_optimizer(name: str, options: Mapping[str, Any]) -> Any:
    """An optimizer by name: dope's ``bfgs``, or one of MXNet's."""
    given = {key: value for key, value in options.items() if value is not None}
    return BatchedBFGS(**given) if name == "bfgs" else mx.optimizer.create(name, **given)


class Updates:
    """A group's parameters, and one optimizer with its states for each context.

    Every context of every worker makes the same update from the same reduced gradient, so the
    copies of a parameter never differ.
    """

    def __init__(
        self, name: str, group: Group, contexts: Sequence[Any], team: Alone = ALONE
    ) -> None:
        self.name, self.clip = name, group.clip
        self.contexts, self.team = list(contexts), team
        found = {id(p): p for net in group.nets for p in net.collect_params().values()}
        self.parameters = [p for p in found.values() if p.grad_req != "null"]
        self.optimizers = [make_optimizer(group.optimizer, group.options) for _ in contexts]
        for optimizer in self.optimizers:
            optimizer.param_dict = dict(enumerate(self.parameters))  # for lr_mult and wd_mult
            if group.optimizer == "lars":  # leaves biases and batch norm unscaled, by name
                optimizer.idx2name = {j: p.name for j, p in enumerate(self.parameters)}
        self.prepared = False
        self._places: list[list[Place]] = []  # of each context, for each parameter
        self._rows: list[list[Row]] = []  # of each context, what NumPy updates
        self._rate = getattr(self.optimizers[0], "lr", None)
        self.random = group.optimizer == "sgld"  # adds noise to each update
        self._pieces: list[list[Any]] = []  # sums of the gradients of the pieces of one batch

    def prepare(self) -> None:
        """Make the optimizer's states; all parameters must have their shapes by now."""
        if self.prepared:
            return
        self._start_equal()
        for i, optimizer in enumerate(self.optimizers):
            places = []
            for j, p in enumerate(self.parameters):
                weight, grad = p.list_data()[i], p.list_grad()[i]
                state = optimizer.create_state_multi_precision(j, weight)
                places.append(Place(optimizer, j, weight, grad, _cast(state, weight.dtype)))
            self._places.append(places)
            self._rows.append(rows(places))
        self.prepared = True

    def _start_equal(self) -> None:
        """Give all workers the parameters that the first has drawn."""
        if self.team.size > 1:
            self._spread([p.list_data() for p in self.parameters])

    def _spread(self, parameters: Sequence[Sequence[Any]]) -> None:
        """Make all copies of each parameter, on all workers, that of the first."""
        self.team.spread([copies[0] for copies in parameters])
        for copies in parameters:
            for copy in copies[1:]:
                copies[0].copyto(copy)

    def collect(self, used: Sequence[bool]) -> None:
        """Add the gradients of one piece of a batch up; a context without examples adds none."""
        if not self._pieces:
            self._pieces = [[nd.zeros_like(p.grad) for p in places] for places in self._places]
        for totals, places, filled in zip(self._pieces, self._places, used):
            for total, place in zip(totals, places):
                if filled:
                    total += place.grad

    def reduce(self, used: Sequence[bool]) -> None:
        """Sum gradients over contexts and workers.

        One that had no example counts as zero, not as its last.
        """
        for i, (places, filled) in enumerate(zip(self._places, used)):
            for j, place in enumerate(places):
                if self._pieces:
                    self._pieces[i][j].copyto(place.grad)
                elif not filled:
                    place.grad[:] = 0
        self._pieces = []
        several = len(self.contexts) > 1
        for copies in zip(*self._places) if several else ():
            for place in copies[1:]:
                copies[0].grad[:] += place.grad.as_in_context(copies[0].grad.context)
        self.team.reduce([place.grad for place in self._first], self.name)
        for copies in zip(*self._places) if several else ():
            for place in copies[1:]:
                copies[0].grad.copyto(place.grad)

    def apply(self, batch: Any, losses: Sequence[Any], n: int, factor: float = 1.0) -> None:
        """Update from the reduced gradients of a sum over the ``n`` examples of a batch.

        Parameters
        ----------
        batch, losses
            For optimizers that look at the losses of rows.
        n
            Examples, over all contexts.
        factor
            What the learning rate is multiplied with.
        """
        for i, (optimizer, context) in enumerate(zip(self.optimizers, self.contexts)):
            places = self._places[i]
            optimizer.rescale_grad = 1.0 / n
            if self._rate is not None:
                optimizer.lr = self._rate * factor
            if self.clip is not None:
                _clip([place.grad for place in places], self.clip * n)
            if hasattr(optimizer, "look"):
                optimizer.look(
                    batch[0].as_in_context(context), self._of_all(losses, context, batch)
                )
            if not (self.random and i):
                self._step(i)
        if self.random:  # its noise must be the same everywhere
            self._spread([[place.weight for place in copies] for copies in zip(*self._places)])

    def _of_all(self, losses: Sequence[Any], context: Any, batch: Any) -> Any:
        """The losses of all examples of a batch from those of this worker's shards."""
        parts = [each.detach().as_in_context(context) for each in losses if each is not None]
        if self.team.size == 1:
            return parts[0] if len(parts) == 1 else nd.concat(*parts, dim=0)
        n, rank, size = batch_length(batch), self.team.rank, self.team.size
        every = np.zeros(n, self._first[0].weight.dtype)
        own = every[n * rank // size : n * (rank + 1) // size]
        if len(losses) != len(self.contexts):
            raise DopeError(
                "this optimizer looks at losses, and cannot be with several workers and accumulate",
                "Leave trainer.accumulate at 1.",
            )
        if parts:
            own[:] = np.concatenate([part.asnumpy() for part in parts])
        every = self.team.gather(every).sum(axis=0)
        return nd.array(every, ctx=context, dtype=every.dtype)

    def _step(self, i: int) -> None:
        """One update of all parameters of a context: in NumPy, or by MXNet's operators."""
        optimizer = self.optimizers[i]
        scale, counts = optimizer.rescale_grad, optimizer._index_update_count
        with np.errstate(all="ignore"):  # what is not finite is reported where losses are read
            for row in self._rows[i]:
                numbers = row.numbers
                optimizer._update_count(numbers)
                rates, decays = optimizer._get_lrs(numbers), optimizer._get_wds(numbers)
                row.update(
                    optimizer,
                    [
                        inplace.Step(rate, decay, scale, counts[number])
                        for number, rate, decay in zip(numbers, rates, decays)
                    ],
                )
        for place in self._places[i]:
            if place.rule is None:
                optimizer.update_multi_precision(
                    place.number, place.weight, place.grad, place.state
                )

    @property
    def _first(self) -> list[Place]:
        """The places of the first context; none before the first update."""
        return self._places[0] if self._places else []

    def progress(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each parameter whose optimizer can tell: its rows' losses, and which are settled."""
        optimizer = self.optimizers[0]
        if not hasattr(optimizer, "progress"):
            return []
        return [optimizer.progress(place.state) for place in self._first]

    def settle(self) -> None:
        """Leave each parameter at the best point that the optimizer knows of."""
        for optimizer, places in zip(self.optimizers, self._places):
            for place in places if hasattr(optimizer, "settle") else ():
                optimizer.settle(place.weight, place.state)

    def state(self, prefix: str) -> tuple[dict[str, np.ndarray], int]:
        """Optimizer states as arrays, and the number of updates made."""
        arrays = {
            f"{prefix}/{j}/{k}": array.asnumpy()
            for j, place in enumerate(self._first)
            for k, array in enumerate(leaves(place.state))
        }
        return arrays, self.optimizers[0].num_update

    def restore(self, prefix: str, arrays: Mapping[str, np.ndarray], count: int) -> None:
        """Put back what `state` returned.

        Raises
        ------
        RunError
            The states are not those of these parameters.
        """
        if not count and not any(key.startswith(f"{prefix}/") for key in arrays):
            return  # saved before the first step
        self.prepare()
        for optimizer in self.optimizers:
            optimizer.begin_num_update = optimizer.num_update = count
        for places in self._places:
            for j, place in enumerate(places):
                for k, array in enumerate(leaves(place.state)):
                    value = arrays.get(f"{prefix}/{j}/{k}")
                    if value is None or value.shape != array.shape:
                        raise RunError(
                            f"the checkpoint's optimizer state {j}/{k} does not fit",
                            "It is of another optimizer or model: start a new run.",
                        )
                    array[:] = nd.array(value, ctx=array.context, dtype=value.dtype)


def _clip(grads: Sequence[Any], limit: float) -> None:
    """Scale gradients in place to a global norm of at most ``limit``, without reading it."""
    norm = nd.sqrt(nd.add_n(*[nd.sum(nd.square(g)).astype("float32") for g in grads]))
    scale = nd.minimum(limit / (norm + 1e-12), nd.ones_like(norm))
    for grad in grads:
        grad[:] = nd.broadcast_mul(grad, scale.astype(grad.dtype).reshape((1,) * grad.ndim))


def _cast(state: Any, dtype: Any) -> Any:
    """States of the parameter's own type: some of MXNet's optimizers make float32 of all."""
    return rebuild(state, (each.astype(dtype, copy=False) for each in leaves(state)))
