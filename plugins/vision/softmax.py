"""Softmax regression: one linear map from pixels to logits.

Holds the model only; its loss takes the softmax.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from dope.core.backend import mx
from dope.plugins.vision import scratch


class Softmax(mx.gluon.nn.HybridSequential):
    """Softmax regression, also known as multinomial logistic regression.

    Parameters
    ----------
    impl
        ``gluon`` layers, or the same from ``scratch`` on primitive operators. Parameters have the
        same names in both.

    Notes
    -----
    Images (n, C, H, W) to logits (n, K). Weights start uniform as by Glorot and Bengio (2010),
    with variance 1.5 / (inputs + outputs); biases at zero.
    """

    def __init__(self, dataset: Any, *, impl: Literal["scratch", "gluon"] = "gluon") -> None:
        super().__init__()
        layers: Any = scratch if impl == "scratch" else mx.gluon.nn
        self.add(
            layers.Dense(
                len(dataset.classes),
                in_units=math.prod(dataset.shape),
                weight_initializer=mx.init.Xavier(magnitude=2.24),
            )
        )
