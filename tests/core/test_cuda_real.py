"""The real ``dope[cu112]``, installed in an environment of its own, with a stub of the driver.

Brings 2 GB over the network and needs 6 GB of disk for a while, and no GPU: run it with
``-m download``. That a card computes rightly is for ``dope doctor`` on a machine that has one.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.download
STUBS = runpy.run_path(str(Path(__file__).with_name("cuda_machine.py")))
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = list(STUBS["PINS"])
# Arithmetic and a backward pass on the CPU, and what auto stands for.
WORK = """
import json, os
from dope.core.cuda import driver
driver.SECONDS = 3
from dope.core import backend
from dope.core.backend import mx, nd, np
from dope.core.errors import DopeError
from dope.core.probing import _learn
contexts = [str(each) for each in backend.contexts("auto")]
try:
    one = [str(each) for each in backend.contexts("gpu(0)")]
except DopeError as error:
    one = str(error)
left, right = np.random.rand(2, 50, 50).astype("float32")
error = float(abs(nd.dot(nd.array(left), nd.array(right)).asnumpy() - left @ right).max())
convolved = nd.Convolution(nd.ones((1, 1, 5, 5)), nd.ones((1, 1, 3, 3)), no_bias=True,
    kernel=(3, 3), num_filter=1).asnumpy()
print(json.dumps({
    "pid": str(os.getpid()), "contexts": contexts, "one": one, "error": error,
    "losses": _learn("cpu(0)"), "convolved": float(convolved.mean()),
    "features": mx.runtime.Features().is_enabled("CUDA"), "environment": backend.environment,
}))
"""


class Environment:
    """A virtual environment with ``dope[cu112]`` in it, and a stub of the driver beside it."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.log, self.drivers = (
            folder / "venv" / "bin",
            folder / "log",
            folder / "driver",
        )
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        command = [self.bin / "python", "-m", "pip", "install", "-q", "--no-cache-dir"]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LD_"))}
        self.variables = {**kept, "OMP_NUM_THREADS": "1", "STUB_LOG": str(self.log)}
        subprocess.run([*command, f"{ROOT}[cu112]"], check=True, env=kept, timeout=3000)
        STUBS["compile_library"](
            self.drivers / "libcuda.so.1", STUBS["DRIVER"], "-Wl,-soname,libcuda.so.1"
        )
        (self.site,) = folder.glob("venv/lib/python3*/site-packages")
        self.folder = folder

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess:
        """Run a program of the environment, with the stub of the driver."""
        self.log.unlink(missing_ok=True)
        program, *arguments = command
        return subprocess.run(
            [str(self.bin / program), *arguments],
            cwd=self.folder,
            env={**self.variables, "LD_LIBRARY_PATH": str(self.drivers), **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def doctor(self, **variables: str) -> dict[str, dict[str, str]]:
        """The lines of ``dope doctor``."""
        done = self.run("dope", "doctor", "--json", **variables)
        return {each["name"]: each for each in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cu112")
    yield Environment(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "the NVIDIA driver shows no card"),
        ({"STUB_CARDS": "9.0"}, "Stub 0 has compute capability 9.0, and mxnet-cu112 has code for"),
        ({"STUB_INIT": "999"}, "the NVIDIA driver does not work: cuInit says 999 (unknown error)"),
        ({"STUB_HANG": "cuInit"}, "the NVIDIA driver failed: no answer within 3 s"),
    ],
    ids=["none", "unsupported", "broken", "hangs"],
)
def test_the_cpu_does_the_work_where_no_card_can(environment, variables, why):
    done = environment.run("python", "-c", WORK, **variables)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["features"] and found["contexts"] == ["cpu(0)"]
    assert found["error"] < 1e-4 and found["convolved"] == 9.0
    assert found["losses"][1] < found["losses"][0] / 5
    assert found["environment"]["MXNET_ENGINE_TYPE"] == "NaiveEngine"
    assert why in found["one"] and "gpu(0) cannot be used" in found["one"]
    (line,) = done.stderr.splitlines()  # and nothing of MXNet's own
    assert line.startswith("note: --contexts auto is cpu(0): ") and why in line
    calls = [line.split() for line in environment.log.read_text().splitlines()]
    assert calls and found["pid"] not in {process for process, _ in calls}


def test_a_card_that_the_build_knows_is_taken(environment):
    found = json.loads(environment.run("python", "-c", WORK, STUB_CARDS="8.6").stdout)
    assert found["contexts"] == found["one"] == ["gpu(0)"] and found["error"] < 1e-4
    assert found["environment"]["MXNET_ENGINE_TYPE"] == "ThreadedEnginePerDevice"


def test_a_run_says_in_its_log_why_it_is_on_the_cpu(environment):
    done = environment.run("dope", "run", "timeseries.lds", "trainer.epochs=1")
    assert done.returncode == 0, done.stderr
    note = "note: --contexts auto is cpu(0): the NVIDIA driver shows no card"
    assert done.stderr.count(note) == 1 and "Engine shutdown" not in done.stderr
    (log,) = environment.folder.glob("runs/*/*/log.txt")
    assert log.read_text().count(note) == 1
    refused = environment.run("dope", "run", "timeseries.lds", "--contexts", "gpu(0)")
    assert refused.returncode == 2 and "gpu(0) cannot be used: the NVIDIA" in refused.stderr
    assert len(list(environment.folder.glob("runs/*/*"))) == 1


def test_the_doctor_finds_all_libraries_and_no_card(environment):
    found = environment.doctor()
    assert {found[package]["state"] for package in PACKAGES} == {"ok"}
    assert found["NVIDIA driver"]["state"] == found["contexts"]["state"] == "warn"
    assert "shows no card" in found["NVIDIA driver"]["text"]
    assert found["MXNet"]["text"] == "1.9.1 (mxnet-cu112)"
    assert found["training step"]["state"] == "ok" and "matrix product" not in found


def test_the_doctor_tries_a_card_and_says_that_it_cannot_compute(environment):
    found = environment.doctor(STUB_CARDS="8.6,9.0")  # a stub has no memory to give
    assert found["gpu(0)"]["text"] == "Stub 0, compute capability 8.6"
    assert found["gpu(1)"]["state"] == "warn"
    assert found["training step"]["text"].startswith("cpu(0): loss")
    product = found["matrix product"]
    assert product["state"] == "FAIL" and product["text"].startswith("gpu(0): MXNetError")
    assert "--contexts 'cpu(0)'" in product["remedy"]


def test_without_a_driver_the_remedy_is_named(environment):
    done = environment.run("dope", "run", "timeseries.lds", LD_LIBRARY_PATH="")
    assert done.returncode == 1
    assert "there is no NVIDIA driver: mxnet-cu112 does not load without its" in done.stderr
    assert "Install the driver, or run: pip uninstall -y mxnet-cu112" in done.stderr


def test_a_library_that_is_gone_is_named_with_its_package(environment):
    file = environment.site / "nvidia" / "cublas" / "lib" / "libcublasLt.so.11"
    away = file.rename(environment.folder / "away")
    done = environment.run("dope", "run", "timeseries.lds")
    found = environment.doctor()
    away.rename(file)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    words = "libcublasLt.so.11 of CUDA is missing (package nvidia-cublas-cu11: 11.11.3.6"
    assert words in done.stderr and found["nvidia-cublas-cu11"]["state"] == "FAIL"
    assert "--force-reinstall --no-deps nvidia-cublas-cu11==11.11.3.6" in done.stderr
