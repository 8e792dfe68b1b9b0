"""Which build of MXNet is installed, and whether it is whole.

Looks at distributions and files only; nothing is imported or loaded.
"""

from __future__ import annotations

import contextlib
import importlib.util
from importlib import metadata
from pathlib import Path

from dope.core.errors import BackendError

DISTRIBUTIONS = ("mxnet", "mxnet-cu112", "mxnet-cu110", "mxnet-cu102", "mxnet-cu101")
VERSION = "1.9.1"
LIBRARY = "mxnet/libmxnet.so"


def installed_distributions() -> dict[str, str]:
    """MXNet distributions that are installed, as name to version."""
    found = {}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def is_for_gpus(distribution: str) -> bool:
    """Whether this distribution is a CUDA build."""
    return "-cu" in distribution


def check_installation() -> str:
    """The name of the one installed MXNet distribution.

    Raises
    ------
    BackendError
        None is installed, or two share the module ``mxnet``, or its files are gone, or it is of
        another version.
    """
    installed = installed_distributions()
    found = list(installed)
    if len(found) > 1:
        raise BackendError(
            f"two builds of MXNet are installed ({', '.join(found)}) and overwrite each other",
            f"Run: pip uninstall -y {' '.join(found)} && pip install 'dope[cpu]'"
            " (or 'dope[cu112]' for a GPU)",
        )
    if found and not _files_are_there(found[0]):
        raise BackendError(
            f"{found[0]} is installed but its files are gone",
            f"Run: pip install --force-reinstall --no-deps {found[0]}=={VERSION}",
        )
    if importlib.util.find_spec("mxnet") is None:
        raise BackendError("MXNet is not installed", "Run: pip install 'dope[cpu]'")
    for name, version in installed.items():
        if version and not version.startswith(VERSION):
            raise BackendError(
                f"{name} {version} is installed, and dope needs {VERSION}",
                f"Run: pip install {name}=={VERSION}",
            )
    return found[0] if found else "mxnet"


def _files_are_there(distribution: str) -> bool:
    """Whether the module is found, and the library where the distribution has put it."""
    spec = importlib.util.find_spec("mxnet")
    if spec is None or spec.origin is None:  # without origin: a folder with leavings only
        return False
    found = metadata.distribution(distribution)
    record = found.read_text("RECORD") or ""  # Python 3.12's `files` leaves out those that are gone
    return LIBRARY not in record or Path(str(found.locate_file(LIBRARY))).exists()
