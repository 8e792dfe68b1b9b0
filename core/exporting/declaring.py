"""What a task says of its networks so that they can be exported: inputs, outputs, computation.

Holds the declarations only; tracing, writing and comparing are the other modules' matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Optional

from dope.core.configuring.signature import class_attribute

if TYPE_CHECKING:
    import numpy as np

    from dope.core.plugging.registry import Registry

FORMATS = ("symbol", "onnx")
EXAMPLES = 3  # of a batch that is stored beside a network
BATCH: Mapping[int, str] = {0: "n"}


@dataclass(frozen=True)
class Input:
    """An input of an exported network.

    Parameters
    ----------
    name
        What it is called in the exported files.
    example
        Values that it may have, of the type that the network takes: a batch of a few examples.
    meaning
        What these values are, and what is done to data before they are such values.
    free
        Axes that may have any length, and a name for each; the others are as in the example.
    """

    name: str
    example: np.ndarray
    meaning: str = ""
    free: Mapping[int, str] = field(default_factory=lambda: BATCH)


@dataclass(frozen=True)
class Exported:
    """A network as it is to be used without dope.

    Parameters
    ----------
    nets
        The gluon blocks whose parameters it takes.
    compute
        ``compute(*inputs)``: its outputs, one or a tuple. Called with symbols, so it is made of
        operators that hybridize and neither asks for a shape nor looks at a value.
    inputs
        Its inputs.
    outputs
        Name to meaning of its outputs, in order.
    name
        What its files are called.
    about
        What it is, in one sentence.
    facts
        What else one has to know to use it: names of classes, scales, a vocabulary. Plain values.
    formats
        Those in which it can be written.
    reference
        What dope itself computes of the inputs, called with arrays; default ``compute``. For a
        network that dope computes by operators that no other program has.

    Examples
    --------
    >>> Exported(
    ...     [net],
    ...     lambda x: net(x).softmax(),
    ...     [Input("image", images, "pixels from 0 to 1")],
    ...     {"probability": "of each class"},
    ... )
    """

    nets: Sequence[Any]
    compute: Callable[..., Any]
    inputs: Sequence[Input]
    outputs: Mapping[str, str]
    name: str = "network"
    about: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    formats: Sequence[str] = FORMATS
    reference: Optional[Callable[..., Any]] = None


def reasons(registry: Registry, task: str) -> dict[str, Optional[str]]:
    """Of each format the reason why a registered task is not exported in it; None where it is."""
    declared = class_attribute(registry.get("task", task).target, "no_export", {})
    return {form: declared.get(form) for form in FORMATS}
