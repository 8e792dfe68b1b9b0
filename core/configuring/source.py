"""Reading Python source without running it: where a name is defined, its bases, its literals.

Knows syntax trees only; what they mean as options is the subject of ``signature.py``.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from dope.core.errors import DopeError, PluginError


class NotStaticError(Exception):
    """The source does not say it plainly: import and look."""


@dataclass(frozen=True)
class Module:
    name: str
    package: str
    tree: ast.Module

    def names(self) -> Iterator[ast.stmt]:
        """Top-level statements, those under ``if`` and ``try`` included; the last come first."""
        waiting: list[ast.stmt] = list(self.tree.body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, (ast.If, ast.Try)):
                handlers = [s for h in getattr(node, "handlers", []) for s in h.body]
                waiting += [*handlers, *node.orelse, *node.body]
            else:
                yield node


@functools.lru_cache(maxsize=64)
def _parse(source: str, module: str) -> ast.Module:
    collects = gc.isenabled()
    gc.disable()  # a tree is thousands of objects, none of which is garbage: a third of the time
    try:
        return ast.parse(source, filename=module)
    finally:
        if collects:
            gc.enable()


def glance(target: str, name: str) -> Optional[ast.expr]:
    """What a class assigns to a name before its first method, by parsing these lines alone.

    None where that is not certain: parsing a whole module takes ten times as long, and is right
    in any case.
    """
    module, _, attribute = target.partition(":")
    with contextlib.suppress(Exception):
        spec = importlib.util.find_spec(module)
        source = spec.loader.get_source(module)  # type: ignore[union-attr]
        (begin,) = re.finditer(rf"^class {re.escape(attribute)}\b", source, re.M)
        end = re.compile(r"^\S", re.M).search(source, begin.end())
        whole = source[begin.start() : end.start() if end else None]
        if len(re.findall(rf"^    +{name}\b.*=", whole, re.M)) == 1:
            before = re.split(r"^    (?=def |async |@)", whole, maxsplit=1, flags=re.M)[0]
            (node,) = ast.parse(before).body
            found = [assigned(each, name) for each in getattr(node, "body", ())]
            return next((value for value in found if value is not None), None)
    return None


def read_module(name: str, target: str) -> Module:
    try:
        spec = importlib.util.find_spec(name)
    except DopeError:
        raise
    except ValueError:  # __main__ and the like have no spec
        raise NotStaticError from None
    except Exception as error:
        raise PluginError(
            f"{target}: module '{name}' is not found ({type(error).__name__}: {error})",
            "Mend the import string or the package.",
        ) from error
    if spec is None:
        raise PluginError(f"{target}: there is no module '{name}'", "Mend the import string.")
    try:
        source = spec.loader.get_source(name)  # type: ignore[union-attr]
    except (AttributeError, ImportError):
        source = None
    if source is None:
        raise NotStaticError
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    try:
        return Module(name, package, _parse(source, name))
    except SyntaxError as error:
        raise PluginError(
            f"{target}: {spec.origin}:{error.lineno}: SyntaxError: {error.msg}", "Mend the file."
        ) from error


def find(target: str) -> tuple[Module, Any]:
    """The module and the class or function definition that a target names."""
    name, _, attribute = target.partition(":")
    module, node = lookup(read_module(name, target), attribute)
    if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        raise NotStaticError
    return module, node


def lookup(module: Module, name: str, depth: int = 0) -> tuple[Module, Any]:
    """Definition or assigned expression of a name in a module, through ``from … import``."""
    for node in module.names():
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.name == name:
                return module, node
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _follow(module, _origin(module, node), alias.name, depth)
        else:
            value = assigned(node, name)
            if value is not None:
                return module, value
    return module, None


def assigned(node: ast.stmt, name: str) -> Optional[ast.expr]:
    if isinstance(node, ast.Assign):
        names = [t.id for t in node.targets if isinstance(t, ast.Name)]
        return node.value if name in names else None
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.value if node.target.id == name else None
    return None


def lineage(module: Module, node: Any) -> list[tuple[Module, ast.ClassDef]]:
    """The class and those of its bases whose source can be found, in the order Python asks them."""
    if not isinstance(node, ast.ClassDef):
        return []
    found = [(module, node)]
    for base in node.bases:
        if isinstance(base, ast.Subscript):  # Generic[T], Base[int]
            base = base.value
        if isinstance(base, ast.Name):
            place, parent = lookup(module, base.id)
            if parent is node:
                continue
        elif isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):
            place, parent = _through_import(module, base.value.id, base.attr)
        else:
            continue
        for item in lineage(place, parent):
            found = [old for old in found if old[1] is not item[1]] + [item]
    return found


def _through_import(module: Module, name: str, attribute: str) -> tuple[Module, Any]:
    """``name.attribute`` where ``name`` is an imported module."""
    for node in module.names():
        for alias in node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else []:
            if (alias.asname or alias.name) == name:
                package = _origin(module, node) if isinstance(node, ast.ImportFrom) else ""
                return _follow(module, f"{package}.{alias.name}".lstrip("."), attribute, 0)
    return module, None


def _origin(module: Module, node: ast.ImportFrom) -> str:
    """Full name of the module that a ``from … import`` names; empty when it has none."""
    try:
        return importlib.util.resolve_name("." * node.level + (node.module or ""), module.package)
    except ImportError:
        return ""


def _follow(module: Module, name: str, attribute: str, depth: int) -> tuple[Module, Any]:
    # Finding a module imports its parent packages: no further than dope's and the plugin's own,
    # for ``from mxnet.gluon import Block`` would import mxnet.
    near = name.partition(".")[0] in ("dope", module.name.partition(".")[0])
    if near and depth < 16:
        with contextlib.suppress(PluginError, NotStaticError):
            return lookup(read_module(name, name), attribute, depth + 1)
    return module, None


def literal(module: Module, node: ast.expr) -> Any:
    """Value of a literal expression, in which names of literal constants may stand."""
    if isinstance(node, ast.Name):
        place, value = lookup(module, node.id)
        if not isinstance(value, ast.expr):
            raise NotStaticError
        return literal(place, value)
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [literal(module, item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Dict):
        made: dict[Any, Any] = {}
        for key, item in zip(node.keys, node.values):
            value = literal(module, item)
            made.update(value if key is None else {literal(module, key): value})
        return made
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        raise NotStaticError from None
