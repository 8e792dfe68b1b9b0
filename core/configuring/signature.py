"""The options of a class or function, read from its source text: nothing heavy is imported.

Keyword-only arguments are options; positional arguments are filled in by dope. Values and their
checking are the subject of ``values.py``.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import re
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from dope.core.configuring.annotations import UnsupportedAnnotation, annotation_from
from dope.core.configuring.source import (
    Module,
    NotStaticError,
    assigned,
    find,
    glance,
    lineage,
    literal,
    lookup,
)
from dope.core.errors import DopeError, PluginError

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()


@dataclass(frozen=True)
class Option:
    """One keyword-only argument: its name, type, default (or ``REQUIRED``) and meaning."""

    name: str
    annotation: Any
    default: Any
    description: str = ""


@dataclass(frozen=True)
class Signature:
    """What a part can be told: the first paragraph of its docstring, and its options by name."""

    target: str
    doc_summary: str = ""
    options: dict[str, Option] = field(default_factory=dict)


def signature(target: str, method: str = "__init__") -> Signature:
    """Options of a registered class or function, without importing its module.

    Parameters
    ----------
    target
        ``package.module:Name``. The parent packages are imported, the module is not, unless its
        source does not say all (an extension module, a computed default): then it is.
    method
        Of a class, the method whose options are meant; the constructor's are the class's own.

    Raises
    ------
    PluginError
        There is no such module or name, or an option has no annotation or one that no option
        may have (the error says which).
    """
    try:
        return _static(target, method)
    except NotStaticError:
        return _imported(target, method)


def class_attribute(target: str, name: str, default: Any = None) -> Any:
    """Literal value of an attribute of a class, its own or inherited, read from the source.

    Raises
    ------
    PluginError
        There is no such module or class.
    """
    value = glance(target, name)
    if value is not None:
        with contextlib.suppress(ValueError, TypeError):  # it names what stands elsewhere
            return ast.literal_eval(value)
    try:
        module, node = find(target)
        value = _own(node, name)
        if value is not None:  # bases need not be read
            return literal(module, value)
        for place, item in lineage(module, node):
            value = _own(item, name)
            if value is not None:
                return literal(place, value)
    except NotStaticError:
        return getattr(load(target), name, default)
    return default


def _own(node: Any, name: str) -> Optional[ast.expr]:
    """What a class itself assigns to a name, last."""
    for statement in reversed(getattr(node, "body", [])):
        value = assigned(statement, name)
        if value is not None:
            return value
    return None


def _static(target: str, method: str = "__init__") -> Signature:
    module, node = find(target)
    layers: list[tuple[Module, Optional[Function], list[str]]] = []
    summary = _summary(ast.get_docstring(node))
    if isinstance(node, ast.ClassDef):
        constructor = method == "__init__"
        for place, item in lineage(module, node):
            named = next((f for f in item.body if getattr(f, "name", "") == method), None)
            own = named if isinstance(named, (ast.FunctionDef, ast.AsyncFunctionDef)) else None
            docs = [(own and ast.get_docstring(own)) or ""]
            layers.append((place, own, docs))
            if constructor:
                docs.insert(0, ast.get_docstring(item) or "")
        if not constructor:
            summary = next((_summary(docs[0]) for _, own, docs in layers if own), "")
    else:
        layers.append((module, node, [ast.get_docstring(node) or ""]))
    meanings: dict[str, str] = {}
    for text in reversed([doc for _, _, docs in layers for doc in docs]):
        meanings.update(_parameters(text))
    options: dict[str, Option] = {}
    fixed: set[str] = set()
    for place, function, _ in layers:
        if function is None:
            continue
        for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults):
            name = argument.arg
            if name not in options and name not in fixed:
                annotation = _annotation(target, place, name, argument.annotation)
                value = REQUIRED if default is None else literal(place, default)
                options[name] = Option(name, annotation, value, meanings.get(name, ""))
        if function.args.kwarg is None:
            break
        fixed |= _passed_up(function)
    return Signature(target, summary, options)


def _passed_up(function: Function) -> set[str]:
    """Options that a constructor sets itself: ``super().__init__(seasonal=True, **options)``."""
    return {
        keyword.arg
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "__init__"
        for keyword in call.keywords
        if keyword.arg
    }


def _annotation(target: str, module: Module, name: str, node: Optional[ast.expr]) -> Any:
    def alias(word: str) -> Optional[ast.expr]:
        value = lookup(module, word)[1]
        return value if isinstance(value, ast.expr) else None

    if node is None:
        raise PluginError(f"{target}: option '{name}' has no type annotation", "Annotate it.")
    try:
        return annotation_from(node, alias)
    except (UnsupportedAnnotation, SyntaxError, ValueError, TypeError, RecursionError) as error:
        raise PluginError(
            f"{target}: option '{name}' has annotation {ast.unparse(node)}, which no option may "
            "have",
            "Use int, float, str, bool, Path, Any, Literal, or an Optional, Union, list, tuple or "
            "dict of these.",
        ) from error


def _summary(doc: Optional[str]) -> str:
    return " ".join(re.split(r"\n\s*\n", (doc or "").strip())[0].split())


def _parameters(doc: str) -> dict[str, str]:
    """Descriptions in the Parameters sections of a numpydoc docstring, by parameter name."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    inside = False
    lines = [*doc.splitlines(), ""]
    for line, after in zip(lines, lines[1:]):
        if re.fullmatch(r"\s*-{3,}\s*", after):
            inside, names = line.strip() in ("Parameters", "Other Parameters"), []
        elif inside and line.strip() and not line[0].isspace() and not line.startswith("---"):
            names = [n.strip(" *`") for n in line.partition(":")[0].split(",")]
            found.update({name: [] for name in names})
        elif inside and names:
            for name in names:
                found[name].append(line.strip())
    return {name: " ".join(" ".join(text).split()) for name, text in found.items()}


def load(target: str) -> Any:
    """The class or function that an import string ``module:name`` names.

    Raises
    ------
    PluginError
        It cannot be imported.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except DopeError:
        raise
    except Exception as error:
        raise PluginError(
            f"{target} cannot be imported ({type(error).__name__}: {error})", "Mend the plugin."
        ) from error


def _imported(target: str, method: str = "__init__") -> Signature:
    """The same by importing the module and asking Python."""
    thing = load(target)
    if isinstance(thing, type):
        functions = [vars(c)[method] for c in thing.__mro__[:-1] if method in vars(c)]
        if method == "__init__":
            docs = [x.__doc__ for c in thing.__mro__[:-1] for x in (c, vars(c).get(method, c))]
        else:
            docs = [function.__doc__ for function in functions]
    else:
        functions, docs = [thing], [thing.__doc__]
    meanings: dict[str, str] = {}
    for doc in reversed(docs):
        meanings.update(_parameters(inspect.cleandoc(doc or "")))
    options: dict[str, Option] = {}
    for function in functions:
        parameters = inspect.signature(function).parameters.values()
        for p in parameters:
            if p.kind is p.KEYWORD_ONLY and p.name not in options:
                note = p.annotation
                text = note.__name__ if type(note) is type else str(note).strip("'\"")
                node = None if note is p.empty else ast.parse(text, mode="eval").body
                place = Module(thing.__module__, "", ast.Module([], []))
                default = REQUIRED if p.default is p.empty else p.default
                annotation = _annotation(target, place, p.name, node)
                options[p.name] = Option(p.name, annotation, default, meanings.get(p.name, ""))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return Signature(target, _summary(inspect.cleandoc(docs[0] or "") if docs else ""), options)
