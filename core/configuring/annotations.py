"""The types an option may have: read from syntax trees without evaluation, and put in words.

Knows types only; parsing and checking values of these types is the subject of ``values.py``.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, Union

Lookup = Callable[[str], Optional[ast.expr]]

NON_FINITE = "allow_inf_nan"  # Annotated[float, NON_FINITE] admits nan and the infinities
_PLAIN: dict[str, Any] = {
    **{"int": int, "float": float, "str": str, "bool": bool, "Path": Path},
    **{"None": type(None), "NoneType": type(None), "Any": Any},
}
_GENERIC: dict[str, Any] = {
    **{"List": typing.List, "list": typing.List, "Tuple": typing.Tuple, "tuple": typing.Tuple},
    **{"Dict": typing.Dict, "dict": typing.Dict, "Optional": Optional, "Union": Union},
    "Literal": typing.Literal,
}
_BARE = {"list": typing.List[Any], "tuple": typing.Tuple[Any, ...], "dict": typing.Dict[str, Any]}
_WORDS = {
    int: "int (a whole number)",
    float: "float (a number)",
    str: "str (text)",
    bool: "bool (true or false)",
    Path: "path",
    Any: "anything",
    type(None): "null",
}


class UnsupportedAnnotation(ValueError):
    """An annotation that no option may have."""


def annotation_from(node: ast.expr, lookup: Lookup = lambda name: None) -> Any:
    """The typing object that an annotation's syntax tree stands for, without evaluating it.

    Parameters
    ----------
    node
        The annotation.
    lookup
        Gives the right-hand side of a module-level alias (``Kind = Literal["a", "b"]``).

    Raises
    ------
    UnsupportedAnnotation
        It is none of int, float, str, bool, None, Any, Path, Literal, Annotated, nor an
        Optional, Union, list, tuple or dict of these.
    """
    if isinstance(node, ast.Constant):
        if node.value is None:
            return type(None)
        if isinstance(node.value, str):
            return annotation_from(ast.parse(node.value, mode="eval").body, lookup)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _GENERIC["Union"][
            annotation_from(node.left, lookup), annotation_from(node.right, lookup)
        ]
    if isinstance(node, (ast.Name, ast.Attribute)):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name in _PLAIN:
            return _PLAIN[name]
        if name.lower() in _BARE:
            return _BARE[name.lower()]
        alias = lookup(name)
        if alias is not None:
            return annotation_from(alias, lookup)
    if isinstance(node, ast.Subscript) and isinstance(node.value, (ast.Name, ast.Attribute)):
        name = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
        if name == "Literal":
            return _GENERIC["Literal"][ast.literal_eval(node.slice)]
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Annotated":
            found = annotation_from(inner[0], lookup)
            marked = any(isinstance(i, ast.Constant) and i.value == NON_FINITE for i in inner)
            return typing.Annotated[found, NON_FINITE] if marked else found
        if name in _GENERIC:
            items = [
                ...
                if isinstance(i, ast.Constant) and i.value is ...
                else annotation_from(i, lookup)
                for i in inner
            ]
            return _GENERIC[name][tuple(items) if len(items) > 1 else items[0]]
    raise UnsupportedAnnotation(ast.unparse(node))


def type_text(annotation: Any, *, brief: bool = True) -> str:
    """The type in words: ``int or null`` in brief, else ``int (a whole number) or null``."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_text(inner[0], brief=brief)
    if origin is Union:
        ordered = sorted(inner, key=lambda arm: arm is type(None))
        return " or ".join(type_text(arm, brief=brief) for arm in ordered)
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(choice) for choice in inner)
    if origin is list:
        return "list of " + type_text(inner[0])
    if origin is tuple:
        return "list of " + ", ".join("…" if arm is ... else type_text(arm) for arm in inner)
    if origin is dict:
        return f"mapping of {type_text(inner[0])} to {type_text(inner[1])}"
    words = _WORDS.get(annotation, str(annotation))
    return words.partition(" (")[0] if brief else words
