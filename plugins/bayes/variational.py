"""The variational wrapper: a Gaussian for each weight of a network, and samples of them.

Holds parameters and sampling; divergences from a prior are in priors.py, random numbers in
noise.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dope.core.backend import HostView, mx, nd, synchronous
from dope.core.task import parameters
from dope.plugins.bayes.recipe import Gaussian, Recipe


class Spreads(mx.gluon.HybridBlock):
    """One parameter rho for each mean, of its shape and under its name."""

    def __init__(self, shapes: Mapping[str, Any], rho: float) -> None:
        super().__init__()
        for name, shape in shapes.items():
            made = self.params.get(
                "rho_" + name.replace(".", "_"), shape=shape, init=mx.init.Constant(rho)
            )
            setattr(self, name, made)


class Variational(mx.gluon.HybridBlock):
    """A network whose learned parameters are independent Gaussians.

    w = mu + sigma eps with sigma = log(1 + exp(rho)): Blundell et al. (2015), section 3.2. The
    means mu are the wrapped network's own parameters and start as these do. Neither its storage
    nor its code is touched: its operators are traced once and carried out again with samples in
    place of the parameters.

    Parameters
    ----------
    net
        A feed-forward network that hybridizes.
    shape
        Shape of a batch of one example.
    rho
        What every rho starts at; -3 is a sigma of 0.049.
    samples
        Sets of noise that it keeps.

    Attributes
    ----------
    mu, rho : HybridBlock
        Hold the parameters; in a checkpoint they are ``mu.NAME`` and ``rho.NAME``.
    size : int
        Number of weights.

    Notes
    -----
    The noise eps lies in parameters that are not learned and not saved. They start at 0, where
    the network is the one of the means; `fill` sets them, equally on all contexts. Calling the
    network takes its first set of noise.
    """

    def __init__(
        self, net: Any, shape: Sequence[int], *, rho: float = -3.0, samples: int = 1
    ) -> None:
        super().__init__()
        self.recipe = Recipe(net, shape)
        for p in net.collect_params().values():
            p.shape = self.recipe.shapes.get(p.name, p.shape)
        self.mu = net
        named = {k: p for k, p in parameters(net).items() if p.name in self.recipe.shapes}
        self._learned = {k: p for k, p in named.items() if p.grad_req != "null"}
        self._counted = {k: p for k, p in named.items() if p.grad_req == "null"}
        self.rho = Spreads({k: p.shape for k, p in self._learned.items()}, rho)
        self._noise = [
            {
                k: self.params.get(
                    f"noise{s}_{k.replace('.', '_')}", shape=p.shape, grad_req="null", init="zeros"
                )
                for k, p in self._learned.items()
            }
            for s in range(samples)
        ]
        self.size = sum(math.prod(p.shape) for p in self._learned.values())

    @property
    def mixed(self) -> bool:
        """Whether some weights are drawn even where the outputs of layers are."""
        return any(p.name not in self.recipe.local for p in self._learned.values())

    def posterior(self, x: Any) -> dict[str, tuple[Any, Any]]:
        """Mean and standard deviation of each weight, on the context of ``x`` or as symbols."""
        rho = parameters(self.rho)
        return {
            k: (_value(p, x), space(x).Activation(_value(rho[k], x), act_type="softrelu"))
            for k, p in self._learned.items()
        }

    def weights(self, x: Any, posterior: Mapping[str, Any], sample: int = 0) -> dict[str, Any]:
        """Weights of one set of noise."""
        noise = self._noise[sample]
        return {k: mu + sigma * _value(noise[k], x) for k, (mu, sigma) in posterior.items()}

    def output(self, x: Any, weights: Mapping[str, Any]) -> Any:
        """What the network with these weights makes of ``x``."""
        return self.recipe(space(x), x, self._by_name(x, weights))

    def output_locally(
        self, x: Any, posterior: Mapping[str, Any], noises: Sequence[Any], sample: int = 0
    ) -> Any:
        """The same with the outputs of layers drawn in place of weights, anew for each example.

        Weights that are not those of one dense or convolutional layer are drawn all the same.

        Parameters
        ----------
        x, posterior
            Inputs, and what `posterior` gives.
        noises
            Standard normal values, (n, ...) for each of ``recipe.sites``.
        sample
            Set of noise for the other weights.
        """
        F = space(x)
        local = {k for k, p in self._learned.items() if p.name in self.recipe.local}
        drawn = self.weights(x, {k: v for k, v in posterior.items() if k not in local}, sample)
        for k in local:
            mu, sigma = posterior[k]
            drawn[k] = Gaussian(mu, F.square(sigma))
        return self.recipe(F, x, self._by_name(x, drawn), noises)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """What the network of the first set of noise makes of ``x``."""
        return self.output(x, self.weights(x, self.posterior(x)))

    def _by_name(self, x: Any, weights: Mapping[str, Any]) -> dict[str, Any]:
        values = {p.name: weights[k] for k, p in self._learned.items()}
        values.update({p.name: _value(p, x) for p in self._counted.values()})
        return values

    def fill(self, values: np.ndarray, sample: int = 0) -> None:
        """Set noise on all contexts: ``values`` has ``size`` entries, float32."""
        start = 0
        for parameter in self._noise[sample].values():
            count = math.prod(parameter.shape)
            part = values[start : start + count]
            for array in parameter.list_data():
                if synchronous(array.context):
                    HostView(array)()[:] = part
                else:
                    array[:] = nd.array(part.reshape(parameter.shape), ctx=array.context)
            start += count

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of all weights, (size,) each."""
        rho = parameters(self.rho)
        means = [p.list_data()[0].asnumpy().ravel() for p in self._learned.values()]
        spread = [rho[k].list_data()[0].asnumpy().ravel() for k in self._learned]
        return np.concatenate(means), np.logaddexp(0, np.concatenate(spread))

    def set_means(self, values: np.ndarray) -> None:
        """Set all means, (size,)."""
        start = 0
        for parameter in self._learned.values():
            count = math.prod(parameter.shape)
            part = values[start : start + count].reshape(parameter.shape)
            parameter.set_data(nd.array(part, dtype=part.dtype))
            start += count


def space(x: Any) -> Any:
    """The operators for what ``x`` is: ``mx.sym`` or ``mx.nd``."""
    return mx.sym if isinstance(x, mx.sym.Symbol) else nd


def _value(parameter: Any, x: Any) -> Any:
    return parameter.var() if isinstance(x, mx.sym.Symbol) else parameter.data(x.context)
