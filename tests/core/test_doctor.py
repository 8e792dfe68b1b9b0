"""The checks of ``dope doctor``: each fault is made, and its line and remedy are looked at.

Faults of MXNet are made in the process that tries it, by a module ``mxnet`` that is not it.
"""

from __future__ import annotations

import json

import pytest

from dope.core import doctor
from dope.core.cuda.driver import Card, Driver
from dope.core.cuda.libraries import LIBRARIES, PINS, Found
from dope.core.doctor import Check, examine

TODAY = (3, 11, 7)
NO_LIBRARY = "libcuda.so.1: cannot open shared object file: No such file or directory"
FOUND = [Found(name, package, f"/site/{name}", "") for name, package in LIBRARIES]


def by_name(checks):
    return {check.name: check for check in checks}


@pytest.fixture
def no_probe(monkeypatch):
    """Everything but MXNet: the probe answers at once that it is well."""
    said = {
        "code": 0,
        "errors": [],
        "mxnet": "1.9.1 (mxnet)",
        "threads": "2",
        "engine": "NaiveEngine",
        "cores": 2,
        "contexts": ["cpu(0)"],
        "trying": "cpu(0)",
        "steps": {"cpu(0)": [3.0, 0.5]},
        "done": True,
    }
    monkeypatch.setattr(doctor, "_probed", lambda seconds: said)
    monkeypatch.setattr(doctor, "installed_distributions", lambda: {"mxnet": "1.9.1"})
    monkeypatch.setattr(doctor.nvidia, "ask", lambda seconds: Driver(missing=NO_LIBRARY))
    return said


def fake_mxnet(tmp_path, monkeypatch, code):
    """Another module ``mxnet``, found before the real one by processes that are started."""
    (tmp_path / "mxnet.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_this_machine_is_well_and_the_command_says_so(inside, tmp_path):
    result = inside("doctor", "--runs", tmp_path / "runs", "--json")
    found = {each["name"]: each for each in json.loads(result.stdout)}
    assert [each["name"] for each in found.values() if each["state"] == "FAIL"] == []
    assert result.exit_code == 0 and not (tmp_path / "runs").exists()
    names = ["Python", "NumPy", "NVIDIA driver", "MXNet", "threads", "contexts", "training step"]
    assert list(found) == [*names, "plugins", "runs folder", "disk"]
    assert found["MXNet"]["text"].startswith("1.9.1")
    assert "cpu(0)" in found["contexts"]["text"]
    assert list(tmp_path.iterdir()) == []


def test_the_command_fails_with_a_remedy_when_a_check_fails(inside, no_probe, tmp_path):
    file = tmp_path / "runs"
    file.write_text("")
    result = inside("doctor", "--runs", file)
    lines = result.stdout.splitlines()
    failed = next(i for i, line in enumerate(lines) if line.startswith("FAIL"))
    assert result.exit_code == 1 and "runs folder" in lines[failed]
    assert "-> Choose another place with --runs DIR." in " ".join(lines[failed:])


@pytest.mark.parametrize("version", [(3, 8, 1), (3, 13, 0)])
def test_python_that_mxnet_does_not_know(no_probe, version):
    check = by_name(examine(version=version))["Python"]
    assert check.state == "FAIL" and "3.9 to 3.12" in check.remedy


def test_python_without_distutils(no_probe, monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    check = by_name(examine(version=(3, 12, 1)))["Python"]
    assert check.state == "FAIL" and "pip install setuptools" in check.remedy


@pytest.mark.parametrize(
    ("version", "state"),
    [("1.22.4", "FAIL"), ("1.23.0", "ok"), ("1.26.4", "ok"), ("2.0.1", "FAIL")],
)
def test_numpy_versions(no_probe, monkeypatch, version, state):
    monkeypatch.setattr(doctor.metadata, "version", lambda name: version)
    check = by_name(examine(version=TODAY))["NumPy"]
    assert check.state == state and (state == "ok" or "pip install 'numpy" in check.remedy)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n", "import: died of signal 4"),
        ("import os\nos._exit(7)\n", "import: ended too early"),
        ("raise OSError('libfoo.so.11: cannot open shared object file')\n", "libfoo.so.11"),
        ("raise ImportError('cannot import name bool')\n", "cannot import name bool"),
        ("raise RuntimeError('odd')\n", "RuntimeError: odd"),
    ],
    ids=["crash", "exit", "library", "import", "other"],
)
def test_mxnet_that_does_not_load(tmp_path, monkeypatch, code, words):
    fake_mxnet(tmp_path, monkeypatch, code)
    checks = by_name(examine(tmp_path))
    assert checks["MXNet"].state == "FAIL" and words in checks["MXNet"].text
    assert checks["MXNet"].remedy and "training step" not in checks


def test_mxnet_that_hangs(tmp_path, monkeypatch):
    fake_mxnet(tmp_path, monkeypatch, "import time\ntime.sleep(100)\n")
    check = by_name(examine(tmp_path, seconds=2))["MXNet"]
    assert check.state == "FAIL" and check.text == "import: no answer within 2 s"


@pytest.mark.parametrize("code", [None, -11])
def test_a_device_that_hangs_or_crashes_is_named(no_probe, code):
    said = {**no_probe, "contexts": ["cpu(0)", "gpu(0)"], "trying": "gpu(0)", "code": code}
    del said["done"]
    step = doctor._mxnet(said, 60)[-1]
    assert step.name == "training step" and step.state == "FAIL"
    assert step.text.startswith("gpu(0): ") and "--contexts 'cpu(0)'" in step.remedy


def test_a_step_that_does_not_learn(no_probe):
    no_probe["steps"] = {"cpu(0)": [3.0, float("nan")]}
    check = by_name(examine(version=TODAY))["training step"]
    assert check.state == "FAIL" and "no fall" in check.text


def test_the_cpu_build_without_a_card_is_calm(no_probe):
    check = by_name(examine(version=TODAY))["NVIDIA driver"]
    assert check == Check("NVIDIA driver", "ok", "none, no card; the CPU build of MXNet needs none")


@pytest.mark.parametrize(
    ("driver", "text"),
    [
        (
            Driver(release="535.104.05", cuda=(12, 2), cards=(Card("A100", (8, 0)),)),
            "535.104.05, CUDA 12.2 (A100); not used by the CPU build of MXNet (docs/gpu.md)",
        ),
        (Driver(trouble="it hangs"), "version unknown (it hangs); not used by the CPU build"),
    ],
)
def test_the_cpu_build_beside_a_driver_is_calm(no_probe, monkeypatch, driver, text):
    monkeypatch.setattr(doctor.nvidia, "ask", lambda seconds: driver)
    check = by_name(examine(version=TODAY))["NVIDIA driver"]
    assert check.state == "ok" and check.text.startswith(text) and check.remedy == ""


@pytest.fixture
def gpu(no_probe, monkeypatch):
    """A CUDA build with two cards, one of them too new; both can be changed."""
    monkeypatch.setattr(doctor, "installed_distributions", lambda: {"mxnet-cu112": "1.9.1"})
    cards = (Card("A100", (8, 0)), Card("H100", (9, 0)))
    machine = {"driver": Driver(release="535.1", cuda=(12, 2), cards=cards), "found": FOUND}
    monkeypatch.setattr(doctor.nvidia, "ask", lambda seconds: machine["driver"])
    monkeypatch.setattr(doctor.libraries, "examine", lambda seconds: machine["found"])
    monkeypatch.setattr(doctor.libraries, "version", lambda package: PINS[package])
    no_probe.update(
        mxnet="1.9.1 (mxnet-cu112)",
        contexts=["cpu(0)", "gpu(0)"],
        products={"gpu(0)": [1e-6, 2e-5]},
        steps={"cpu(0)": [3.0, 0.5], "gpu(0)": [3.0, 0.5]},
        note="--contexts auto is gpu(0): gpu(1): H100 has compute capability 9.0",
    )
    return machine


def test_driver_cards_and_libraries_of_a_cuda_build(gpu):
    checks = by_name(examine(version=TODAY))
    assert checks["NVIDIA driver"] == Check("NVIDIA driver", "ok", "535.1, CUDA 12.2")
    assert checks["gpu(0)"] == Check("gpu(0)", "ok", "A100, compute capability 8.0")
    assert checks["gpu(1)"].state == "warn" and "code for 5.0 to 8.9" in checks["gpu(1)"].text
    assert "--contexts 'cpu(0)'" in checks["gpu(1)"].remedy
    assert checks["nvidia-cublas-cu11"].text == "11.11.3.6: libcublasLt.so.11, libcublas.so.11"
    assert {checks[package].state for package in PINS} == {"ok"}
    assert checks["contexts"] == Check("contexts", "ok", "cpu(0), gpu(0)")
    product = checks["matrix product"]
    assert product.state == "ok" and product.text == (
        "gpu(0): 256 x 256 in 2e-05 s, 1e-06 from the CPU's"
    )


def test_a_library_that_is_missing_or_of_another_version(gpu, monkeypatch):
    error = "libcufft.so.10: cannot open shared object file"
    gpu["found"] = [
        each._replace(place="", error=error) if "cufft" in each.name else each for each in FOUND
    ]
    versions = {**PINS, "nvidia-cufft-cu11": "", "nvidia-nccl-cu11": "2.19.3"}
    versions["nvidia-nvtx-cu11"] = ""
    monkeypatch.setattr(doctor.libraries, "version", versions.get)
    checks = by_name(examine(version=TODAY))
    assert checks["nvidia-cufft-cu11"] == Check(
        "nvidia-cufft-cu11",
        "FAIL",
        f"not installed; libcufft.so.10: {error}",
        "Run: pip install nvidia-cufft-cu11==10.9.0.58",
    )
    nccl = checks["nvidia-nccl-cu11"]
    assert nccl.state == "warn" and nccl.text == "2.19.3, tried was 2.21.5"
    assert nccl.remedy == "Run: pip install nvidia-nccl-cu11==2.21.5"
    nvtx = checks["nvidia-nvtx-cu11"]
    assert nvtx.state == "ok" and nvtx.text == "not installed; /site/libnvToolsExt.so.1"


@pytest.mark.parametrize(
    ("driver", "state", "words", "remedy"),
    [
        (Driver(missing=NO_LIBRARY), "FAIL", "there is no NVIDIA driver", "dope[cpu]"),
        (Driver(trouble="it hangs"), "warn", "version unknown: it hangs", "nvidia-smi"),
        (Driver(cuda=(10, 2)), "warn", "needs one for 11.0 or later", "nvidia-smi"),
    ],
    ids=["missing", "hangs", "old"],
)
def test_a_driver_that_a_cuda_build_cannot_use(gpu, driver, state, words, remedy):
    gpu["driver"] = driver
    check = by_name(examine(version=TODAY))["NVIDIA driver"]
    assert check.state == state and words in check.text and remedy in check.remedy


def test_a_cuda_build_without_a_card_to_use(gpu, no_probe):
    no_probe.update(contexts=["cpu(0)"], note="--contexts auto is cpu(0): no card", products={})
    check = by_name(examine(version=TODAY))["contexts"]
    assert check.state == "warn" and check.text == no_probe["note"]
    assert "'dope[cpu]'" in check.remedy


def test_a_card_that_multiplies_wrongly(gpu, no_probe):
    no_probe["products"] = {"gpu(0)": [float("nan"), 2e-5]}
    check = by_name(examine(version=TODAY))["matrix product"]
    assert check.state == "FAIL" and "nan from the CPU's" in check.text
    assert "--contexts 'cpu(0)'" in check.remedy


@pytest.mark.parametrize("stage", ["matrix product", "training step"])
@pytest.mark.parametrize("code", [None, -6])
def test_a_card_that_hangs_or_crashes_is_named(gpu, no_probe, stage, code):
    no_probe.update(trying="gpu(0)", stage=stage, code=code, done=False)
    check = by_name(examine(version=TODAY, seconds=7))[stage]
    how = "no answer within 7 s" if code is None else "died of signal 6"
    assert check.state == "FAIL" and check.text == f"gpu(0): {how}"
    assert "--contexts 'cpu(0)'" in check.remedy


def test_a_cuda_build_that_does_not_load_is_brought_back_as_such(gpu, no_probe):
    for key in ("mxnet", "trying", "done"):
        del no_probe[key]
    no_probe["code"] = -11
    check = by_name(examine(version=TODAY))["MXNet"]
    assert check.text == "import: died of signal 11" and "'dope[cu112]'" in check.remedy


@pytest.mark.parametrize("threads", ["8", "0", "all"])
def test_threads_that_the_user_has_set_badly(no_probe, threads):
    no_probe["threads"] = threads
    check = by_name(examine(version=TODAY))["threads"]
    assert check.state == "warn" and "set it to 2" in check.remedy


@pytest.mark.parametrize(("free", "state"), [(1e7, "FAIL"), (5e8, "warn"), (5e9, "ok")])
def test_room_on_the_disk(no_probe, monkeypatch, tmp_path, free, state):
    class Usage:
        pass

    Usage.free = free
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: Usage)
    check = by_name(examine(tmp_path / "not" / "yet"))["disk"]
    assert check.state == state and bool(check.remedy) == (state != "ok")


def test_a_broken_plugin_is_a_warning(no_probe, toy, tmp_path, monkeypatch):
    toy.install(tmp_path, "bad", "1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert by_name(examine(tmp_path))["plugins"] == Check(
        "plugins", "warn", "broken: bad", "See: dope plugins"
    )
