"""All checks of one plugin: those of the whole, then those of each of its tasks.

Holds their order and their totals; the promises are in ``parts.py`` and ``checks.py``.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from dope.core.errors import ConfigError, DopeError, did_you_mean
from dope.core.plugging.registry import Registry
from dope.core.testing.checks import CHECKS
from dope.core.testing.comparing import fail
from dope.core.testing.outcome import RAN, Outcome, counted, judge
from dope.core.testing.parts import PLUGIN_CHECKS, PluginCase
from dope.core.testing.suite import Suite, shortfall

ENOUGH = "floor"  # the check that enough of a task's checks ran
LEAST = len(PLUGIN_CHECKS) - 1  # that must run of a plugin: one without a task is a plugin, too

Started = Callable[[str, str], None]


class PluginSuite:
    """The checks of one plugin and of its tasks, each run once and remembered.

    Parameters
    ----------
    registry
        As `discover` fills it.
    plugin
        Its name.
    folder
        Makes an empty folder for a name; called when one is needed.

    Raises
    ------
    ConfigError
        There is no such plugin.
    """

    def __init__(self, registry: Registry, plugin: str, folder: Callable[[str], Path]) -> None:
        (self.plugin,) = chosen(registry, plugin)
        self.registry, self._folder = registry, folder
        self.info = next(info for info in registry.plugins if info.name == plugin)
        self.tasks = [e.name for e in registry.entries("task") if e.plugin == plugin]
        self._suites: dict[str, Suite] = {}
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._case: Optional[PluginCase] = None

    def cases(self, task: Optional[str] = None) -> list[tuple[str, str]]:
        """Pairs of a subject and a check, in order: all, or those of one task."""
        whole = [(self.plugin, check) for check in PLUGIN_CHECKS]
        if task is None:
            return whole + [pair for each in self.tasks for pair in self.cases(each)]
        if task not in self.tasks:
            near = did_you_mean(task, self.tasks)
            known = f"Its tasks are {', '.join(self.tasks)}." if self.tasks else "It has none."
            raise ConfigError(
                f"plugin '{self.plugin}' has no task '{task}'", f"{near} {known}".strip()
            )
        return [(task, check) for check in (*CHECKS, ENOUGH)]

    def outcome(self, subject: str, check: str) -> Outcome:
        """Run one check, and before it those that it needs; a second call remembers."""
        key = subject, check
        if key not in self._outcomes:
            whole = subject == self.plugin
            self._outcomes[key] = self._of_plugin(check) if whole else self._of(subject, check)
        return self._outcomes[key]

    def _of_plugin(self, check: str) -> Outcome:
        for need in PLUGIN_CHECKS[check].needs:
            if not self.outcome(self.plugin, need).good:
                text = f"check '{need}' has not passed"
                return Outcome(self.plugin, check, "blocked", text)
        if self._case is None:
            self._case = PluginCase(self.registry, self.info, self._folder(self.plugin))
        case = self._case
        return judge(self.plugin, check, lambda: PLUGIN_CHECKS[check].function(case))

    def _of(self, task: str, check: str) -> Outcome:
        try:
            if task not in self._suites:
                self._suites[task] = Suite(self.registry, task, self._folder(task))
            suite = self._suites[task]
        except DopeError as error:  # what it declares cannot be
            return Outcome(task, check, "failed", str(error), 0.0, error)
        if check != ENOUGH:
            return suite.outcome(check)
        return judge(task, ENOUGH, lambda: _enough(suite.outcomes()))


def _enough(outcomes: Sequence[Outcome]) -> None:
    missing = shortfall(outcomes)
    if missing:
        fail(missing)


def chosen(registry: Registry, name: str) -> list[str]:
    """The plugin of this name, or with ``all`` every one that is not disabled.

    Raises
    ------
    ConfigError
        There is none.
    """
    names = list(dict.fromkeys(plugin.name for plugin in registry.plugins))
    if name == "all":
        disabled = {plugin.name for plugin in registry.plugins if plugin.disabled}
        return [each for each in names if each not in disabled]
    if name not in names:
        hint = f"{did_you_mean(name, names)} Plugins are {', '.join(names) or 'none'}."
        raise ConfigError(
            f"there is no plugin '{name}'",
            f"{hint.strip()} A plugin of your own has to be installed: pip install -e FOLDER",
        )
    return [name]


def check_plugin(
    registry: Registry,
    plugin: str,
    *,
    task: Optional[str] = None,
    started: Optional[Started] = None,
) -> Iterator[Outcome]:
    """Run the checks of a plugin one after the other.

    Parameters
    ----------
    registry
        As `discover` fills it.
    plugin
        Its name, or ``all``.
    task
        Run only the checks of this task.
    started
        Told of the subject and the name of each check before it runs.

    Yields
    ------
    Outcome
        One a check. Ask `verdict` what they come to.

    Raises
    ------
    ConfigError
        There is no such plugin or task.
    """
    with tempfile.TemporaryDirectory(prefix="dope-check-") as temporary:

        def folder(name: str) -> Path:
            made = Path(temporary) / name
            made.mkdir()
            return made

        owner = registry.get("task", task).plugin if task and plugin == "all" else plugin
        suites = [PluginSuite(registry, name, folder) for name in chosen(registry, owner)]
        for suite in suites:
            for subject, check in suite.cases(task):
                if started is not None:
                    started(subject, check)
                yield suite.outcome(subject, check)


def lines(outcome: Outcome) -> str:
    """An outcome for people; of one that failed, what was promised, too."""
    check = PLUGIN_CHECKS.get(outcome.check) or CHECKS.get(outcome.check)
    if outcome.state != "failed" or check is None:
        return outcome.line
    return f"{outcome.line}\n{'':25}promised: {check.promise}"


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """As plain data: whether all is well and else why, counts of states, and every check."""
    wrong = verdict(outcomes)
    states = Counter(outcome.state for outcome in outcomes)
    checks = [outcome.as_dict() for outcome in outcomes]
    return {"ok": wrong is None, "why": wrong, "counts": dict(states), "checks": checks}


def total(outcomes: Sequence[Outcome]) -> str:
    """How many checks there were, of how many plugins and tasks, and what came of them."""
    subjects = {outcome.subject for outcome in outcomes}
    tasks = sum("." in subject for subject in subjects)
    plugins = len(subjects) - tasks
    words = [
        f"{n} {what}{'s' * (n > 1)}" for n, what in ((plugins, "plugin"), (tasks, "task")) if n
    ]
    seconds = sum(outcome.seconds for outcome in outcomes)
    ran = f"{len(outcomes)} checks in {seconds:.0f} s"
    return f"{', '.join(words) or 'nothing'}: {ran}: {counted(outcomes)}"


def verdict(outcomes: Sequence[Outcome], *, least: int = LEAST) -> Optional[str]:
    """What is wrong, in one line; None when all is well.

    Parameters
    ----------
    outcomes
        Of a whole plugin, or of several.
    least
        Checks that must have run, of each plugin. Of each task `shortfall` says it.
    """
    bad = [each for each in outcomes if not each.good]
    if bad:
        names = ", ".join(f"{each.subject} {each.check}" for each in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        return f"{len(bad)} of {len(outcomes)} checks have not passed: {names}{more}"
    ran = sum(each.state in RAN for each in outcomes)
    if ran < least:
        return f"only {ran} checks ran, at least {least} must"
    return None
