"""A run's folder read for people to look at, whatever state it is in.

Holds no layout; nothing here raises over what lies in a folder: what is wrong becomes a sentence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from dope.core.configuring.values import read_yaml
from dope.core.errors import DopeError, RunError
from dope.core.rundir import RunDirectory

LARGEST = 8_000_000  # bytes of a text file that is read
SIGNS = 6000  # of a sample text that are shown
OWN = ("epoch", "step")  # columns of metrics.jsonl that are no metrics
STATES = ("done", "running", "interrupted", "failed")


@dataclass
class Record:
    """What a run's folder holds.

    Parameters
    ----------
    path
        The folder.
    name
        Of the folder; a sweep's member has its sweep's name before it.
    task
        Name of the task; the folder above where the configuration does not say.
    status
        ``done``, ``running``, ``interrupted``, ``failed``, or ``damaged``.
    config
        Sections of ``config.yaml``.
    result
        ``result.json``.
    history
        Rows of ``metrics.jsonl`` with finite numbers and texts only.
    timings
        Rows of ``timings.jsonl``.
    log
        Lines of ``log.txt``.
    problems
        What could not be read, a sentence each.
    """

    path: Path
    name: str
    task: str
    status: str = "damaged"
    config: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, Any]:
        """Final figures; of a run that goes on, those of its last epoch."""
        found = self.result.get("metrics")
        if isinstance(found, Mapping) and found:
            return dict(found)
        last = self.history[-1] if self.history else {}
        return {key: value for key, value in last.items() if key not in OWN}

    @property
    def warnings(self) -> list[str]:
        """What the run's log warns of, and why it failed."""
        lines = [line[20:].strip() if line[:4].isdigit() else line for line in self.log]
        told = ("warning:", "note:", "error:")
        found = [line for line in lines if line.lower().startswith(told)]
        error = self.result.get("error")
        return [*([f"error: {error}"] if error else []), *dict.fromkeys(found)]

    def files(self, folder: str, suffixes: tuple[str, ...]) -> list[Path]:
        """Files of ``plots`` or ``samples`` by name; those that lead out of the run are left."""
        try:
            found = sorted((self.path / folder).iterdir())
        except OSError:
            return []
        return [
            path
            for path in found
            if path.suffix.lower() in suffixes and path.name[0] != "." and inside(path, self.path)
        ]


def read(path: Union[str, Path], name: str = "") -> Record:
    """What lies in a run's folder, with a sentence for each thing that is wrong with it."""
    path = Path(path)
    record = Record(path, name or path.name, path.parent.name)
    record.config = _config(record)
    task = record.config.get("task")
    task = task.get("name") if isinstance(task, Mapping) else task
    record.result = _result(record)
    task = task or record.result.get("task")
    record.task = str(task) if task else record.task
    record.history = [_finite(row) for row in _rows(record, "metrics.jsonl")]
    record.timings = [row for row in _rows(record, "timings.jsonl") if _timing(row)]
    text = _text(record, "log.txt")
    record.log = (text or "").splitlines()
    status = record.result.get("status")
    if record.config and status in STATES:
        record.status = str(status)
    elif not record.problems:
        record.problems.append("its status is none that dope writes")
    return record


def folders(root: Union[str, Path]) -> list[tuple[str, Path]]:
    """Names and folders of all runs under a root, the members of sweeps too, oldest first.

    A folder counts as a run where it lies where a run does, so that one which lost its files is
    listed, too. What leads out of the root by links is left out.

    Raises
    ------
    RunError
        There is no such root.
    """
    root = Path(root)
    if not root.is_dir():
        raise RunError(f"there is no folder {root}", "Name the folder of the runs with --runs DIR.")
    found = []
    for task in _below(root):
        if task.name == "sweeps":
            for sweep in (sweep for each in _below(task) for sweep in _below(each)):
                members = _below(sweep / "members")
                found += [(f"{sweep.name}/{member.name}", member) for member in members]
        else:
            found += [(run.name, run) for run in _below(task)]
    return sorted(((n, p) for n, p in found if inside(p, root)), key=lambda pair: pair[0])


def inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder once all links are followed."""
    try:
        real, above = path.resolve(strict=True), folder.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return False
    return above in real.parents


def text_of(path: Path, within: Path, most: int = LARGEST) -> str:
    """The text of a file of a run, cut at ``most`` bytes; what is no UTF-8 becomes marks.

    Raises
    ------
    OSError
        It cannot be read, or leads out of the run.
    """
    if not inside(path, within) or not path.is_file():
        raise OSError(0, "it is no file of the run")
    with path.open("rb") as handle:
        return handle.read(most).decode("utf-8", errors="replace")


def number(value: Any) -> Optional[float]:
    """``value`` if it is a finite number and no truth value; else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.name[0] != "." and p.is_dir())
    except OSError:
        return []


def _text(record: Record, name: str) -> Optional[str]:
    path = record.path / name
    try:
        if not path.exists():
            return None
        return text_of(path, record.path)
    except OSError as error:
        record.problems.append(f"{name} cannot be read: {error.strerror or error}")
        return None


def _config(record: Record) -> dict[str, Any]:
    text = _text(record, "config.yaml")
    if text is None:
        if not record.problems:
            record.problems.append("config.yaml is missing")
        return {}
    try:
        return {str(key): value for key, value in read_yaml(record.path / "config.yaml").items()}
    except DopeError as error:
        record.problems.append(f"config.yaml is damaged: {error.message}")
    except Exception as error:  # the YAML library, over bytes that are none
        record.problems.append(f"config.yaml is damaged: {type(error).__name__}")
    return {}


def _result(record: Record) -> dict[str, Any]:
    text = _text(record, "result.json")
    if text is None:
        if not any("result.json" in each for each in record.problems):
            record.problems.append("result.json is missing")
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        record.problems.append("result.json is damaged: it is no JSON")
        return {}
    if not isinstance(found, dict):
        record.problems.append("result.json is damaged: it holds no mapping")
        return {}
    for key in ("metrics", "settings", "environment"):
        if not isinstance(found.setdefault(key, {}), dict):
            record.problems.append(f"result.json is damaged: {key} is no mapping")
            found[key] = {}
    return found


def _rows(record: Record, name: str) -> list[dict[str, Any]]:
    """Rows of a file of JSON lines; a half-written last line is what a run that goes on has."""
    text = _text(record, name)
    rows: list[dict[str, Any]] = []
    lines = (text or "").split("\n")
    bad = 0
    for place, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            bad += place < len(lines) - 1
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            bad += 1
    if bad:
        record.problems.append(f"{name}: {bad} damaged line{'s' * (bad > 1)} passed over")
    return rows


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that are finite, and texts; anything else becomes None."""
    return {
        str(key): value if isinstance(value, str) else number(value) for key, value in row.items()
    }


def _timing(row: Mapping[str, Any]) -> bool:
    phases = row.get("phases")
    return isinstance(phases, dict) and all(number(each) is not None for each in phases.values())


def flat(mapping: Mapping[str, Any], above: str = "", deep: int = 2) -> dict[str, Any]:
    """``section.key`` to value, mappings within mappings named down to ``deep``."""
    found: dict[str, Any] = {}
    for key, value in mapping.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and deep > 1:
            found.update(flat(value, f"{name}.", deep - 1))
        else:
            found[name] = value
    return found


def options(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as ``section.key`` to value; a part's own name as ``section``."""
    found = flat({key: {} if value is None else value for key, value in config.items()})
    return {key[:-5] if key.endswith(".name") else key: value for key, value in found.items()}


def series(history: Iterable[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[Any]]]:
    """Name of a metric to epochs and values; None where a row says that there is no number."""
    found: dict[str, tuple[list[float], list[Any]]] = {}
    for row in history:
        epoch = number(row.get("epoch"))
        if epoch is None:
            continue
        for key, value in row.items():
            if key in OWN or isinstance(value, str):
                continue
            x, y = found.setdefault(key, ([], []))
            if x and x[-1] == epoch:
                y[-1] = value
            else:
                x.append(epoch)
                y.append(value)
    return {key: (x, y) for key, (x, y) in found.items() if any(v is not None for v in y)}


def run_folder(text: str, root: Union[str, Path]) -> Path:
    """The folder of the run that ``text`` names, also of one that is damaged.

    Raises
    ------
    RunError
        There is none, or several fit.
    """
    if Path(text).is_dir() and text not in ("", "last"):
        return Path(text)
    return RunDirectory.find(text, root).path
