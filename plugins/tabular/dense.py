"""Models that take a row of numbers: one linear layer, and dense layers.

Holds these; what makes numbers of a table is in columns.py.
"""

from __future__ import annotations

from typing import Any, Literal, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError

nn = mx.gluon.nn


class Affine(mx.gluon.HybridBlock):
    """x W' + b on primitive operators: (n, D) to (n, K). Parameters are named as Gluon's are."""

    def __init__(self, units: int, inputs: int, init: Any) -> None:
        super().__init__()
        self.weight = self.params.get("weight", shape=(units, inputs), init=init)
        self.bias = self.params.get("bias", shape=(units,), init=mx.init.Zero())

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any) -> Any:
        """Outputs (n, K) of inputs (n, D)."""
        return F.broadcast_add(F.dot(x, weight, transpose_b=True), bias)


class Linear(mx.gluon.HybridBlock):
    """One linear layer from the inputs to the output, or to one score a class.

    Parameters
    ----------
    impl
        From primitive operators (scratch), or Gluon's layer.
    init
        Weights to start from: drawn from N(0, 1), or zero. The bias starts at zero.

    Notes
    -----
    Inputs (n, D) to (n, K). The data set has an attribute ``shape``, that of one input, and may
    have ``outputs``, that is K; else K is 1.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        impl: Literal["scratch", "gluon"] = "gluon",
        init: Literal["normal", "zero"] = "normal",
    ) -> None:
        super().__init__()
        units, inputs = getattr(dataset, "outputs", 1), dataset.shape[0]
        start = mx.init.Normal(1.0) if init == "normal" else mx.init.Zero()
        if impl == "scratch":
            self.output = Affine(units, inputs, start)
        else:
            self.output = nn.Dense(units, in_units=inputs, weight_initializer=start)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Outputs (n, K) of inputs (n, D)."""
        return self.output(x)


class MLP(mx.gluon.nn.HybridSequential):
    """Dense layers with an activation and dropout each, and a linear one for the outputs.

    Parameters
    ----------
    hidden
        Units of each hidden layer.
    activation
        ``relu`` or ``tanh``.
    dropout
        Share of the hidden units that are left out in each step of training.

    Raises
    ------
    ConfigError
        A layer has no unit, or ``dropout`` is out of range.

    Notes
    -----
    Inputs and outputs as those of `Linear`.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        hidden: Tuple[int, ...] = (64, 64),
        activation: Literal["relu", "tanh"] = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if any(units < 1 for units in hidden):
            raise ConfigError(
                f"model.hidden={list(hidden)} is out of range", "A layer has at least 1 unit."
            )
        if not 0 <= dropout < 1:
            raise ConfigError(
                f"model.dropout={dropout} is out of range", "It is at least 0 and below 1."
            )
        inputs = dataset.shape[0]
        for units in hidden:
            init = mx.init.Xavier(factor_type="in", magnitude=6 if activation == "relu" else 3)
            self.add(
                nn.Dense(units, in_units=inputs, activation=activation, weight_initializer=init)
            )
            if dropout:
                self.add(nn.Dropout(dropout))
            inputs = units
        self.add(
            nn.Dense(
                getattr(dataset, "outputs", 1),
                in_units=inputs,
                weight_initializer=mx.init.Xavier(factor_type="in", magnitude=3),
            )
        )
