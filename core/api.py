"""Run, resume, evaluate and predict: what the command line and Python both call.

Holds the composition of parts into a task and a run's life; the loop is the trainer's.
"""

from __future__ import annotations

import functools
import platform
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from dope.core.config import Config, resolve
from dope.core.discovery import discover
from dope.core.errors import DopeError, RunError
from dope.core.registry import Registry
from dope.core.rundir import DEFAULT_ROOT, RunDirectory
from dope.core.values import read_yaml

if TYPE_CHECKING:
    from dope.core.callbacks import Callback
    from dope.core.checkpoint import Checkpoint
    from dope.core.engine import Engine
    from dope.core.task import Task


@dataclass
class Run:
    """A run and what came of it.

    Parameters
    ----------
    directory
        Its folder.
    config
        Its resolved configuration.
    result
        What stands in ``result.json``: status, metrics, versions, seed …
    task
        The composed task, its data read.
    nets
        The trained networks.
    """

    directory: RunDirectory
    config: Config
    result: dict[str, Any] = field(default_factory=dict)
    task: Any = None
    nets: Any = None

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.directory.path

    @property
    def metrics(self) -> dict[str, Any]:
        """The final figures."""
        found: dict[str, Any] = self.result.get("metrics", {})
        return found

    def predict(self, **sections: Any) -> dict[str, Any]:
        """As `predict`, on this run."""
        return predict(self.path, **sections)


def compose(registry: Registry, config: Config) -> Task:
    """The task of a configuration with its parts filled in; no data is read yet."""

    def part(section: str) -> Any:
        name = config.part(section)
        return None if name is None else registry.get(section, name).load()

    task: Task = part("task")(**config.options("task"))
    dataset, model, loss = part("dataset"), part("model"), part("loss")
    task.dataset = dataset(**config.options("dataset")) if dataset else None
    task.model = functools.partial(model, **config.options("model")) if model else None  # type: ignore[assignment]
    task.criterion = loss(**config.options("loss")) if loss else None
    task.optimizer = dict(config.sections["optimizer"] or {})

    from dope.core.options import TrainerOptions

    task.options = TrainerOptions(**config.options("trainer"))
    return task


def run(
    task: str,
    /,
    *,
    profile: str = "quick",
    file: Union[str, Path, None] = None,
    overrides: Sequence[str] = (),
    runs: Union[str, Path] = DEFAULT_ROOT,
    contexts: str = "auto",
    seed: int = 0,
    hybridize: bool = True,
    callbacks: Sequence[Callback] = (),
    registry: Optional[Registry] = None,
    **sections: Any,
) -> Run:
    """Train a task from the beginning and report.

    Parameters
    ----------
    task
        Its name, ``timeseries.issm`` say.
    profile, file, overrides, sections
        Sources of configuration, later wins: a profile of the task, a YAML file, ``key=value``
        texts, and mappings such as ``model={"seasonal": 12}``.
    runs
        Where the run's folder is made.
    contexts
        ``auto``, or a list such as ``cpu(0),cpu(1)``.
    seed
        Of everything random in the run.
    hybridize
        Compile the networks.
    callbacks
        Further callbacks, told of the run's events.
    registry
        Known parts; by default those of all installed plugins.

    Returns
    -------
    Run

    Raises
    ------
    DopeError
        In one sentence what, where and what to do.

    Examples
    --------
    >>> import dope
    >>> run = dope.run("timeseries.issm", dataset="timeseries.nile", task={"horizon": 5})
    >>> sorted(run.metrics)[:2]
    ['aic', 'alpha']
    """
    registry = registry or discover()
    config = resolve(
        registry,
        task,
        profile=profile,
        file=Path(file) if file else None,
        overrides=overrides,
        overrides_mapping=sections or None,
    )
    settings = {"contexts": contexts, "seed": seed, "hybridize": hybridize}
    made = compose(registry, config)
    _check_contexts(contexts)
    directory = RunDirectory.create(runs, task)
    directory.write_text("config.yaml", config.to_yaml())
    return _train(registry, made, config, directory, settings, callbacks, None)


def resume(
    run: Union[str, Path],
    *,
    overrides: Sequence[str] = (),
    runs: Union[str, Path] = DEFAULT_ROOT,
    callbacks: Sequence[Callback] = (),
    registry: Optional[Registry] = None,
) -> Run:
    """Go on with a run that was stopped, from its last good checkpoint, in the same folder.

    Raises
    ------
    RunError
        There is no such run, or it has ended and nothing is left to do.
    """
    registry = registry or discover()
    directory, config, settings = _recall(registry, run, runs, overrides, {})
    saved = _latest(directory, required=False)
    task = compose(registry, config)
    result = directory.read_json("result.json") or {}
    ended = saved is not None and result.get("status") == "done"
    if saved and ended and saved.meta["reason"]:
        raise RunError(
            f"the run {directory.path} has ended by itself ({saved.meta['reason']})",
            "Start another with dope run to train differently.",
        )
    if saved and ended and saved.meta["epoch"] >= task.options.epochs:
        raise RunError(
            f"the run {directory.path} has ended",
            f"For more epochs add trainer.epochs={2 * task.options.epochs}.",
        )
    directory.write_text("config.yaml", config.to_yaml())
    return _train(registry, task, config, directory, settings, callbacks, saved)


def evaluate(
    run: Union[str, Path],
    *,
    overrides: Sequence[str] = (),
    runs: Union[str, Path] = DEFAULT_ROOT,
    best: bool = False,
    registry: Optional[Registry] = None,
    **sections: Any,
) -> dict[str, float]:
    """Figures of merit of a trained run, on its own data or on another data set.

    ``best`` takes the checkpoint of the best epoch in place of the last.
    """
    task, engine, _ = _trained(registry or discover(), run, runs, overrides, sections, best)
    return task.evaluate(engine)


def predict(
    run: Union[str, Path],
    *,
    inputs: Sequence[str] = (),
    overrides: Sequence[str] = (),
    runs: Union[str, Path] = DEFAULT_ROOT,
    best: bool = False,
    registry: Optional[Registry] = None,
    **sections: Any,
) -> dict[str, Any]:
    """What a trained run predicts, of ``inputs``, its own data or another data set.

    ``best`` takes the checkpoint of the best epoch in place of the last.

    Returns
    -------
    dict
        ``rows`` (a list of mappings), and ``files`` that were written; the rest is the task's.

    Raises
    ------
    ConfigError
        The task takes no ``inputs``.
    """
    task, engine, directory = _trained(registry or discover(), run, runs, overrides, sections, best)
    if inputs:
        return task.predict_inputs(engine.nets, inputs)
    return task.predict(engine.nets, directory)


def _recall(
    registry: Registry,
    run: Union[str, Path],
    runs: Union[str, Path],
    overrides: Sequence[str],
    sections: Mapping[str, Any],
) -> tuple[RunDirectory, Config, dict[str, Any]]:
    """A run's folder, its configuration with changes, and its settings."""
    directory = RunDirectory.find(str(run), runs)
    path = directory.path / "config.yaml"
    config = Config.from_dict(registry, read_yaml(path), origin=str(path))
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


def _check_contexts(text: str) -> None:
    """Refuse contexts that are not there before anything is read or written."""
    from dope.core import backend

    backend.contexts(text)


def _latest(directory: RunDirectory, *, required: bool = True) -> Optional[Checkpoint]:
    from dope.core.checkpoint import latest

    saved, problems = latest(directory.checkpoints)
    instead = "using the one before" if saved else "there is none before it"
    for problem in problems:
        directory.log(f"warning: {problem}; {instead}")
        print(f"warning: {problem}; {instead}", file=sys.stderr, flush=True)
    if saved is None and required:
        raise RunError(
            f"the run {directory.path} has no checkpoint", "Start it again, or dope resume it."
        )
    return saved


def _engine(task: Task, settings: Mapping[str, Any]) -> Engine:
    from dope.core import backend
    from dope.core.engine import Engine

    backend.use_threads(task.threads)
    backend.seed(settings["seed"])
    task.prepare()
    nets = task.build()
    return Engine(
        nets,
        task.groups(nets),
        backend.contexts(settings["contexts"]),
        batch_axis=task.batch_axis,
        hybridize=settings["hybridize"],
        accumulate=task.options.accumulate,
    )


def _trained(
    registry: Registry,
    run: Union[str, Path],
    runs: Union[str, Path],
    overrides: Sequence[str],
    sections: Mapping[str, Any],
    best: bool,
) -> tuple[Task, Engine, RunDirectory]:
    from dope.core import backend, checkpoint

    directory, config, settings = _recall(registry, run, runs, overrides, sections)
    path = directory.checkpoints / "best.json"
    if best and not path.is_file():
        raise RunError(
            f"the run {directory.path} has no best checkpoint",
            "One is kept where trainer.monitor is a figure of held-out data.",
        )
    saved = checkpoint.load(path) if best else _latest(directory)
    task = compose(registry, config)
    engine = _engine(task, settings)
    assert saved is not None
    engine.restore(saved.arrays, saved.meta["updates"])
    engine.settle()
    engine.networks.average()
    backend.seed(settings["seed"])  # whatever the task draws, it draws the same each time
    return task, engine, directory


def _train(
    registry: Registry,
    task: Task,
    config: Config,
    directory: RunDirectory,
    settings: Mapping[str, Any],
    callbacks: Sequence[Callback],
    saved: Optional[Checkpoint],
) -> Run:
    from dope.core.plots import curves
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
    directory.write_json("result.json", result)
    try:
        named = [registry.get("callback", n).load()() for n in task.options.callbacks]
        engine = _engine(task, settings)
        result["environment"] = _environment()  # with the threads that this task takes
        trainer = Trainer(
            task,
            engine,
            task.options,
            directory,
            seed=settings["seed"],
            callbacks=[*callbacks, *named],
        )
        if saved is not None:
            trainer.restore(saved)
            directory.log(f"resumed after step {trainer.total_steps}")
        result["status"] = trainer.fit()
        result |= {"epochs": trainer.epoch, "steps": trainer.total_steps, "stopped": trainer.reason}
        if result["status"] == "done":
            curves(directory.plots / "curves.png", directory.metrics(), config.task)
            engine.networks.average()
            result["metrics"] = {**trainer.metrics, **task.report(engine.nets, directory)}
    except BaseException as error:
        result["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        result["error"] = str(error) or type(error).__name__
        vars(error)["run"] = directory.path  # so that whoever reports it can name the run
        raise
    finally:
        result["seconds"] = round(time.time() - began, 3)
        _write_result(directory, result)
    return Run(directory, config, result, task, engine.nets)


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
