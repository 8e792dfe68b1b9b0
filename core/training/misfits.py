"""Which errors mean that two parts of a run do not fit each other, and how that is said.

Holds the reading of errors; looking for misfits before there is one is fitting.py's matter.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Optional

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.core.task import blocks

_MISSING = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_OPERATOR = re.compile(r"Error in operator (\S+): (?:\[.*?\] \S+: )?(?:Check failed: .*?: )?(.+)")
_NODE = re.compile(r"Incompatible attr in node \S+ ")
_SHAPES = re.compile(r"(?i)shape|incompatible attr|dimension")
_FORM = (TypeError, ValueError, IndexError, KeyError, AssertionError)


def name(task: Any, section: str) -> str:
    """``model vision.cnn``, or what is known of a part that has no name."""
    known = getattr(task, "parts", {}).get(section)
    return f"{section} {known}" if known else f"the {section}"


def misfit(task: Any, left: str, right: str, reason: str) -> ConfigError:
    """The error that two sections' parts do not fit."""
    return ConfigError(
        f"{name(task, left)} does not fit {name(task, right)}: {reason}",
        f"Choose another {right} or {left}: dope list --kind all.",
    )


@contextlib.contextmanager
def meeting(task: Any, left: str, right: str) -> Iterator[None]:
    """Say of two parts that they do not fit where one asks the other for what it has not.

    Errors inside one part's own code pass as they are, so that they are not mistaken for this,
    unless one of the two is not the task's own choice: then that is the likeliest reason.

    Raises
    ------
    ConfigError
        The parts do not fit.
    """
    try:
        yield
    except Exception as error:
        reason = _asked(error) or called(error) or shapes(error)
        if reason is None and {left, right} & set(_swapped(task)):
            reason = _unlike(error)
        if reason is None:
            raise
        raise misfit(task, left, right, reason) from error


def later(
    task: Any, nets: Any, error: BaseException, *, first: bool = False
) -> Optional[ConfigError]:
    """What an error in the midst of training says of parts that do not fit; None if nothing.

    In the ``first`` step a part that is not the task's own choice is the likeliest reason.
    """
    reason = _asked(error)
    swapped = _swapped(task) if first else []
    if reason is None:
        reason = _unlike(error) if swapped else None
        return misfit(task, "task", swapped[0], reason) if reason else None
    sections = {
        **{type(net).__name__: "model" for net in blocks(nets).values()},
        type(getattr(task, "criterion", None)).__name__: "loss",
        type(getattr(task, "dataset", None)).__name__: "dataset",
    }
    section = sections.get(reason.partition(" ")[0])
    return misfit(task, "task", section, reason) if section else None


def _asked(error: BaseException) -> Optional[str]:
    """What an object was asked for by others and does not have; None if it is another error."""
    found = _MISSING.fullmatch(str(error)) if isinstance(error, AttributeError) else None
    if found is None or found[1] == "NoneType":
        return None
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    own = trace.tb_frame.f_locals.get("self") if trace is not None else None
    if type(own).__name__ == found[1]:
        return None  # its own code asks: a mistake in there
    return f"{found[1]} has no '{found[2]}'"


def _swapped(task: Any) -> list[str]:
    """Sections whose part is not the task's own choice."""
    return list(getattr(task, "swapped", ()))


def _unlike(error: BaseException) -> Optional[str]:
    """The error of a part that was given something of another form; None if it is another."""
    text = " ".join(str(error).split())
    if isinstance(error, mx.base.MXNetError):
        return shapes(error)
    return f"{type(error).__name__}: {text}" if isinstance(error, _FORM) else None


def called(error: BaseException) -> Optional[str]:
    """What a function says that was given other arguments than it takes."""
    text = " ".join(str(error).split())
    fits = isinstance(error, TypeError) and re.search(r"\w\(\) .*argument", text)
    return text if fits else None


def shapes(error: BaseException) -> Optional[str]:
    """What MXNet says of shapes, without its own file names."""
    text = " ".join(str(error).split())
    if not (isinstance(error, mx.base.MXNetError) and _SHAPES.search(text)):
        return None
    found = _OPERATOR.search(text)
    if found:
        return f"operator {found[1]}: {_NODE.sub('', found[2])}"
    return text.rpartition("Check failed: ")[2].rpartition("MXNetError: ")[2]
