"""What is wrong with plugins, seen without importing what they register; switching them off.

Loading them is the subject of ``discovery.py``; whether their parts work, of the contract suite.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

from dope.core.configuring import settings
from dope.core.errors import ConfigError, PluginError, did_you_mean
from dope.core.plugging.registry import VARIABLE, Fault, PluginInfo, Registry


def examine(registry: Registry) -> None:
    """Look for the code behind each registered name; what is not there becomes a fault.

    Nothing is imported: modules are searched for, and their source is read.
    """
    _bound.cache_clear()  # files may have changed since
    for info in registry.plugins:
        for entry in info.entries:
            found = fault(entry.target)
            if found is not None:
                reason = f"{entry.kind} '{entry.name}': {found.reason}"
                info.faults.append(Fault(reason, found.where))


def insist(plugins: Iterable[PluginInfo]) -> None:
    """Refuse plugins that are broken or slow.

    Raises
    ------
    PluginError
        At least one is; the first is told in full, the others by name.
    """
    ill = [info for info in plugins if info.status in ("broken", "slow")]
    if ill:
        first = ill[0]
        others = ", ".join(f"'{info.name}'" for info in ill[1:])
        raise PluginError(
            f"plugin '{first.name}' of {first.owner} is {state(first)}"
            + (f"; so are others: {others}" if others else ""),
            f"Mend it, uninstall it, or run: dope plugin disable {first.name}",
        )


def state(info: PluginInfo) -> str:
    """The load state of a plugin, with reason and place."""
    if info.error:
        return "broken: " + _at(info.error, info.where)
    if info.faults:
        return "broken: " + "; ".join(_at(*found) for found in info.faults)
    if info.disabled:
        return f"disabled by {' and '.join(info.disabled_by)}"
    if info.heavy:
        return f"slow: loading it imports {', '.join(info.heavy)}, for which every command waits"
    return "ok"


def counted(info: PluginInfo) -> str:
    """How many parts of each kind it registers: ``2 datasets, 1 task``."""
    plural = {"loss": "losses"}
    parts = [
        f"{n} {kind if n == 1 else plural.get(kind, f'{kind}s')}" for kind, n in info.counts.items()
    ]
    return ", ".join(parts) or "nothing"


def facts(info: PluginInfo) -> dict[str, Any]:
    """All that is known of a plugin, for programs."""
    keys = ("name", "module", "distribution", "version", "status", "counts", "error", "where")
    return {
        **{key: getattr(info, key) for key in keys},
        "state": state(info),
        "disabled_by": info.disabled_by,
        "faults": [found._asdict() for found in info.faults],
        "heavy": info.heavy,
        "parts": [{"kind": e.kind, "name": e.name, "target": e.target} for e in info.entries],
    }


def _at(reason: str, where: Optional[str]) -> str:
    return f"{reason} ({where})" if where else reason


def chosen(registry: Registry, names: Iterable[str]) -> list[PluginInfo]:
    """The plugins of these names; all where there is none.

    Raises
    ------
    ConfigError
        A name is that of no plugin; near names are given.
    """
    names = list(names)
    known = list(dict.fromkeys(info.name for info in registry.plugins))
    for name in names:
        if name not in known:
            hint = f"{did_you_mean(name, known)} Plugins are {', '.join(known) or 'none'}."
            raise ConfigError(f"there is no plugin '{name}'", hint.strip())
    return [info for info in registry.plugins if not names or info.name in names]


def disable(registry: Registry, names: Sequence[str]) -> list[str]:
    """Switch plugins off in the settings file, for good; what to tell the user, line by line.

    Raises
    ------
    ConfigError
        A name is that of no plugin, or the file cannot be changed.
    """
    chosen(registry, names)
    off = settings.disabled_plugins()
    new = [name for name in dict.fromkeys(names) if name not in off]
    told = [f"{name} was disabled already" for name in dict.fromkeys(names) if name in off]
    if new:
        file = settings.set_disabled_plugins([*off, *new])
        told += [f"{name} is disabled (in {file})" for name in new]
    return told


def enable(registry: Registry, names: Sequence[str]) -> list[str]:
    """Take plugins out of the settings file; what to tell the user, line by line.

    Raises
    ------
    ConfigError
        A name is neither in the file nor that of a plugin, or the file cannot be changed.
    """
    off = settings.disabled_plugins()
    chosen(registry, [name for name in names if name not in off])
    told = [f"{name} was not disabled" for name in dict.fromkeys(names) if name not in off]
    back = [name for name in dict.fromkeys(names) if name in off]
    if back:
        settings.set_disabled_plugins([name for name in off if name not in back])
        told += [f"{name} is enabled" for name in back]
    switched = {info.name for info in registry.plugins if VARIABLE in info.disabled_by}
    told += [
        f"{name} stays disabled as long as {VARIABLE} names it"
        for name in dict.fromkeys(names)
        if name in switched
    ]
    return told


def fault(target: str) -> Optional[Fault]:
    """Why ``package.module:Name`` cannot be imported, as far as files tell; None where it may be.

    A module in compiled form, one with ``__getattr__`` or one that fills its own ``globals()``
    gets the benefit of the doubt.
    """
    module, _, name = target.partition(":")
    try:
        return _fault(module, name, 0)
    except SyntaxError as error:
        return Fault(f"SyntaxError: {error.msg}", f"{error.filename}:{error.lineno}")
    except Exception:  # a finder or loader of somebody's own: importing will tell
        return None


class _Names(NamedTuple):
    """What a module binds at its top level, as its source says."""

    names: frozenset[str]
    imported: dict[str, ast.ImportFrom]  # bound by this statement alone
    dynamic: bool
    file: str


def _fault(module: str, name: str, depth: int) -> Optional[Fault]:
    spec = _spec(module)
    if spec is None:
        return Fault(f"there is no module '{module}'", None)
    found = _bound(module)
    if found is None or found.dynamic:
        return None
    if name not in found.names:
        if _spec(f"{module}.{name}") is not None:
            return None
        near = did_you_mean(name, found.names)
        reason = f"module '{module}' has no '{name}'"
        return Fault(f"{reason}. {near}" if near else reason, found.file)
    node = found.imported.get(name)
    if node is None or depth > 8:
        return None
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    real = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
    if origin.partition(".")[0] != module.partition(".")[0]:
        return None  # another distribution's affair
    return _fault(origin, real, depth + 1)


def _spec(name: str) -> Any:
    """Where a module would be imported from; unlike importlib's, imports no parent package."""
    path: Any = None
    spec: Any = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        full = ".".join(parts[:count])
        if full in sys.modules:
            spec = sys.modules[full].__spec__
            if spec is None:  # __main__, or a module made by hand
                raise LookupError(full)
            path = getattr(sys.modules[full], "__path__", None)
        else:
            finders = (each for each in sys.meta_path if hasattr(each, "find_spec"))
            specs = (each.find_spec(full, path) for each in finders)
            spec = next((each for each in specs if each is not None), None)
            path = spec.submodule_search_locations if spec else None
        if spec is None or (path is None and count < len(parts)):
            return None
    return spec


@functools.cache
def _bound(module: str) -> Optional[_Names]:
    """Names that a module binds; None where it has no source."""
    spec = _spec(module)
    source = spec.loader.get_source(module) if hasattr(spec.loader, "get_source") else None
    if source is None:
        return None
    tree = ast.parse(source, filename=spec.origin or module)
    names: list[str] = []
    imported: dict[str, ast.ImportFrom] = {}
    dynamic = "globals()" in source or "sys.modules[" in source
    for node in _statements(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                names.append(name)
                if isinstance(node, ast.ImportFrom):
                    imported[name] = node
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.Global):
            names += node.names
    single = {name: node for name, node in imported.items() if names.count(name) == 1}
    dynamic = dynamic or "*" in names or "__getattr__" in names
    return _Names(frozenset(names), single, dynamic, spec.origin or module)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported, and ``global`` wherever it stands."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += [inner for inner in ast.walk(node) if isinstance(inner, ast.Global)]
        else:
            waiting += ast.iter_child_nodes(node)
