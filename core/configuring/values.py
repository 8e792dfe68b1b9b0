"""The value of an option: text and YAML to values, strict checks, and back to YAML.

Knows one value at a time; where values come from and which wins is the subject of ``config.py``.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import typing
from pathlib import Path, PurePath
from typing import Any, Union

from dope.core.configuring.annotations import NON_FINITE, type_text
from dope.core.errors import ConfigError

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"""[-+]?(?:[0-9][0-9_]*\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$
    |[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$""",
    re.VERBOSE,
)


class Mismatch(ValueError):
    """A value that is not of its option's type."""


def check(value: Any, annotation: Any) -> Any:
    """The value as the annotated type, strictly: no text for numbers, no bool for int.

    An int passes for a float, a list for a tuple, text for a path. nan and the infinities are
    refused where the annotation does not say ``Annotated[float, "allow_inf_nan"]``.

    Raises
    ------
    Mismatch
        The value is of another type.
    """
    import pydantic

    try:
        # Through JSON, whose strict mode takes a list for a tuple and text for a path.
        return _adapter(annotation).validate_json(json.dumps(value, default=_json))
    except (pydantic.ValidationError, TypeError, ValueError, RecursionError):
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
        if isinstance(value, float) and not math.isfinite(value):
            shown += ", which is not finite"
        wanted = type_text(annotation, brief=False)
        raise Mismatch(f"expected {wanted}, got {shown}") from None


@functools.cache
def _adapter(annotation: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    allowed = NON_FINITE in repr(annotation)
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=allowed))


def json_schema(annotation: Any) -> dict[str, Any]:
    """JSON schema of the annotated type."""
    schema: dict[str, Any] = _adapter(annotation).json_schema()
    return schema


def _json(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # a NumPy number or array, which Python callers have at hand
        return value.tolist()
    raise TypeError(type(value).__name__)


def plain(value: Any) -> Any:
    """The value as YAML and JSON know it: tuples as lists, paths as text; a copy."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, PurePath) else value


def from_text(text: str, annotation: Any) -> Any:
    """The value that a command-line text means for an option of this type.

    ``null`` and ``none`` mean None where the option may be None; text stays as it is written;
    ``50,80,95`` is a list where a list is wanted, and a single value a list of one.

    Raises
    ------
    Mismatch
        No reading of the text is of the type.
    """
    arms = [
        typing.get_args(arm)[0] if typing.get_origin(arm) is typing.Annotated else arm
        for arm in (
            typing.get_args(annotation) if typing.get_origin(annotation) is Union else (annotation,)
        )
    ]
    if type(None) in arms and text.strip().lower() in ("null", "none"):
        return None
    tries: list[Any] = []
    if any(arm not in (str, Path, type(None)) for arm in arms):
        tries.append(_yaml_value(text))
    for arm in arms:
        if typing.get_origin(arm) in (list, tuple):
            bare = re.sub(r"^\s*\[(.*)\]\s*$", r"\1", text)
            words = [word.strip() for word in bare.split(",")] if bare.strip() else []
            inner = typing.get_args(arm)
            if len(inner) == 1 or ... in inner:
                inner = (inner[0],) * len(words)
            if len(inner) == len(words):
                with contextlib.suppress(Mismatch):
                    tries.append([from_text(word, each) for word, each in zip(words, inner)])
    for value in [*tries, text]:
        if value is not None:
            try:
                return check(value, annotation)
            except Mismatch:
                continue
    return check(text if tries[:1] in ([], [None]) else tries[0], annotation)


def _yaml_value(text: str) -> Any:
    import yaml

    try:
        return _yaml_classes()[0](text).get_single_data()
    except (yaml.YAMLError, ValueError):
        return text


@functools.cache
def _yaml_classes() -> tuple[Any, Any]:
    """A safe loader and dumper for which 1e-3 is a number, and a date or 12:30 is text."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            first: [
                (tag, pattern)
                for tag, pattern in rules
                if tag.rpartition(":")[2] not in ("timestamp", "int", "float")
            ]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: list[Any] = []
            for key, _ in node.value:
                if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                    raise yaml.constructor.ConstructorError(
                        None, None, f"'{key.value}' is given twice", key.start_mark
                    )
                seen.append(key.value)
            return super().construct_mapping(node, deep)

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
    for target in (Loader, Dumper):  # the dumper quotes what either reading takes for a number
        target.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    return Loader, Dumper


def to_yaml(value: Any) -> str:
    """YAML text of plain data; keys keep their order."""
    import yaml

    def dump(unicode: bool) -> str:
        text: str = yaml.dump(
            plain(value), Dumper=_yaml_classes()[1], sort_keys=False, allow_unicode=unicode
        )
        return text

    text = dump(True)
    # PyYAML writes these line breaks as they are and reads them back as blanks.
    if re.search("[\x85\u2028\u2029]", text):
        text = dump(False)
    return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; an empty file holds an empty one.

    Raises
    ------
    ConfigError
        The file is not there, not text, not YAML (the line is given), names a Python object,
        gives a key twice, or is not a mapping.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"file {path} cannot be read: {reason}", "Check --config.") from error
    try:
        found = _yaml_classes()[0](text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        if "could not determine a constructor" in problem:
            problem = "tags such as !!python are not allowed"
        raise ConfigError(f"file {path}{line}: {problem}", "Mend the YAML.") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(
            f"file {path} is not a mapping but a {type(found).__name__}",
            "Write sections such as 'trainer: {epochs: 3}'.",
        )
    return found
