"""A folder that stands whole or not at all.

Holds files only; what is in the folder is writing.py's matter.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from dope.core.errors import RunError

MARK = "export.json"  # a folder with this file is an export


def check(target: Path, overwrite: bool) -> None:
    """Refuse a place that is taken.

    Raises
    ------
    RunError
        There is an export and it is not to be replaced, or something else is there.
    """
    elsewhere = "Choose another place with --to DIR."
    if target.is_dir():
        if not any(target.iterdir()):
            return
        if not (target / MARK).is_file():
            raise RunError(f"{target} holds other files, and no export", elsewhere)
        if not overwrite:
            raise RunError(
                f"there is an export in {target} already",
                f"Replace it with --overwrite. {elsewhere}",
            )
    elif target.exists() or target.is_symlink():
        raise RunError(f"{target} is a file, not a folder", elsewhere)


@contextlib.contextmanager
def placed(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes ``target``, flushed to disk, when the block ends well.

    Where the block fails, or the process is interrupted, nothing is left and what was at
    ``target`` is as it was.

    Raises
    ------
    RunError
        The place is taken, the disk is full or the folder cannot be written.
    """
    check(target, overwrite)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for path in [*temporary.iterdir(), temporary]:
            _flush(path)
        _exchange(temporary, target)
        _flush(target.parent)
    except OSError as error:
        raise RunError(
            f"cannot write {target}: {error.strerror or error}",
            "Free some space, or choose another place with --to DIR.",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, target: Path) -> None:
    """Put a folder in the place of another, if there is one."""
    if not target.exists():
        new.rename(target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
