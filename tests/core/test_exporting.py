"""How an export is written: whole or not at all, the same without dope, refused in one line.

Holds no test of single tasks; those are in test_exporting_tasks.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import dope
from dope.cli import cli
from dope.core.backend import mx
from dope.core.errors import BackendError, ConfigError, RunError
from dope.core.exporting import onnx_format, placing, verbs, writing
from dope.core.exporting.declaring import Exported, Input
from dope.core.exporting.tracing import computed, trace

# Runs a program as if dope were not installed.
ALONE = """
import sys, runpy
sys.modules["dope"] = None
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run, with a best checkpoint."""
    return dope.run(
        "vision.mlp",
        profile="tiny",
        folder=tmp_path_factory.mktemp("runs") / "run",
        contexts="cpu(0)",
        dataset={"valid": 0.2},
        trainer={"epochs": 2, "monitor": "valid_accuracy"},
    )


@pytest.fixture
def copy(run, tmp_path):
    """The same run in a folder of its own."""
    return shutil.copytree(run.path, tmp_path / "run")


def by_hand(image, weights):
    """The probabilities of a network with one hidden layer, in NumPy."""
    hidden = np.maximum(image.reshape(len(image), -1) @ weights[0].T + weights[1], 0)
    scores = hidden @ weights[2].T + weights[3]
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def test_symbol_holds_the_network(run, tmp_path):
    made = dope.export(run.path, to=tmp_path / "out")
    assert made["networks"][0]["identical"] and made["networks"][0]["difference"] == 0
    arrays = mx.nd.load(str(tmp_path / "out" / "network-0000.params"))
    assert all(name.startswith("arg:") for name in arrays)
    weights = [value.asnumpy() for name, value in sorted(arrays.items())]  # 0.bias, 0.weight …
    weights = [weights[1], weights[0], weights[3], weights[2]]
    with np.load(tmp_path / "out" / "example.npz") as example:
        expected = by_hand(example["network.image"], weights)
        assert np.abs(example["network.probability"] - expected).max() < 1e-6


def test_onnx_holds_the_network(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    before = hasattr(onnx, "mapping"), onnx.defs.onnx_opset_version(), "onnx.mapping" in sys.modules
    dope.export(run.path, format="onnx", to=tmp_path / "out")
    assert before == (
        hasattr(onnx, "mapping"), onnx.defs.onnx_opset_version(), "onnx.mapping" in sys.modules,
    )  # fmt: skip
    made = onnx.load(str(tmp_path / "out" / "network.onnx"))
    onnx.checker.check_model(made, full_check=True)
    assert (made.ir_version, [each.version for each in made.opset_import]) == (7, [13])
    held = {each.name: onnx.numpy_helper.to_array(each) for each in made.graph.initializer}
    names = sorted(name for name in held if name.endswith(("weight", "bias")))
    weights = [held[names[k]] for k in (1, 0, 3, 2)]
    session = runtime.InferenceSession(made.SerializeToString())
    images = np.random.default_rng(0).random((7, 1, 8, 8), np.float32)
    (found,) = session.run(["probability"], {"image": images})
    assert np.abs(found - by_hand(images, weights)).max() < 1e-6


def test_about_says_what_is_needed_to_use_it(run, tmp_path):
    made = dope.export(run.path, to=tmp_path / "out")
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert about["task"] == "vision.mlp" and about["checkpoint"] == "last"
    (network,) = about["networks"]
    assert network["inputs"][0]["shape"] == ["n", 1, 8, 8]
    assert network["outputs"][0]["shape"] == ["n", 10]
    assert network["classes"] == [str(digit) for digit in range(10)]
    assert network["pixels"] == {"multiply": [pytest.approx(1 / 255)], "add": [0.0]}
    files = {path.name for path in made["files"]}
    assert files == {*about["sha256"], "export.json"}
    for name, expected in about["sha256"].items():
        content = (tmp_path / "out" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected


@pytest.mark.parametrize("form", ["symbol", "onnx"])
def test_program_runs_without_dope(run, tmp_path, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    made = dope.export(run.path, format=form, to=tmp_path / "out")
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    program = moved / "example.py"
    assert "dope" not in {
        word
        for line in program.read_text().splitlines()
        if "import" in line
        for word in line.split()
    }
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(program)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "probability (3, 10): of each class; " in done.stdout
    apart = float(done.stdout.split("of each class; ")[1].split()[0])
    assert apart <= (0 if form == "symbol" else 1e-5)
    assert made["networks"][0]["about"] in done.stdout


def test_best_is_another_checkpoint(copy, tmp_path):
    last = dope.export(copy, to=tmp_path / "last")
    best = dope.export(copy, to=tmp_path / "best", best=True)
    assert (last["checkpoint"], best["checkpoint"]) == ("last", "best")
    digest = "network-0000.params"
    shutil.copy(copy / "checkpoints" / "best.npz", tmp_path / "best.npz")
    with np.load(tmp_path / "best.npz") as saved:
        arrays = mx.nd.load(str(tmp_path / "best" / digest))
        for name, value in arrays.items():
            key = name.replace("arg:", "parameter/net.")
            assert value.asnumpy().tobytes() == saved[key].tobytes()


# Whole or not at all ----------------------------------------------------------------


def test_folder_is_not_there_until_all_is_well(tmp_path):
    with placing.placed(tmp_path / "a" / "out") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "a" / "out").exists()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError(28, "No space left")])
def test_nothing_is_left_of_what_fails(tmp_path, error):
    old = tmp_path / "out"
    old.mkdir()
    (old / "export.json").write_text("old")
    expected = RunError if isinstance(error, OSError) else error
    words = "No space left" if isinstance(error, OSError) else None
    with pytest.raises(expected, match=words):  # noqa: SIM117
        with placing.placed(old, overwrite=True) as folder:
            (folder / "export.json").write_text("new")
            raise error
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (old / "export.json").read_text() == "old"


def test_places_that_are_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    placing.check(tmp_path / "empty", False)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file, not a folder"):
        placing.check(tmp_path / "file", True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_text("")
    with pytest.raises(RunError, match="holds other files"):  # never deleted
        placing.check(tmp_path / "photos", True)


def test_export_is_replaced_only_when_asked(copy):
    first = dope.export(copy)
    (first["folder"] / "export.json").write_text("{}")
    with pytest.raises(RunError, match=r"already\. Replace it with --overwrite"):
        dope.export(copy)
    assert (first["folder"] / "export.json").read_text() == "{}"
    dope.export(copy, overwrite=True)
    assert json.loads((first["folder"] / "export.json").read_text())["task"] == "vision.mlp"
    assert [p.name for p in (copy / "export").iterdir()] == ["symbol"]


def test_what_computes_something_else_is_not_kept(copy, monkeypatch):
    def bent(exported):
        made = trace(exported)
        weights = {key: value * np.float32(1.01) for key, value in made.arguments.items()}
        return type(made)(made.exported, made.symbol, weights, made.states)

    monkeypatch.setattr(writing, "trace", bent)
    with pytest.raises(RunError, match=r"'network' computes something else: probability is \d"):
        dope.export(copy)
    assert not any((copy / "export").iterdir())


def test_what_cannot_be_loaded_is_not_kept(copy, monkeypatch):
    keep = writing._symbol_files

    def cut(folder, traced):
        files = keep(folder, traced)
        path = folder / files["parameters"]
        path.write_bytes(path.read_bytes()[:-100])
        return files

    monkeypatch.setattr(writing, "_symbol_files", cut)
    with pytest.raises(RunError, match="cannot be loaded in a new process"):
        dope.export(copy)
    assert not any((copy / "export").iterdir())


def test_full_disk_leaves_nothing(copy):
    """No file may be larger than 2 kB: as on a full disk, a write fails."""
    code = "from dope.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "export", str(copy), "--runs", str(copy.parent)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
        env={**os.environ, "MPLCONFIGDIR": str(copy)},
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: cannot write {copy}") and "Free some space" in line
    assert not any((copy / "export").iterdir())


# Differences ------------------------------------------------------------------------


def test_difference_is_the_largest_and_relative_above_one():
    a = np.array([0.5, -0.25], np.float32)
    assert writing.difference(a, a) == 0
    assert writing.difference(a + np.float32(0.125), a) == 0.125
    assert writing.difference(np.array([1001.0]), np.array([1000.0])) == pytest.approx(0.001)
    assert writing.difference(np.zeros((2, 1)), np.zeros(2)) == np.inf
    nan = np.array([np.nan, 1, np.inf])
    assert writing.difference(nan, nan) == 0
    assert writing.difference(np.array([0.0, 1, np.inf]), nan) == np.inf
    assert writing.difference(np.array([np.nan, 1]), np.array([0.0, 1])) == np.inf
    assert writing.difference(np.zeros((0, 3)), np.zeros((0, 3))) == 0


# Converters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compute, shape",
    [
        (lambda x: x.reshape((0, -3, -2)), (2, 3, 4, 5, 6)),
        (lambda x: x.reshape((-3, 0)), (2, 3, 4)),
        (lambda x: x.reshape((-3, -3, 1)), (2, 3, 4, 5)),
        (lambda x: x.reshape((0, -2, 1)), (2, 3, 4)),
        (lambda x: mx.sym.L2Normalization(x) if isinstance(x, mx.sym.Symbol)
         else mx.nd.L2Normalization(x), (2, 3)),
        (lambda x: mx.sym.L2Normalization(x) if isinstance(x, mx.sym.Symbol)
         else mx.nd.L2Normalization(x), (2, 3, 4)),
        (lambda x: x.mean(axis=1, exclude=True), (2, 3, 4, 5)),
    ],
)  # fmt: skip
def test_operators_that_the_converter_lacks(compute, shape):
    runtime = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    exported = Exported([], compute, [Input("x", x, free={})], {"y": ""})
    session = runtime.InferenceSession(onnx_format.model(trace(exported)))
    (found,) = session.run(["y"], {"x": x})
    (expected,) = computed(exported)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-6


# On the command line ----------------------------------------------------------------


def dope_(*args):
    return CliRunner().invoke(cli, [str(each) for each in args])


def test_command_says_what_was_written(copy):
    done = dope_("export", copy)
    assert done.exit_code == 0, done.output
    assert "network  input   image        n x 1 x 8 x 8  float32" in done.output
    assert "network is identical" in done.output
    assert str(copy / "export" / "symbol" / "example.py") in done.output


def test_command_prints_json(copy):
    found = json.loads(dope_("export", copy, "--json").stdout)
    assert found["folder"] == str(copy / "export" / "symbol")
    assert found["networks"][0]["difference"] == 0


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["export", "{copy}", "--format", "onxn"], 2, "no format 'onxn'. Did you mean 'onnx'?"),
        (["export", "{copy}/nowhere"], 1, "there is no run"),
        (["export", "{copy}", "--best", "--to", "{copy}/best"], 1, "has no best checkpoint"),
        (["export", "{copy}", "--to", "{copy}/plots"], 1, "holds other files, and no export"),
        (["export", "{copy}", "--to", "{copy}/config.yaml"], 1, "is a file, not a folder"),
        (["export", "{copy}", "--to", "/proc/dope"], 1, "cannot write /proc/dope"),
        (["export", "{copy}", "dataset.trian=3"], 2, "train"),
    ],
)
def test_errors_are_one_line(copy, args, code, words):
    (copy / "checkpoints" / "best.json").unlink()
    done = dope_(*(each.format(copy=copy) for each in args))
    assert done.exit_code == code, done.output
    (line,) = done.output.strip().splitlines()
    assert line.startswith("error: ") and words in line
    assert not (copy / "export").exists() or not any((copy / "export").iterdir())


def test_damaged_checkpoints(copy):
    saved = sorted((copy / "checkpoints").glob("[!b]*.npz"))
    saved[-1].write_bytes(b"")
    if len(saved) > 1:  # the one before is taken, and the user told
        assert dope_("export", copy).exit_code == 0
    for path in saved:
        path.write_bytes(b"")
    done = dope_("export", copy, "--to", copy / "other")
    assert done.exit_code == 1
    assert "has no checkpoint" in done.output.strip().splitlines()[-1]
    assert not (copy / "other").exists()


def test_missing_packages_are_named_with_the_command(copy, monkeypatch):
    found = onnx_format.find_spec
    monkeypatch.setattr(
        onnx_format, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    with pytest.raises(
        BackendError, match=r'onnxruntime, which is not.*Run: pip install "dope\[onnx\]"'
    ):
        dope.export(copy, format="onnx")


def test_format_is_checked_first():
    with pytest.raises(ConfigError, match="Formats are symbol, onnx"):
        verbs.export("nowhere", format="torchscript")


@pytest.mark.parametrize(
    "task, words",
    [
        ("vision.mlp", "Exports:  symbol, onnx\n"),
        (
            "nlp.tree_lstm",
            "Exports:  no\n          not symbol, onnx: its graph depends on the tree",
        ),
        ("timeseries.lds", "Exports:  symbol\n          not onnx: ONNX has no Cholesky"),
    ],
)
def test_show_says_what_a_task_can(task, words):
    assert words in dope_("show", task).output
    found = json.loads(dope_("show", task, "--json").stdout)["export"]
    assert (found["symbol"] is None) == ("symbol" in words.split("\n")[0])
