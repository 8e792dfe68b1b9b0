"""Fetching a file from the first mirror that has it, checked by SHA-256, or SHA-1 if need be.

Holds no addresses and no file formats; each data set knows its own.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from dope.core.errors import DataError
from dope.core.rundir import replacing

BLOCK = 1 << 20


def cache_folder(name: str) -> Path:
    """Where downloads of a data set are kept: pooch's cache folder for dope."""
    import pooch

    return Path(pooch.os_cache("dope")) / name


def download(mirrors: Sequence[str], digest: str, target: Path) -> None:
    """Fetch ``target.name`` from the first mirror that gives the true file.

    Parameters
    ----------
    mirrors
        Addresses of folders, each with a slash at its end.
    digest
        SHA-256 of the file in hexadecimal, or ``sha1:`` and its SHA-1, for what was published with
        that alone.
    target
        Where it goes. It appears there whole and checked, or not at all.

    Raises
    ------
    DataError
        No mirror gives a file with this digest.
    """
    import pooch

    known = digest if ":" in digest else f"sha256:{digest}"
    reasons = []
    for mirror in mirrors:
        try:
            pooch.retrieve(mirror + target.name, known, fname=target.name, path=target.parent)
            return
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            reasons.append(_reason(mirror, error))
    raise _nowhere(target, reasons)


def download_packed(mirrors: Sequence[str], digest: str, target: Path) -> None:
    """As `download`, of a file that lies alone in a ZIP archive of its name.

    The digest is that of the file, since of the archive none is published; nothing but this file is
    taken out of it. ``net.params`` comes out of ``net.zip``.
    """
    import pooch

    archive, reasons = f"{target.stem}.zip", []
    target.parent.mkdir(parents=True, exist_ok=True)
    for mirror in mirrors:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = pooch.retrieve(mirror + archive, None, fname=archive, path=folder)
                with replacing(target) as temporary:
                    _take_out(Path(found), target.name, temporary)
                    if not matches(temporary, digest):
                        raise ValueError(f"{target.name} in {archive} is not the published file")
                return
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                reasons.append(_reason(mirror, error))
    raise _nowhere(target, reasons)


def matches(path: Path, digest: str) -> bool:
    """Whether a file has this digest, in the form that `download` takes."""
    kind, _, wanted = digest.rpartition(":")
    found = hashlib.new(kind or "sha256")
    with path.open("rb") as handle:
        for block in iter(lambda: handle.read(BLOCK), b""):
            found.update(block)
    return found.hexdigest() == wanted.lower()


def _take_out(archive: Path, name: str, target: Path) -> None:
    with zipfile.ZipFile(archive) as opened, opened.open(name) as member, target.open("wb") as out:
        for block in iter(lambda: member.read(BLOCK), b""):
            out.write(block)


def _reason(mirror: str, error: Exception) -> str:
    return f"{mirror}: {' '.join(str(error).split())}"


def _nowhere(target: Path, reasons: Sequence[str]) -> DataError:
    return DataError(
        f"{target.name} could not be downloaded ({'; '.join(reasons)})",
        f"Try again later, or put the file into {target.parent} yourself.",
    )
