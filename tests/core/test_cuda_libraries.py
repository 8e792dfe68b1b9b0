"""CUDA's libraries are found, loaded in order, and missed by name, in a tree of stubs.

Needs no GPU and no download; the real wheels are tried in test_cuda_real.py.
"""

from __future__ import annotations

import ctypes.util
import json
import re
import runpy
import shutil
from pathlib import Path

import pytest

from dope.core.cuda.libraries import LIBRARIES, PINS

STUBS = runpy.run_path(str(Path(__file__).with_name("cuda_machine.py")))
Machine = STUBS["Machine"]
ROOT = Path(__file__).resolve().parents[2]
ORDER = [
    *("libcudart.so.11.0", "libnvrtc-builtins.so.11.8", "libnvrtc.so.11.2"),
    *("libcublasLt.so.11", "libcublas.so.11", "libcufft.so.10", "libcurand.so.10"),
    *("libcusolver.so.11", "libnccl.so.2", "libnvToolsExt.so.1"),
    *("libcudnn_ops_infer.so.8", "libcudnn_cnn_infer.so.8", "libcudnn_ops_train.so.8"),
    *("libcudnn_cnn_train.so.8", "libcudnn_adv_infer.so.8", "libcudnn_adv_train.so.8"),
    "libcudnn.so.8",
]
PRELOAD = """
import ctypes
from dope.core.cuda.libraries import preload
from dope.core.errors import BackendError
try:
    preload("mxnet-cu112")
    print(hasattr(ctypes.CDLL(None), "stub_library"), hasattr(ctypes.CDLL(None), "cuInit"))
except BackendError as error:
    print(error.message)
    print(error.hint)
"""
EXAMINE = """
import json
from dope.core.cuda.libraries import examine
print(json.dumps(examine(20)))
"""
CUBLAS, CUDNN = "nvidia-cublas-cu11", "nvidia-cudnn-cu11"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.install_wheels()
    return machine


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    machine.install_wheels()
    return machine


def preload(machine, **more):
    done = machine.run(PRELOAD, **more)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.splitlines()


def loaded(machine):
    return [Path(file) for what, file in machine.logged() if what == "loaded"]


def test_the_pins_are_those_of_the_extra():
    extra = re.search(r"^cu112 = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    pins = dict(re.findall(r'"([\w-]+)==([\d.]+)"', extra))
    assert pins == {"mxnet-cu112": "1.9.1", **PINS}
    assert {package for _, package in LIBRARIES} == set(PINS)


def test_libraries_are_loaded_in_order_and_for_all_to_see(whole):
    assert preload(whole) == ["True True"]
    assert [file.name for file in loaded(whole)] == ORDER
    assert all(whole.site in file.parents for file in loaded(whole))
    assert not [call for _, call in whole.logged() if call.startswith("cu")]  # the driver rests


def test_another_build_loads_the_driver_s_library_only(whole):
    done = whole.run(PRELOAD.replace("cu112", "cu102"))
    assert done.stdout == "False True\n" and loaded(whole) == []


def test_a_library_that_is_missing_from_its_wheel(machine):
    machine.library("libcublasLt.so.11", CUBLAS).unlink()
    assert preload(machine) == [
        f"libcublasLt.so.11 of CUDA is missing (package {CUBLAS}: 11.11.3.6 is installed)",
        f"Run: pip install --force-reinstall --no-deps {CUBLAS}==11.11.3.6",
    ]


def test_the_missing_library_is_named_and_not_those_that_need_it(machine):
    needed = machine.library("libcublasLt.so.11", CUBLAS)
    STUBS["compile_library"](needed, STUBS["LIBRARY"], f"-Wl,-soname,{needed.name}", "-ldl")
    needing = machine.library("libcublas.so.11", CUBLAS)
    linked = ("-Wl,--no-as-needed", str(needed), "-ldl")
    STUBS["compile_library"](needing, STUBS["LIBRARY"], *linked)
    assert preload(machine) == ["True True"]
    needed.unlink()
    message, _ = preload(machine)
    assert message.startswith("libcublasLt.so.11 of CUDA is missing")


def test_a_wheel_that_is_not_installed(machine):
    machine.uninstall(CUDNN)
    shutil.rmtree(machine.library("libcudnn.so.8", CUDNN).parent)
    assert preload(machine) == [
        f"libcudnn_ops_infer.so.8 and 6 more of CUDA is missing (package {CUDNN}: not installed)",
        f"Run: pip install {CUDNN}==8.9.6.50",
    ]


def test_no_wheel_at_all(tmp_path):
    message, hint = preload(Machine(tmp_path))
    assert message.startswith("libcudart.so.11.0 and 15 more of CUDA is missing")
    assert hint == "Run: pip install " + " ".join(f"{p}=={v}" for p, v in PINS.items())


def test_a_wheel_of_another_version_that_lacks_the_library(machine):
    folder = machine.library("libcudnn.so.8", CUDNN).parent
    for file in folder.iterdir():
        file.rename(file.with_suffix(".9"))
    machine.uninstall(CUDNN)
    machine.install(CUDNN, "9.1.0.70")
    message, hint = preload(machine)
    assert f"(package {CUDNN}: 9.1.0.70 is installed)" in message
    assert hint == f"Run: pip install {CUDNN}==8.9.6.50"


CUFFT = "nvidia-cufft-cu11"


def test_a_library_that_does_not_load(machine):
    machine.library("libcufft.so.10", CUFFT).write_text("no library" * 99)
    message, hint = preload(machine)
    assert message.startswith("libcufft.so.10 of nvidia-cufft-cu11 10.9.0.58 does not load: ")
    assert "invalid ELF header" in message and "--force-reinstall" in hint


def test_a_library_of_another_version_that_does_not_load(machine):
    machine.library("libcufft.so.10", CUFFT).write_text("no library" * 99)
    machine.uninstall(CUFFT)
    machine.install(CUFFT, "10.4.0.1")
    message, hint = preload(machine)
    assert "of nvidia-cufft-cu11 10.4.0.1, which is not 10.9.0.58, does not load: " in message
    assert hint == "Run: pip install nvidia-cufft-cu11==10.9.0.58"


def test_a_library_that_is_cut_short_is_not_loaded(machine):
    file = machine.library("libcufft.so.10", CUFFT)
    whole = file.read_bytes()
    machine.uninstall(CUFFT)
    machine.install(CUFFT, "10.9.0.58", f"nvidia/cufft/lib/libcufft.so.10,sha256=x,{len(whole)}")
    assert preload(machine) == ["True True"]
    file.write_bytes(whole[:1000])  # to load it would be a bus error
    message, hint = preload(machine)
    assert message.endswith("does not load: the file is shorter than it was packed")
    assert hint.startswith("Run: pip install --force-reinstall --no-deps nvidia-cufft-cu11==")
    done = machine.run(EXAMINE)
    found = {name: error for name, _, _, error in json.loads(done.stdout)}
    assert found["libcufft.so.10"] == "died of signal 7"
    assert found["libcurand.so.10"] == "not tried" and found["libcublas.so.11"] == ""


def test_the_loader_s_path_serves_what_no_wheel_brings(machine, tmp_path):
    toolkit = tmp_path / "toolkit"
    toolkit.mkdir()
    for package in (CUBLAS, "nvidia-cuda-nvrtc-cu11"):
        machine.uninstall(package)
    for name in ("libcublasLt.so.11", "libcublas.so.11"):
        machine.library(name, CUBLAS).rename(toolkit / name)
    nvrtc = machine.library("libnvrtc.so.11.2", "nvidia-cuda-nvrtc-cu11")
    nvrtc.rename(toolkit / nvrtc.name)
    shutil.rmtree(nvrtc.parent)
    assert preload(machine, libraries=str(toolkit)) == ["True True"]
    order = [name for name in ORDER if "builtins" not in name]  # NVRTC finds that one itself
    assert [file.name for file in loaded(machine)] == order
    assert {file.name for file in loaded(machine) if file.parent == toolkit} == {
        *("libcublasLt.so.11", "libcublas.so.11", "libnvrtc.so.11.2")
    }


def test_a_wheel_goes_before_the_loader_s_path(machine, tmp_path):
    toolkit = tmp_path / "toolkit"
    toolkit.mkdir()
    shutil.copy(machine.any_library, toolkit / "libcudart.so.11.0")
    assert preload(machine, libraries=str(toolkit)) == ["True True"]
    assert toolkit not in {file.parent for file in loaded(machine)}


def test_wheels_in_a_folder_of_the_path_without_their_traces(machine):
    machine.uninstall(CUBLAS)
    assert preload(machine) == ["True True"]


def test_libraries_are_examined_in_another_process(machine):
    machine.library("libnccl.so.2", "nvidia-nccl-cu11").unlink()
    file = machine.library("libcufft.so.10", "nvidia-cufft-cu11")
    file.write_text("")
    code = (
        "import json; from dope.core.cuda.libraries import examine; print(json.dumps(examine(20)))"
    )
    done = machine.run(code + "\nimport ctypes; print(hasattr(ctypes.CDLL(None), 'stub_library'))")
    found, own = done.stdout.splitlines()
    by_name = {name: (place, error) for name, _, place, error in json.loads(found)}
    assert own == "False" and list(by_name) == [name for name, _ in LIBRARIES]
    assert by_name["libcudart.so.11.0"][0].startswith(str(machine.site))
    assert "cannot open shared object" in by_name["libnccl.so.2"][1]
    assert "file too short" in by_name["libcufft.so.10"][1]
    assert [name for name, (_, error) in by_name.items() if error] == [
        *("libcufft.so.10", "libnccl.so.2")
    ]


@pytest.mark.skipif(bool(ctypes.util.find_library("cuda")), reason="a driver is installed here")
def test_without_a_driver_nothing_else_is_loaded(whole):
    message, hint = preload(whole, driver=False)
    assert message.startswith("there is no NVIDIA driver") and "dope[cpu]" in hint
    assert loaded(whole) == []
