"""Dense layers from numbers to one number, for regression.

Holds that model; images are classified by the models of other domains.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError


class DenseRegressor(mx.gluon.nn.HybridSequential):
    """Dense layers with an activation each, and a linear one that gives one number.

    Parameters
    ----------
    hidden
        Units of each hidden layer.
    activation
        ``relu`` or ``tanh``.

    Raises
    ------
    ConfigError
        A layer has no unit.

    Notes
    -----
    Inputs (n, D) to (n, 1). The data set has an attribute ``shape``, that of one input.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        hidden: Tuple[int, ...] = (100, 100),
        activation: Literal["relu", "tanh"] = "relu",
    ) -> None:
        super().__init__()
        if any(units < 1 for units in hidden):
            raise ConfigError(
                f"model.hidden={list(hidden)} is out of range", "A layer has at least 1 unit."
            )
        inputs = math.prod(dataset.shape)
        for units in hidden:
            init = mx.init.Xavier(magnitude=2.24)
            self.add(
                mx.gluon.nn.Dense(
                    units, in_units=inputs, activation=activation, weight_initializer=init
                )
            )
            inputs = units
        self.add(mx.gluon.nn.Dense(1, in_units=inputs, weight_initializer=mx.init.Xavier()))
