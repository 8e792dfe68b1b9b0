"""A network as a list of operators that can be carried out again with other weights.

Holds tracing and replaying, with sampled weights or with sampled outputs; no parameter and no
prior.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from dope.core.backend import mx
from dope.core.errors import ConfigError

INPUT = "data"
LINEAR = ("FullyConnected", "Convolution")
# Operators that put each entry of their one input to one place, and zeros elsewhere
ENTRYWISE = (
    "Reshape",
    "reshape",
    "Pad",
    "pad",
    "transpose",
    "expand_dims",
    "Flatten",
    "slice_axis",
)
FLOOR = 1e-12  # a variance of exactly 0, where all inputs are, has no finite derivative of its root
SPACES = {"_contrib_": "contrib", "_linalg_": "linalg", "_random_": "random", "_sample_": "random"}


class Gaussian(NamedTuple):
    """Independent Gaussian entries of one array."""

    mean: Any
    variance: Any


class Recipe:
    """The operators of a feed-forward network, in order.

    Parameters
    ----------
    net
        A network that hybridizes, of one input and one output.
    shape
        The shape of a batch of one example.

    Attributes
    ----------
    shapes : dict
        Name of each of the network's parameters to its shape.
    local : frozenset of str
        Parameters that enter exactly one dense or convolutional layer each, as its weights or
        biases, so that a distribution over them is one over the layer's outputs.
    sites : list of tuple
        Shape of an example's outputs of each of these layers.

    Raises
    ------
    ConfigError
        The network does not hybridize, or has loops, or several inputs or outputs.
    """

    def __init__(self, net: Any, shape: Sequence[int]) -> None:
        symbol = _traced(net)
        graph = json.loads(symbol.tojson())
        self._nodes = graph["nodes"]
        (self._head,) = graph["heads"]
        if any("subgraphs" in node for node in self._nodes):
            raise ConfigError(
                "task: the model has a loop in it, not a plain chain of layers",
                "Choose a feed-forward model.",
            )
        arguments, _, states = symbol.infer_shape(**{INPUT: tuple(shape)})
        self.shapes = dict(zip(symbol.list_arguments(), arguments))
        self.shapes.update(zip(symbol.list_auxiliary_states(), states))
        del self.shapes[INPUT]
        self.local, places = _single_uses(self._nodes, self._head)
        internals = symbol.get_internals()
        known = dict(
            zip(internals.list_outputs(), internals.infer_shape(**{INPUT: tuple(shape)})[1])
        )
        self._places = places
        self.sites = [known[self._nodes[i]["name"] + "_output"][1:] for i in places]

    def __call__(
        self, F: Any, x: Any, values: Mapping[str, Any], noises: Sequence[Any] = ()
    ) -> Any:
        """The network's output.

        Parameters
        ----------
        F
            ``mx.nd`` or ``mx.sym``.
        x
            The input.
        values
            Each parameter by name: an array, or a `Gaussian` if it is one of ``local``.
        noises
            Standard normal values (n, ...) for each of ``sites``, where `Gaussian` are given.
        """
        found: list[Any] = []
        left = iter(noises)
        for i, node in enumerate(self._nodes):
            if node["op"] == "null":
                found.append(x if node["name"] == INPUT else values[node["name"]])
                continue
            inputs = [_output(found[j], k) for j, k, *_ in node["inputs"]]
            if not any(isinstance(each, Gaussian) for each in inputs):
                found.append(_apply(F, node, inputs))
            elif i in self._places:
                found.append(_locally(F, node, inputs, next(left)))
            else:
                found.append(Gaussian(*(_apply(F, node, [part]) for part in inputs[0])))
        return _output(found[self._head[0]], self._head[1])


def space(x: Any) -> Any:
    """The operators for what ``x`` is: ``mx.sym`` or ``mx.nd``."""
    return mx.sym if isinstance(x, mx.sym.Symbol) else mx.nd


def _traced(net: Any) -> Any:
    if not isinstance(net, mx.gluon.HybridBlock):
        raise ConfigError(
            f"task: the model {type(net).__name__} is no HybridBlock, so its operators are unknown",
            "Choose a model that hybridizes.",
        )
    symbol = net(mx.sym.var(INPUT))
    if not isinstance(symbol, mx.sym.Symbol) or len(symbol.list_outputs()) != 1:
        raise ConfigError(
            "task: the model gives several outputs", "Choose a model that gives one array."
        )
    return symbol


def _single_uses(nodes: Sequence[Any], head: Sequence[int]) -> tuple[frozenset[str], list[int]]:
    """Variables that enter one linear layer each, and the numbers of these layers."""
    source: list[Optional[str]] = []  # the variable whose entries a node's output consists of
    uses: dict[str, list[tuple[int, int]]] = {}
    for i, node in enumerate(nodes):
        if node["op"] == "null":
            source.append(None if node["name"] == INPUT else node["name"])
            continue
        of = [source[j] for j, *_ in node["inputs"]]
        if node["op"] in ENTRYWISE and of[0] is not None:
            source.append(of[0])
        else:
            source.append(None)
            for slot, name in enumerate(of):
                if name is not None:
                    uses.setdefault(name, []).append((i, slot))
    counts = [
        sum(j == i for n in nodes for j, *_ in n.get("inputs", [])) for i in range(len(nodes))
    ]
    single = {
        name: found[0]
        for name, found in uses.items()
        if len(found) == 1 and nodes[found[0][0]]["op"] in LINEAR and found[0][1] > 0
    }
    for i, name in enumerate(source):  # spread to two places, of which one may be no use at all
        if name in single and (counts[i] != 1 or i == head[0]):
            del single[name]
    places = sorted(i for i, slot in single.values() if slot == 1)
    return frozenset(name for name, (i, _) in single.items() if i in places), places


def _locally(F: Any, node: Any, inputs: Sequence[Any], noise: Any) -> Any:
    """Outputs of a linear layer drawn in place of its weights: Kingma et al. (2015), section 2.3.

    Given the inputs, the outputs are Gaussian and independent: their mean is the layer of the
    means, their variance the layer of squared inputs and variances. That is exact for dense
    layers; the places of a convolution share weights, and are drawn independently all the same,
    as in Molchanov et al. (2017): each has its right distribution, but not all together.
    """
    x, *weights = inputs
    means = [each.mean if isinstance(each, Gaussian) else each for each in weights]
    spreads = [
        each.variance if isinstance(each, Gaussian) else F.zeros_like(each) for each in weights
    ]
    mean = _apply(F, node, [x, *means])
    variance = _apply(F, node, [F.square(x), *spreads])
    return mean + F.sqrt(F.maximum(variance, FLOOR)) * noise


def _apply(F: Any, node: Any, inputs: Sequence[Any]) -> Any:
    """One operator with the settings that it was traced with."""
    name, space = node["op"], F
    for prefix, inner in SPACES.items():
        if name.startswith(prefix):
            name, space = name[len(prefix) :], getattr(F, inner)
    operator = getattr(space, name, None) or getattr(F._internal, name)
    given = {key: text for key, text in node.get("attrs", {}).items() if not key.startswith("__")}
    return operator(*inputs, **given)


def _output(value: Any, number: int) -> Any:
    """One output of an operator that may have several."""
    if isinstance(value, list):
        return value[number]
    if isinstance(value, mx.sym.Symbol) and len(value.list_outputs()) > 1:
        return value[number]
    return value
