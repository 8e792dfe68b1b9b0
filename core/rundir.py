"""The folder of one run: what is written where, and that it is written whole.

Holds paths and files only; what goes into a checkpoint is training/checkpoint.py's matter.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional, Union

from dope.core.errors import RunError

DEFAULT_ROOT = "runs"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that becomes ``path``, flushed to disk, when the block ends well.

    A reader, or a process that is killed at any moment, sees the old file or the new one, never
    half of one.

    Raises
    ------
    RunError
        The disk is full or the folder cannot be written; ``path`` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}",
            "Free some space or choose another place with --runs DIR.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can flush a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unused(above: Path) -> Path:
    """``above/<time>-<id>``, which does not exist; such names sort by time."""
    path = above / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
    return unused(above) if path.exists() else path


def make(path: Path, within: Iterable[str]) -> None:
    """Make a folder with those within and those above it, where they are missing.

    Raises
    ------
    RunError
        One cannot be made.
    """
    try:
        for folder in within:
            (path / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {path}: {error.strerror or error}",
            "Choose a place that you may write to with --runs DIR.",
        ) from error


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: NaN and infinities become ``None``."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy, without importing it here
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class RunDirectory:
    """One run's folder: ``config.yaml``, ``metrics.jsonl``, ``log.txt``, ``result.json`` …

    Parameters
    ----------
    path
        The folder; it exists. Make a new one with `create`, find an old one with `find`.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = Path(path)

    @classmethod
    def at(cls, path: Union[str, Path]) -> RunDirectory:
        """The run in this folder, which is made with its own folders where they are missing.

        Raises
        ------
        RunError
            The folder cannot be made.
        """
        make(Path(path), ("checkpoints", "plots", "samples"))
        return cls(path)

    @classmethod
    def create(cls, root: Union[str, Path], task: str) -> RunDirectory:
        """Make ``root/<task>/<time>-<id>/``; it never existed before.

        Raises
        ------
        RunError
            The folder cannot be made.
        """
        return cls.at(unused(Path(root) / task))

    @classmethod
    def find(cls, text: str, root: Union[str, Path] = DEFAULT_ROOT) -> RunDirectory:
        """The run that ``text`` names: its folder, its name or id under ``root``, or ``last``.

        Raises
        ------
        RunError
            There is none, or several fit.
        """
        if (Path(text) / "config.yaml").is_file():
            return cls(text)
        known = sorted(Path(root).glob("*/*/config.yaml"), key=lambda p: p.parent.name)
        if text == "last" and known:
            return cls(known[-1].parent)
        fits = [p.parent for p in known if text and p.parent.name.endswith(text)]
        if len(fits) == 1:
            return cls(fits[0])
        if len(fits) > 1:
            raise RunError(f"'{text}' fits {len(fits)} runs under {root}", "Give the whole folder.")
        raise RunError(
            f"there is no run '{text}'",
            f"Give a run's folder, its name under {root}/, or 'last'.",
        )

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    def files(self) -> list[Path]:
        """What a task left for people: files beside the run's own, its plots and samples."""
        own = ("config.yaml", "metrics.jsonl", "timings.jsonl", "log.txt", "result.json")
        found = [p for folder in (".", "plots", "samples") for p in (self.path / folder).glob("*")]
        return sorted(p for p in found if p.is_file() and p.name not in own and p.name[0] != ".")

    def write_text(self, name: str, text: str) -> Path:
        """Write one file of the run, whole or not at all."""
        path = self.path / name
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Write ``value`` as JSON, whole or not at all."""
        return self.write_text(name, json.dumps(plain(value), indent=2) + "\n")

    def read_json(self, name: str) -> Optional[dict[str, Any]]:
        """A JSON file of the run, or None where it is absent or damaged."""
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def append(self, name: str, line: str) -> None:
        """Add one line to a file of the run."""
        try:
            with (self.path / name).open("a", encoding="utf-8") as handle:
                handle.write(line + "\n")
        except OSError as error:
            raise RunError(
                f"cannot write {self.path / name}: {error.strerror or error}",
                "Free some space; then dope resume continues from the last checkpoint.",
            ) from error

    def log(self, text: str) -> None:
        """Add a line with the time to ``log.txt``."""
        self.append("log.txt", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a row to ``metrics.jsonl``."""
        self.append("metrics.jsonl", json.dumps(plain(row)))

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``; a half-written last line is passed over."""
        return self._rows("metrics.jsonl")

    def add_timings(self, row: Mapping[str, Any]) -> None:
        """Add a row to ``timings.jsonl``: where the time of an epoch went.

        They stand apart from the metrics, which are the same in every run of a seed.
        """
        self.append("timings.jsonl", json.dumps(plain(row)))

    def timings(self) -> list[dict[str, Any]]:
        """The rows of ``timings.jsonl``, as `metrics`."""
        return self._rows("timings.jsonl")

    def _rows(self, name: str) -> list[dict[str, Any]]:
        rows = []
        with contextlib.suppress(OSError):
            text = (self.path / name).read_text(encoding="utf-8", errors="replace")
            for line in text.splitlines():
                with contextlib.suppress(ValueError):
                    row = json.loads(line)
                    rows += [row] if isinstance(row, dict) else []
        return rows

    def cut_metrics(self, step: int) -> None:
        """Drop the rows after ``step``: a resumed run writes them again."""
        kept = [row for row in self.metrics() if row.get("step", 0) <= step]
        self.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
        last = max((row.get("epoch", 0) for row in kept), default=0)
        timed = [row for row in self.timings() if row.get("epoch", 0) <= last]
        if timed or (self.path / "timings.jsonl").exists():
            self.write_text("timings.jsonl", "".join(json.dumps(row) + "\n" for row in timed))
