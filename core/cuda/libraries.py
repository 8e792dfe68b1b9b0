"""The CUDA libraries that MXNet's CUDA build needs: where they are, and their loading.

They come as wheels of NVIDIA, so no CUDA toolkit is needed; what is not installed so is left to
the loader (``LD_LIBRARY_PATH``). The driver's own library is loaded here too, never called.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, Optional

from dope.core.cuda.apart import ending, told
from dope.core.cuda.driver import Driver
from dope.core.errors import BackendError

BUILD = "mxnet-cu112"
# The same as in the extra of pyproject.toml; tests/core/test_cuda_libraries.py compares.
PINS = {
    "nvidia-cuda-runtime-cu11": "11.8.89",
    "nvidia-cuda-nvrtc-cu11": "11.8.89",
    "nvidia-cublas-cu11": "11.11.3.6",
    "nvidia-cufft-cu11": "10.9.0.58",
    "nvidia-curand-cu11": "10.3.0.86",
    "nvidia-cusolver-cu11": "11.4.1.48",
    "nvidia-nccl-cu11": "2.21.5",
    "nvidia-nvtx-cu11": "11.8.86",
    "nvidia-cudnn-cu11": "8.9.6.50",
}
# Each after those that it needs itself.
LIBRARIES = (
    ("libcudart.so.11.0", "nvidia-cuda-runtime-cu11"),
    ("libnvrtc-builtins.so.11.*", "nvidia-cuda-nvrtc-cu11"),
    ("libnvrtc.so.11.2", "nvidia-cuda-nvrtc-cu11"),
    ("libcublasLt.so.11", "nvidia-cublas-cu11"),
    ("libcublas.so.11", "nvidia-cublas-cu11"),
    ("libcufft.so.10", "nvidia-cufft-cu11"),
    ("libcurand.so.10", "nvidia-curand-cu11"),
    ("libcusolver.so.11", "nvidia-cusolver-cu11"),
    ("libnccl.so.2", "nvidia-nccl-cu11"),
    ("libnvToolsExt.so.1", "nvidia-nvtx-cu11"),
    ("libcudnn_ops_infer.so.8", "nvidia-cudnn-cu11"),
    ("libcudnn_cnn_infer.so.8", "nvidia-cudnn-cu11"),
    ("libcudnn_ops_train.so.8", "nvidia-cudnn-cu11"),
    ("libcudnn_cnn_train.so.8", "nvidia-cudnn-cu11"),
    ("libcudnn_adv_infer.so.8", "nvidia-cudnn-cu11"),
    ("libcudnn_adv_train.so.8", "nvidia-cudnn-cu11"),
    ("libcudnn.so.8", "nvidia-cudnn-cu11"),
)


class Found(NamedTuple):
    """What became of one library.

    Parameters
    ----------
    name
        As it is asked for.
    package
        The wheel that brings it.
    place
        Its file; empty when it was not loaded.
    error
        Why it was not loaded; empty when it was.
    """

    name: str
    package: str
    place: str
    error: str


def version(package: str) -> str:
    """The installed version of a wheel; empty when it is not installed."""
    try:
        return metadata.version(package) or "?"
    except metadata.PackageNotFoundError:
        return ""


def find(name: str, package: str) -> Optional[Path]:
    """The file of a library in the wheel that brings it."""
    for folder in _folders(package):
        for file in sorted(folder.glob(name)):
            return file
    return None


def _folders(package: str) -> Iterator[Path]:
    below = Path("nvidia", package[len("nvidia-") : -len("-cu11")].replace("-", "_"), "lib")
    with contextlib.suppress(metadata.PackageNotFoundError):
        yield Path(str(metadata.distribution(package).locate_file(below)))
    yield from (Path(entry) / below for entry in sys.path)


def sought() -> dict[str, str]:
    """What to load, in order, and the name that it has in `LIBRARIES`: files, or bare names."""
    found = {}
    for name, package in LIBRARIES:
        file = find(name, package)
        if file is not None:
            found[str(file)] = name
        elif "*" not in name or version(package):  # elsewhere NVRTC finds its own part beside it
            found[name] = name
    return found


def preload(build: str) -> None:
    """Load the driver's library and then NVIDIA's, so that ``import mxnet`` finds them.

    Parameters
    ----------
    build
        MXNet's distribution. For another than mxnet-cu112 only the driver's library is loaded.

    Raises
    ------
    BackendError
        One is missing or does not load. It names the library, its package and the remedy.
    """
    try:
        ctypes.CDLL("libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        Driver(missing=str(error)).require(build)
    if build != BUILD:
        return
    missing: list[str] = []
    packages = dict(LIBRARIES)
    for place, name in sought().items():
        try:
            if place != name and _is_cut_short(Path(place), packages[name]):
                raise OSError("the file is shorter than it was packed")
            ctypes.CDLL(place, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            if place != name and not missing:  # after a missing one others fail for want of it
                raise _does_not_load(name, str(error)) from error
            missing += [name] if place == name else []
    if missing:
        raise _missing(missing)


def _is_cut_short(file: Path, package: str) -> bool:
    """Whether less was written of a library than its wheel had: loading that kills a process."""
    try:
        recorded = metadata.distribution(package).files or []
        return any(
            each.size is not None and each.size > file.stat().st_size
            for each in recorded
            if each.name == file.name
        )
    except metadata.PackageNotFoundError:
        return False


def _missing(names: list[str]) -> BackendError:
    packages = list(dict.fromkeys(dict(LIBRARIES)[name] for name in names))
    package = packages[0]
    more = len(names) - 1
    there = version(package)
    has = f"{there} is installed" if there else "not installed"
    return BackendError(
        f"{names[0]}{f' and {more} more' if more else ''} of CUDA is missing"
        f" (package {package}: {has})",
        remedy(packages),
    )


def _does_not_load(name: str, error: str) -> BackendError:
    package = dict(LIBRARIES)[name]
    there, pin = version(package), PINS[package]
    other = "" if there == pin else f", which is not {pin},"
    return BackendError(
        f"{name} of {package} {there}{other} does not load: {' '.join(error.split())}",
        remedy([package]),
    )


def remedy(packages: list[str]) -> str:
    """The command that brings these wheels, with ``--force-reinstall`` where they are there."""
    anew = "--force-reinstall --no-deps " if any(version(p) == PINS[p] for p in packages) else ""
    return f"Run: pip install {anew}" + " ".join(f"{p}=={PINS[p]}" for p in packages)


def examine(seconds: float) -> list[Found]:
    """Load all libraries in a process of its own, and say what became of each.

    Parameters
    ----------
    seconds
        Longest time that it may take.
    """
    places = sought()
    asking = Path(__file__).with_name("asking.py")
    said = told([sys.executable, "-I", "-S", str(asking), *places], seconds)
    loaded, packages = said.get("libraries", {}), dict(LIBRARIES)
    found = []
    for place, name in places.items():
        if place in loaded:
            what = loaded[place]
            found.append(Found(name, packages[name], what["place"], what["error"]))
        else:
            how = ending(said, seconds) if said.get("loading") == place else "not tried"
            found.append(Found(name, packages[name], "", how))
    return found
