"""Finding plugins: each is loaded on its own, guarded, and kept as broken when it fails.

Fills a ``Registry`` and judges plugin modules; what a name stands for is kept in ``registry.py``.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from threading import get_ident
from types import ModuleType
from typing import Any, NamedTuple, Optional

import pluggy

from dope.core.configuring import settings
from dope.core.errors import DopeError, PluginError, did_you_mean
from dope.core.hookspecs import Hooks
from dope.core.plugging.registry import VARIABLE, Entry, PluginInfo, Registry

__all__ = ["GROUP", "PluginInfo", "discover"]

GROUP = "dope.plugins"
HEAVY = ("numpy", "matplotlib")
DOORS = ("mxnet", "dope.core.backend")
KIND_OF_HOOK = {
    "register_datasets": "dataset",
    "register_models": "model",
    "register_losses": "loss",
    "register_tasks": "task",
    "register_callbacks": "callback",
}


class _Misfit(PluginError):
    """A plugin whose hooks are wrong; knows the line where the wrong one is written."""

    def __init__(self, message: str, hint: str, function: Any) -> None:
        super().__init__(message, hint)
        code = getattr(inspect.unwrap(function), "__code__", None)
        self.where = f"{code.co_filename}:{code.co_firstlineno}" if code else None


class _Guard:
    """An import hook that keeps MXNet out while plugins are loaded.

    MXNet takes its threads and engine from the environment once, when it is loaded: a plugin that
    loads it early would slow down every command and spoil every run, also those of others.
    """

    def __init__(self) -> None:
        self.thread = get_ident()  # another thread may import what it likes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name in DOORS and get_ident() == self.thread:
            return ModuleSpec(name, self)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        raise PluginError(
            f"it imports {spec.name} when it is loaded, and every command would wait for MXNet",
            "Import it in the modules of the registered parts only.",
        )

    def exec_module(self, module: ModuleType) -> None:
        """Never reached."""


class _Found(NamedTuple):
    point: metadata.EntryPoint
    distribution: str
    version: str


def discover(*, strict: bool = False, disabled: Iterable[str] = ()) -> Registry:
    """Load every installed plugin into a new registry.

    Parameters
    ----------
    strict
        Raise for the first broken plugin instead of keeping it as broken.
    disabled
        Names of plugins not to import; those in the environment variable
        ``DOPE_DISABLE_PLUGINS`` (comma-separated) and in the user's settings file are added.

    Returns
    -------
    Registry
        Its ``plugins`` tell what became of each, in order of name.

    Raises
    ------
    PluginError
        Only with ``strict``.
    ConfigError
        The settings file cannot be read.
    """
    registry = Registry()
    manager = pluggy.PluginManager("dope")
    manager.add_hookspecs(Hooks)
    off = _switched_off(disabled)
    first: dict[str, PluginInfo] = {}
    guard: Any = _Guard()
    sys.meta_path.insert(0, guard)
    try:
        for found in _scan():
            point = found.point
            info = PluginInfo(point.name, point.value, found.distribution, found.version)
            registry.plugins.append(info)
            owner = first.setdefault(info.name, info)
            if info.name in off:
                info.disabled_by = off[info.name]
            elif owner is not info:
                info.error = (
                    f"both {owner.owner} ({owner.module}) and {info.owner} ({info.module}) bring "
                    f"a plugin '{info.name}'; the first is used"
                )
            else:
                _load(point, info, manager, registry)
            if strict and info.error:
                place = f" at {info.where}" if info.where else ""
                raise PluginError(
                    f"plugin '{info.name}' of {info.owner} is broken: {info.error}{place}",
                    f"Mend it, uninstall it, or run: dope plugin disable {info.name}",
                )
    finally:
        sys.meta_path.remove(guard)
    for name in set(off) - set(first):
        near = did_you_mean(name, first)
        by = " and ".join(off[name])
        registry.warnings.append(f"{by}: there is no plugin '{name}' to disable. {near}".strip())
    registry.warnings.sort()
    return registry


def _switched_off(disabled: Iterable[str]) -> dict[str, list[str]]:
    """Names of plugins that are not to be loaded, and who says so."""
    variable = (name.strip() for name in os.environ.get(VARIABLE, "").split(","))
    file = settings.disabled_plugins()
    said = [("the caller", disabled), (VARIABLE, variable), (str(settings.path()), file)]
    off: dict[str, list[str]] = {}
    for by, names in said:
        for name in dict.fromkeys(filter(None, names)):
            off.setdefault(name, []).append(by)
    return off


def _scan() -> list[_Found]:
    """Entry points of the group by name; dope's own come first among equals, then by owner."""
    found, seen = [], set()
    for item in _entry_points():
        key = (item.point.name, item.point.value, item.distribution)
        if key not in seen:  # one distribution may be on the path twice
            seen.add(key)
            found.append(item)
    # A folder lists its distributions in no order: which of two is used must not hang on that.
    return sorted(
        found, key=lambda item: (item.point.name, item.distribution != "dope", item.distribution)
    )


def _entry_points() -> Iterator[_Found]:
    if sys.version_info >= (3, 10):
        for point in metadata.entry_points(group=GROUP):
            if point.dist is None:
                yield _Found(point, "", "")
            else:
                told = point.dist.metadata  # once: each asking parses the whole file
                yield _Found(point, told["Name"] or "", told["Version"] or "")
        return
    # Python 3.9 has no group= and forgets which distribution an entry point is from.
    names = set()
    for dist in metadata.distributions():
        points = [point for point in dist.entry_points if point.group == GROUP]
        name = dist.metadata["Name"] or "" if points else ""
        if points and name not in names:
            names.add(name)
            for point in points:
                yield _Found(point, name, dist.version or "")


def _load(
    point: metadata.EntryPoint, info: PluginInfo, manager: pluggy.PluginManager, registry: Registry
) -> None:
    """Import, validate and ask one plugin; on failure it leaves nothing but its reason."""
    before = {name for name in HEAVY if name in sys.modules}
    staged: list[Entry] = []
    plugin: Any = None
    try:
        plugin = point.load()
        _validate(plugin, info.name, manager)
        manager.register(plugin, name=info.name)
        _ask(info.name, manager, registry, staged)
        for entry in staged:
            registry.add(entry)
        info.entries = staged
    except (Exception, SystemExit) as error:
        info.error = _reason(error)
        info.where = getattr(error, "where", None) or _place(error, point.value.partition(":")[0])
        if manager.has_plugin(info.name):
            manager.unregister(name=info.name)
    info.heavy = [name for name in HEAVY if name in sys.modules and name not in before]


def _validate(plugin: Any, name: str, manager: pluggy.PluginManager) -> None:
    """Check the hooks of a plugin: known names, the one argument, the marker not forgotten."""
    hooks = 0
    for attribute in dir(plugin):
        if attribute.startswith("__"):
            continue
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            if attribute in KIND_OF_HOOK:
                function = getattr(plugin, attribute)
                raise _Misfit(f"{attribute} is not marked @hookimpl", "Add the marker", function)
            continue
        function = getattr(plugin, attribute)
        hooks += 1
        hook = options.get("specname") or attribute
        if hook not in KIND_OF_HOOK:
            hint = did_you_mean(hook, KIND_OF_HOOK) or f"Hooks are {', '.join(KIND_OF_HOOK)}."
            raise _Misfit(f"'{hook}' is not a hook of dope", hint, function)
        taken = list(inspect.signature(function).parameters)
        if taken != ["register"]:
            raise _Misfit(
                f"{attribute}({', '.join(taken)}) takes the wrong arguments",
                f"Write: def {attribute}(register)",
                function,
            )
    if not hooks:
        what = "module" if isinstance(plugin, ModuleType) else "object"
        raise PluginError(
            f"the {what} of plugin '{name}' has no hook", "Mark its register_… with @hookimpl."
        )


def _ask(name: str, manager: pluggy.PluginManager, registry: Registry, staged: list[Entry]) -> None:
    """Call the hooks of one plugin; collect what it registers in ``staged``."""
    others = [plugin for other, plugin in manager.list_name_plugin() if other != name]
    own = Registry()
    for hook, kind in KIND_OF_HOOK.items():

        def register(part: str, target: str, *, summary: str = "", _kind: str = kind) -> None:
            entry = Entry(_kind, part, target, summary, name)
            own.add(entry)  # twice by this plugin
            registry.check(entry)  # taken by another
            staged.append(entry)

        manager.subset_hook_caller(hook, others)(register=register)


def _reason(error: BaseException) -> str:
    """One line that says what was raised."""
    if isinstance(error, DopeError):
        return str(error).rstrip(".")
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg}"
    if isinstance(error, SystemExit):
        return f"it ended Python when it was imported (exit status {error.code!r})"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException, module: str) -> Optional[str]:
    """``file:line`` of the failure: the last frame inside the plugin, else the last of all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    package = module.rpartition(".")[0] or module
    frames = [
        (frame.f_globals.get("__name__") or "", frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    inside = [f for f in frames if f[0] == module or f[0].startswith(package + ".")]
    library = (str(Path(metadata.__file__).parent), "<frozen", __file__)
    rest = [f for f in frames if not f[1].startswith(library)]
    for _, path, line in (inside or rest)[-1:]:
        return f"{path}:{line}"
    return None
