"""The networks of a run on their contexts: started, compiled, looked at, saved and put back.

Holds no learning: gradients and updates are the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from dope.core.backend import nd
from dope.core.distributing.team import ALONE, Alone
from dope.core.errors import RunError
from dope.core.task import blocks, parameters


class Networks:
    """Networks on one or more contexts, and their parameters by name.

    Parameters
    ----------
    nets
        What `Task.build` returned.
    contexts
        Each gets a copy of all parameters.
    hybridize
        Compile the networks, with static allocation.
    team
        The workers that have these networks.
    """

    def __init__(
        self, nets: Any, contexts: Sequence[Any], *, hybridize: bool = True, team: Alone = ALONE
    ) -> None:
        self.contexts, self.team = list(contexts), team
        for net in blocks(nets).values():
            if hybridize:
                net.hybridize(static_alloc=True, static_shape=True)
            net.initialize(ctx=self.contexts)
        self._nets = nets

    def named(self) -> list[tuple[str, Any]]:
        """Parameters by the names of networks and layers, which are the same in every process."""
        return [
            (f"{name}.{key}", parameter)
            for name, net in blocks(self._nets).items()
            for key, parameter in parameters(net).items()
        ]

    def _learned(self) -> list[tuple[str, Any]]:
        return [(key, p) for key, p in self.named() if p.grad_req != "null" and p._data is not None]

    def first_bad(self) -> Optional[str]:
        """Name of the first learned parameter with an entry that is not finite."""
        for key, parameter in self._learned():
            if not np.isfinite(parameter.list_data()[0].asnumpy()).all():
                return key
        return None

    def largest(self) -> tuple[str, float]:
        """Name of the learned parameter that has the entry of largest size, and that size."""
        sizes = [(key, np.abs(p.list_data()[0].asnumpy()).max()) for key, p in self._learned()]
        key, size = max(sizes, key=lambda item: item[1])
        return key, float(size)

    def average(self) -> None:
        """Give all contexts the mean of what each has counted on its own.

        Moving averages of batch normalization, say: every context of every worker sees its own
        shards only. To be called before the networks are evaluated or taken away.
        """
        for parameter in self._counted():
            copies = parameter.list_data()
            total = nd.add_n(*(copy.as_in_context(copies[0].context) for copy in copies))
            if self.team.size > 1:
                every = self.team.gather(total.asnumpy())
                total = nd.array(every.sum(axis=0), ctx=total.context, dtype=total.dtype)
            mean = total / (len(copies) * self.team.size)
            for copy in copies:
                mean.copyto(copy)

    def _counted(self) -> list[Any]:
        """Parameters that are not learned and may differ from context to context."""
        if len(self.contexts) * self.team.size == 1:
            return []
        return [p for _, p in self.named() if p.grad_req == "null" and p._data is not None]

    def state(self) -> dict[str, np.ndarray]:
        """All parameters; of those that differ from context to context, each context's own.

        The contexts of all workers count, in order; all workers must ask for it.
        """
        counted = {id(p) for p in self._counted()}
        arrays = {}
        for key, p in self.named():
            if p._data is None:
                continue
            copies = [copy.asnumpy() for copy in p.list_data()]
            if id(p) in counted:
                copies = list(np.concatenate(self.team.gather(np.stack(copies))))
            for i, copy in enumerate(copies if id(p) in counted else copies[:1]):
                arrays[f"context/{i}/{key}" if i else f"parameter/{key}"] = copy
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put back what `state` returned, on any number of contexts.

        Raises
        ------
        RunError
            The arrays are not those of these networks.
        """
        for key, parameter in self.named():
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
            own = [value]
            while f"context/{len(own)}/{key}" in arrays:
                own.append(arrays[f"context/{len(own)}/{key}"])
            here, everywhere = len(self.contexts), len(self.contexts) * self.team.size
            if len(own) != everywhere:  # of learned parameters all copies are equal
                own = [np.mean(own, axis=0, dtype=value.dtype)] * everywhere
            for copy, each in zip(parameter.list_data(), own[here * self.team.rank :]):
                copy[:] = nd.array(each, ctx=copy.context, dtype=value.dtype)
