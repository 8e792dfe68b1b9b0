"""Networks drawn from a distribution over weights, side by side in one graph, to be exported.

Holds no sampling: the noise is given, and predictions in dope do not go this way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dope.core.backend import mx, nd
from dope.plugins.bayes.variational import Variational


class Ensemble(mx.gluon.HybridBlock):
    """The networks of some sets of noise, with weights of their own.

    What is not drawn, statistics of normalization say, they share with the wrapper.

    Parameters
    ----------
    net
        The trained wrapper.
    noises
        Sets of standard normal values, (size,) each.
    """

    def __init__(self, net: Variational, noises: Sequence[np.ndarray]) -> None:
        super().__init__()
        self._output = net.output  # not the wrapper itself, which would become a child
        self._drawn = []
        x = nd.zeros((1,), ctx=next(iter(net.collect_params().values())).list_ctx()[0])
        posterior = {
            name: tuple(each.asnumpy() for each in pair) for name, pair in net.posterior(x).items()
        }
        for draw, noise in enumerate(noises):
            start, named = 0, {}
            for name, (mean, spread) in posterior.items():
                count = math.prod(mean.shape)
                part = noise[start : start + count].reshape(mean.shape)
                named[name] = self._constant(f"draw{draw}.{name}", mean + spread * part)
                start += count
            self._drawn.append(named)
        self.initialize()

    def _constant(self, name: str, value: np.ndarray) -> Any:
        made = self.params.get_constant(name, value.astype(np.float32))
        self._reg_params[name] = made
        return made

    def outputs(self, x: Any, predicted: Callable[[Any], Any]) -> tuple[Any, Any]:
        """The mean over draws, and outputs (draws, n, ...), of an array or a symbol."""
        symbol = isinstance(x, mx.sym.Symbol)
        found = []
        for named in self._drawn:
            weights = {
                name: each.var() if symbol else each.data(x.context) for name, each in named.items()
            }
            found.append(predicted(self._output(x, weights)))
        F = mx.sym if symbol else nd
        return F.add_n(*found) / len(found), F.stack(*found, axis=0)
