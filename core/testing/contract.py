"""The contract suite as tests: a plugin's whole test file is three lines.

Holds the making of the test function; its outcomes are printed by ``pytest_plugin.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from dope.core.plugging.discovery import discover
from dope.core.plugging.registry import Registry
from dope.core.testing.outcome import WITH_REASON, Outcome, counted
from dope.core.testing.plugin import PluginSuite, chosen
from dope.core.testing.pytest_plugin import PROPERTY

TOTAL = "total"


def contract_tests(
    plugin: str,
    *,
    least_tasks: int = 0,
    least_passed: int = 0,
    registry: Optional[Registry] = None,
) -> Callable[..., None]:
    """A test function with one case for each check of a plugin and of its tasks.

    Parameters
    ----------
    plugin
        Name of an installed plugin, or ``all``.
    least_tasks, least_passed
        Tasks that there must be and checks that must pass, in all: so that none drops out unseen.
    registry
        Known parts; by default those of all installed plugins.

    Raises
    ------
    ConfigError
        There is no such plugin.

    Examples
    --------
    >>> test_contract = contract_tests("losses")

    One case is ``pytest -k "churn.classify-resume"``. What a task is exempt from, and what does
    not apply to it, is an expected failure with its reason, never a pass.
    """
    known = registry or discover()
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        path = made["root"] / name
        path.mkdir()
        return path

    suites = {name: PluginSuite(known, name, folder) for name in chosen(known, plugin)}
    cases = [(s, *pair) for s in suites for pair in suites[s].cases()]
    floors = {"tasks": least_tasks, "passed": least_passed}
    last = [("", plugin, TOTAL)] if any(floors.values()) else []

    @pytest.mark.parametrize(
        "owner, subject, check",
        [pytest.param(*case, id=f"{case[1]}-{case[2]}") for case in cases + last],
    )
    def test_contract(
        owner: str, subject: str, check: str, tmp_path_factory: Any, record_property: Any
    ) -> None:
        if not made:
            made["root"] = tmp_path_factory.mktemp("contract")
        if check == TOTAL:
            outcomes = [suites[s].outcome(*pair) for s, *pair in cases]
            _total(outcomes, sum(len(suite.tasks) for suite in suites.values()), floors)
            return
        outcome = suites[owner].outcome(subject, check)
        record_property(PROPERTY, dict(outcome.as_dict()))
        if outcome.state in WITH_REASON:  # reported with its reason, and not as a pass
            pytest.xfail(f"{outcome.state}: {outcome.text}")
        if not outcome.good:
            raise AssertionError(str(outcome)) from outcome.error

    made_test: Callable[..., None] = test_contract
    return made_test


def _total(outcomes: list[Outcome], tasks: int, floors: Mapping[str, int]) -> None:
    passed = sum(outcome.state == "passed" for outcome in outcomes)
    if tasks < floors["tasks"]:
        raise AssertionError(f"there are {tasks} tasks, at least {floors['tasks']} must be")
    if passed < floors["passed"]:
        wanted = f"{floors['passed']} must pass"
        raise AssertionError(f"of {len(outcomes)} checks: {counted(outcomes)}; at least {wanted}")
