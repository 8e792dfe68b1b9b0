"""Computes with exported networks in a process that has no dope; the process runs this source.

Holds no judgement: outputs are written down, and who started the process compares them.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np

Call = Callable[[Sequence[Any]], Sequence[Any]]


def symbol(folder: Path, network: Mapping[str, Any]) -> Call:
    """A network loaded by MXNet."""
    np.bool = bool  # type: ignore[attr-defined]  # as MXNet 1.9.1 asks for
    mx = importlib.import_module("mxnet")  # not by dope's door, which is not here
    names = [each["name"] for each in network["inputs"]]
    files = network["files"]
    net = mx.gluon.SymbolBlock.imports(
        str(folder / files["symbol"]), names, str(folder / files["parameters"])
    )

    def call(inputs: Sequence[Any]) -> Sequence[Any]:
        found = net(*[mx.nd.array(each, dtype=each.dtype) for each in inputs])
        outputs = found if isinstance(found, (list, tuple)) else [found]
        return [each.asnumpy() for each in outputs]

    return call


def onnx(folder: Path, network: Mapping[str, Any]) -> Call:
    """A network loaded by ONNX Runtime."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(folder / network["files"]["model"]), options, providers=["CPUExecutionProvider"]
    )
    names = [each["name"] for each in network["inputs"]]
    outputs = [each["name"] for each in network["outputs"]]

    def call(inputs: Sequence[Any]) -> Sequence[Any]:
        found: Sequence[Any] = session.run(outputs, dict(zip(names, inputs)))
        return found

    return call


def answer(folder: Path, asked: Path, found: Path, *, cases: Sequence[str]) -> None:
    """Write into ``found`` what each network of an export makes of each case in ``asked``."""
    about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    load = {"symbol": symbol, "onnx": onnx}[about["format"]]
    outputs = {}
    with np.load(asked, allow_pickle=False) as given:
        for network in about["networks"]:
            call = load(folder, network)
            for case in cases:
                name = f"{case}.{network['name']}"
                inputs = [given[f"{name}.{each['name']}"] for each in network["inputs"]]
                for each, value in zip(network["outputs"], call(inputs)):
                    outputs[f"{name}.{each['name']}"] = np.asarray(value)
    np.savez(found, **outputs)


if __name__ == "__main__":
    sys.modules["dope"] = None  # type: ignore[assignment]  # so that it cannot be imported
    for order in json.load(sys.stdin):
        answer(*(Path(order[key]) for key in ("folder", "asked", "found")), cases=order["cases"])
