"""Checkpoints: arrays and a position, written whole, checked by SHA-256, never pickled.

Holds files only; what the arrays mean is the engine's and the task's matter.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.errors import RunError
from dope.core.rundir import replacing

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on as if it had never stopped.

    Parameters
    ----------
    arrays
        Name to array: parameters, optimizer states, the task's own.
    meta
        Position (``epoch``, ``step`` in the epoch, ``total`` steps), update counts and whatever
        else JSON can hold.
    """

    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]

    @property
    def task(self) -> dict[str, np.ndarray]:
        """What the task itself keeps."""
        return {key[5:]: a for key, a in self.arrays.items() if key.startswith("task/")}


def _digest(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            sha.update(block)
    return sha.hexdigest()


def save(folder: Path, checkpoint: Checkpoint, *, name: str, keep: int = 2) -> Path:
    """Write ``name.npz`` and then ``name.json`` with its checksum; drop all but ``keep`` older.

    A checkpoint counts only once its JSON file stands, so a process that is killed in between
    leaves the earlier one in force. Names sort by age; ``best`` is never dropped.
    """
    path = folder / f"{name}.npz"
    with replacing(path) as temporary:
        _write_arrays(temporary, checkpoint.arrays)
        digest = _digest(temporary)
    with replacing(path.with_suffix(".json")) as temporary:
        meta = {**checkpoint.meta, "format": FORMAT, "sha256": digest}
        temporary.write_text(json.dumps(meta, indent=1), encoding="utf-8")
    for old in _listed(folder)[keep:]:
        with contextlib.suppress(OSError):
            old.unlink()  # the JSON first: without it the arrays no longer count
            old.with_suffix(".npz").unlink()
    return path


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An ``.npz`` file; `numpy.savez` leaves its archive open, and noisy, on a full disk."""
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as handle:
                np.lib.format.write_array(  # type: ignore[no-untyped-call]
                    handle, np.asarray(array), allow_pickle=False
                )


def _listed(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("*.json") if p.stem != "best"), reverse=True)


def load(path: Path) -> Checkpoint:
    """Read one checkpoint (its ``.json`` or ``.npz`` path) and check it.

    Raises
    ------
    RunError
        It is absent or damaged.
    """
    try:
        meta = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        arrays_path = path.with_suffix(".npz")
        if meta["sha256"] != _digest(arrays_path):
            raise RunError(f"the checkpoint {arrays_path} is damaged: its checksum differs")
        with np.load(arrays_path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(f"the checkpoint {path} cannot be read: {error}") from error
    return Checkpoint(arrays, meta)


def latest(folder: Path) -> tuple[Optional[Checkpoint], list[str]]:
    """The newest checkpoint that is whole, and a word about each that was passed over."""
    problems: list[str] = []
    for path in _listed(folder):
        try:
            return load(path), problems
        except RunError as error:
            problems.append(error.message)
    return None, problems
