"""A run's life: its folder found again, its task trained or restored, what is written at its end.

Holds no loop, that is the trainer's; and no composition of parts, that is in composing.py.
"""

from __future__ import annotations

import platform
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from dope.core.configuring.config import Config, resolve
from dope.core.configuring.values import read_yaml
from dope.core.errors import DopeError, RunError
from dope.core.plugging.registry import Registry
from dope.core.rundir import RunDirectory
from dope.core.training import composing, teaming

if TYPE_CHECKING:
    from dope.core.callbacks import Callback
    from dope.core.distributing.team import Alone
    from dope.core.engine import Engine
    from dope.core.task import Task
    from dope.core.training.checkpoint import Checkpoint


def recall(
    registry: Registry,
    run: Union[str, Path],
    runs: Union[str, Path],
    overrides: Sequence[str],
    sections: Mapping[str, Any],
) -> tuple[RunDirectory, Config, dict[str, Any]]:
    """A run's folder, its configuration with changes, and its settings."""
    directory = RunDirectory.find(str(run), runs)
    path = directory.path / "config.yaml"
    given = read_yaml(path)
    _check_own(registry, given, path)
    config = Config.from_dict(registry, given, origin=str(path))
    if overrides or sections:
        config = resolve(
            registry,
            config.task,
            file=path,
            overrides=overrides,
            overrides_mapping=sections or None,
        )
    settings = (directory.read_json("result.json") or {}).get("settings", {})
    return directory, config, {"contexts": "auto", "seed": 0, "hybridize": True, **settings}


def _check_own(registry: Registry, given: Mapping[str, Any], path: Path) -> None:
    """Say how to go on with a run whose parts came from Python and are not given now."""
    for section, content in given.items():
        name = content.get("name") if isinstance(content, Mapping) else None
        if not isinstance(name, str) or ":" not in name:
            continue
        if not isinstance(registry, composing.OwnParts) or not registry.has(name):
            raise RunError(
                f"{path}: {section} {name} was given from Python; no plugin registers it",
                f"Do this from Python, and add parts=[{name.partition(':')[2]}].",
            )


def latest(directory: RunDirectory, *, required: bool = True) -> Optional[Checkpoint]:
    """The last good checkpoint; the user is told of damaged ones.

    Raises
    ------
    RunError
        There is none, and one is ``required``.
    """
    from dope.core.training.checkpoint import latest as newest

    saved, problems = newest(directory.checkpoints)
    instead = "using the one before" if saved else "there is none before it"
    for problem in problems:
        directory.log(f"warning: {problem}; {instead}")
        print(f"warning: {problem}; {instead}", file=sys.stderr, flush=True)
    if saved is None and required:
        raise RunError(
            f"the run {directory.path} has no checkpoint", "Start it again, or dope resume it."
        )
    return saved


def trained(
    registry: Registry,
    directory: RunDirectory,
    config: Config,
    settings: Mapping[str, Any],
    best: bool,
    seed: Optional[int] = None,
) -> tuple[Task, Engine]:
    """The task and networks of a run as it left them; ``best``, as its best epoch did.

    ``seed`` is that of whatever the task draws from now on; default the run's.
    """
    from dope.core import backend
    from dope.core.training import checkpoint

    path = directory.checkpoints / "best.json"
    if best and not path.is_file():
        raise RunError(
            f"the run {directory.path} has no best checkpoint",
            "One is kept where trainer.monitor is a figure of held-out data.",
        )
    saved = checkpoint.load(path) if best else latest(directory)
    task = composing.compose(registry, config)
    engine = composing.engine(task, settings)
    assert saved is not None
    engine.restore(saved.arrays, saved.meta["updates"])
    task.restore(saved.task)
    engine.settle()
    engine.networks.average()
    backend.seed(settings["seed"] if seed is None else seed)  # it draws the same each time
    return task, engine


def train(
    task: Task,
    config: Config,
    directory: RunDirectory,
    settings: Mapping[str, Any],
    callbacks: Sequence[Callback],
    saved: Optional[Checkpoint],
    more: Optional[Mapping[str, Any]] = None,
    team: Optional[Alone] = None,
) -> tuple[dict[str, Any], Any]:
    """Train to the end and write it down: what stands in ``result.json``, and the networks.

    ``more`` are figures that are known already; ``team`` are the workers that train together.
    """
    from dope.core.backend import contexts
    from dope.core.distributing.team import ALONE
    from dope.core.trainer import Trainer

    began = time.time()
    result: dict[str, Any] = {
        "task": config.task,
        "status": "running",
        "settings": dict(settings),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "metrics": {},
        "environment": _environment(),
    }
    if ":" in config.task and task.captions:  # no registry knows them
        result["captions"] = dict(task.captions)
    directory.write_json("result.json", result)
    try:
        team = team or ALONE
        team.on_loss(lambda reason: _lost(directory, result, reason, began))
        count = len(contexts(settings["contexts"]))
        scale = teaming.prepare(team, task, directory, count)
        engine = composing.engine(task, settings, team)
        result["environment"] = _environment()  # with the threads that this task takes
        _log_contexts(directory, settings["contexts"])
        result["workers"] = team.size
        trainer = Trainer(
            task, engine, task.options, directory, seed=settings["seed"], callbacks=callbacks
        )
        trainer.scale = scale
        if saved is not None:
            trainer.restore(saved)
            directory.log(f"resumed after step {trainer.total_steps}")
        _fit(trainer, result, config.task, more or {})
    except BaseException as error:
        result["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        result["error"] = str(error) or type(error).__name__
        vars(error)["run"] = directory.path  # so that whoever reports it can name the run
        raise
    finally:
        result["seconds"] = round(time.time() - began, 3)
        _write_result(directory, result)
    return result, engine.nets


def _lost(directory: RunDirectory, result: dict[str, Any], reason: str, began: float) -> None:
    """Write down why a worker had to end without its team."""
    seconds = round(time.time() - began, 3)
    result |= {"status": "failed", "error": reason, "seconds": seconds}
    _write_result(directory, result)


def _log_contexts(directory: RunDirectory, text: str) -> None:
    from dope.core import backend

    if text.strip() == "auto" and backend.note_on_auto():
        directory.log(f"note: {backend.note_on_auto()}")


def _fit(trainer: Any, result: dict[str, Any], name: str, more: Mapping[str, Any]) -> None:
    """Train, and put what came of it, and ``more``, into ``result``."""
    from dope.core.plots import curves
    from dope.core.training.misfits import later

    task, engine, directory = trainer.task, trainer.engine, trainer.run
    try:
        result["status"] = trainer.fit()
        result |= {"epochs": trainer.epoch, "steps": trainer.total_steps, "stopped": trainer.reason}
        if result["status"] == "done":
            curves(directory.plots / "curves.png", directory.metrics(), name)
            engine.networks.average()
            result["metrics"] = {**trainer.metrics, **task.report(engine.nets, directory), **more}
    except Exception as error:
        found = later(task, engine.nets, error, first=trainer.total_steps == 0)
        if found is None:
            raise
        raise found from error


def _write_result(directory: RunDirectory, result: Mapping[str, Any]) -> None:
    failing = sys.exc_info()[0] is not None
    try:
        directory.write_json("result.json", result)
        directory.log(f"{result['status']} after {result['seconds']} s")
    except DopeError:
        if not failing:  # a full disk must not hide the first error
            raise


def _environment() -> dict[str, Any]:
    """Versions, host and the settings that speed and bits depend on."""
    import numpy as np

    from dope import __version__
    from dope.core import backend

    return {
        "dope": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "mxnet": f"{backend.mx.__version__} ({backend.distribution})",
        "host": socket.gethostname(),
        **backend.environment,
    }
