"""Run, resume, load, evaluate and predict: what the command line and Python both call.

Holds the verbs only; how parts are composed and a run lives is in training/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from dope.core.configuring.asking import checked, from_words
from dope.core.configuring.config import Config, resolve
from dope.core.configuring.sources import SECTIONS
from dope.core.errors import RunError
from dope.core.plugging.discovery import discover
from dope.core.plugging.registry import Registry
from dope.core.rundir import DEFAULT_ROOT, RunDirectory
from dope.core.terminal import notebook
from dope.core.training import teaming
from dope.core.training.composing import callbacks as named_callbacks
from dope.core.training.composing import compose, named, registry_with
from dope.core.training.folding import train
from dope.core.training.running import latest, recall, trained

if TYPE_CHECKING:
    from dope.core.callbacks import Callback

__all__ = ["Run", "compose", "evaluate", "load", "parts", "predict", "resume", "run", "tasks"]

Place = Union[str, Path]
Part = Callable[..., Any]


@dataclass(repr=False)
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
        The trained networks: a gluon block, or a mapping of names to blocks.
    registry
        Where its parts are registered.
    leads
        Whether this process writes the run's folder: of several workers, one does.
    """

    directory: RunDirectory
    config: Config
    result: dict[str, Any] = field(default_factory=dict)
    task: Any = None
    nets: Any = None
    registry: Optional[Registry] = None
    leads: bool = True

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.directory.path

    @property
    def metrics(self) -> dict[str, Any]:
        """The final figures."""
        found: dict[str, Any] = self.result.get("metrics", {})
        return found

    @property
    def history(self) -> list[dict[str, Any]]:
        """A row for each epoch, as in ``metrics.jsonl``; ``pandas.DataFrame(run.history)``."""
        return self.directory.metrics()

    def predict(self, *, best: bool = False, **options: Any) -> dict[str, Any]:
        """As `predict`, on this run."""
        return predict(self.path, best=best, registry=self.registry, **options)

    def evaluate(self, *, best: bool = False, **sections: Any) -> dict[str, float]:
        """As `evaluate`, on this run."""
        return evaluate(self.path, best=best, registry=self.registry, **sections)

    def __repr__(self) -> str:
        return notebook.line(self.config.task, self.result, self.path)

    def _repr_html_(self) -> str:
        named = {section: self.config.part(section) for section in self.config.sections}
        used = {section: name for section, name in named.items() if name}
        files = self.directory.files()
        return notebook.page(self.config.task, used, self.result, self.path, files)


def run(
    task: Union[str, Part],
    /,
    *,
    profile: str = "quick",
    file: Optional[Place] = None,
    overrides: Sequence[str] = (),
    runs: Place = DEFAULT_ROOT,
    folder: Optional[Place] = None,
    contexts: str = "auto",
    seed: int = 0,
    hybridize: bool = True,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
    registry: Optional[Registry] = None,
    **sections: Any,
) -> Run:
    """Train a task from the beginning and report.

    Parameters
    ----------
    task
        Its name, ``timeseries.issm`` say; or its class.
    profile, file, overrides, sections
        Sources of configuration, later wins: a profile of the task, a YAML file, mappings such as
        ``model={"seasonal": 12}``, and ``key=value`` texts. A part is given by its registered
        name, or is a class or function of your own: ``model=MyNet``, or
        ``model={"name": MyNet, "units": 8}``.
    runs
        Where the run's folder is made.
    folder
        The run's folder itself, where no run lies yet; default a new one under ``runs``.
    contexts
        ``auto``, or a list such as ``cpu(0),cpu(1)``.
    seed
        Of everything random in the run.
    hybridize
        Compile the networks.
    progress
        Show a bar in a notebook or a terminal, lines elsewhere.
    callbacks
        Further callbacks, told of the run's events; they are no part of the configuration.
    registry
        Known parts; by default those of all installed plugins.

    Returns
    -------
    Run

    Raises
    ------
    DopeError
        In one sentence what, where and what to do.

    Notes
    -----
    A class of your own stands at the top of a module or in a cell of a notebook, and takes what
    registered ones take: the data set, for a model, and options as keyword-only arguments with
    annotations. ``config.yaml`` names it as ``module:Name``. That name is no permission to import
    it: to resume, load, evaluate or predict, give it again as ``parts=[MyNet]``.

    Examples
    --------
    >>> import dope
    >>> run = dope.run("timeseries.issm", dataset="timeseries.nile", task={"horizon": 5})
    >>> sorted(run.metrics)[:2]
    ['aic', 'alpha']
    >>> len(run.predict()["rows"])
    5
    """
    sections, things = named({**sections, "task_itself": task})
    task_name = sections.pop("task_itself")
    registry = registry_with(registry or discover(), things)
    config = resolve(
        registry,
        task_name,
        profile=profile,
        file=Path(file) if file else None,
        overrides=overrides,
        overrides_mapping=sections or None,
    )
    settings = {"contexts": contexts, "seed": seed, "hybridize": hybridize}
    made = compose(registry, config)
    watchers = _watchers(registry, config, progress, callbacks)
    _check_contexts(contexts)
    with teaming.joined() as (team, passing):
        name = task_name.replace(":", ".")
        directory = teaming.folder(team, passing, runs, name, folder)
        directory.write_text("config.yaml", config.to_yaml())
        own = watchers if team.leads else _watchers(registry, config, False, ())
        result, nets = train(registry, made, config, directory, settings, own, None, team)
    return Run(directory, config, result, made, nets, registry, team.leads)


def resume(
    run: Place,
    *,
    overrides: Sequence[str] = (),
    runs: Place = DEFAULT_ROOT,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
    parts: Sequence[Part] = (),
    registry: Optional[Registry] = None,
) -> Run:
    """Go on with a run that was stopped, from its last good checkpoint, in the same folder.

    Parameters
    ----------
    run
        Its folder, the end of its name, or ``last``.
    overrides
        ``key=value`` texts: ``trainer.epochs=20`` trains a run that has ended for longer.
    runs
        Where folders of runs are looked for.
    progress, callbacks, registry
        As in `run`.
    parts
        Classes and functions of your own that the run was started with.

    Raises
    ------
    RunError
        There is no such run, or it has ended and nothing is left to do.
    """
    registry = registry_with(registry or discover(), parts)
    with teaming.joined() as (team, passing):
        if team.leads:
            directory, config, settings = recall(registry, run, runs, overrides, {})
            saved = latest(directory, required=False)
            team.share([config.as_dict(), settings])
        else:
            directory, saved = RunDirectory.at(passing), None
            given, settings = team.share(None)
            config = Config.from_dict(registry, given, origin="worker 0")
        saved = teaming.checkpoint(team, saved)
        task = compose(registry, config)
        shown = (progress, callbacks) if team.leads else (False, ())
        watchers = _watchers(registry, config, *shown)
        if team.leads:
            _insist_unfinished(directory, saved, task.options.epochs)
        directory.write_text("config.yaml", config.to_yaml())
        if saved is None:  # from the beginning, though an epoch may have been written down
            directory.cut_metrics(0)
        result, nets = train(registry, task, config, directory, settings, watchers, saved, team)
    return Run(directory, config, result, task, nets, registry, team.leads)


def _insist_unfinished(directory: RunDirectory, saved: Any, epochs: int) -> None:
    """Refuse to resume a run in which nothing is left to do."""
    result = directory.read_json("result.json") or {}
    ended = saved is not None and result.get("status") == "done"
    if saved and ended and saved.meta["reason"]:
        raise RunError(
            f"the run {directory.path} has ended by itself ({saved.meta['reason']})",
            "Start another with dope run to train differently.",
        )
    if saved and ended and saved.meta["epoch"] >= epochs:
        raise RunError(
            f"the run {directory.path} has ended",
            f"For more epochs add trainer.epochs={2 * epochs}.",
        )


def load(
    run: Place,
    *,
    overrides: Sequence[str] = (),
    runs: Place = DEFAULT_ROOT,
    best: bool = False,
    parts: Sequence[Part] = (),
    registry: Optional[Registry] = None,
    **sections: Any,
) -> Run:
    """A run of earlier with its trained networks; nothing is trained and nothing is written.

    Parameters
    ----------
    run, runs, parts
        As in `resume`.
    overrides, sections
        Changes of its configuration, another data set for example.
    best
        Take the checkpoint of the best epoch in place of the last.
    registry
        As in `run`.

    Examples
    --------
    >>> import dope
    >>> from dope.core.backend import nd
    >>> made = dope.run("vision.softmax", profile="tiny")
    >>> again = dope.load(made.path)
    >>> again.nets(nd.zeros((1, 1, 8, 8))).shape
    (1, 10)
    """
    registry = registry_with(registry or discover(), parts)
    directory, config, settings = recall(registry, run, runs, overrides, sections)
    task, engine = trained(registry, directory, config, settings, best)
    result = directory.read_json("result.json") or {}
    return Run(directory, config, result, task, engine.nets, registry)


def evaluate(
    run: Place,
    *,
    overrides: Sequence[str] = (),
    runs: Place = DEFAULT_ROOT,
    best: bool = False,
    parts: Sequence[Part] = (),
    registry: Optional[Registry] = None,
    **sections: Any,
) -> dict[str, float]:
    """Figures of merit of a trained run, on its own data or on another data set.

    The arguments are those of `load`.
    """
    registry = registry_with(registry or discover(), parts)
    directory, config, settings = recall(registry, run, runs, overrides, sections)
    task, engine = trained(registry, directory, config, settings, best)
    return task.evaluate(engine)


def predict(
    run: Place,
    *,
    words: Sequence[str] = (),
    overrides: Sequence[str] = (),
    runs: Place = DEFAULT_ROOT,
    best: bool = False,
    seed: Optional[int] = None,
    parts: Sequence[Part] = (),
    registry: Optional[Registry] = None,
    **options: Any,
) -> dict[str, Any]:
    """What a trained run predicts: of what the options say, its own data or another data set.

    Parameters
    ----------
    run, runs, overrides, best, parts, registry
        As in `load`.
    words
        Options and overrides as words of a command line.
    seed
        Of what is drawn at random; default the run's.
    options
        Those of the task's own ``predict`` (``dope show TASK`` lists them), and changes of the
        configuration by section, such as ``dataset={"path": "new.csv"}``.

    Returns
    -------
    dict
        ``rows`` (a list of mappings), and ``files`` that were written; the rest is the task's.

    Raises
    ------
    ConfigError
        The task's ``predict`` has no such option.
    """
    registry = registry_with(registry or discover(), parts)
    sections = {key: options.pop(key) for key in SECTIONS if key in options}
    directory, config, settings = recall(registry, run, runs, (), {})
    asked, others = from_words(registry, config.task, words)
    asked = checked(registry, config.task, {**asked, **options})
    overrides = [*overrides, *others]
    if overrides or sections:
        directory, config, settings = recall(registry, run, runs, overrides, sections)
    task, engine = trained(registry, directory, config, settings, best, seed)
    return dict(task.predict(engine.nets, directory, **asked))


def tasks(domain: Optional[str] = None, *, registry: Optional[Registry] = None) -> dict[str, str]:
    """Names of all tasks, or of one domain's, and what each does.

    Examples
    --------
    >>> import dope
    >>> list(dope.tasks("timeseries"))
    ['timeseries.issm', 'timeseries.lds']
    """
    return parts("task", domain, registry=registry)


def parts(
    kind: Optional[str] = None,
    domain: Optional[str] = None,
    *,
    registry: Optional[Registry] = None,
) -> dict[str, str]:
    """Names of registered parts, and what each is.

    Parameters
    ----------
    kind
        ``dataset``, ``model``, ``loss``, ``task`` or ``callback``; default all, and then the kind
        stands before the name.
    domain
        The first part of the names; default all.
    registry
        As in `run`.

    Examples
    --------
    >>> import dope
    >>> dope.parts("loss")["losses.l1"]
    'Absolute error'
    """
    entries = (registry or discover()).entries(kind, domain)
    return {e.name if kind else f"{e.kind} {e.name}": e.summary for e in entries}


def _watchers(
    registry: Registry, config: Config, progress: bool, given: Sequence[Callback]
) -> Callable[[], list[Callback]]:
    """Makes the callbacks of one training: a bar if asked, those given, and new ones by name."""
    from dope.core.terminal.progress import progress as shown

    named_callbacks(registry, config)  # what cannot be made is refused before anything is written
    return lambda: [*([shown()] if progress else []), *given, *named_callbacks(registry, config)]


def _check_contexts(text: str) -> None:
    """Refuse contexts that are not there before anything is read or written."""
    from dope.core import backend

    backend.contexts(text)
