"""The files of an export, and the proof that they compute what dope computes.

Holds no run: which networks there are, and where their folder goes, is said by verbs.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dope.core.backend import environment, mx, nd
from dope.core.errors import RunError
from dope.core.exporting import elsewhere
from dope.core.exporting.declaring import Exported
from dope.core.exporting.placing import MARK
from dope.core.exporting.program import NAME, PROGRAMS
from dope.core.exporting.tracing import Traced, computed, smallest, trace
from dope.core.rundir import plain

CLOSE = 1e-5  # how far outputs may be apart, as a share of the largest where that is above 1
SECONDS = 600  # that the other process may take
EXAMPLE = "example.npz"


@dataclass
class Written:
    """An export whose files are there, and what dope computes of the examples.

    Parameters
    ----------
    folder
        Where it is.
    about
        What goes into ``export.json``.
    asked, expected
        Inputs and outputs by ``case.network.name``.
    """

    folder: Path
    about: dict[str, Any]
    asked: dict[str, np.ndarray] = field(default_factory=dict)
    expected: dict[str, np.ndarray] = field(default_factory=dict)


def write(
    folder: Path, form: str, networks: Sequence[Exported], about: Mapping[str, Any]
) -> Written:
    """Write the files of an export, all but what comparing it finds.

    Parameters
    ----------
    folder
        An empty folder.
    form
        ``symbol`` or ``onnx``.
    networks
        What to export.
    about
        What else ``export.json`` says.

    Raises
    ------
    RunError
        A network has no form in this format, or a file cannot be written.
    """
    made = Written(folder, {"format": form, **about, "networks": []})
    for exported in networks:
        traced = trace(exported)
        named = exported.name
        for case, inputs in _cases(exported).items():
            outputs = computed(exported, list(inputs.values()))
            made.asked.update({f"{case}.{named}.{k}": v for k, v in inputs.items()})
            names = (f"{case}.{named}.{each}" for each in exported.outputs)
            made.expected.update(zip(names, outputs))
        files = _symbol_files(folder, traced) if form == "symbol" else _onnx_file(folder, traced)
        made.about["networks"].append(_described(exported, files, made.expected))
    np.savez(folder / EXAMPLE, **dict(_stored(made)))
    (folder / NAME).write_text(PROGRAMS[form], encoding="utf-8")
    _write_about(made)
    return made


def _cases(exported: Exported) -> dict[str, dict[str, np.ndarray]]:
    """Inputs by name: the examples; and the shortest that there can be, where lengths are free."""
    whole = {each.name: np.ascontiguousarray(each.example) for each in exported.inputs}
    cases = {"whole": whole}
    if any(each.free for each in exported.inputs):
        cases["one"] = dict(zip(whole, smallest(exported)))
    return cases


def _symbol_files(folder: Path, traced: Traced) -> dict[str, str]:
    name = traced.exported.name
    files = {"symbol": f"{name}-symbol.json", "parameters": f"{name}-0000.params"}
    kinds = {"arg": traced.arguments, "aux": traced.states}
    arrays = {
        f"{kind}:{key}": nd.array(value, dtype=value.dtype)
        for kind, values in kinds.items()
        for key, value in values.items()
    }
    (folder / files["symbol"]).write_text(traced.symbol.tojson(), encoding="utf-8")
    try:
        nd.save(str(folder / files["parameters"]), arrays)
    except mx.base.MXNetError as error:
        raise RunError(
            f"cannot write {folder / files['parameters']}: {_first_line(error)}",
            "Free some space, or choose another place with --to DIR.",
        ) from error
    return files


def _onnx_file(folder: Path, traced: Traced) -> dict[str, str]:
    from dope.core.exporting import onnx_format

    files = {"model": f"{traced.exported.name}.onnx"}
    (folder / files["model"]).write_bytes(onnx_format.model(traced))
    return files


def _described(
    exported: Exported, files: Mapping[str, str], expected: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """A network as ``export.json`` has it."""
    names = {
        each.example.shape[axis]: name
        for each in exported.inputs
        for axis, name in each.free.items()
    }
    outputs = []
    for name, meaning in exported.outputs.items():
        value = expected[f"whole.{exported.name}.{name}"]
        other = expected.get(f"one.{exported.name}.{name}", value)
        shape = [
            size if size == less else names.get(size, "free")
            for size, less in zip(value.shape, other.shape)
        ]
        outputs.append({"name": name, "shape": shape, "type": str(value.dtype), "meaning": meaning})
    inputs = [
        {
            "name": each.name,
            "shape": [each.free.get(i, size) for i, size in enumerate(each.example.shape)],
            "type": str(each.example.dtype),
            "meaning": each.meaning,
        }
        for each in exported.inputs
    ]
    about = {"name": exported.name, "about": exported.about, "files": dict(files)}
    return {**about, "inputs": inputs, "outputs": outputs, **plain(exported.facts)}


def _stored(made: Written) -> Iterator[tuple[str, np.ndarray]]:
    """The example as the files have it: ``network.name`` of inputs and outputs."""
    for arrays in (made.asked, made.expected):
        for key, value in arrays.items():
            case, _, name = key.partition(".")
            if case == "whole":
                yield name, value


def _write_about(made: Written) -> None:
    files = sorted(p for p in made.folder.iterdir() if p.name != MARK)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    text = json.dumps({**plain(made.about), "sha256": sums}, indent=2, ensure_ascii=False)
    (made.folder / MARK).write_text(text + "\n", encoding="utf-8")


def compare(exports: Sequence[Written]) -> None:
    """Load exports in a new process that has no dope, and note how far their outputs are apart.

    Parameters
    ----------
    exports
        As `write` made them; each network's ``difference`` and ``identical`` are added to their
        ``export.json``.

    Raises
    ------
    RunError
        They cannot be loaded, or compute something else.
    """
    with tempfile.TemporaryDirectory(prefix="dope-export-") as temporary:
        orders: list[dict[str, Any]] = []
        for i, made in enumerate(exports):
            asked, found = (Path(temporary) / f"{i}-{what}.npz" for what in ("asked", "found"))
            np.savez(asked, **made.asked)
            cases = list(dict.fromkeys(key.partition(".")[0] for key in made.asked))
            orders.append(
                {"folder": str(made.folder.absolute()), "asked": str(asked), "found": str(found),
                 "cases": cases}
            )  # fmt: skip
        _ask(orders, temporary)
        for made, order in zip(exports, orders):
            with np.load(order["found"], allow_pickle=False) as file:
                found_arrays = {key: file[key] for key in file.files}
            _judge(made, found_arrays)
            _write_about(made)


def _ask(orders: Sequence[Mapping[str, Any]], cwd: str) -> None:
    path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path if each)
    try:
        done = subprocess.run(
            [sys.executable, "-c", Path(elsewhere.__file__).read_text(encoding="utf-8")],
            input=json.dumps(orders),
            capture_output=True,
            text=True,
            cwd=cwd,
            timeout=SECONDS,
            env={**os.environ, **environment, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        raise RunError(
            f"the export was not loaded in a new process within {SECONDS} s",
            "Try again when the machine is less busy.",
        ) from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise RunError(
            "the export cannot be loaded in a new process: "
            f"{(lines[-1] if lines else f'exit code {done.returncode}')[:300]}",
            "Nothing was kept; report it with this line.",
        )


def _judge(made: Written, found: Mapping[str, np.ndarray]) -> None:
    """Note the differences of each network, and refuse large ones."""
    for network in made.about["networks"]:
        largest, identical = 0.0, True
        for case in ("whole", "one"):
            for each in network["outputs"]:
                key = f"{case}.{network['name']}.{each['name']}"
                if key not in made.expected:
                    continue
                value, expected = found[key], made.expected[key]
                size = difference(value, expected)
                if not size <= CLOSE:
                    raise RunError(
                        f"the {made.about['format']} form of '{network['name']}' computes "
                        f"something else: {each['name']} is {size:.2g} from what dope computes"
                        f"{' of a single example' if case == 'one' else ''}",
                        f"At most {CLOSE:g} is accepted; nothing was kept.",
                    )
                largest = max(largest, size)
                identical &= value.tobytes() == expected.tobytes()
        network["difference"], network["identical"] = largest, identical


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest expected size where that is above 1.

    Infinite where shapes differ, or one has a NaN or an infinity where the other has not.
    """
    if found.shape != expected.shape:
        return float("inf")
    if not found.size:
        return 0.0
    a, b = found.astype(np.float64), expected.astype(np.float64)
    odd = ~np.isfinite(b)
    if not np.array_equal(a[odd], b[odd], equal_nan=True):
        return float("inf")
    a, b = a[~odd], b[~odd]
    if not a.size:
        return 0.0
    apart = float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max())))
    return apart if np.isfinite(apart) else float("inf")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def stamp() -> str:
    """The time now."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
