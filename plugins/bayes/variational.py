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
from dope.plugins.bayes import fused
from dope.plugins.bayes.priors import Prior
from dope.plugins.bayes.recipe import Gaussian, Recipe, space


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
    size, arrays : int
        Number of weights, and of the arrays that they are in.

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
        self._views: dict[int, tuple[Any, HostView]] = {}
        self.arrays = len(self._learned)
        self.size = sum(math.prod(p.shape) for p in self._learned.values())

    @property
    def local(self) -> frozenset[str]:
        """Names of weights in whose place outputs of layers can be drawn."""
        return frozenset(k for k, p in self._learned.items() if p.name in self.recipe.local)

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
        self,
        x: Any,
        posterior: Mapping[str, Any],
        noises: Sequence[Any],
        weights: Mapping[str, Any],
    ) -> Any:
        """The same with the outputs of layers drawn in place of weights, anew for each example.

        Parameters
        ----------
        x, posterior
            Inputs, and mean and standard deviation of each weight.
        noises
            Standard normal values, (n, ...) for each of ``recipe.sites``.
        weights
            Samples of those weights that are not of one dense or convolutional layer.
        """
        F, values = space(x), dict(weights)
        for k in self.local:
            mu, sigma = posterior[k]
            values[k] = Gaussian(mu, F.square(sigma))
        return self.recipe(F, x, self._by_name(x, values), noises)

    def sample(
        self, x: Any, prior: Prior, sets: int, *, local: bool
    ) -> tuple[dict[str, Any], list[dict[str, Any]], Any]:
        """Draw weights and compare them with a prior.

        Parameters
        ----------
        x
            The inputs; says where to compute.
        prior
            What the weights are compared with.
        sets
            How many sets of noise are taken.
        local
            Whether outputs of layers are drawn in place of their weights.

        Returns
        -------
        posterior, weights, divergence
            Mean and standard deviation by name; sets of weights by name, without those whose
            outputs are drawn unless the prior asks for them; and KL(q || p), (1,).
        """
        if not self._synchronous:
            posterior = self.posterior(x)
            drawn = [self.weights(x, posterior, s) for s in range(sets)]
            return posterior, drawn, prior.divergence(x, posterior, drawn, self.size)
        posterior, drawn, total = {}, [{} for _ in range(sets)], prior.offset(self.size)
        without = self.local if local and not prior.sampled else frozenset()
        for names, taken in ((without, 0), (self._learned.keys() - without, sets)):
            order = [k for k in self._learned if k in names]  # the same in every process
            if not order:
                continue
            rho = parameters(self.rho)
            pairs = [(_value(self._learned[k], x), _value(rho[k], x)) for k in order]
            noise = [[_value(self._noise[s][k], x) for k in order] for s in range(taken)]
            found, weights, part = fused.sample(prior.terms, pairs, noise, spread=local)
            posterior.update({k: (mu, s) for k, (mu, _), s in zip(order, pairs, found)})
            for one, arrays in zip(drawn, weights):
                one.update(zip(order, arrays))
            total = part + total
        return posterior, drawn, total

    @property
    def _synchronous(self) -> bool:
        """Whether NumPy may work on the parameters' memory."""
        first = next(iter(self._learned.values()))
        return first.dtype == "float32" and all(synchronous(c) for c in first.list_ctx())

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
                    self._view(array)[:] = part
                else:
                    array[:] = nd.array(part.reshape(parameter.shape), ctx=array.context)
            start += count

    def _view(self, array: Any) -> np.ndarray:
        known = self._views.get(id(array))
        if known is None or known[0] is not array:
            known = self._views[id(array)] = array, HostView(array)
        return known[1]()

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


def _value(parameter: Any, x: Any) -> Any:
    return parameter.var() if isinstance(x, mx.sym.Symbol) else parameter.data(x.context)
