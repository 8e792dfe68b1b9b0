"""One group's parameters and its optimizer: reduce over contexts, clip, update, save.

Holds what happens after backward; what is differentiated is the engine's and the task's matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dope.core.backend import mx, nd
from dope.core.quasi_newton import BatchedBFGS
from dope.core.task import Group


def make_optimizer(name: str, options: Mapping[str, Any]) -> Any:
    """An optimizer by name: dope's ``bfgs``, or one of MXNet's."""
    given = {key: value for key, value in options.items() if value is not None}
    return BatchedBFGS(**given) if name == "bfgs" else mx.optimizer.create(name, **given)


class Updates:
    """A group's parameters, and one optimizer with its states for each context.

    Every context makes the same update from the same reduced gradient, so the copies of a
    parameter never differ.
    """

    def __init__(self, group: Group, contexts: Sequence[Any]) -> None:
        self.clip, self.contexts = group.clip, list(contexts)
        found = {id(p): p for net in group.nets for p in net.collect_params().values()}
        self.parameters = [p for p in found.values() if p.grad_req != "null"]
        self.optimizers = [make_optimizer(group.optimizer, group.options) for _ in contexts]
        self.states: list[list[Any]] = []

    def create_states(self) -> None:
        self.states = [
            [
                optimizer.create_state_multi_precision(j, parameter.list_data()[i])
                for j, parameter in enumerate(self.parameters)
            ]
            for i, optimizer in enumerate(self.optimizers)
        ]

    def reduce(self, used: Sequence[bool]) -> None:
        """Sum gradients over contexts. One that had no example counts as zero, not as its last."""
        for parameter in self.parameters:
            grads = parameter.list_grad()
            for grad, filled in zip(grads, used):
                if not filled:
                    grad[:] = 0
            if len(grads) > 1:
                total = grads[0].copy()
                for grad in grads[1:]:
                    total += grad.as_in_context(total.context)
                for grad in grads:
                    total.copyto(grad)

    def apply(self, batch: Any, losses: Sequence[Any], n: int) -> None:
        """Update from the reduced gradients of a sum over the ``n`` examples of a batch."""
        if not self.states:
            self.create_states()
        for i, (context, optimizer) in enumerate(zip(self.contexts, self.optimizers)):
            optimizer.rescale_grad = 1.0 / n
            grads = [parameter.list_grad()[i] for parameter in self.parameters]
            if self.clip is not None:
                _clip(grads, self.clip * n)
            if hasattr(optimizer, "look"):
                optimizer.look(batch[0].as_in_context(context), _gathered(losses, context))
            for j, (parameter, grad) in enumerate(zip(self.parameters, grads)):
                weight = parameter.list_data()[i]
                optimizer.update_multi_precision(j, weight, grad, self.states[i][j])

    def progress(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each parameter whose optimizer can tell: its rows' losses, and which are settled."""
        optimizer = self.optimizers[0]
        if not self.states or not hasattr(optimizer, "progress"):
            return []
        return [optimizer.progress(state) for state in self.states[0]]

    def settle(self) -> None:
        """Leave each parameter at the best point that the optimizer knows of."""
        for i, optimizer in enumerate(self.optimizers):
            if self.states and hasattr(optimizer, "settle"):
                for parameter, state in zip(self.parameters, self.states[i]):
                    optimizer.settle(parameter.list_data()[i], state)

    def state(self, prefix: str) -> tuple[dict[str, np.ndarray], int]:
        """Optimizer states as arrays, and the number of updates made."""
        arrays = {
            f"{prefix}/{j}/{k}": array.asnumpy()
            for j, state in enumerate(self.states[0] if self.states else [])
            for k, array in enumerate(_leaves(state))
        }
        return arrays, self.optimizers[0].num_update

    def restore(self, prefix: str, arrays: Mapping[str, np.ndarray], count: int) -> None:
        """Put back what `state` returned."""
        if not count and not any(key.startswith(f"{prefix}/") for key in arrays):
            return
        self.create_states()
        for optimizer, states in zip(self.optimizers, self.states):
            optimizer.begin_num_update = optimizer.num_update = count
            for j, state in enumerate(states):
                for k, array in enumerate(_leaves(state)):
                    value = arrays[f"{prefix}/{j}/{k}"]
                    array[:] = nd.array(value, ctx=array.context, dtype=value.dtype)


def _gathered(losses: Sequence[Any], context: Any) -> Any:
    parts = [each.detach().as_in_context(context) for each in losses if each is not None]
    return parts[0] if len(parts) == 1 else nd.concat(*parts, dim=0)


def _clip(grads: Sequence[Any], limit: float) -> None:
    """Scale gradients in place to a global norm of at most ``limit``, without reading it."""
    norm = nd.sqrt(nd.add_n(*[nd.sum(nd.square(g)).astype("float32") for g in grads]))
    scale = nd.minimum(limit / (norm + 1e-12), nd.ones_like(norm))
    for grad in grads:
        grad[:] = nd.broadcast_mul(grad, scale.astype(grad.dtype).reshape((1,) * grad.ndim))


def _leaves(state: Any) -> list[Any]:
    """The arrays of an optimizer's state, in a fixed order."""
    if state is None:
        return []
    if isinstance(state, (list, tuple)):
        return [leaf for each in state for leaf in _leaves(each)]
    return [state]
