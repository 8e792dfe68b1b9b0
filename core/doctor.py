"""Is this machine fit to run dope? One check a line, each with its remedy.

Holds the checks only; whatever could hang or crash (MXNet, a driver) is tried in another process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Union

from dope.core.errors import DopeError
from dope.core.plugging import health
from dope.core.plugging.discovery import discover
from dope.core.rundir import DEFAULT_ROOT

__all__ = ["Check", "examine", "probe"]

SECONDS = 60.0
PROBE = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "  # not the folder it happens to be in
    "from dope.core.doctor import probe; probe()"
)
REINSTALL = "Run: pip install --force-reinstall 'dope[cpu]'"


@dataclass(frozen=True)
class Check:
    """One line of ``dope doctor``.

    Parameters
    ----------
    name
        What was checked.
    state
        ``ok``, ``warn`` or ``FAIL``.
    text
        What was found.
    remedy
        What to do; empty when all is well.
    """

    name: str
    state: str
    text: str
    remedy: str = ""


def examine(
    runs: Union[str, Path] = DEFAULT_ROOT,
    *,
    seconds: float = SECONDS,
    version: tuple[int, ...] = tuple(sys.version_info[:3]),
) -> list[Check]:
    """All checks, in order; none of them raises.

    Parameters
    ----------
    runs
        Where runs would be written.
    seconds
        Longest time that MXNet may take to load and to train one step.
    version
        Of Python.
    """
    return [
        _python(version),
        _numpy(),
        *_mxnet(_probed(seconds), seconds),
        _plugins(),
        *_folder(Path(runs)),
    ]


def _python(version: tuple[int, ...]) -> Check:
    text = f"{'.'.join(map(str, version))} ({sys.executable})"
    if not (3, 9) <= version[:2] <= (3, 12):
        return Check("Python", "FAIL", text, "MXNet 1.9.1 needs Python 3.9 to 3.12.")
    if version[:2] == (3, 12) and importlib.util.find_spec("setuptools") is None:
        remedy = "MXNet imports distutils, which setuptools brings: pip install setuptools"
        return Check("Python", "FAIL", f"{text} without distutils", remedy)
    return Check("Python", "ok", text)


def _numpy() -> Check:
    try:
        found = metadata.version("numpy")
    except metadata.PackageNotFoundError:
        return Check("NumPy", "FAIL", "not installed", "Run: pip install 'numpy>=1.23,<2'")
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if not (1, 23) <= numbers < (2,):
        return Check(
            "NumPy", "FAIL", f"{found}: MXNet needs 1.23 to 1.26", "Run: pip install 'numpy<2'"
        )
    return Check("NumPy", "ok", found)


def _probed(seconds: float) -> dict[str, Any]:
    """What ``probe`` said in a process of its own, and how that ended."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        output, code, errors = done.stdout, done.returncode, done.stderr
    except subprocess.TimeoutExpired as late:
        written = late.stdout or b""
        output = written.decode(errors="replace") if isinstance(written, bytes) else written
        code, errors = None, ""
    except OSError as error:
        output, code, errors = "", 1, str(error)
    said: dict[str, Any] = {"code": code, "errors": errors.strip().splitlines()[-1:]}
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                said.update(found)
    return said


def _mxnet(said: dict[str, Any], seconds: float) -> list[Check]:
    """The checks of MXNet from what the probe said, up to where it ended."""
    if "error" in said:
        where = "MXNet" if "mxnet" not in said else "training step"
        return [*_passed(said), Check(where, "FAIL", said["error"], said.get("hint") or REINSTALL)]
    if said.get("done"):
        return _passed(said)
    if said["code"] is None:
        how = f"no answer within {seconds:g} s"
    elif said["code"] < 0:
        how = f"died of signal {-said['code']}"
    else:
        how = " ".join(["ended too early", *said["errors"]])
    at = said.get("trying")
    if at is None:
        return [Check("MXNet", "FAIL", f"import: {how}", REINSTALL)]
    remedy = "Use --contexts 'cpu(0)', and mend the driver." if "gpu" in at else REINSTALL
    return [*_passed(said), Check("training step", "FAIL", f"{at}: {how}", remedy)]


def _passed(said: dict[str, Any]) -> list[Check]:
    checks = []
    if "mxnet" in said:
        checks.append(Check("MXNet", "ok", said["mxnet"]))
        checks.append(_threads(said))
        gpu_build, found = "-cu" in said["mxnet"], said["contexts"]
        if gpu_build and not any("gpu" in each for each in found):
            remedy = "See that nvidia-smi works. Without a GPU 'dope[cpu]' is faster."
            checks.append(Check("contexts", "warn", "a CUDA build but no GPU", remedy))
        else:
            checks.append(Check("contexts", "ok", ", ".join(found)))
    for context, (first, last) in said.get("steps", {}).items():
        text = f"{context}: loss {first:.4g} to {last:.4g}"
        if last < first:
            checks.append(Check("training step", "ok", text))
        else:
            checks.append(Check("training step", "FAIL", f"{text}, which is no fall", REINSTALL))
    return checks


def _threads(said: dict[str, Any]) -> Check:
    threads, engine, cores = said["threads"], said["engine"], said["cores"]
    text = f"{threads} threads on {cores} cores, {engine}"
    if not threads.isdigit() or not 0 < int(threads) <= cores:
        remedy = f"OMP_NUM_THREADS is set to that; unset it, or set it to {cores}."
        return Check("threads", "warn", text, remedy)
    return Check("threads", "ok", text)


def _plugins() -> Check:
    try:
        registry = discover()
    except DopeError as error:  # the settings file
        return Check("plugins", "FAIL", error.message, error.hint)
    health.examine(registry)
    ill = {
        word: [plugin.name for plugin in registry.plugins if plugin.status == word]
        for word in ("broken", "slow")
    }
    text = "; ".join(f"{word}: {', '.join(names)}" for word, names in ill.items() if names)
    if text:
        return Check("plugins", "warn", text, "See: dope plugins")
    return Check("plugins", "ok", "none is broken")


def _folder(runs: Path) -> list[Check]:
    """Whether a run could be written, and how much room there is."""
    place = next(p for p in [runs.absolute(), *runs.absolute().parents] if p.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".dope-doctor-", dir=place):
            pass
        free = shutil.disk_usage(place).free
    except OSError as error:
        text = f"{runs} cannot be written: {error.strerror or error}"
        return [Check("runs folder", "FAIL", text, "Choose another place with --runs DIR.")]
    room = f"{free / 1e9:.1f} GB free"
    written = Check("runs folder", "ok", f"{runs} can be written")
    if free < 1e9:
        remedy = "Free some space, or choose another place with --runs DIR."
        return [written, Check("disk", "FAIL" if free < 5e7 else "warn", room, remedy)]
    return [written, Check("disk", "ok", room)]


def probe() -> None:
    """Load MXNet, find contexts and train a little on each kind; say how it goes, line by line.

    Runs in a process of its own. Each line on standard output is a JSON object.
    """

    def say(**facts: Any) -> None:
        print(json.dumps(facts), flush=True)

    try:
        from dope.core import backend

        found = [str(context) for context in backend.contexts("auto")]
        say(
            mxnet=f"{backend.mx.__version__} ({backend.distribution})",
            threads=os.environ["OMP_NUM_THREADS"],
            engine=backend.environment["MXNET_ENGINE_TYPE"],
            cores=backend.physical_cores(),
            contexts=found if "cpu(0)" in found else ["cpu(0)", *found],
            platform=platform.platform(),
        )
        steps: dict[str, list[float]] = {}
        for context in ["cpu(0)", *(each for each in found if each.startswith("gpu"))]:
            say(trying=context)
            steps[context] = _learn(context)
            say(steps=steps)
        say(done=True)
    except DopeError as error:
        say(error=error.message, hint=error.hint)
    except Exception as error:
        say(error=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _learn(context: str) -> list[float]:
    """First and last loss of a few steps of linear regression, as a task would make them."""
    from dope.core.backend import contexts, mx, nd, seed
    from dope.core.engine import Engine
    from dope.core.task import Group

    seed(0)
    net = mx.gluon.nn.Dense(1, in_units=2)
    x = nd.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = nd.array([[1], [3], [-1], [1]])
    engine = Engine(net, {"main": Group([net], "sgd", {"learning_rate": 0.2})}, contexts(context))

    def loss(net: Any, shard: Any, carry: Any) -> Any:
        return nd.sum(nd.square(net(shard[0]) - shard[1]), axis=1)

    losses = [engine.minimize("main", loss, (x, y)).mean() for _ in range(10)]
    return [losses[0], losses[-1]]
