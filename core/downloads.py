"""Fetching a file of a data set: from the first mirror that has it, checked by SHA-256.

Holds no addresses and no file formats; each data set knows its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dope.core.errors import DataError


def cache_folder(name: str) -> Path:
    """Where downloads of a data set are kept: pooch's cache folder for dope."""
    import pooch

    return Path(pooch.os_cache("dope")) / name


def download(mirrors: Sequence[str], sha256: str, target: Path) -> None:
    """Fetch ``target.name`` from the first mirror that gives the true file.

    Parameters
    ----------
    mirrors
        Addresses of folders, each with a slash at its end.
    sha256
        Of the file, in hexadecimal.
    target
        Where it goes. It appears there whole and checked, or not at all.

    Raises
    ------
    DataError
        No mirror gives a file with this SHA-256.
    """
    import pooch

    reasons = []
    for mirror in mirrors:
        try:
            pooch.retrieve(
                mirror + target.name, f"sha256:{sha256}", fname=target.name, path=target.parent
            )
            return
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            reasons.append(f"{mirror}: {' '.join(str(error).split())}")
    raise DataError(
        f"{target.name} could not be downloaded ({'; '.join(reasons)})",
        f"Try again later, or put the file into {target.parent} yourself.",
    )
