"""The one verb: split a batch, record, backward, reduce, clip, update.

Holds no loop, no epochs and no files; those are the trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np

from dope.core.backend import mx, nd
from dope.core.data import batch_length, split
from dope.core.errors import DopeError, RunError
from dope.core.metrics import Sum
from dope.core.task import Group, LossFunction, blocks, parameters
from dope.core.updates import Updates


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
        Compile the networks, with static allocation.

    Notes
    -----
    A loss is a vector over examples. Gradients are of its sum over the whole batch and are
    divided by the number of examples at the update, so one context, two contexts and an uneven
    last batch all give the same update.
    """

    def __init__(
        self,
        nets: Any,
        groups: Mapping[str, Group],
        contexts: Sequence[Any],
        *,
        batch_axis: int = 0,
        hybridize: bool = True,
    ) -> None:
        self.nets, self.contexts, self.batch_axis = nets, list(contexts), batch_axis
        for net in blocks(nets).values():
            if hybridize:
                net.hybridize(static_alloc=True, static_shape=True)
            net.initialize(ctx=self.contexts)
        self._updates = {name: Updates(group, self.contexts) for name, group in groups.items()}
        self._carry: dict[str, list[Any]] = {}

    def minimize(self, name: str, loss: LossFunction, batch: Any) -> Sum:
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
        Sum
            The sum of the losses, still on the device.

        Raises
        ------
        DopeError
            The loss is not one number for each example.
        """
        updates = self._updates[name]
        carry = self._carry.setdefault(name, [None] * len(self.contexts))
        shards = split(batch, self.contexts, self.batch_axis)
        with mx.autograd.record():
            losses = self._forward(loss, shards, carry)
        mx.autograd.backward([each for each in losses if each is not None])
        self._carry[name] = [_detached(each) for each in carry]
        updates.reduce([each is not None for each in losses])
        updates.apply(batch, losses, batch_length(batch, self.batch_axis))
        return _sum(losses)

    def total(self, function: LossFunction, batch: Any) -> Sum:
        """Sum a vector over examples without learning: for evaluation."""
        shards = split(batch, self.contexts, self.batch_axis)
        return _sum(self._forward(function, shards, [None] * len(shards)))

    def gather(self, function: Callable[[Any, Any], Any], batch: Any) -> list[Any]:
        """``function(nets, shard)`` for each shard that has examples, in order.

        For learning by counting and for evaluation that is no sum.
        """
        shards = split(batch, self.contexts, self.batch_axis)
        return [function(self.nets, shard) for shard in shards if shard is not None]

    def _forward(
        self, function: LossFunction, shards: Sequence[Any], carry: list[Any]
    ) -> list[Any]:
        """A vector for each shard, None for an empty one; ``carry`` is replaced in place."""
        vectors: list[Any] = []
        for i, shard in enumerate(shards):
            if shard is None:
                vectors.append(None)
                continue
            result = function(self.nets, shard, carry[i])
            vector, carry[i] = result if isinstance(result, tuple) else (result, None)
            n = batch_length(shard, self.batch_axis)
            if vector.shape != (n,):
                raise DopeError(
                    f"the loss has shape {vector.shape} for {n} examples",
                    f"A loss is one number for each example, never a mean: return shape ({n},).",
                )
            vectors.append(vector)
        return vectors

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

    def first_bad_parameter(self) -> Optional[str]:
        """Name of the first learned parameter with an entry that is not finite."""
        for key, parameter in self._named():
            if (
                parameter.grad_req != "null"
                and not np.isfinite(parameter.list_data()[0].asnumpy()).all()
            ):
                return key
        return None

    def _named(self) -> list[tuple[str, Any]]:
        return [
            (f"{name}.{key}", parameter)
            for name, net in blocks(self.nets).items()
            for key, parameter in parameters(net).items()
        ]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Parameters and optimizer states as arrays, and the number of updates of each group."""
        arrays = {f"parameter/{key}": p.list_data()[0].asnumpy() for key, p in self._named()}
        counts = {}
        for name, updates in self._updates.items():
            states, counts[name] = updates.state(f"optimizer/{name}")
            arrays.update(states)
        return arrays, counts

    def restore(self, arrays: Mapping[str, np.ndarray], counts: Mapping[str, int]) -> None:
        """Put back what `state` returned.

        Raises
        ------
        RunError
            The arrays are not those of these networks.
        """
        for key, parameter in self._named():
            value = arrays.get(f"parameter/{key}")
            if value is None:
                raise RunError(f"the checkpoint has no parameter '{key}'")
            known = parameter.shape or value.shape
            if len(known) != len(value.shape) or any(
                a > 0 and a != b for a, b in zip(known, value.shape)
            ):
                raise RunError(
                    f"the checkpoint's '{key}' has shape {value.shape}, the model's {known}",
                    "The model, or the data that it is built for, is not the one of this run.",
                )
            parameter.shape = value.shape
            parameter._finish_deferred_init()  # the shape that was to come from data is known now
            parameter.set_data(nd.array(value, dtype=value.dtype))
        for name, updates in self._updates.items():
            updates.restore(f"optimizer/{name}", arrays, counts.get(name, 0))


def _sum(vectors: Sequence[Any]) -> Sum:
    total = Sum()
    for each in vectors:
        if each is not None:
            total = total + Sum.of(each.detach())
    return total


def _detached(carry: Any) -> Any:
    if isinstance(carry, mx.nd.NDArray):
        return carry.detach()
    if isinstance(carry, (list, tuple)):
        return type(carry)(_detached(each) for each in carry)
    return carry
