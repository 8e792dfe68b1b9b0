"""Samples of weights and their divergence as one operator in NumPy: on CPU, a fraction of the time.

Holds the same formulas as variational.py and priors.py, block by block, forward and backward. The
operators of MXNet take over on GPUs and where the engine runs in threads of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dope.core.backend import HostView, mx
from dope.plugins.bayes.priors import Terms

NAME = "dope_bayes_sample"
BLOCK = 32768  # entries: all intermediate results stay in a core's cache


def sample(
    terms: Terms, tensors: Sequence[tuple[Any, Any]], noise: Sequence[Sequence[Any]], spread: bool
) -> tuple[list[Any], list[list[Any]], Any]:
    """Draw weights, as symbols or as arrays.

    Parameters
    ----------
    terms
        Of the prior, as `priors.Prior` has them.
    tensors
        Mean and rho of each array of weights.
    noise
        Sets of noise, each with one array for each of ``tensors``; may be none.
    spread
        Whether the deviations are used, and so have a gradient of their own.

    Returns
    -------
    deviations, weights, divergence
        One array for each of ``tensors``; the weights of each set; and, (1,), KL(q || p) without
        its constants: (sum of -log p) - (sum of log sigma), with the mean over sets for a
        mixture.
    """
    arrays = [each for pair in tensors for each in pair]
    arrays += [each for one in noise for each in one]
    F = mx.sym if isinstance(arrays[0], mx.sym.Symbol) else mx.nd
    told = {"count": len(tensors), "sets": len(noise), "spread": spread, "terms": list(terms)}
    found = list(F.Custom(*arrays, op_type=NAME, told=json.dumps(told)))
    n = len(tensors)
    rest = found[n:-1]
    return found[:n], [rest[s * n : (s + 1) * n] for s in range(len(noise))], found[-1]


@mx.operator.register(NAME)
class Sampling(mx.operator.CustomOpProp):
    """Shapes and names of the operator; ``told`` is JSON."""

    def __init__(self, told: str) -> None:
        super().__init__(need_top_grad=True)
        self.told = json.loads(told)

    def list_arguments(self) -> list[str]:
        """mu and rho of each array, then the noise, set by set."""
        n, sets = self.told["count"], self.told["sets"]
        pairs = [f"{kind}{i}" for i in range(n) for kind in ("mu", "rho")]
        return pairs + [f"noise{s}_{i}" for s in range(sets) for i in range(n)]

    def list_outputs(self) -> list[str]:
        """The deviations, the weights, set by set, and the divergence."""
        n, sets = self.told["count"], self.told["sets"]
        weights = [f"weight{s}_{i}" for s in range(sets) for i in range(n)]
        return [*(f"sigma{i}" for i in range(n)), *weights, "divergence"]

    def infer_shape(self, in_shape: Any) -> Any:
        """All arrays of one place have one shape."""
        n, sets = self.told["count"], self.told["sets"]
        shapes = in_shape[: 2 * n : 2]
        inputs = [shape for shape in shapes for _ in range(2)] + sets * shapes
        return inputs, [*shapes, *(sets * shapes), [1]], []

    def create_operator(self, context: Any, shapes: Any, types: Any) -> Sampler:
        """The operator itself."""
        return Sampler(self.told)


class Sampler(mx.operator.CustomOp):
    """Both directions, on the memory of MXNet's arrays."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__()
        self.count, self.sets, self.spread = told["count"], told["sets"], told["spread"]
        self.terms = told["terms"]
        self.scratch = np.empty((3, BLOCK), np.float32)
        self.views = [Places() for _ in range(4)]

    def forward(self, is_train: Any, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        """sigma = log(1 + exp(rho)), w = mu + sigma eps, and the divergence."""
        with np.errstate(all="ignore"):  # what is not finite is reported where losses are read
            self._forward(in_data, out_data)

    def _forward(self, in_data: Any, out_data: Any) -> None:
        n, inputs, outputs = self.count, self.views[0](in_data), self.views[1](out_data)
        total = 0.0
        for i in range(n):
            arrays = [inputs[2 * i], inputs[2 * i + 1], outputs[i]]
            arrays += [inputs[2 * n + s * n + i] for s in range(self.sets)]
            arrays += [outputs[n + s * n + i] for s in range(self.sets)]
            for block in _blocks(arrays):
                total += self._draw(block)
        outputs[-1][0] = total

    def _draw(self, block: Sequence[np.ndarray]) -> float:
        mu, rho, sigma, *rest = block
        t, u = self.scratch[0, : len(mu)], self.scratch[1, : len(mu)]
        np.exp(rho, t)
        np.log1p(t, sigma)
        np.log(sigma, t)
        total = -float(np.add.reduce(t))
        if not math.isfinite(total):  # exp(rho) is too large for float32, or rho is no number
            np.logaddexp(0, rho, sigma)
            total = -float(np.add.reduce(np.log(sigma)))
        for noise, w in zip(rest[: self.sets], rest[self.sets :]):
            np.multiply(sigma, noise, w)
            np.add(w, mu, w)
        a, b, c = self.terms
        if b is None:
            return total + a * (_squares(mu) + _squares(sigma))
        for w in rest[self.sets :]:
            np.multiply(w, w, t)
            total += a * float(np.add.reduce(t)) / self.sets
            np.multiply(t, b, t)
            np.add(t, c, t)
            np.abs(t, u)  # log(1 + exp(t)) = max(t, 0) + log(1 + exp(-|t|))
            np.negative(u, u)
            np.exp(u, u)
            np.log1p(u, u)
            np.maximum(t, 0, t)
            np.add(t, u, t)
            total -= float(np.add.reduce(t)) / self.sets
        return total

    def backward(
        self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any
    ) -> None:
        """Gradients of mu and rho; noise has none."""
        n, sets = self.count, self.sets
        places = zip(self.views, (in_data, out_data, out_grad, in_grad))
        inputs, outputs, heads, targets = (view(arrays) for view, arrays in places)
        scale = float(heads[-1][0])
        for i in range(n):
            ends = [2 * i, 2 * i + 1]
            given = [targets[j] for j in ends]
            added = [req[j] == "add" for j in ends]
            made = [np.empty_like(g) if a else g for g, a in zip(given, added)]
            arrays = [inputs[2 * i], outputs[i], *made]
            if self.spread:
                arrays.append(heads[i])
            arrays += [inputs[2 * n + s * n + i] for s in range(sets)]
            arrays += [outputs[n + s * n + i] for s in range(sets)]
            arrays += [heads[n + s * n + i] for s in range(sets)]
            for block in _blocks(arrays):
                self._differentiate(block, scale)
            for g, m, a in zip(given, made, added):
                if a:
                    g += m
        for place, array in zip(req[2 * n :], targets[2 * n :]):
            if place in ("write", "inplace"):
                array[:] = 0

    def _differentiate(self, block: Sequence[np.ndarray], scale: float) -> None:
        mu, sigma, to_mu, to_rho, *rest = block
        t, u, v = (each[: len(mu)] for each in self.scratch[:3])
        a, b, c = self.terms
        # to_rho is minus the gradient of sigma until the last line
        np.divide(scale, sigma, to_rho)
        if b is None:
            np.multiply(mu, 2 * a * scale, to_mu)
            np.multiply(sigma, 2 * a * scale, t)
            np.subtract(to_rho, t, to_rho)
        else:
            to_mu[:] = 0
        if self.spread:
            np.subtract(to_rho, rest.pop(0), to_rho)
        sets = self.sets
        for noise, w, head in zip(rest[:sets], rest[sets : 2 * sets], rest[2 * sets :]):
            if b is not None:  # 2 w (a - b / (1 + exp(-b w^2 - c)))
                np.multiply(w, w, t)
                np.multiply(t, -b, t)
                np.subtract(t, c, t)
                np.minimum(t, 80, t)  # beyond, the narrow Gaussian has no part
                np.exp(t, t)
                np.add(t, 1, t)
                np.divide(-2 * b * scale / sets, t, t)
                np.add(t, 2 * a * scale / sets, t)
                np.multiply(t, w, t)
                head = np.add(t, head, u)
            np.add(to_mu, head, to_mu)
            np.multiply(head, noise, v)
            np.subtract(to_rho, v, to_rho)
        np.negative(sigma, t)
        np.expm1(t, t)  # minus d sigma / d rho = 1 / (1 + exp(-rho)) = 1 - exp(-sigma)
        np.multiply(to_rho, t, to_rho)


def _blocks(arrays: Sequence[np.ndarray]) -> Any:
    for start in range(0, len(arrays[0]), BLOCK):
        yield [array[start : start + BLOCK] for array in arrays]


def _squares(x: np.ndarray) -> float:
    return float(np.einsum("i,i", x, x))  # in this thread, where BLAS would start more


class Places:
    """Views of the arrays that come in the same order each time, mostly at the same addresses."""

    def __init__(self) -> None:
        self._known: list[Place] = []

    def __call__(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """Flat views, one of each array."""
        if len(self._known) != len(arrays):
            self._known = [Place(array) for array in arrays]
        return [place.of(array) for place, array in zip(self._known, arrays)]


class Place(HostView):
    """The memory of whatever array stands in one place; made anew only where it has moved."""

    def of(self, array: Any) -> np.ndarray:
        """Flat view of this array, of the shape and type of all that stand here."""
        self._array = array
        return self()
