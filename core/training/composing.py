"""Parts put together: the task of a configuration with its data set, model, loss and callbacks.

Holds no run and no files; which parts there are is the registry's matter.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Optional

from dope.core.configuring.config import Config
from dope.core.errors import ConfigError, DopeError, PluginError
from dope.core.plugging.registry import KINDS, Entry, Registry

if TYPE_CHECKING:
    from dope.core.callbacks import Callback
    from dope.core.distributing.team import Alone
    from dope.core.engine import Engine
    from dope.core.task import Task


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
    task.parts = {section: config.part(section) or "" for section in config.sections}
    task.swapped = [
        section
        for section, key in ((each, f"{each}.name") for each in ("dataset", "model", "loss"))
        if config.origins.get(key, "").startswith(("command line", "Python call", "file "))
    ]

    from dope.core.configuring.options import TrainerOptions

    task.options = TrainerOptions(**config.options("trainer"))
    return task


def callbacks(registry: Registry, config: Config) -> list[Callback]:
    """The callbacks that a configuration names, with their options.

    Raises
    ------
    PluginError
        One cannot be loaded or made, or is no `Callback`.
    """
    from dope.core.callbacks import Callback

    made = []
    for given in config.options("trainer")["callbacks"]:
        options = {key: value for key, value in given.items() if key != "name"}
        try:
            callback = registry.get("callback", given["name"]).load()(**options)
        except DopeError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise PluginError(
                f"callback {given['name']} cannot be made ({reason})", "Mend the plugin."
            ) from error
        if not isinstance(callback, Callback):
            raise PluginError(
                f"callback {given['name']} is a {type(callback).__name__}, not a dope.Callback",
                "Let its class inherit from dope.Callback.",
            )
        callback.registered_name = given["name"]
        made.append(callback)
    return made


def engine(task: Task, settings: Mapping[str, Any], team: Optional[Alone] = None) -> Engine:
    """The networks of a task, its data read, on their contexts.

    Parameters
    ----------
    task
        As `compose` made it.
    settings
        ``contexts``, ``seed`` and ``hybridize`` of the run, and of a fold ``fold``: its number,
        the number of folds, and the seed that they are drawn with.
    team
        The workers that train together; default none but this one.

    Raises
    ------
    ConfigError
        Data set, model and task do not fit each other.
    """
    from dope.core import backend
    from dope.core.distributing.team import ALONE
    from dope.core.engine import Engine
    from dope.core.folds import fold
    from dope.core.training.misfits import meeting

    backend.use_threads(task.threads)
    backend.seed(settings["seed"])
    if settings.get("fold"):
        task.dataset = fold(task.dataset, *settings["fold"])
    with meeting(task, "task", "dataset"):
        task.prepare()
    with meeting(task, "model", "dataset"):
        nets = task.build()
    return Engine(
        nets,
        task.groups(nets),
        backend.contexts(settings["contexts"]),
        batch_axis=task.batch_axis,
        hybridize=settings["hybridize"],
        accumulate=task.options.accumulate,
        team=team or ALONE,
    )


class OwnParts(Registry):
    """A registry, and classes or functions from Python that no plugin registers.

    They go by their import strings, ``module:Name``, which is how ``config.yaml`` names them. A
    name of this form is known only where its class was given: reading a ``config.yaml`` imports
    nothing but what plugins registered.

    Parameters
    ----------
    registry
        What plugins registered.
    things
        The classes or functions.
    """

    def __init__(self, registry: Registry, things: Iterable[Any]) -> None:
        super().__init__()
        vars(self).update(vars(registry))
        self._own = {import_string(thing): thing for thing in things}

    def has(self, name: str) -> bool:
        """Whether a class or function of this import string was given."""
        return name in self._own

    def get(self, kind: str, name: str) -> Entry:
        """The entry of this kind and name; see `Registry.get`."""
        if kind in KINDS and name in self._own:
            about = (inspect.getdoc(self._own[name]) or name).partition("\n")[0]
            return Entry(kind=kind, name=name, target=name, summary=about, plugin="")
        return super().get(kind, name)


def import_string(thing: Any) -> str:
    """``module:Name`` of a class or function.

    Raises
    ------
    ConfigError
        It is not found there, and so could not be found again.
    """
    module = getattr(thing, "__module__", None) or ""
    name = getattr(thing, "__qualname__", "")
    if getattr(sys.modules.get(module), name, None) is not thing or not callable(thing):
        raise ConfigError(
            f"{name or thing!r} is not a class or function at the top of a module",
            "Define it there, or in a cell of a notebook, not inside a function.",
        )
    return f"{module}:{name}"


def named(sections: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Sections with import strings in place of classes and functions; and these."""
    found: dict[str, Any] = {}
    things: list[Any] = []

    def text(value: Any) -> Any:
        if isinstance(value, str) or not callable(value):
            return value
        things.append(value)
        return import_string(value)

    for section, content in sections.items():
        if isinstance(content, Mapping) and "name" in content:
            found[section] = {**content, "name": text(content["name"])}
        else:
            found[section] = text(content)
    return found, things


def registry_with(registry: Registry, things: Optional[Iterable[Any]]) -> Registry:
    """The registry, and these classes and functions if there are any."""
    given = list(things or ())
    return OwnParts(registry, given) if given else registry
