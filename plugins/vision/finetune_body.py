"""Which layers of a network's body fine-tuning leaves alone, and how they are held still.

Holds no networks and no learning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Union

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.core.task import parameters


def stages(features: Any, freeze: Union[str, int]) -> tuple[list[Any], list[Any]]:
    """The layers of a body in two parts: those that stay as they are, and those that learn.

    Parameters
    ----------
    features
        The body, a gluon Sequential.
    freeze
        ``none``, ``body`` for all, or how many of the layers that have parameters.

    Raises
    ------
    ConfigError
        There are not so many.
    """
    layers = list(features._children.values())
    learned = [i for i, layer in enumerate(layers) if parameters(layer)]
    count = {"none": 0, "body": len(learned)}.get(str(freeze), freeze)
    if int(count) > len(learned):
        raise ConfigError(
            f"task.freeze={count}, but the body has {len(learned)} layers with parameters",
            "Give at most so many, or body.",
        )
    first = len(layers) if count == len(learned) else learned[int(count)]
    return layers[:first], layers[first:]


def hold(layers: Iterable[Any], still: bool) -> None:
    """Let batch normalization in these layers use its moving averages, and leave them alone."""
    for layer in layers:
        layer.apply(lambda block: _hold(block, still))


def _hold(block: Any, still: bool) -> None:
    if isinstance(block, mx.gluon.nn.BatchNorm):
        block._kwargs["use_global_stats"] = still
