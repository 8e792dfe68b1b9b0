"""Is this machine fit to run dope? One check a line, each with its remedy.

Holds the checks only; whatever could hang or crash (MXNet, a driver) is tried in another process.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Optional, Union

from dope.core.cuda import driver as nvidia
from dope.core.cuda import libraries
from dope.core.cuda.apart import ending, told
from dope.core.cuda.builds import installed_distributions, is_for_gpus
from dope.core.errors import DopeError
from dope.core.plugging import health
from dope.core.plugging.discovery import discover
from dope.core.probing import SIZE
from dope.core.rundir import DEFAULT_ROOT

__all__ = ["Check", "examine"]

SECONDS = 60.0
PROBE = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "  # not the folder it happens to be in
    "from dope.core.probing import probe; probe()"
)
BAD_CARD = "Use --contexts 'cpu(0)', and mend the driver: nvidia-smi should tell of no error."


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
        Longest time that the driver may take to tell of its cards, and CUDA's libraries to load,
        and MXNet to load, to multiply and to train a little.
    version
        Of Python.
    """
    return [
        _python(version),
        _numpy(),
        *_nvidia(seconds),
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


def _nvidia(seconds: float) -> list[Check]:
    """Driver, cards, and with a CUDA build its libraries."""
    build = next(filter(is_for_gpus, installed_distributions()), "")
    driver = nvidia.ask(seconds)
    if not build:
        return [Check("NVIDIA driver", "ok", _unused(driver))]
    checks = [_driver(driver, build)]
    for index, card in enumerate(driver.cards):
        why = card.unfit(build)
        text = f"{card.name}, compute capability {nvidia.dotted(card.capability)}"
        remedy = "Use another card, or --contexts 'cpu(0)'." if why else ""
        checks.append(Check(f"gpu({index})", "warn" if why else "ok", why or text, remedy))
    return checks + (_libraries(seconds) if build == libraries.BUILD else [])


def _unused(driver: nvidia.Driver) -> str:
    """What there is for a build that does not need it."""
    if driver.missing:
        return "none, no card; the CPU build of MXNet needs none"
    cards = ", ".join(card.name for card in driver.cards) or driver.trouble
    return f"{driver.text()} ({cards}); not used by the CPU build of MXNet (docs/gpu.md)"


def _driver(driver: nvidia.Driver, build: str) -> Check:
    try:
        driver.require(build)
    except DopeError as error:
        return Check("NVIDIA driver", "FAIL", error.message, error.hint)
    why = driver.unfit(build)
    if why:
        remedy = "See that nvidia-smi works. Until then runs go on the CPU."
        return Check("NVIDIA driver", "warn", f"{driver.text()}: {why}", remedy)
    return Check("NVIDIA driver", "ok", driver.text())


def _libraries(seconds: float) -> list[Check]:
    """A line for each wheel of NVIDIA: its libraries, loaded in a process of its own."""
    found = libraries.examine(seconds)
    checks = []
    for package, pin in libraries.PINS.items():
        own = [each for each in found if each.package == package]
        version, remedy = libraries.version(package), libraries.remedy([package])
        text = ", ".join(f"{each.name}: {each.error}" for each in own if each.error)
        if text:
            text = f"{version or 'not installed'}; {text}"
            checks.append(Check(package, "FAIL", text, remedy))
        elif version in (pin, ""):
            text = version or f"not installed; {', '.join(each.place for each in own)}"
            names = ", ".join(each.name for each in own)
            checks.append(Check(package, "ok", f"{version}: {names}" if version else text))
        else:
            checks.append(Check(package, "warn", f"{version}, tried was {pin}", remedy))
    return checks


def _probed(seconds: float) -> dict[str, Any]:
    """What ``probe`` said in a process of its own, and how that ended."""
    return told([sys.executable, "-c", PROBE], seconds)


def _mxnet(said: dict[str, Any], seconds: float) -> list[Check]:
    """The checks of MXNet from what the probe said, up to where it ended."""
    at, stage = said.get("trying"), said.get("stage", "training step")
    if "error" in said:
        where = "MXNet" if "mxnet" not in said else stage
        text = said["error"] if at is None else f"{at}: {said['error']}"
        return [*_passed(said), Check(where, "FAIL", text, said.get("hint") or _remedy(at))]
    if said.get("done"):
        return _passed(said)
    how = ending(said, seconds)
    if at is None:
        return [Check("MXNet", "FAIL", f"import: {how}", _remedy(at))]
    return [*_passed(said), Check(stage, "FAIL", f"{at}: {how}", _remedy(at))]


def _remedy(context: Optional[str]) -> str:
    """What to do where MXNet fails on a context, or before there was one."""
    if context is not None and context.startswith("gpu"):
        return BAD_CARD
    build = "cu112" if any(map(is_for_gpus, installed_distributions())) else "cpu"
    return f"Run: pip install --force-reinstall 'dope[{build}]'"


def _passed(said: dict[str, Any]) -> list[Check]:
    checks = []
    if "mxnet" in said:
        checks.append(Check("MXNet", "ok", said["mxnet"]))
        checks.append(_threads(said))
        found, note = said["contexts"], said.get("note", "")
        if note and not any("gpu" in each for each in found):
            remedy = "Without a card to use, 'dope[cpu]' is smaller."
            checks.append(Check("contexts", "warn", note, remedy))
        else:
            checks.append(Check("contexts", "ok", ", ".join(found)))
    for context, (error, took) in said.get("products", {}).items():
        text = f"{context}: {SIZE} x {SIZE} in {took:.3g} s, {error:.1g} from the CPU's"
        good = error < 0.1  # TensorFloat-32, which newer cards may take, is off by 0.02
        checks.append(
            Check("matrix product", "ok" if good else "FAIL", text, "" if good else BAD_CARD)
        )
    for context, (first, last) in said.get("steps", {}).items():
        text = f"{context}: loss {first:.4g} to {last:.4g}"
        if last < first:
            checks.append(Check("training step", "ok", text))
        else:
            checks.append(
                Check("training step", "FAIL", f"{text}, which is no fall", _remedy(context))
            )
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
