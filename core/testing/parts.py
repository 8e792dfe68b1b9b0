"""The promises that every plugin must hold to as a whole, one function each.

Holds what is judged of registrations and parts; what tasks promise is in ``checks.py``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dope.core.callbacks import Callback
from dope.core.configuring.signature import signature
from dope.core.errors import DopeError
from dope.core.plugging.discovery import HEAVY
from dope.core.plugging.registry import Entry, PluginInfo, Registry
from dope.core.testing.case import process
from dope.core.testing.comparing import fail
from dope.core.testing.outcome import NotApplicable

EVENTS = [name for name in vars(Callback) if name.startswith("on_")]
SECONDS = 60  # that registering may take
LONGEST = 100  # characters of a summary


class PluginCase:
    """A plugin to be checked.

    Parameters
    ----------
    registry, info
        Where it is registered, and what became of it.
    folder
        Where files may be written.
    """

    def __init__(self, registry: Registry, info: PluginInfo, folder: Path) -> None:
        self.registry, self.info, self.folder = registry, info, folder

    @property
    def entries(self) -> list[Entry]:
        """Its parts."""
        return self.info.entries

    @cached_property
    def fresh(self) -> Mapping[str, Any]:
        """What it registers in a new process, and the heavy modules that it imports there."""
        answer = self.folder / "registered.json"
        order = {
            "job": "register",
            "entries": [],
            "plugin": self.info.name,
            "entry": self.info.module,
            "answer": str(answer),
        }
        done = process("fresh", order, self.folder, SECONDS)
        if done.returncode or not answer.is_file():
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            fail(f"{self.info.module} cannot register: {lines[-1]}")
        found: Mapping[str, Any] = json.loads(answer.read_text())
        return found


def check_imports(case: PluginCase) -> None:
    """The registration module imports in a new process, and its hooks can be called."""
    if not case.fresh["registered"]:
        fail(f"{case.info.module} registers nothing")


def check_light(case: PluginCase) -> None:
    """The registration module imports neither MXNet nor NumPy nor Matplotlib."""
    if case.fresh["heavy"]:
        fail(
            f"{case.info.module} imports {' and '.join(case.fresh['heavy'])}: it slows every "
            f"command. Import {'/'.join(HEAVY)} where the parts are, not where they are registered"
        )


def check_names(case: PluginCase) -> None:
    """Every name is dotted and begins with the plugin's own."""
    for part in case.fresh["registered"]:
        if not str(part["name"]).startswith(f"{case.info.name}."):
            fail(f"{_called(part)} does not begin with '{case.info.name}.'")


def check_summaries(case: PluginCase) -> None:
    """Every part has a summary of one line."""
    for part in case.fresh["registered"]:
        text = part["summary"]
        if not isinstance(text, str) or not text.strip():
            fail(f"{_called(part)} has no summary")
        if "\n" in text or len(text) > LONGEST:
            fail(f"the summary of {_called(part)} is not one line of {LONGEST} characters at most")


def check_loads(case: PluginCase) -> None:
    """dope takes the plugin as it is, with no collision and no unknown hook."""
    same = [info for info in case.registry.plugins if info.name == case.info.name]
    for info in same:
        if info.error:
            fail(f"it is broken: {info.error}" + (f" ({info.where})" if info.where else ""))
    if case.info.disabled:
        fail("it is disabled")


def check_resolves(case: PluginCase) -> None:
    """Every import string leads to something of its kind."""
    for entry in case.entries:
        try:
            thing = entry.load()
        except DopeError as error:
            fail(error.message)
        if not callable(thing):
            fail(f"{entry.target} of {entry.kind} '{entry.name}' is no class and no function")
        if entry.kind == "task":
            from dope.core.task import Task

            if not (isinstance(thing, type) and issubclass(thing, Task)):
                fail(f"{entry.target} of task '{entry.name}' is no subclass of dope.Task")
        if entry.kind == "callback" and not any(hasattr(thing, event) for event in EVENTS):
            fail(f"{entry.target} of callback '{entry.name}' has none of {', '.join(EVENTS)}")


def check_documented(case: PluginCase) -> None:
    """Every part has a docstring; every option is keyword-only, typed, and described."""
    for entry in case.entries:
        found = signature(entry.target)
        if not found.doc_summary:
            fail(f"{entry.kind} '{entry.name}' ({entry.target}) has no docstring")
        for option in found.options.values():
            if not option.description:
                fail(
                    f"option '{option.name}' of {entry.kind} '{entry.name}' is not described: "
                    "add it to the section Parameters of the docstring"
                )
        for name in _out_of_reach(entry):
            fail(
                f"argument '{name}' of {entry.kind} '{entry.name}' has a default but is not "
                "keyword-only, so that nobody can set it: put it after a *"
            )


def check_tasks(case: PluginCase) -> None:
    """There is a task, whose own checks follow."""
    if not any(entry.kind == "task" for entry in case.entries):
        raise NotApplicable("it registers no task: its parts are checked only as parts")


class PluginCheck(NamedTuple):
    """One promise: its name, the function that tests it, and the checks that it needs."""

    name: str
    function: Callable[[PluginCase], None]
    needs: tuple[str, ...] = ()

    @property
    def promise(self) -> str:
        """What is promised, in one line."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


PLUGIN_CHECKS: Mapping[str, PluginCheck] = {
    check.name: check
    for check in (
        PluginCheck("imports", check_imports),
        PluginCheck("light", check_light, ("imports",)),
        PluginCheck("names", check_names, ("imports",)),
        PluginCheck("summaries", check_summaries, ("imports",)),
        PluginCheck("loads", check_loads, ("imports", "names", "summaries")),
        PluginCheck("resolves", check_resolves, ("loads",)),
        PluginCheck("documented", check_documented, ("resolves",)),
        PluginCheck("tasks", check_tasks, ("loads",)),
    )
}


def _called(part: Mapping[str, Any]) -> str:
    return f"{part['kind']} '{part['name']}' ({part['target']})"


def _out_of_reach(entry: Entry) -> Iterator[str]:
    """Arguments that have a default and can be given by position, of the plugin's own code."""
    thing = entry.load()
    if isinstance(thing, type):
        owner = next(base for base in thing.__mro__ if "__init__" in vars(base))
        if owner.__module__.partition(".")[0] in ("mxnet", "builtins"):  # nothing of its own
            return
    for parameter in inspect.signature(thing).parameters.values():
        positional = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if positional and parameter.default is not parameter.empty:
            yield parameter.name
