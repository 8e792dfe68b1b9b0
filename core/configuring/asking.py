"""What a trained task is asked: the options of its method ``predict``, as words or from Python.

Holds the reading of options only; the answer is the task's.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from dope.core.configuring.annotations import type_text
from dope.core.configuring.config import Row, option_rows
from dope.core.configuring.signature import REQUIRED, Option, Signature, signature
from dope.core.configuring.values import Mismatch, check, from_text
from dope.core.errors import ConfigError, did_you_mean
from dope.core.plugging.registry import Registry


def questions(registry: Registry, task: str) -> Signature:
    """The options that ``predict`` of a registered task takes."""
    return signature(registry.get("task", task).target, "predict")


def describe_questions(registry: Registry, task: str) -> list[Row]:
    """Each of these options as ``dope show`` prints it, its key as it stands on a command line."""
    found = questions(registry, task)
    values = {name: o.default for name, o in found.options.items() if o.default is not REQUIRED}
    rows = option_rows("predict", found, values)
    return [row._replace(key=flag(found.options[row.key])) for row in rows]


def several(option: Option) -> bool:
    """Whether an option takes several values, given one by one."""
    return typing.get_origin(option.annotation) in (list, tuple)


def flag(option: Option) -> str:
    """How an option stands on the command line: ``--top-k``, or ``--input`` for ``inputs``."""
    name = option.name[:-1] if several(option) and option.name.endswith("s") else option.name
    return "--" + name.replace("_", "-")


def from_words(
    registry: Registry, task: str, words: Iterable[str]
) -> tuple[dict[str, Any], list[str]]:
    """Options of ``predict`` and what else there is, from the words of a command line.

    Parameters
    ----------
    registry, task
        Whose options they are.
    words
        ``--option value``, ``--option=value``, ``--switch``, and words of no option, in any
        order. An option that takes several values takes all the words up to the next option that
        have no ``=``, so that the shell may spell out ``--input *.png``.

    Returns
    -------
    options, others

    Raises
    ------
    ConfigError
        There is no such option, or its value is missing or of another type.
    """
    known = {flag(option): option for option in questions(registry, task).options.values()}
    found: dict[str, Any] = {}
    others: list[str] = []
    waiting = list(words)
    several_of: Optional[Option] = None  # to which words without an option go
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--"):
            if several_of and "=" not in word:
                found[several_of.name].append(_read(word, several_of, known))
            else:
                others.append(word)
            continue
        name, equals, text = word.partition("=")
        if name not in known:
            raise _unknown(task, name, known)
        option, several_of = known[name], None
        if option.annotation is bool and not equals:
            found[option.name] = True
            continue
        if not equals:
            if not waiting or waiting[0] in known:
                raise ConfigError(f"{name} is given no value", f"Write {name} VALUE.")
            text = waiting.pop(0)
        if several(option):
            found.setdefault(option.name, []).append(_read(text, option, known))
            several_of = option
        else:
            found[option.name] = _read(text, option, known)
    return found, others


def checked(registry: Registry, task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``predict`` from Python, each of its type.

    Raises
    ------
    ConfigError
        There is no such option, one is missing, or a value is of another type.
    """
    options = questions(registry, task).options
    known = {flag(option): option for option in options.values()}
    found = {}
    for name, value in given.items():
        if name not in options:
            raise _unknown(task, name, known)
        option = options[name]
        try:
            found[name] = check(value, option.annotation)
        except Mismatch as error:
            raise ConfigError(f"{flag(option)}: {error}", _see(known)) from None
    for option in options.values():
        if option.default is REQUIRED and option.name not in found:
            raise ConfigError(f"{task} predicts nothing without {flag(option)}", _see(known))
    return found


def _read(text: str, option: Option, known: Mapping[str, Option]) -> Any:
    """The value that a word means, or one of several."""
    kind = typing.get_args(option.annotation)[0] if several(option) else option.annotation
    try:
        return from_text(text, kind)
    except Mismatch as error:
        raise ConfigError(f"{flag(option)} {text}: {error}", _see(known)) from None


def _unknown(task: str, name: str, known: Mapping[str, Option]) -> ConfigError:
    flags = [*known, "--best", "--json", "--output", "--runs", "--seed"]
    hint = f"{did_you_mean(name, flags)} {_see(known)}".strip()
    return ConfigError(f"{task} predicts with no option {name}", hint)


def _see(known: Mapping[str, Option]) -> str:
    if not known:
        return "It has none of its own."
    return "Its own: " + ", ".join(
        f"{name} ({type_text(option.annotation)})" for name, option in known.items()
    )
