"""Which build of MXNet is installed, from faked distributions; and what MXNet is started with.

Needs no GPU and no download: MXNet and NVIDIA's libraries are stubs.
"""

from __future__ import annotations

import ctypes.util
import json
import runpy
import shutil
from pathlib import Path

import pytest

Machine = runpy.run_path(str(Path(__file__).with_name("cuda_machine.py")))["Machine"]
CHECK = """
from dope.core.cuda.builds import check_installation
from dope.core.errors import BackendError
try:
    print(check_installation())
except BackendError as error:
    print(error.message)
    print(error.hint)
"""
BACKEND = """
import json, os
from dope.core.cuda import driver
driver.SECONDS = {seconds}
from dope.core import backend
from dope.core.errors import DopeError
def contexts(text):
    try:
        return [str(each) for each in backend.contexts(text)]
    except DopeError as error:
        return str(error)
print(json.dumps({{
    "auto": contexts("auto"), "again": contexts("auto"), "one": contexts("gpu(0)"),
    "two": contexts("gpu(1), cpu(0)"), "note": backend.note_on_auto(), "pid": str(os.getpid()),
    "environment": backend.environment,
    "checks": [os.environ.get(f"MXNET_{{name}}_LIB_CHECKING") for name in ("CUDA", "CUDNN")],
}}))
"""
HAS_DRIVER = bool(ctypes.util.find_library("cuda"))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def gpu(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.install_mxnet()
    machine.install_wheels()
    return machine


def check(machine):
    done = machine.run(CHECK)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["mxnet", "mxnet-cu112"])
def test_one_build(machine, name):
    machine.install_mxnet(name)
    assert check(machine) == [name]


def test_no_build(machine):
    assert check(machine) == ["MXNet is not installed", "Run: pip install 'dope[cpu]'"]


def test_a_build_that_no_distribution_tells_of(machine):
    machine.install_mxnet()
    machine.uninstall("mxnet-cu112")
    assert check(machine) == ["mxnet"]


def test_both_builds(machine):
    machine.install_mxnet("mxnet")
    machine.install_mxnet("mxnet-cu112")
    message, hint = check(machine)
    assert message == (
        "two builds of MXNet are installed (mxnet, mxnet-cu112) and overwrite each other"
    )
    assert hint.startswith("Run: pip uninstall -y mxnet mxnet-cu112 && pip install 'dope[cpu]'")
    assert "'dope[cu112]'" in hint


@pytest.mark.parametrize("left", ["nothing", "leavings", "all but the library"])
def test_files_that_are_gone(machine, left):
    machine.install_mxnet()
    if left == "all but the library":
        (machine.site / "mxnet" / "libmxnet.so").unlink()
    else:
        shutil.rmtree(machine.site / "mxnet")
    if left == "leavings":
        (machine.site / "mxnet" / "__pycache__").mkdir(parents=True)
        next(machine.site.glob("mxnet*.dist-info/RECORD")).unlink()  # conda writes none
    assert check(machine) == [
        "mxnet-cu112 is installed but its files are gone",
        "Run: pip install --force-reinstall --no-deps mxnet-cu112==1.9.1",
    ]


@pytest.mark.parametrize("version", ["1.8.0.post0", "2.0.0b1"])
def test_another_version(machine, version):
    machine.install_mxnet("mxnet-cu112", version)
    assert check(machine) == [
        f"mxnet-cu112 {version} is installed, and dope needs 1.9.1",
        "Run: pip install mxnet-cu112==1.9.1",
    ]


def backend(machine, seconds=20, **variables):
    done = machine.run(BACKEND.format(seconds=seconds), **variables)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    own = [call for process, call in machine.logged() if process == found["pid"]]
    return found, done.stderr, own


def test_all_cards_can_be_used(gpu):
    found, errors, own = backend(gpu, STUB_CARDS="8.0,8.6")
    assert found["auto"] == ["gpu(0)", "gpu(1)"] and found["one"] == ["gpu(0)"]
    assert found["two"] == ["gpu(1)", "cpu(0)"] and found["note"] == errors == ""
    assert found["environment"]["MXNET_ENGINE_TYPE"] == "ThreadedEnginePerDevice"
    assert "MXNET_USE_FUSION" not in found["environment"]
    assert found["checks"] == ["0", "0"] and own == []


def test_auto_leaves_out_cards_and_says_so_once(gpu):
    found, errors, _ = backend(gpu, STUB_CARDS="9.0,8.6")
    assert found["auto"] == found["again"] == ["gpu(1)"]
    why = "Stub 0 has compute capability 9.0, and mxnet-cu112 has code for 5.0 to 8.9"
    assert errors == f"note: --contexts auto is gpu(1): gpu(0): {why}\n"
    assert found["one"].startswith(f"--contexts: gpu(0) cannot be used: {why}.")
    assert found["two"] == ["gpu(1)", "cpu(0)"]


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "the NVIDIA driver shows no card"),
        ({"STUB_CARDS": "9.0"}, "Stub 0 has compute capability 9.0"),
        ({"STUB_INIT": "803"}, "the NVIDIA driver does not work: cuInit says 803"),
        ({"STUB_HANG": "cuInit"}, "the NVIDIA driver failed: no answer within 3 s"),
        ({"STUB_CRASH": "cuInit"}, "the NVIDIA driver failed: died of signal 6"),
    ],
    ids=["none", "unsupported", "broken", "hangs", "crashes"],
)
def test_auto_falls_back_to_the_cpu_and_says_why(gpu, variables, why):
    found, errors, own = backend(gpu, 3 if "STUB_HANG" in variables else 20, **variables)
    assert found["auto"] == found["again"] == ["cpu(0)"] and own == []
    assert errors.count("note: --contexts auto is cpu(0): ") == 1 == errors.count(why)
    assert found["note"] == errors[len("note: ") : -1]
    assert why in found["one"] and "gpu(0) cannot be used: " in found["one"]
    assert found["environment"]["MXNET_ENGINE_TYPE"] == "NaiveEngine"


@pytest.mark.parametrize(("version", "fused"), [("11040", "0"), ("11080", None), ("12040", None)])
def test_fused_operators_need_a_driver_that_knows_their_ptx(gpu, version, fused):
    found, _, _ = backend(gpu, STUB_CARDS="8.0", STUB_VERSION=version)
    assert found["environment"].get("MXNET_USE_FUSION") == fused
    found, _, _ = backend(gpu, STUB_CARDS="8.0", STUB_VERSION=version, MXNET_USE_FUSION="1")
    assert found["environment"].get("MXNET_USE_FUSION", "1") == "1"  # the user's own wins


def test_a_missing_library_ends_the_import(gpu):
    file = gpu.library("libcublas.so.11", "nvidia-cublas-cu11")
    file.rename(file.with_name("away"))
    done = gpu.run("from dope.core import backend", STUB_CARDS="8.0")
    file.with_name("away").rename(file)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith(
        "dope.core.errors.BackendError: libcublas.so.11"
    )
    assert "pip install --force-reinstall --no-deps nvidia-cublas-cu11==11.11.3.6" in last


@pytest.mark.skipif(HAS_DRIVER, reason="a driver is installed here")
def test_no_driver_ends_the_import(gpu):
    last = gpu.run("from dope.core import backend", driver=False).stderr.splitlines()[-1]
    assert "BackendError: there is no NVIDIA driver: mxnet-cu112 does not load without" in last


def test_the_cpu_build_asks_no_driver(machine):
    machine.install_mxnet("mxnet")
    stub = machine.site / "mxnet" / "__init__.py"
    code = stub.read_text().replace('raise AssertionError("asks the driver")', "return 0")
    stub.write_text(code.replace("ctypes.CDLL(None).cuInit, ctypes.CDLL(None).stub_library", ""))
    found, errors, _ = backend(machine, STUB_CARDS="8.0")
    assert found["auto"] == ["cpu(0)"] and errors == found["note"] == ""
    assert found["environment"]["MXNET_ENGINE_TYPE"] == "NaiveEngine"
    assert found["one"].startswith(
        "--contexts: gpu(0) cannot be used: this is the CPU build of MXNet (mxnet)."
    )
    assert found["checks"] == [None, None] and machine.logged() == []
