"""The short program that lies beside an export and loads it without dope.

Holds its text only; that it runs is tested in a process in which dope cannot be imported.
"""

from __future__ import annotations

from collections.abc import Mapping

NAME = "example.py"

_BEGIN = '''"""Loads what dope has exported, and shows what it makes of the stored example.

Needs {needs}. What inputs and outputs mean is in export.json.
"""

import json
from pathlib import Path

import numpy as np

{imports}
folder = Path(__file__).resolve().parent
about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
example = np.load(folder / "example.npz")


def load(network):
    """A function from arrays to arrays."""
    files = network["files"]
    inputs = [each["name"] for each in network["inputs"]]
'''

_END = """

for network in about["networks"]:
    call, name = load(network), network["name"]
    print(f"{name}: {network['about']}")
    outputs = call([example[f"{name}.{each['name']}"] for each in network["inputs"]])
    for each, value in zip(network["outputs"], outputs):
        stored = example[f"{name}.{each['name']}"].astype(float)
        with np.errstate(invalid="ignore"):
            apart = np.nanmax(abs(value - stored), initial=0)
        print(f"{each['name']} {value.shape}: {each['meaning']}; {apart:.1e} from what dope says")
        print(value)
"""

_SYMBOL = """
    net = mx.gluon.SymbolBlock.imports(
        str(folder / files["symbol"]), inputs, str(folder / files["parameters"])
    )

    def call(arrays):
        found = net(*[mx.nd.array(each, dtype=each.dtype) for each in arrays])
        return [each.asnumpy() for each in (found if isinstance(found, list) else [found])]

    return call
"""

_ONNX = """
    session = onnxruntime.InferenceSession(
        str(folder / files["model"]), providers=["CPUExecutionProvider"]
    )
    outputs = [each["name"] for each in network["outputs"]]
    return lambda arrays: session.run(outputs, dict(zip(inputs, arrays)))
"""

_MXNET = """np.bool = bool  # MXNet 1.9.1 asks for a name that newer NumPys no longer have
import mxnet as mx
"""

PROGRAMS: Mapping[str, str] = {
    "symbol": _BEGIN.format(needs="MXNet 1.9.1, not dope", imports=_MXNET) + _SYMBOL + _END,
    "onnx": _BEGIN.format(needs="ONNX Runtime, not dope", imports="import onnxruntime\n")
    + _ONNX
    + _END,
}
