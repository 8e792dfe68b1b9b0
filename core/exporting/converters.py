"""Operators that MXNet's converter to ONNX lacks, or has in part, or carries over slowly.

Holds one function for each, called as the converter's own: node to ONNX nodes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Converter = Callable[..., Any]


def _given(node: Mapping[str, Any], kwargs: Mapping[str, Any]) -> tuple[str, list[str], Any]:
    """Name of a node, names of its inputs, and its attributes."""
    inputs = [kwargs["outputs_lookup"][i][k].name for i, k, *_ in node["inputs"]]
    return node["name"], inputs, node.get("attrs", {})


def _constant(name: str, value: Any, kwargs: Mapping[str, Any]) -> str:
    """A constant of the model."""
    from onnx import numpy_helper

    kwargs["initializer"].append(numpy_helper.from_array(np.asarray(value), name))
    return name


def weights(known: Converter) -> Converter:
    """Parameters as bytes; as lists of numbers, the converter's way, large ones take minutes."""

    def convert(node: Any, **kwargs: Any) -> Any:
        if kwargs["is_input"]:
            return known(node, **kwargs)
        from onnx import helper, numpy_helper

        name = node["name"]
        tensor = numpy_helper.from_array(np.ascontiguousarray(kwargs["weights"][name]), name)
        kwargs["initializer"].append(tensor)
        info = helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
        return [info], (kwargs["weights"][name].dtype,)

    return convert


def reshape(known: Converter) -> Converter:
    """``Reshape`` with products of two lengths (-3) and with all that is left (-2)."""

    def convert(node: Any, **kwargs: Any) -> Any:
        from onnx.helper import make_node

        name, (data, *_), attributes = _given(node, kwargs)
        codes = ast.literal_eval(attributes["shape"])
        codes = codes if isinstance(codes, tuple) else (codes,)
        if not {-2, -3} & set(codes) or -4 in codes or attributes.get("reverse") == "True":
            return known(node, **kwargs)
        nodes = [make_node("Shape", [data], [f"{name}_lengths"])]
        parts, axis = [], 0  # the next axis of the input
        for place, code in enumerate(codes):
            part = f"{name}_part{place}"
            parts.append(part)
            if code not in (0, -2, -3):
                _constant(part, np.array([code]), kwargs)
                axis += 1
                continue
            end = {0: axis + 1, -3: axis + 2, -2: np.iinfo(np.int32).max}[code]
            limits = [
                _constant(f"{part}_{k}", np.array([v]), kwargs)
                for k, v in (("begin", axis), ("end", end))
            ]
            taken = f"{part}_taken" if code == -3 else part
            nodes.append(make_node("Slice", [f"{name}_lengths", *limits], [taken]))
            if code == -3:
                nodes.append(make_node("ReduceProd", [taken], [part], axes=[0], keepdims=1))
            axis = end
        nodes.append(make_node("Concat", parts, [f"{name}_shape"], axis=0))
        nodes.append(make_node("Reshape", [data, f"{name}_shape"], [name], name=name))
        return nodes

    return convert


def l2_normalization(known: Converter) -> Converter:
    """``L2Normalization`` of whole examples, over all axes but the first."""

    def convert(node: Any, **kwargs: Any) -> Any:
        from onnx.helper import make_node

        name, (data, *_), attributes = _given(node, kwargs)
        if attributes.get("mode", "instance") != "instance":
            return known(node, **kwargs)
        kind = kwargs["outputs_lookup"][node["inputs"][0][0]][node["inputs"][0][1]].dtype
        least = _constant(f"{name}_least", np.array(attributes.get("eps", 1e-10), kind), kwargs)
        axes = _constant(f"{name}_axes", np.array([1]), kwargs)
        steps = [f"{name}_{what}" for what in ("rows", "squares", "sum", "more", "root", "scaled")]
        rows, squares, total, more, root, scaled = steps
        return [
            make_node("Shape", [data], [f"{name}_shape"]),
            make_node("Flatten", [data], [rows], axis=1),
            make_node("Mul", [rows, rows], [squares]),
            make_node("ReduceSum", [squares, axes], [total], keepdims=1),
            make_node("Add", [total, least], [more]),
            make_node("Sqrt", [more], [root]),
            make_node("Div", [rows, root], [scaled]),
            make_node("Reshape", [scaled, f"{name}_shape"], [name], name=name),
        ]

    return convert


def own(registered: Mapping[int, Mapping[str, Converter]], opset: int) -> dict[str, Converter]:
    """All of these by operator, each falling back on what the converter has registered."""
    made = {"null": weights, "Reshape": reshape, "L2Normalization": l2_normalization}
    found = {}
    for name, make in made.items():
        newest = max(v for v in registered if v <= opset and name in registered[v])
        found[name] = make(registered[newest][name])
    return found
