"""The contract suite: what every registered task must hold to, built in or anybody's.

Holds its public names and how outcomes are made; the promises themselves are in ``checks.py``,
small runs in ``case.py``, and what happens in other processes in ``fresh.py``.

The suite makes a task small with its profile ``tiny``, where it has one, else with ``quick``, and
trains two epochs. Give ``tiny`` batches of several examples, and several of them an epoch: nothing
can be cut from one example, and a run of one step cannot be stopped. Two further class attributes
(literals) speak to the suite::

    class MyTask(Task):
        profiles = {"quick": {}, "book": {}, "tiny": {"dataset": {"name": "my.set", "n": 40}}}
        contract = {"contexts": {"model": {"dropout": 0.0}}}
        exempt = {"other_seed": "starts at fixed values and draws nothing"}

``contract``
    Name of a check to sections of configuration for that check alone, on top of the profile: so
    parity is tested of the model without dropout, and the other checks with it.
``exempt``
    Name of a check to the reason why the promise cannot hold. It is shown with its reason and
    never counts as run; a task of which fewer than ``FLOOR`` checks run does not pass.

From Python: ``run_checks(discover(), "my.task")``. A check that needs another which has not
passed is ``blocked``: it says nothing, and the suite has not passed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Union

from dope.core.errors import PluginError, did_you_mean
from dope.core.registry import Registry
from dope.core.signature import class_attribute
from dope.core.testing.case import Case
from dope.core.testing.checks import CHECKS, Check

__all__ = ["CHECKS", "FLOOR", "Case", "Check", "Outcome", "Suite", "run_checks", "shortfall"]

FLOOR = 8  # checks that must run, of each task


@dataclass(frozen=True)
class Outcome:
    """What came of one check of one task.

    Parameters
    ----------
    task, check
        Their names.
    state
        ``passed``, ``failed``, ``exempt`` or ``blocked``.
    text
        Why it failed, is exempt or is blocked; empty where it passed.
    seconds
        Wall time, with runs that later checks use again.
    error
        What was raised, for a traceback.
    """

    task: str
    check: str
    state: str
    text: str = ""
    seconds: float = 0.0
    error: Optional[BaseException] = None

    def __str__(self) -> str:
        return f"{self.task} {self.check}: {self.state}" + (f": {self.text}" if self.text else "")


class Suite:
    """The checks of one task, each run once and remembered.

    Parameters
    ----------
    registry
        Where the task and its parts are registered.
    task
        Its name.
    folder
        Where its runs may lie; an empty folder.

    Raises
    ------
    ConfigError
        There is no such task.
    PluginError
        ``exempt`` or ``contract`` names a check that there is not, or names one twice, or an
        exemption gives no reason.
    """

    def __init__(self, registry: Registry, task: str, folder: Union[str, Path]) -> None:
        target = registry.get("task", task).target
        self.task = task
        self.exempt = _declared(task, "exempt", class_attribute(target, "exempt", {}), _is_reason)
        contract = _declared(task, "contract", class_attribute(target, "contract", {}), _is_mapping)
        both = sorted(set(self.exempt) & set(contract))
        if both:
            raise PluginError(
                f"task '{task}': check '{both[0]}' is in exempt and in contract", "Keep one."
            )
        self.case = Case(registry, task, Path(folder), contract)
        self._outcomes: dict[str, Outcome] = {}

    @property
    def checks(self) -> list[Check]:
        """The checks that run, in order: those that the task is not exempt from."""
        return [check for name, check in CHECKS.items() if name not in self.exempt]

    def outcome(self, name: str) -> Outcome:
        """Run one check, and before it those that it needs; a second call remembers."""
        if name not in self._outcomes:
            self._outcomes[name] = self._judge(CHECKS[name])
        return self._outcomes[name]

    def outcomes(self) -> list[Outcome]:
        """Run all checks, exempt ones only in name."""
        return [self.outcome(name) for name in CHECKS]

    def _judge(self, check: Check) -> Outcome:
        if check.name in self.exempt:
            return Outcome(self.task, check.name, "exempt", self.exempt[check.name])
        for need in check.needs:
            if self.outcome(need).state in ("failed", "blocked"):
                return Outcome(self.task, check.name, "blocked", f"check '{need}' has not passed")
        began = time.monotonic()
        try:
            check.function(self.case)
        except Exception as error:
            text = " ".join(str(error).split())
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            took = time.monotonic() - began
            return Outcome(self.task, check.name, "failed", kind + text, took, error)
        return Outcome(self.task, check.name, "passed", seconds=time.monotonic() - began)


def run_checks(
    registry: Registry, task: str, folder: Union[str, Path, None] = None
) -> list[Outcome]:
    """Run the whole suite on one task.

    Parameters
    ----------
    registry, task
        Where the task is registered, and its name.
    folder
        Where its runs are left; by default a temporary folder that is deleted.

    Returns
    -------
    list of Outcome
        One a check, exempt ones included. Ask `shortfall` whether enough of them ran.

    Raises
    ------
    DopeError
        There is no such task, or it declares something that cannot be; see `Suite`.
    """
    if folder is not None:
        return Suite(registry, task, folder).outcomes()
    with tempfile.TemporaryDirectory(prefix="dope-contract-") as temporary:
        return Suite(registry, task, temporary).outcomes()


def shortfall(outcomes: Sequence[Outcome]) -> Optional[str]:
    """What is wrong when fewer than ``FLOOR`` checks of a task ran; None when enough did."""
    ran = [each for each in outcomes if each.state in ("passed", "failed")]
    if len(ran) >= FLOOR:
        return None
    task = outcomes[0].task if outcomes else "no task"
    rest = ", ".join(f"{each.check} ({each.state})" for each in outcomes if each not in ran)
    return f"{task}: only {len(ran)} checks ran, at least {FLOOR} must; not run: {rest}"


def _is_reason(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _declared(
    task: str, attribute: str, value: Any, fits: Callable[[Any], bool]
) -> Mapping[str, Any]:
    """A mapping of known checks to what fits, or an error that says what does not."""
    if not isinstance(value, Mapping):
        raise PluginError(
            f"task '{task}': {attribute} is {value!r}", "Write a mapping, with names of checks."
        )
    for check, content in value.items():
        if check not in CHECKS:
            hint = f"{did_you_mean(str(check), CHECKS)} Checks are {', '.join(CHECKS)}."
            raise PluginError(
                f"task '{task}': {attribute} names '{check}', which is no check", hint.strip()
            )
        if not fits(content):
            wanted = "the reason why" if attribute == "exempt" else "sections of configuration"
            raise PluginError(
                f"task '{task}': {attribute}['{check}'] is {content!r}", f"Write {wanted}."
            )
    return dict(value)
