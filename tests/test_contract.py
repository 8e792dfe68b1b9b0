"""The contract suite over every task that is installed: one test a task and check.

Holds no checks; they are in dope.core.testing, and that each can fail is tested beside it.
"""

from __future__ import annotations

from collections import Counter

import pytest

from dope.core.discovery import discover
from dope.core.testing import CHECKS, Suite, shortfall

REGISTRY = discover()
TASKS = [entry.name for entry in REGISTRY.entries("task")]
LEAST_TASKS, LEAST_RUN = 2, 20  # raise them with every task: none may drop out unseen


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    """A task's suite, made once: its checks share their runs."""
    made: dict[str, Suite] = {}

    def suite(task: str) -> Suite:
        if task not in made:
            made[task] = Suite(REGISTRY, task, tmp_path_factory.mktemp("contract"))
        return made[task]

    return suite


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("task", TASKS)
def test_contract(suites, task, check):
    outcome = suites(task).outcome(check)
    if outcome.state == "exempt":  # reported with its reason, and not as a pass
        pytest.xfail(f"exempt: {outcome.text}")
    if outcome.state != "passed":
        raise AssertionError(str(outcome)) from outcome.error


@pytest.mark.parametrize("task", TASKS)
def test_enough_checks_of_a_task_run(suites, task):
    assert shortfall(suites(task).outcomes()) is None


def test_enough_checks_run_over_all(suites, capsys):
    assert not [plugin for plugin in REGISTRY.plugins if plugin.error]
    outcomes = [outcome for task in TASKS for outcome in suites(task).outcomes()]
    states = Counter(outcome.state for outcome in outcomes)
    with capsys.disabled():
        counts = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
        print(f"\ncontract suite: {len(TASKS)} tasks, {len(outcomes)} checks: {counts}")
        for outcome in outcomes:
            if outcome.state == "exempt":
                print(f"  {outcome}")
    assert len(TASKS) >= LEAST_TASKS
    assert states["passed"] >= LEAST_RUN
