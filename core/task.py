"""What a task is: parts composed, and what one step of learning does.

Holds the base classes that plugins build on; running a task is the engine's and the trainer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Optional

from dope.core.errors import ConfigError
from dope.core.metrics import Sum

if TYPE_CHECKING:
    from dope.core.engine import Engine
    from dope.core.rundir import RunDirectory

LossFunction = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Group:
    """Networks that one optimizer updates together.

    Parameters
    ----------
    nets
        The gluon blocks whose parameters it updates.
    optimizer
        Name of the optimizer.
    options
        Its options.
    clip
        Largest global norm of the gradient of the mean loss; None does not clip.
    """

    nets: Sequence[Any]
    optimizer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    clip: Optional[float] = None


class Task:
    """A data set, a model, a loss, metrics, and how one step of learning goes.

    A subclass declares its parts by name in ``defaults`` and ``profiles`` (literals, so that they
    can be read without importing MXNet), takes its own options as keyword-only arguments, and
    overrides what differs. Before anything else is called, dope fills in:

    ``dataset``
        The data set, an instance.
    ``model``
        The model, to be called with the data set: ``self.model(self.dataset)`` is a network.
    ``criterion``
        The loss, an instance, or None.
    ``optimizer``
        The optimizer's name and options, a mapping.
    ``options``
        The trainer's options.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {}, "book": {}}
    batch_axis: ClassVar[int] = 0
    threads: ClassVar[Optional[int]] = None  # for each operator on CPU; None: one a core

    dataset: Any
    model: Callable[..., Any]
    criterion: Any
    optimizer: Mapping[str, Any]
    options: Any

    def prepare(self) -> None:
        """Read the data; called once, before `build`."""

    def build(self) -> Any:
        """Make the networks: a block, or a mapping of names to blocks."""
        return self.model(self.dataset)

    def data(self, split: str) -> Optional[Iterable[Any]]:
        """The batches of ``train``, ``valid`` or ``test``; None where there is no such part."""
        batches: Optional[Iterable[Any]] = self.dataset.batches(split, self.options.batch_size)
        return batches

    def groups(self, nets: Any) -> Mapping[str, Group]:
        """Which networks are updated together, and by which optimizer."""
        options = {k: v for k, v in self.optimizer.items() if k != "name"}
        blocks = list(nets.values()) if isinstance(nets, Mapping) else [nets]
        return {"main": Group(blocks, self.optimizer["name"], options, self.options.clip)}

    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The loss of each example of a shard: shape (n,), never a mean.

        Parameters
        ----------
        nets
            What `build` returned.
        shard
            The part of a batch that lies on one context.
        carry
            What the previous step of this epoch returned as its second value on this context, or
            None.

        Returns
        -------
        NDArray, or a pair of it and a new carry
        """
        inputs, target = shard
        return self.criterion(nets(inputs), target)

    def step(self, engine: Engine, batch: Any) -> dict[str, Sum]:
        """One step of learning; the sums that it returns are logged as means."""
        return {"loss": engine.minimize("main", self.loss, batch)}

    def evaluate(self, engine: Engine) -> dict[str, float]:
        """Figures of merit on held-out data; empty where there is none."""
        batches = self.data("valid")
        if batches is None:
            return {}
        total = Sum()
        for batch in batches:
            total = total + engine.total(self.loss, batch)
        return {"valid_loss": total.mean()}

    def finished(self, engine: Engine) -> bool:
        """Whether there is nothing left to learn; asked where the run is logged."""
        return engine.settled()

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Final figures for ``result.json``; write plots and files into the run's folder."""
        return {}

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Apply a trained model to the data as configured now; the figures or rows to show."""
        raise ConfigError("this task does not predict", "See dope show for what it does.")


def blocks(nets: Any) -> dict[str, Any]:
    """Name to block, for whatever `Task.build` returned."""
    return dict(nets) if isinstance(nets, Mapping) else {"net": nets}


def parameters(net: Any) -> dict[str, Any]:
    """A block's parameters under the names of its structure, the same in every process."""
    found: dict[str, Any] = net._collect_params_with_prefix()
    return found
