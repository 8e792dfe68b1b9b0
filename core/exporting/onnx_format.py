"""A traced network as an ONNX model, by MXNet's own converter and what it needs to run today.

Holds no files and no comparison. Imported only where ONNX is asked for.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import logging
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from dope.core.backend import mx
from dope.core.errors import BackendError, RunError
from dope.core.exporting import converters
from dope.core.exporting.tracing import Traced

OPSET = 13  # the newest that MXNet 1.9.1 writes
IR_VERSION = 7  # that of opset 13
PACKAGES = ("onnx", "onnxruntime")


def insist() -> None:
    """Refuse to begin where a package is missing.

    Raises
    ------
    BackendError
        It names the one command that brings them.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise BackendError(
            f"ONNX needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            "not installed",
            'Run: pip install "dope[onnx]"',
        )


def versions() -> dict[str, str]:
    """Of the packages."""
    import onnx
    import onnxruntime

    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}


def model(traced: Traced) -> bytes:
    """The network as an ONNX model: opset 13, checked, with the declared names.

    Raises
    ------
    RunError
        MXNet's converter does not know an operator, or makes a model that ONNX refuses.
    """
    import onnx

    symbol, values = _prediction(traced)
    inputs = traced.exported.inputs
    examples = [each.example for each in inputs]
    free = [
        tuple(each.free.get(i, size) for i, size in enumerate(each.example.shape))
        for each in inputs
    ]
    try:
        # it prints, too
        with _shim(), _converter() as converter, contextlib.redirect_stdout(io.StringIO()):
            graph = converter.create_onnx_graph_proto(
                symbol,
                {name: mx.nd.array(value, dtype=value.dtype) for name, value in values.items()},
                [array.shape for array in _in_order(symbol, inputs, examples)],
                [_types()[array.dtype] for array in _in_order(symbol, inputs, examples)],
                opset_version=OPSET,
                dynamic=True,
                dynamic_input_shapes=_in_order(symbol, inputs, free),
            )
            made = onnx.helper.make_model(
                graph, producer_name="dope", opset_imports=[onnx.helper.make_opsetid("", OPSET)]
            )
            made.ir_version = IR_VERSION
            onnx.checker.check_model(made, full_check=True)
    except Exception as error:  # the converter raises whatever its lookups raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise RunError(
            f"the network '{traced.exported.name}' has no form in ONNX: {reason}",
            "Export it with --format symbol.",
        ) from error
    found: bytes = made.SerializeToString()
    return found


@contextlib.contextmanager
def _converter() -> Iterator[Any]:
    """MXNet's converter, with what `converters` adds to it while the block runs."""
    importlib.import_module("mxnet.onnx.mx2onnx")  # registers its own
    known = importlib.import_module("mxnet.onnx.mx2onnx._export_onnx").MXNetGraph
    registered = known.registry_[OPSET]
    before = dict(registered)
    registered.update(converters.own(known.registry_, OPSET))
    try:
        yield known()
    finally:
        registered.clear()
        registered.update(before)


def _in_order(symbol: Any, inputs: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """What is given for each input, in the order in which the graph names them."""
    by_name = {each.name: value for each, value in zip(inputs, given)}
    return [by_name[name] for name in symbol.list_inputs() if name in by_name]


def _prediction(traced: Traced) -> tuple[Any, dict[str, np.ndarray]]:
    """The graph as it is outside training: what only training needs is passed over."""
    graph = json.loads(traced.symbol.tojson())
    instead: dict[int, list[int]] = {}  # of a node's first output
    through = {"Dropout": 0, "BlockGrad": 0, "sgd_mom_update": 2}  # its input that it hands on
    for i, node in enumerate(graph["nodes"]):
        node["inputs"] = [instead.get(n, [n, k, *r]) for n, k, *r in node["inputs"]]
        if node["op"] in through:
            instead[i] = node["inputs"][through[node["op"]]]
        elif node["op"] == "where" and _of_training(graph["nodes"], node["inputs"][0][0]):
            instead[i] = node["inputs"][2]
    _spell_out(graph["nodes"], traced)
    symbol = mx.sym.load_json(json.dumps(graph))
    values = traced.values
    return symbol, {name: values[name] for name in symbol.list_inputs() if name in values}


def _spell_out(nodes: Sequence[Any], traced: Traced) -> None:
    """Name the axes of sums over all but some: the converter overlooks ``exclude``."""
    if not any(node.get("attrs", {}).get("exclude") == "True" for node in nodes):
        return
    whole = traced.symbol.get_internals()
    given = {name: value.shape for name, value in traced.values.items()}
    given |= {each.name: each.example.shape for each in traced.exported.inputs}
    shapes = dict(zip(whole.list_outputs(), whole.infer_shape(**given)[1]))
    for node in nodes:
        attributes = node.get("attrs", {})
        if attributes.get("exclude") == "True":
            source = nodes[node["inputs"][0][0]]
            rank = len(shapes[source["name"] + ("" if source["op"] == "null" else "_output")])
            kept = ast.literal_eval(attributes.get("axis", "()"))
            kept = {k % rank for k in (kept if isinstance(kept, tuple) else (kept,))}
            axes = tuple(k for k in range(rank) if k not in kept)
            node["attrs"] = {**attributes, "axis": str(axes), "exclude": "False"}


def _of_training(nodes: Sequence[Any], place: int) -> bool:
    """Whether a node is 1 in training and 0 outside it, as layers from scratch find out.

    It is the square of what dropout makes of ones, less 1; dropout itself is passed over by now.
    """
    for operator in ("square", "_minus_scalar", "ones_like"):
        if nodes[place]["op"] != operator:
            return False
        place = nodes[place]["inputs"][0][0]
    return True


def _types() -> Mapping[Any, int]:
    from onnx import TensorProto

    names = ("float32", "float64", "float16", "int8", "int32", "int64", "uint8", "bool")
    kinds = ("FLOAT", "DOUBLE", "FLOAT16", "INT8", "INT32", "INT64", "UINT8", "BOOL")
    return {np.dtype(name): getattr(TensorProto, kind) for name, kind in zip(names, kinds)}


@contextlib.contextmanager
def _shim() -> Iterator[None]:
    """ONNX as MXNet 1.9.1 knew it: with `onnx.mapping`, and opset 13 as the newest.

    All is as before once the block ends.
    """
    import onnx
    import onnx.checker
    import onnx.defs

    mapping: Any = types.ModuleType("onnx.mapping")
    mapping.NP_TYPE_TO_TENSOR_TYPE = dict(_types())
    mapping.TENSOR_TYPE_TO_NP_TYPE = {kind: name for name, kind in _types().items()}
    context = onnx.checker.DEFAULT_CONTEXT
    before = context.opset_imports, context.ir_version
    patched: list[tuple[Any, str, Any]] = [
        (onnx, "mapping", mapping),
        (onnx.defs, "onnx_opset_version", lambda: OPSET),
    ]
    saved = [(owner, name, getattr(owner, name, None)) for owner, name, _ in patched]
    known = sys.modules.get("onnx.mapping")
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it warns at each operator
    try:
        sys.modules["onnx.mapping"] = mapping
        for owner, name, value in patched:
            setattr(owner, name, value)
        context.opset_imports, context.ir_version = {"": OPSET}, IR_VERSION
        yield
    finally:
        context.opset_imports, context.ir_version = before
        logging.root.setLevel(level)
        for owner, name, value in saved:
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
        if known is None:
            sys.modules.pop("onnx.mapping", None)
        else:
            sys.modules["onnx.mapping"] = known
