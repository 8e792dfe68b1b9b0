"""The multilayer perceptron, and the dense layers that end the convolutional networks too.

Holds no convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.vision import scratch


class MLP(mx.gluon.nn.HybridSequential):
    """A multilayer perceptron: dense layers with relu, dropout after each, and a linear one.

    Parameters
    ----------
    hidden
        Units of each hidden layer.
    dropout
        Share of hidden values that is dropped in training; at least 0, below 1.
    impl
        ``gluon`` layers, or the same from ``scratch`` on primitive operators. Parameters have the
        same names in both.

    Raises
    ------
    ConfigError
        A layer has no unit, or ``dropout`` is out of range.

    Notes
    -----
    Images (n, C, H, W) to logits (n, K). Weights start as in `Softmax`.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        hidden: Tuple[int, ...] = (256, 256),
        dropout: float = 0.0,
        impl: Literal["scratch", "gluon"] = "gluon",
    ) -> None:
        super().__init__()
        if any(units < 1 for units in hidden):
            raise ConfigError(
                f"model.hidden={list(hidden)} is out of range", "A layer has at least 1 unit."
            )
        layers: Any = scratch if impl == "scratch" else mx.gluon.nn
        add_dense(
            self, layers, math.prod(dataset.shape), hidden, len(dataset.classes), dropout=dropout
        )


def add_dense(
    net: Any,
    layers: Any,
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    dropout: float = 0.0,
    batch_norm: bool = False,
    init: Any = None,
) -> None:
    """Add hidden dense layers with relu, and the linear layer that gives the logits.

    Parameters
    ----------
    net
        The sequence that they are added to.
    layers
        Where the layers come from: ``mxnet.gluon.nn`` or `scratch`.
    inputs, hidden, outputs
        Values of an example that come in, units of the hidden layers, number of classes.
    dropout
        Share of hidden values that is dropped in training.
    batch_norm
        Normalize the values of each hidden layer before relu.
    init
        Initializer of the weights; None means Xavier's with magnitude 2.24.

    Raises
    ------
    ConfigError
        ``dropout`` is out of range.
    """
    if not 0 <= dropout < 1:
        raise ConfigError(
            f"model.dropout={dropout} is out of range", "It is at least 0 and below 1."
        )
    init = init or mx.init.Xavier(magnitude=2.24)
    for units in hidden:
        given = {"in_units": inputs, "weight_initializer": init}
        if batch_norm:
            net.add(layers.Dense(units, **given))
            net.add(layers.BatchNorm(in_channels=units), layers.Activation("relu"))
        else:
            net.add(layers.Dense(units, activation="relu", **given))
        if dropout:
            net.add(layers.Dropout(dropout))
        inputs = units
    net.add(layers.Dense(outputs, in_units=inputs, weight_initializer=init))
