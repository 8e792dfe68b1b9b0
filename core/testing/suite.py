"""The checks of one task, run once each, and whether enough of them ran.

Holds no promise; those are in ``checks.py`` and ``commands.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional, Union

from dope.core.configuring.signature import class_attribute
from dope.core.errors import PluginError, did_you_mean
from dope.core.plugging.registry import Registry
from dope.core.testing.case import Case
from dope.core.testing.checks import CHECKS, Check
from dope.core.testing.outcome import RAN, Outcome, judge

FLOOR = 12  # checks that must run, of each task


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
            if not self.outcome(need).good:
                return Outcome(self.task, check.name, "blocked", f"check '{need}' has not passed")
        return judge(self.task, check.name, lambda: check.function(self.case))


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
    ran = [each for each in outcomes if each.state in RAN]
    if len(ran) >= FLOOR:
        return None
    task = outcomes[0].subject if outcomes else "no task"
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
