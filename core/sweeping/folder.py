"""The folder of a sweep: what it was started with, a run for each member, and what became of them.

Holds files only; who runs the members is pool.py's matter, who judges them standings.py's.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional, Union

from dope.core.errors import RunError
from dope.core.rundir import DEFAULT_ROOT, RunDirectory, make, plain, unused

KIND = "sweeps"  # of the folders under the root; a run's are named for its task


class SweepDirectory:
    """One sweep's folder: ``sweep.json``, ``members/0001`` …, ``members.jsonl``, ``table.csv`` …

    Parameters
    ----------
    path
        The folder; it exists. Make a new one with `create`, find an old one with `find`.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = Path(path)
        self.files = RunDirectory(path)  # for its ways to write a file whole

    @classmethod
    def create(cls, root: Union[str, Path], task: str) -> SweepDirectory:
        """Make ``root/sweeps/<task>/<time>-<id>/``; it never existed before.

        Raises
        ------
        RunError
            The folder cannot be made.
        """
        path = unused(Path(root) / KIND / task)
        make(path, ("members", "plots"))
        return cls(path)

    @classmethod
    def all(cls, root: Union[str, Path] = DEFAULT_ROOT) -> list[Path]:
        """The folders of all sweeps, in order of time."""
        found = Path(root).glob(f"{KIND}/*/*/sweep.json")
        return sorted((path.parent for path in found), key=lambda path: path.name)

    @classmethod
    def find(cls, text: str, root: Union[str, Path] = DEFAULT_ROOT) -> SweepDirectory:
        """The sweep that ``text`` names: its folder, the end of its name, or ``last``.

        Raises
        ------
        RunError
            There is none, or several fit.
        """
        if (Path(text) / "sweep.json").is_file():
            return cls(text)
        known = cls.all(root)
        if text == "last" and known:
            return cls(known[-1])
        fits = [path for path in known if text and path.name.endswith(text)]
        if len(fits) == 1:
            return cls(fits[0])
        if fits:
            raise RunError(
                f"'{text}' fits {len(fits)} sweeps under {root}", "Give the whole folder."
            )
        raise RunError(
            f"there is no sweep '{text}'",
            f"Give a sweep's folder, its name under {root}/{KIND}/, or 'last'.",
        )

    def write(self, spec: Mapping[str, Any]) -> None:
        """Write down what the sweep is, whole or not at all."""
        self.files.write_json("sweep.json", spec)

    def read(self) -> dict[str, Any]:
        """What the sweep is.

        Raises
        ------
        RunError
            ``sweep.json`` is damaged.
        """
        spec = self.files.read_json("sweep.json")
        needed = {"task", "settings", "points", "seeds", "seed", "profile", "jobs", "contexts"}
        if spec is None or not needed <= spec.keys():
            raise RunError(f"{self.path / 'sweep.json'} is damaged", "Start the sweep again.")
        return spec

    @property
    def given(self) -> Optional[Path]:
        """The sweep's own copy of the file that ``--config`` named; None without one."""
        path = self.path / "given.yaml"
        return path if path.is_file() else None

    def member(self, number: int) -> Path:
        """The folder of a member's run."""
        return self.path / "members" / f"{number:04d}"

    def members(self) -> list[Path]:
        """The folders of the members that have begun."""
        return sorted(p.parent for p in self.path.glob("members/*/config.yaml"))

    def add(self, row: Mapping[str, Any]) -> None:
        """Write down what became of a member."""
        self.files.append("members.jsonl", json.dumps(plain(row)))

    def rows(self) -> dict[int, dict[str, Any]]:
        """What became of each member at last, by number; a half-written line is passed over."""
        found: dict[int, dict[str, Any]] = {}
        with contextlib.suppress(OSError):
            for line in (self.path / "members.jsonl").read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    row = json.loads(line)
                    found[int(row["member"])] = row
        return found

    @contextlib.contextmanager
    def alone(self) -> Iterator[int]:
        """Keep others from running this sweep at the same time.

        Yields
        ------
        int
            The descriptor of the lock. Processes that inherit it hold the lock, too.

        Raises
        ------
        RunError
            The sweep is running already.
        """
        import fcntl

        try:
            handle = (self.path / ".lock").open("w")
        except OSError as error:
            raise RunError(
                f"cannot write {self.path}: {error.strerror or error}", "Mend the folder's rights."
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"the sweep {self.path} is running", "Wait for its end, or stop it with Ctrl-C."
                ) from None
            except OSError:  # a file system without locks
                pass
            yield handle.fileno()
