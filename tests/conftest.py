"""Fixtures that several files share: a small plugin of its own, and the command line to run it.

Holds no tests. The plugin is an installed distribution in a temporary folder, as anybody's.
"""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before MXNet starts: workers have the cores already
    os.environ.setdefault("OMP_NUM_THREADS", "1")

PLUGIN = """
from dope.core.hookspecs import hookimpl

@hookimpl
def register_datasets(register):
    register("toy.line", "toy_code:Line", summary="Points near a line")

@hookimpl
def register_models(register):
    register("toy.net", "toy_code:Net", summary="Two layers with dropout")

@hookimpl
def register_losses(register):
    register("toy.square", "toy_code:Square", summary="Squared error")

@hookimpl
def register_tasks(register):
    register("toy.regression", "toy_code:Regression", summary="Fit a line by a small net")
"""

CODE = '''
from __future__ import annotations
import time
from typing import Optional
import numpy as np
from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches
from dope.core.task import Task

class Line:
    """Points near a line.

    Parameters
    ----------
    n
        How many points.
    """
    def __init__(self, *, n: int = 40) -> None:
        rng = np.random.default_rng(7)
        self.x = rng.normal(size=(n, 3)).astype("float32")
        self.y = (self.x @ [1.0, -2.0, 0.5] + 0.3).astype("float32")

    def batches(self, split, batch_size):
        if split == "test":
            return None
        return ArrayBatches((self.x, self.y), batch_size, shuffle=split == "train")

def Net(dataset, *, units: int = 8, dropout: float = 0.2):
    """Two layers with dropout.

    Parameters
    ----------
    units
        Hidden units.
    dropout
        Share that is dropped.
    """
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(units, activation="relu"), mx.gluon.nn.Dropout(dropout))
    net.add(mx.gluon.nn.Dense(1))
    return net

class Square:
    """Squared error of each example."""
    def __call__(self, output, target):
        return nd.square(output.reshape((-1,)) - target)

class Regression(Task):
    """Fit a line by a small net.

    Parameters
    ----------
    pause
        Seconds that each step sleeps.
    fault
        What to raise in the second step.
    """
    defaults = {
        "dataset": "toy.line", "model": "toy.net", "loss": "toy.square",
        "optimizer": {"name": "adam", "learning_rate": 0.02},
        "trainer": {"epochs": 3, "batch_size": 8, "log_every": 2, "keep": 3},
    }
    profiles = {"quick": {}, "book": {"trainer": {"epochs": 7}}}

    def __init__(self, *, pause: float = 0.0, fault: Optional[str] = None) -> None:
        self.pause, self.fault, self.steps = pause, fault, 0

    def prepare(self):
        self.notes = ["the points are made up"]

    def step(self, engine, batch):
        self.steps += 1
        time.sleep(self.pause)
        if self.fault and self.steps == 2:
            if self.fault == "value":
                raise ValueError("first line of it\\nsecond line of it")
            if self.fault == "mxnet":
                nd.dot(nd.ones((2, 3)), nd.ones((2, 3))).wait_to_read()
            if self.fault == "memory":
                raise MemoryError
            if self.fault == "interrupt":
                raise KeyboardInterrupt
        return super().step(engine, batch)

    def report(self, nets, run):
        (run.path / "fitted.csv").write_text("x\\n1\\n")
        return {"figure": 1.25, "simpler": {"mean": {"figure": 2.5}}}

    def predict(self, nets, run):
        x = self.dataset.x
        y = nets(nd.array(x)).asnumpy()[:, 0]
        return {"rows": [{"i": i, "y": v} for i, v in enumerate(y)], "mean_y": float(y.mean())}
'''


def install(folder: Path, name: str, plugin: str) -> None:
    """Write an installed distribution ``dist-NAME`` 1.2 with one plugin."""
    info = folder / f"dist_{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[dope.plugins]\n{name} = {name}_plugin_module\n")
    (folder / f"{name}_plugin_module.py").write_text(plugin)


class Toy:
    """The ``dope`` command in a process of its own, with the toy plugin installed."""

    def __init__(self, site: Path) -> None:
        self.site = site
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        self.env = {**os.environ, "PYTHONPATH": path, "COLUMNS": "100"}
        self.env.pop("DOPE_DEBUG", None)

    def start(self, *args: object, before: str = "", **options: object) -> subprocess.Popen:
        """Start ``dope ARGS``; ``before`` is Python that runs first."""
        code = f"{before}\nfrom dope.cli import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def dope(self, *args: object, before: str = "") -> subprocess.CompletedProcess:
        """Run ``dope ARGS`` to its end."""
        process = self.start(*args, before=before)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def stopped(self, runs: Path, sent: int, *args: object, checkpoints: int = 2) -> tuple:
        """Start a run, send it a signal once it has so many checkpoints; code, stderr, folder."""
        process = self.start("run", "toy.regression", "--runs", runs, *args)
        began = time.monotonic()
        while len(list(runs.glob("*/*/checkpoints/[0-9]*.json"))) < checkpoints:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() - began < 60
            time.sleep(0.005)
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
        return process.returncode, err, only_run(runs)


def only_run(runs: Path) -> Path:
    """The folder of the one run."""
    (found,) = runs.glob("*/*")
    return found


def final_arrays(run: Path) -> dict[str, bytes]:
    """Bytes of every array of a run's last checkpoint."""
    last = max(p for p in (run / "checkpoints").glob("*.npz") if p.stem != "best")
    with np.load(last) as file:
        return {key: file[key].tobytes() for key in file.files}


@pytest.fixture(scope="session", autouse=True)
def interrupts():
    """Let children hear of interrupts, also where a shell that began the tests ignores them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_settings(tmp_path_factory):
    """Keep the settings of whoever runs the tests out of them, and the tests out of those."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        yield


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """The toy plugin, installed in a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    install(site, "toy", PLUGIN)
    (site / "toy_code.py").write_text(CODE)
    made = Toy(site)
    made.only_run, made.final_arrays, made.install = only_run, final_arrays, install
    made.SIGKILL, made.SIGINT, made.SIGTERM = signal.SIGKILL, signal.SIGINT, signal.SIGTERM
    return made


@pytest.fixture
def inside(toy, monkeypatch):
    """``dope ARGS`` in this very process, with the toy plugin: quick, but no signals."""
    from click.testing import CliRunner

    from dope.cli import cli

    monkeypatch.syspath_prepend(toy.site)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("DOPE_DEBUG", raising=False)

    def dope(*args):
        # click 8.1, the last for Python 3.9, mixes the two streams unless told not to
        options = inspect.signature(CliRunner).parameters
        runner = CliRunner(**({"mix_stderr": False} if "mix_stderr" in options else {}))
        return runner.invoke(cli, [str(arg) for arg in args])

    return dope


@pytest.fixture(scope="session")
def whole(toy, tmp_path_factory):
    """A run of six epochs that nobody interrupted: what came out, and its folder."""
    runs = tmp_path_factory.mktemp("whole")
    done = toy.dope("run", "toy.regression", "trainer.epochs=6", "--seed", "3", "--runs", runs)
    assert done.returncode == 0, done.stderr
    return done, only_run(runs)
