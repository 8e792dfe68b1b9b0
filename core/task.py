"""What a task is: parts composed, and what one step of learning does.

Holds the base classes that plugins build on; running a task is the engine's and the trainer's.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Optional, TypeVar

import numpy as np

from dope.core.errors import ConfigError
from dope.core.exporting.declaring import EXAMPLES, Exported, Input
from dope.core.metrics import METRICS, Sum

if TYPE_CHECKING:
    from dope.core.engine import Engine
    from dope.core.rundir import RunDirectory

LossFunction = Callable[[Any, Any, Any], Any]
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Say of a loss function that it may be compiled together with the networks, into one graph.

    It then runs as one operator, which is much faster for small networks. In return it has to be
    made of operators that hybridize: it is called once with symbols in place of arrays, so it may
    neither ask for a shape nor look at a value.

    Examples
    --------
    >>> class Mine(Task):
    ...     @compiled
    ...     def loss(self, nets, shard, carry):
    ...         x, y = shard
    ...         return (nets(x).reshape((-1,)) - y).square()
    """
    function.compiled = True  # type: ignore[attr-defined]
    return function


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
    ``parts``
        The registered name of each part, by section.
    ``swapped``
        Sections of data set, model and loss whose part is not the task's own choice.

    ``captions`` says what to look for in a plot, for the run's report: a sentence or two by the
    stem of its file, or by a pattern such as ``forecast-*``, in the order in which they are shown;
    ``samples`` is for all that lies in that folder.

    ``overlay`` names a function ``(path, runs)``: after a sweep it writes one PNG for all members,
    given as pairs of a name and a folder, of which some may have failed. It should not import
    MXNet.

    ``no_export`` says of each format that `exports` cannot be written in, ``symbol`` or ``onnx``,
    why not.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {}, "book": {}}
    batch_axis: ClassVar[int] = 0
    threads: ClassVar[Optional[int]] = None  # for each operator on CPU; None: one a core
    metrics: ClassVar[Sequence[str]] = ()  # names in core.metrics.METRICS, for the stock loss
    overlay: ClassVar[Optional[str]] = None  # "module:function" that draws a sweep's runs together
    captions: ClassVar[Mapping[str, str]] = {}  # what to look for in plots, by the files' stems
    no_export: ClassVar[Mapping[str, str]] = {}  # format of dope export to the reason why not

    dataset: Any
    model: Callable[..., Any]
    criterion: Any
    optimizer: Mapping[str, Any]
    options: Any
    parts: Mapping[str, str]
    swapped: Sequence[str]

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

    @compiled
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
        NDArray, or a mapping of names to NDArray, or a pair of one of these and a new carry
            Of a mapping the first vector is the loss; the others are logged.
        """
        inputs, target = shard
        output = nets(inputs)
        vector = self.criterion(output, target)
        if not self.metrics:
            return vector
        found = {name: METRICS[name](output, target) for name in self.metrics}
        return {"loss": vector, **found}

    def step(self, engine: Engine, batch: Any) -> Mapping[str, Sum]:
        """One step of learning; the sums that it returns are logged as means."""
        found = engine.minimize("main", self.loss, batch)
        return found if isinstance(found, Mapping) else {"loss": found}

    def evaluate(self, engine: Engine) -> dict[str, float]:
        """Figures of merit on held-out data; empty where there is none."""
        figures = {}
        for split in ("valid", "test"):
            batches = self.data(split)
            sums: dict[str, Sum] = {}
            for batch in batches or ():
                found = engine.total(self.loss, batch)
                for name, value in (found if isinstance(found, dict) else {"loss": found}).items():
                    sums[name] = sums.get(name, Sum()) + value
            figures.update({f"{split}_{name}": value.mean() for name, value in sums.items()})
        return figures

    def finished(self, engine: Engine) -> bool:
        """Whether there is nothing left to learn; asked where the run is logged."""
        return engine.settled()

    def sample(self, nets: Any, run: RunDirectory, epoch: int) -> None:
        """Write what the networks make by now into ``samples/``; called after each evaluation.

        ``epoch`` is the number of epochs done. Who draws random numbers takes a generator of its
        own, or the run's numbers change.
        """

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Final figures for ``result.json``; write plots and files into the run's folder."""
        return {}

    def state(self) -> Mapping[str, np.ndarray]:
        """What the task itself has to keep in checkpoints, beside networks and optimizers."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to what `state` returned."""

    def predict(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """Apply a trained model to the data as configured now.

        Keyword-only arguments that a task adds are options of ``dope predict``: annotated, with
        literal defaults, and explained under Parameters, as a part's options are. ``top_k`` is
        given as ``--top-k 5``. One that takes several values has a plural name and is given one
        by one: ``inputs: Tuple[str, ...] = ()`` as ``--input a.png b.png``.

        Returns
        -------
        dict
            ``rows``, a list of mappings, and ``files`` that were written; the rest is shown.
        """
        raise ConfigError("this task does not predict", "See dope show for what it does.")

    def exports(self, nets: Any) -> Sequence[Exported]:
        """The networks that ``dope export`` writes: what `predict` computes by networks.

        Of a task with one network, that is called with all parts of a batch but the last, it is
        that network as it is. Others override this, and some say in ``no_export`` why they cannot.

        Raises
        ------
        ConfigError
            With these options there is nothing that can be exported.
        """
        found = blocks(nets)
        if len(found) != 1:
            raise ConfigError(
                f"this task has {len(found)} networks and does not say which to export",
                "Let the task override exports, or say in no_export why it cannot.",
            )
        (net,) = found.values()
        given = self.examples_of("valid", "test", "train")[:-1]
        names = ["input"] if len(given) == 1 else [f"input{i}" for i in range(1, len(given) + 1)]
        inputs = [
            Input(name, array, "as the data set gives it", {self.batch_axis: "n"})
            for name, array in zip(names, given)
        ]
        classes = getattr(self.dataset, "classes", None)
        facts = {"classes": [str(each) for each in classes]} if classes is not None else {}
        about = (inspect.getdoc(type(self)) or "").partition("\n")[0]
        said = {"output": "what the network says"}
        return [Exported([net], net, inputs, said, about=about, facts=facts)]

    def examples_of(self, *splits: str) -> Sequence[np.ndarray]:
        """The first few examples of the first of these parts that there is, as `data` gives them.

        Raises
        ------
        ConfigError
            There is no such part, or its batches are no arrays.
        """
        for split in splits:
            batch = next(iter(self.data(split) or ()), None)
            if isinstance(batch, (tuple, list)) and all(hasattr(a, "asnumpy") for a in batch):
                arrays = [array.asnumpy() for array in batch]
                rows = range(min(EXAMPLES, arrays[0].shape[self.batch_axis]))
                return [np.take(a, rows, axis=self.batch_axis) for a in arrays]
        raise ConfigError(
            f"there are no arrays in the data's parts {', '.join(splits)} to take examples from",
            "Let the task override exports, or say in no_export why it cannot.",
        )


def blocks(nets: Any) -> dict[str, Any]:
    """Name to block, for whatever `Task.build` returned."""
    return dict(nets) if isinstance(nets, Mapping) else {"net": nets}


def parameters(net: Any) -> dict[str, Any]:
    """A block's parameters under the names of its structure, the same in every process."""
    found: dict[str, Any] = net._collect_params_with_prefix()
    return found
