"""Runs side by side: what differs in their configurations, their final figures, and which is best.

Holds no picture, that is in plots.py; and no layout of text, that is in terminal/commands.py.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from dope.core.configuring.options import TrainerOptions
from dope.core.configuring.values import read_yaml
from dope.core.errors import DopeError, RunError
from dope.core.rundir import DEFAULT_ROOT, RunDirectory
from dope.core.sweeping.folder import SweepDirectory

Place = Union[str, Path]
SMALLER = re.compile(
    r"(?:^|[^a-z])(?:loss|error|errors|rmse|mse|mae|mase|s?mape|wql|crps|perplexity|nll|aic|bic|fid)$"
)
LARGER = re.compile(r"(?:^|_)(?:log_likelihood|elbo|r2|iou)$")


@dataclass(frozen=True)
class Compared:
    """One run of a comparison.

    Parameters
    ----------
    label
        Short, and no other run's: the end of its name, or the number of a sweep's member.
    path
        Its folder.
    task
        Name of its task.
    options
        ``section.key`` to value; ``run.seed`` and the like for what is no part of the
        configuration.
    metrics
        Final figures, those in mappings as ``group.name``.
    history
        Rows of ``metrics.jsonl``.
    """

    label: str
    path: Path
    task: str
    options: dict[str, Any]
    metrics: dict[str, float]
    history: list[dict[str, Any]]


@dataclass
class Comparison:
    """Runs side by side.

    Parameters
    ----------
    runs
        In the order in which they were given.
    left_out
        Folders that could not be compared, and why.
    differing
        Options that differ: name to a value for each run, None where a run has none.
    metrics
        Figures that some run has: name to a value for each run, None where a run has none.
    best
        Name of a figure to the place of the best run, where larger or smaller is known to be
        better and the runs differ.
    plot
        The picture; None where no epochs have been written down.
    """

    runs: list[Compared]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    differing: dict[str, list[Any]] = field(default_factory=dict)
    metrics: dict[str, list[Optional[float]]] = field(default_factory=dict)
    best: dict[str, int] = field(default_factory=dict)
    plot: Optional[Path] = None

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        labels = [run.label for run in self.runs]
        runs = [{"label": r.label, "run": str(r.path), "task": r.task} for r in self.runs]
        return {
            "runs": runs,
            "differing": {key: dict(zip(labels, row)) for key, row in self.differing.items()},
            "metrics": {key: dict(zip(labels, row)) for key, row in self.metrics.items()},
            "best": {key: labels[place] for key, place in self.best.items()},
            "left_out": [{"run": path, "why": why} for path, why in self.left_out],
            "plot": None if self.plot is None else str(self.plot),
        }


def compare(*runs: Place, root: Place = DEFAULT_ROOT, output: Optional[Place] = None) -> Comparison:
    """Put runs side by side, of one task or of several.

    Parameters
    ----------
    runs
        Folders, ends of names, or ``last``; the folder of a sweep means all its members.
    root
        Where folders of runs are looked for.
    output
        The PNG to write; default ``compare.png`` in ``root``.

    Raises
    ------
    RunError
        A name fits no run, or fewer than two runs can be compared.

    Examples
    --------
    >>> import dope
    >>> first, second = (dope.run("vision.softmax", profile="tiny", seed=i) for i in (0, 1))
    >>> dope.compare(first.path, second.path).differing
    {'run.seed': [0, 1]}
    """
    found: list[Compared] = []
    left_out: list[tuple[str, str]] = []
    for path in _folders(runs, root):
        try:
            found.append(_read(path))
        except DopeError as error:
            left_out.append((str(path), error.message))
    if len(found) < 2:
        why = "".join(f"; {path}: {reason}" for path, reason in left_out[:3])
        raise RunError(
            f"{len(found)} of {len(found) + len(left_out)} runs can be compared{why}",
            "Give two or more runs that are done, or a sweep.",
        )
    found = _labelled(found)
    made = Comparison(found, left_out, _differing(found))
    made.metrics = _table(found)
    made.best = _best(made.metrics, _asked(found))
    from dope.core.comparing.plots import curves

    made.plot = curves(Path(output) if output else Path(root) / "compare.png", made)
    return made


def _folders(runs: Sequence[Place], root: Place) -> list[Path]:
    """The folders that are meant, each once."""
    found: list[Path] = []
    for run in map(str, runs):
        if (Path(run) / "sweep.json").is_file():
            found += SweepDirectory(run).members()
            continue
        if Path(run).is_dir():  # a run, or what is left of one
            found.append(Path(run))
            continue
        try:
            found.append(RunDirectory.find(run, root).path)
        except RunError:
            sweeps = [path for path in SweepDirectory.all(root) if path.name.endswith(run)]
            if len(sweeps) != 1:
                raise
            found += SweepDirectory(sweeps[0]).members()
    return list({path.resolve(): path for path in found}.values())


def _read(path: Path) -> Compared:
    """A run that is done.

    Raises
    ------
    DopeError
        It is damaged, or not done.
    """
    if not (path / "config.yaml").is_file():
        raise RunError("no run lies there")
    directory, config = RunDirectory(path), read_yaml(path / "config.yaml")
    result = directory.read_json("result.json")
    if result is None:
        raise RunError("its result.json is missing or damaged")
    if result.get("status") != "done":
        raise RunError(f"it is not done but {result.get('status')}")
    task = config.get("task")
    name = task.get("name") if isinstance(task, Mapping) else task
    options = dict(_flat_options(config))
    for group in ("settings", "environment"):
        given = result.get(group)
        options.update({f"run.{k}": v for k, v in (given or {}).items()})
    metrics = dict(_flat(result.get("metrics") or {}))
    for key in ("epochs", "seconds"):
        if _is_number(result.get(key)):
            metrics[f"run.{key}"] = result[key]
    return Compared("", path, str(name), options, metrics, directory.metrics())


def _flat_options(config: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for section, content in config.items():
        if not isinstance(content, Mapping):
            yield section, content
            continue
        for key, value in content.items():
            yield (section if key == "name" else f"{section}.{key}"), value


def _flat(metrics: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """Figures, and those in mappings; deeper ones, which simpler methods reached, are left out."""
    for key, value in metrics.items():
        if _is_number(value):
            yield key, value
        elif isinstance(value, Mapping):
            yield from ((f"{key}.{k}", v) for k, v in value.items() if _is_number(v))


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _labelled(runs: Sequence[Compared]) -> list[Compared]:
    """The runs with labels: as short as they can be while no two are the same."""
    for name in (_short, lambda path: path.name, lambda path: "/".join(path.parts[-3:]), str):
        labels = [name(run.path) for run in runs]
        if len(set(labels)) == len(labels):
            break
    made = []
    for label, run in zip(labels, runs):
        made.append(Compared(label, run.path, run.task, run.options, run.metrics, run.history))
    return made


def _short(path: Path) -> str:
    return path.name.rpartition("-")[2]


def _differing(runs: Sequence[Compared]) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for run in runs for key in run.options)
    rows = {key: [run.options.get(key) for run in runs] for key in keys}
    return {k: row for k, row in rows.items() if len({json.dumps(v) for v in row}) > 1}


def _table(runs: Sequence[Compared]) -> dict[str, list[Optional[float]]]:
    """Every figure of a value for each run; those that all have come first."""
    keys = list(dict.fromkeys(key for run in runs for key in run.metrics))
    keys.sort(key=lambda key: (key.startswith("run."), sum(key not in r.metrics for r in runs) > 0))
    return {key: [run.metrics.get(key) for run in runs] for key in keys}


def _asked(runs: Sequence[Compared]) -> dict[str, bool]:
    """Of the figures that a run names as its monitor: whether larger is better."""
    found = {}
    for run in runs:
        name, mode = run.options.get("trainer.monitor"), run.options.get("trainer.mode")
        if isinstance(name, str) and mode in ("min", "max"):
            found[name] = mode == "max"
    return found


def larger_is_better(name: str) -> Optional[bool]:
    """Whether a larger figure of this name is better; None where the name does not tell.

    Examples
    --------
    >>> larger_is_better("valid_accuracy"), larger_is_better("mase"), larger_is_better("alpha")
    (True, False, None)
    """
    plain = name.rpartition(".")[2].lower()
    if LARGER.search(plain) or TrainerOptions(monitor=plain).larger_is_better:
        return True
    return False if SMALLER.search(plain) else None


def _best(
    metrics: Mapping[str, Sequence[Optional[float]]], asked: Mapping[str, bool]
) -> dict[str, int]:
    found = {}
    for name, row in metrics.items():
        larger = asked.get(name, larger_is_better(name))
        known = [(value, place) for place, value in enumerate(row) if value is not None]
        if larger is None or len({value for value, _ in known}) < 2:
            continue
        pick = max if larger else min
        best = pick(value for value, _ in known)
        found[name] = next(place for value, place in known if value == best)
    return found
