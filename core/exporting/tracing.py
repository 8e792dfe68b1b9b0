"""A declared network as a graph of MXNet's operators, with its parameters under lasting names.

Holds no files; what the graph computes is checked against what the task computes elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from dope.core.backend import mx, nd
from dope.core.computing.graphs import UNTRACEABLE
from dope.core.errors import PluginError, RunError
from dope.core.exporting.declaring import Exported
from dope.core.task import parameters


@dataclass(frozen=True)
class Traced:
    """A network as a graph.

    Parameters
    ----------
    exported
        The declaration.
    symbol
        The graph; its outputs carry the declared names.
    arguments, states
        Name to array of the parameters, and of those that operators change in training.
    """

    exported: Exported
    symbol: Any
    arguments: Mapping[str, np.ndarray]
    states: Mapping[str, np.ndarray]

    @property
    def values(self) -> dict[str, np.ndarray]:
        """All of them."""
        return {**self.arguments, **self.states}


def trace(exported: Exported) -> Traced:
    """The graph of a declared network.

    Raises
    ------
    PluginError
        The declaration does not fit: its function cannot be traced, or uses parameters of other
        networks, or has another number of outputs.
    """
    symbols = [mx.sym.var(each.name, dtype=each.example.dtype) for each in exported.inputs]
    try:
        found = exported.compute(*symbols)
    except UNTRACEABLE as error:
        raise PluginError(
            f"the network '{exported.name}' cannot be traced: {' '.join(str(error).split())[:200]}",
            "It has to be made of operators that hybridize; or say in Task.no_export why not.",
        ) from error
    outputs = list(found) if isinstance(found, (list, tuple)) else [found]
    if len(outputs) != len(exported.outputs):
        raise PluginError(
            f"the network '{exported.name}' has {len(outputs)} outputs, "
            f"and {len(exported.outputs)} are declared",
            "Let both agree.",
        )
    named = [mx.sym.identity(o, name=n) for o, n in zip(outputs, exported.outputs)]
    symbol, arguments, states = _named(mx.sym.Group(named), exported)
    return Traced(exported, symbol, arguments, states)


def _named(symbol: Any, exported: Exported) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The graph with parameters named by their place in the networks, and their values.

    Gluon numbers its layers through a whole process, so its own names differ from run to run.
    """
    own = {each.name for each in exported.inputs}
    known: dict[str, Any] = {}
    lasting: dict[str, str] = {}
    for i, net in enumerate(exported.nets):
        prefix = f"net{i}." if len(exported.nets) > 1 else ""
        by_name = {id(p): key for key, p in parameters(net).items()}
        for parameter in net.collect_params().values():
            known[parameter.name] = parameter
            key = by_name.get(id(parameter), parameter.name)
            lasting.setdefault(parameter.name, f"{prefix}{key}")
    states = set(symbol.list_auxiliary_states())
    used = [n for n in symbol.list_inputs() if n not in own]
    strange = [name for name in used if name not in known]
    if strange:
        raise PluginError(
            f"the network '{exported.name}' takes '{strange[0]}', which none of its nets has",
            "Name all blocks that it computes with.",
        )
    graph = json.loads(symbol.tojson())
    for node in graph["nodes"]:
        if node["op"] == "null":
            attributes = node.pop("attrs", {})
            if "__dtype__" in attributes:  # what else there is, is for training
                node["attrs"] = {"__dtype__": attributes["__dtype__"]}
            node["name"] = lasting.get(node["name"], node["name"])
    made: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name in used:
        made[name in states][lasting[name]] = _value(known[name], exported)
    return mx.sym.load_json(json.dumps(graph)), *made


def _value(parameter: Any, exported: Exported) -> np.ndarray:
    """A copy as NumPy has it, whatever layout an operator has given the array."""
    if parameter._data is None:
        try:
            parameter.initialize()
        except Exception as error:
            raise RunError(
                f"the network '{exported.name}' has a parameter without values: {parameter.name}",
                "Train the run first.",
            ) from error
    found: np.ndarray = parameter.list_data()[0].asnumpy()
    return found


def computed(exported: Exported, inputs: Optional[Sequence[np.ndarray]] = None) -> list[np.ndarray]:
    """What dope itself computes of the example inputs, or of others of their kinds."""
    given = [each.example for each in exported.inputs] if inputs is None else inputs
    function = exported.reference or exported.compute
    found = function(*[nd.array(each, dtype=each.dtype) for each in given])
    outputs = found if isinstance(found, (list, tuple)) else [found]
    return [each if isinstance(each, np.ndarray) else each.asnumpy() for each in outputs]


def smallest(exported: Exported) -> list[np.ndarray]:
    """The example inputs with one entry along each axis of any length."""
    made = []
    for each in exported.inputs:
        rows = tuple(
            slice(0, 1) if i in each.free else slice(None) for i in range(each.example.ndim)
        )
        made.append(np.ascontiguousarray(each.example[rows]))
    return made
